//! Review 15.
use std::{pin::pin, task::{Context, Poll, Waker}, time::Duration};
use std::future::Future;
use tokio::time::timeout;
use tower_sse::{
    Event, EventBody, Hub,
    hub::{GapReason, History, Lagging, Publication, Resumption, Selection, Subscription, backend::MemoryBackend},
};
fn topics(names: &[&str]) -> Selection { Selection::new(names.iter().copied()).unwrap() }
async fn node(log: &MemoryBackend, events: usize, total: usize) -> Hub {
    Hub::builder().history(History::events(events)).total_history(History::events(total))
        .lagging(Lagging::Skip).open(log.node()).await.unwrap()
}
async fn read(s: &mut Subscription) -> Vec<String> {
    let mut found = vec![];
    loop {
        match timeout(Duration::from_millis(200), s.next()).await {
            Err(_) => { found.push("waits".into()); return found }
            Ok(None) => { found.push("end".into()); return found }
            Ok(Some(Ok(e))) => found.push(e.event().data().to_owned()),
            Ok(Some(Err(l))) => found.push(format!("gap {}", l.gap().reason)),
        }
    }
}
async fn body_text(b: &mut EventBody) -> String {
    let mut all = String::new();
    while let Ok(Some(Ok(chunk))) = timeout(Duration::from_millis(200), b.next_chunk()).await {
        all.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    all
}

#[tokio::test]
async fn r1_replayed_body_loses_after_expired() {
    let log = MemoryBackend::default();
    let hub = node(&log, 3, 3).await;
    // 64 KiB events, so that a chunk has few.
    let big = "x".repeat(100_000);
    let first = hub.publish("a", Event::new("first")).await.unwrap().id;
    hub.publish("a", Event::new(format!("b0 {big}"))).await.unwrap();
    hub.publish("a", Event::new("b1")).await.unwrap();
    hub.publish_all([Publication::new("a", Event::new("typing")).ttl(Duration::from_millis(150))]).await.unwrap();
    for n in 2..8 { hub.publish("a", Event::new(format!("b{n}"))).await.unwrap(); }
    let mut body = hub.resume(topics(&["a"]), &first).await.unwrap().into_body();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = body_text(&mut body).await.replace(&big, "");
    for n in 0..8 { assert!(text.contains(&format!("data: b{n}")), "lost b{n}: {text}"); }
    assert!(!text.contains("typing"), "{text}");
}

#[tokio::test]
async fn r3_false_complete() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    let small = node(&log, 3, 3).await;
    let a = hub.publish("a", Event::new("a")).await.unwrap().id;
    for n in 0..20 { hub.publish("b", Event::new(n)).await.unwrap(); }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut out = vec![];
    for hub in [&hub, &small] {
        let s = hub.resume(topics(&["b"]), &a).await.unwrap();
        out.push(match s.resumption() { Resumption::Gap(g) => format!("{}", g.reason), o => format!("{o:?}") });
    }
    assert_eq!(out, [GapReason::OtherTopic.to_string(), GapReason::OtherTopic.to_string()]);
}

#[tokio::test]
async fn r4_state_lost_while_window_trims() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    for n in 0..50 { hub.publish_keyed("s", format!("k{n}"), Event::new(format!("v{n}"))).await.unwrap(); }
    let mut s = hub.subscribe(topics(&["s"]).with_state()).await.unwrap();
    let first = s.next().await.unwrap().unwrap();
    let mut seen = vec![first.event().data().to_owned()];
    for n in 0..200 { hub.publish("other", Event::new(n)).await.unwrap(); }
    seen.extend(read(&mut s).await);
    assert_eq!(seen.len(), 51, "{seen:?}");
    // what a reader that starts later gets
}

#[tokio::test]
async fn r5_finished_forgotten_by_window() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 10).await;
    let first = hub.publish("job", Event::new("1")).await.unwrap().id;
    hub.publish("job", Event::new("2")).await.unwrap();
    hub.finish("job", Some(Event::new("last"))).await.unwrap();
    for n in 0..50 { hub.publish("other", Event::new(n)).await.unwrap(); }
    let mut s = hub.resume(topics(&["job"]), &first).await.unwrap();
    let late = read(&mut s).await;
    let again = hub.publish("job", Event::new("after the end")).await.is_err();
    assert_eq!((late, again), (vec!["2".into(), "last".into(), "end".into()], true));
}

#[tokio::test]
async fn r7_queue_drops_unrelated() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    let mut s = hub.subscribe(topics(&["a", "c"])).await.unwrap();
    // job ends while its event is in the queue
    hub.try_publish(Publication::new("a", Event::new("1"))).unwrap();
    hub.try_publish(Publication::new("job", Event::new("late"))).unwrap();
    hub.try_publish(Publication::new("c", Event::new("2"))).unwrap();
    let other = node(&log, 100, 100).await;
    other.finish("job", None).await.ok();
    let got = read(&mut s).await;
    assert_eq!(got, ["1", "2", "waits"]);
}

#[tokio::test]
async fn r7b_try_publish_then_drop() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    let other = node(&log, 100, 100).await;
    let mut s = other.subscribe(topics(&["a"])).await.unwrap();
    hub.try_publish(Publication::new("a", Event::new("bye"))).unwrap();
    drop(hub);
    assert_eq!(read(&mut s).await, ["bye", "waits"]);
}

#[tokio::test]
async fn r8_one_poll_of_a_filtered_replay_is_unbounded() {
    let log = MemoryBackend::new(History::events(200_000));
    let hub = node(&log, 10, 10).await;
    let first = hub.publish("a", Event::new("first")).await.unwrap().id;
    for n in 0..40 {
        hub.publish_all((0..500).map(|i| Publication::new("a", Event::new(n * 500 + i)))).await.unwrap();
    }
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let c = count.clone();
    let s = hub.resume(topics(&["a"]), &first).await.unwrap();
    let mut s = s.filter(move |_| { c.fetch_add(1, std::sync::atomic::Ordering::SeqCst); false });
    {
        let next = s.next();
        let mut next = pin!(tokio::task::unconstrained(next));
        assert!(matches!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    }
    let n = count.load(std::sync::atomic::Ordering::SeqCst);
    assert!(n < 10_000, "{n} records in one poll");
}

#[tokio::test]
async fn r9_max_age_in_replay() {
    let log = MemoryBackend::default();
    let history = History::events(3).max_age(Duration::from_millis(300));
    let hub = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip).open(log.node()).await.unwrap();
    let first = hub.publish("a", Event::new("first")).await.unwrap().id;
    for n in 0..10 { hub.publish("a", Event::new(format!("old{n}"))).await.unwrap(); }
    tokio::time::sleep(Duration::from_millis(600)).await;
    hub.publish("a", Event::new("new")).await.unwrap();
    let mut s = hub.resume(topics(&["a"]), &first).await.unwrap();
    assert_eq!(read(&mut s).await, ["new", "waits"]);
}

#[tokio::test]
async fn r10_newest_then_lag_repeats_older() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    for n in 0..5 { hub.publish_keyed("a", "k", Event::new(format!("old{n}"))).await.unwrap(); }
    for n in 0..10 { hub.publish("b", Event::new(format!("b{n}"))).await.unwrap(); }
    let mut s = hub.subscribe(topics(&["a", "b"]).last(1)).await.unwrap();
    for n in 0..200 { hub.publish("other", Event::new(n)).await.unwrap(); }
    assert_eq!(read(&mut s).await, ["old4", "b9", "waits"]);
}


#[tokio::test]
async fn r7c_queue_drops_unrelated() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    let mut s = hub.subscribe(topics(&["a", "c"])).await.unwrap();
    let mut finish = Box::pin(hub.finish("job", None));
    assert!(finish.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    hub.try_publish(Publication::new("a", Event::new("1"))).unwrap();
    hub.try_publish(Publication::new("job", Event::new("late"))).unwrap();
    hub.try_publish(Publication::new("c", Event::new("2"))).unwrap();
    finish.await.unwrap();
    assert_eq!(read(&mut s).await, ["1", "2", "waits"]);
}

#[tokio::test]
async fn r13_204_with_a_replay_left() {
    let log = MemoryBackend::default();
    let hub = node(&log, 1, 100).await;
    let first = hub.publish("job", Event::new("1")).await.unwrap().id;
    for n in 2..6 { hub.publish("job", Event::new(n)).await.unwrap(); }
    hub.finish("job", None).await.unwrap();
    let handler = hub.handler(|connect| async move { connect.accept().topics(["job"]) });
    let request = http::Request::get(format!("/?last_event_id={first}")).header("accept", "text/event-stream").body(()).unwrap();
    let response = tower::ServiceExt::oneshot(handler, request).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn r14_disconnect_while_opening_or_replaying_stalled() {
    let log = MemoryBackend::default();
    let own = log.node();
    let faults = own.faults();
    let h = History::events(3);
    let hub = Hub::builder().history(h).total_history(h).open(own).await.unwrap();
    let first = hub.publish("a", Event::new("first")).await.unwrap().id;
    for n in 0..9 { hub.publish("a", Event::new(n)).await.unwrap(); }
    faults.set_unavailable(true);
    let handler = hub.handler(|connect| async move { connect.accept().topics(["a"]) });
    let request = http::Request::get(format!("/?last_event_id={first}")).header("accept", "text/event-stream").body(()).unwrap();
    let response = tower::ServiceExt::oneshot(handler.clone(), request).await.unwrap();
    let mut body = response.into_body();
    let task = tokio::spawn(async move { while let Some(Ok(_)) = body.next_chunk().await {} });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(hub.disconnect(|_| true), 1);
    assert!(timeout(Duration::from_secs(1), task).await.is_ok(), "a disconnected reader goes on");
}

#[tokio::test]
async fn r15_hub_dropped_while_replay_waits() {
    let log = MemoryBackend::default();
    let own = log.node();
    let faults = own.faults();
    let h = History::events(3);
    let hub = Hub::builder().history(h).total_history(h).lagging(Lagging::Skip).open(own).await.unwrap();
    let mut s = hub.subscribe(topics(&["a"])).await.unwrap();
    for n in 0..9 { hub.publish("a", Event::new(n)).await.unwrap(); }
    faults.set_unavailable(true);
    drop(hub);
    let end = timeout(Duration::from_secs(8), async { while s.next().await.is_some() {} }).await;
    assert!(end.is_ok(), "the reader of a closed hub never ends");
}

#[tokio::test]
async fn r18_abort_reason_with_engine() {
    let log = MemoryBackend::default();
    let mut seen = vec![];
    for window in [3, 1000] {
        let h = History::events(window);
        let hub = Hub::builder().history(h).total_history(h).lagging(Lagging::Evict).open(log.node()).await.unwrap();
        let reason = std::sync::Arc::new(std::sync::Mutex::new(None));
        let r = reason.clone();
        let mut body = hub.subscribe(topics(&["a"])).await.unwrap().into_body()
            .on_disconnect(move |end| *r.lock().unwrap() = Some(format!("{:?}", end.reason())));
        let _ = timeout(Duration::from_millis(20), body.next_chunk()).await;
        for n in 0..9 { hub.publish("a", Event::new(n)).await.unwrap(); }
        drop(body);
        seen.push(reason.lock().unwrap().clone().unwrap());
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn r20_finished_after_recreate() {
    let log = MemoryBackend::default();
    let own = log.node();
    let faults = own.faults();
    let hub = Hub::builder().open(own).await.unwrap();
    let held = hub.subscribe(topics(&["job"])).await.unwrap();
    hub.publish("job", Event::new("1")).await.unwrap();
    hub.finish("job", None).await.unwrap();
    faults.recreate();
    tokio::time::sleep(Duration::from_millis(800)).await;
    let result = hub.publish("other", Event::new("1")).await;
    assert!(result.is_ok(), "{result:?}");
    let result = hub.publish("job", Event::new("1")).await;
    drop(held);
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r21_state_race() {
    let log = MemoryBackend::default();
    let hub = node(&log, 4, 4).await;
    for n in 0..20 { hub.publish_keyed("s", format!("pad{n}"), Event::new("-1")).await.unwrap(); }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (st, h) = (stop.clone(), hub.clone());
    let task = tokio::spawn(async move {
        let mut n = 0;
        while !st.load(std::sync::atomic::Ordering::SeqCst) {
            h.publish_keyed("s", "k", Event::new(n)).await.unwrap();
            n += 1;
        }
    });
    let mut bad = None;
    for round in 0..3000 {
        let mut s = hub.subscribe(topics(&["s"]).with_state()).await.unwrap();
        let mut last = -1i64;
        let mut reads = 0;
        while reads < 40 {
            let Ok(Some(Ok(e))) = timeout(Duration::from_millis(500), s.next()).await else { break };
            reads += 1;
            if e.key() != Some("k") { continue }
            let n: i64 = e.event().data().parse().unwrap();
            if n <= last { bad = Some((round, last, n)); break }
            last = n;
            if reads > 24 { break }
        }
        if bad.is_some() { break }
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    task.await.unwrap();
    assert_eq!(bad, None);
}

#[tokio::test]
async fn r24_tasks_end_and_memory_is_given_back() {
    let log = MemoryBackend::default();
    let live = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = live();
    let hub = node(&log, 3, 3).await;
    hub.publish("a", Event::new("x")).await.unwrap();
    let reader = hub.subscribe(topics(&["a"])).await.unwrap();
    drop(hub);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(live(), before);
    drop(reader);
}

#[tokio::test]
async fn r26_resume_false_complete_other_selection_position() {
    let log = MemoryBackend::default();
    let hub = node(&log, 3, 3).await;
    let held = hub.subscribe(topics(&["x"])).await.unwrap();
    hub.publish("x", Event::new("x")).await.unwrap();
    let s = hub.subscribe(topics(&["a"])).await.unwrap();
    let at = s.position();
    for n in 0..20 { hub.publish("b", Event::new(n)).await.unwrap(); }
    let s = hub.resume(topics(&["b"]), &at).await.unwrap();
    assert!(!matches!(s.resumption(), Resumption::Complete), "{:?}", s.resumption());
    drop(held);
}

#[tokio::test]
async fn r27_body_ends_after_replay_of_finished_topic() {
    // finished while the reader is slow; another reader keeps the topic named.
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 5).await;
    let mut s = hub.subscribe(topics(&["job"])).await.unwrap();
    for n in 0..3 { hub.publish("job", Event::new(n)).await.unwrap(); }
    hub.finish("job", None).await.unwrap();
    for n in 0..20 { hub.publish("o", Event::new(n)).await.unwrap(); }
    assert_eq!(read(&mut s).await, ["0", "1", "2", "end"]);
}

#[tokio::test]
async fn r28_from_start_patterns_over_small_window() {
    let log = MemoryBackend::default();
    let hub = node(&log, 3, 5).await;
    for n in 0..30 { hub.publish(format!("p.{}", n % 7), Event::new(n)).await.unwrap(); }
    let sel = Selection::default().patterns(["p.>"]).unwrap();
    let mut s = hub.subscribe(sel.clone().from_start()).await.unwrap();
    let mut expected: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    expected.push("waits".into());
    assert_eq!((format!("{:?}", s.resumption()), read(&mut s).await), ("New".into(), expected));
    let mut s = hub.subscribe(topics(&["p.1"]).from_start()).await.unwrap();
    assert_eq!(read(&mut s).await, ["1", "8", "15", "22", "29", "waits"]);
    // a new node, and last
    let mut s = hub.subscribe(topics(&["p.1"]).last(3)).await.unwrap();
    assert_eq!(read(&mut s).await, ["15", "22", "29", "waits"]);
}

#[tokio::test]
async fn r29_outage_then_publish_order() {
    let log = MemoryBackend::default();
    let own = log.node();
    let faults = own.faults();
    let hub = Hub::builder().open(own).await.unwrap();
    let mut s = hub.subscribe(topics(&["a"])).await.unwrap();
    for n in 0..10 {
        if n == 3 { faults.lose_next_answer(); }
        if n == 5 { faults.set_unavailable(true); let f = log.clone(); let _ = f; let faults2 = faults.clone();
            tokio::spawn(async move { tokio::time::sleep(Duration::from_millis(250)).await; faults2.set_unavailable(false); }); }
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let mut expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    expected.push("waits".into());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read(&mut s).await, expected);
}

#[tokio::test]
async fn r40_log_replaced_while_a_node_opens() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    for n in 0..50 { hub.publish("a", Event::new(n)).await.unwrap(); }
    let own = log.node();
    let faults = own.faults();
    let mut open = Box::pin(Hub::builder().open(own));
    let mut polls = 0;
    assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    polls += 1;
    faults.recreate();
    let opened = timeout(Duration::from_secs(5), open).await;
    assert!(opened.is_ok(), "open never returns ({polls})");
}

#[tokio::test]
async fn r41_publish_all_is_all_or_none() {
    let log = MemoryBackend::default();
    let hub = node(&log, 100, 100).await;
    let mut s = hub.subscribe(topics(&["a"])).await.unwrap();
    let mut finish = Box::pin(hub.finish("job", None));
    assert!(finish.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let all = hub.publish_all([Publication::new("a", "1"), Publication::new("job", "2")]).await;
    finish.await.unwrap();
    let got = read(&mut s).await;
    assert_eq!((all.is_err(), got), (true, vec!["waits".to_string()]));
}

#[tokio::test]
async fn r42_replay_filter_map_batch_window() {
    let log = MemoryBackend::default();
    let hub = node(&log, 3, 3).await;
    let first = hub.publish("a", Event::new("first")).await.unwrap().id;
    for n in 0..1000 { hub.publish("a", Event::new(n)).await.unwrap(); }
    let s = hub.resume(topics(&["a"]), &first).await.unwrap();
    let mut body = s.filter(|e| e.event().data().ends_with('7')).map(|e| Event::new(format!("m{}", e.event().data())))
        .into_body().batch_window(Duration::from_millis(20));
    let text = body_text(&mut body).await;
    let want: Vec<String> = (0..1000).filter(|n| n % 10 == 7).map(|n| format!("m{n}")).collect();
    let got: Vec<String> = text.lines().filter_map(|l| l.strip_prefix("data: ")).map(str::to_owned).collect();
    assert_eq!(got, want);
}
