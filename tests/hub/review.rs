//! Review 15.
use std::{future::Future, pin::pin, task::{Context, Poll, Waker}, time::Duration};
use tower_sse::{Event, Hub, hub::{History, Publication}};
use super::{call, get, patterns, publish, ready, ready_bytes, subscribe, topics};

#[tokio::test(start_paused = true)]
async fn r6_204_with_an_event_left() {
    let hub = Hub::builder().history(History::events(10_000)).build();
    for n in 0..4000 {
        hub.publish_all([Publication::new("job", Event::new(n)).ttl(Duration::from_secs(1))]).await.unwrap();
    }
    publish(&hub, "job", "result");
    hub.finish("job", None).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    let handler = hub.handler(|connect| async move { Ok(connect.accept().subscribe(topics(&["job"]).from_start())) });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.status(), 200);
    assert!(ready_bytes(&mut response.into_body()).contains("result"));
}

#[tokio::test(start_paused = true)]
async fn r12_cancelled_backfill_drops_live_records() {
    let hub = Hub::builder().history(History::events(10_000)).build();
    for n in 0..2000 {
        hub.publish_all([Publication::new("a.x", Event::new(n)).ttl(Duration::from_secs(1))]).await.unwrap();
    }
    for n in 0..10 { publish(&hub, "a.x", format!("kept{n}").as_str()); }
    let _keeps = subscribe(&hub, patterns(&["a.>"]));
    {
        let open = hub.subscribe(patterns(&["a.>"]).from_start());
        let mut open = pin!(open);
        for turn in 0..2 {
            assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "{turn}");
        }
    }
    for n in 0..5 { publish(&hub, "a.x", format!("live{n}").as_str()); }
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..20 { publish(&hub, "b", "x"); }
    let mut late = hub.subscribe(patterns(&["a.>"]).from_start()).await.unwrap();
    let mut expected: Vec<String> = (0..10).map(|n| format!("kept{n}")).collect();
    expected.extend((0..5).map(|n| format!("live{n}")));
    assert_eq!(ready(&mut late), expected);
    let _ = Poll::Ready(());
}

#[tokio::test]
async fn r22_end_displaces_last_event() {
    let hub = Hub::builder().history(History::events(1)).build();
    let mut slow = subscribe(&hub, topics(&["job"]));
    publish(&hub, "job", "result");
    hub.finish("job", None).await.unwrap();
    assert_eq!(ready(&mut slow), ["result", "end"]);
    assert_eq!(ready(&mut subscribe(&hub, topics(&["job"]).last(1))), ["result", "end"]);
}

#[tokio::test]
async fn r23_named_topics_that_exist() {
    let hub = Hub::builder().max_named_topics(2).build();
    let _one = subscribe(&hub, topics(&["a"]));
    let _two = subscribe(&hub, topics(&["b"]));
    assert!(hub.subscribe(topics(&["a", "b"])).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r25_hold_of_a_large_batch() {
    let hub = Hub::builder().history(History::events(10)).total_history(History::events(1_000_000)).build();
    let batch: Vec<_> = (0..200_000).map(|n| Publication::new(format!("t.{}", n), Event::new("x"))).collect();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (d, h) = (done.clone(), hub.clone());
    let probe = std::thread::spawn(move || {
        let mut worst = Duration::ZERO;
        while !d.load(std::sync::atomic::Ordering::SeqCst) {
            let at = std::time::Instant::now();
            let _ = h.stats();
            worst = worst.max(at.elapsed());
        }
        worst
    });
    hub.publish_all(batch).await.unwrap();
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let worst = probe.join().unwrap();
    println!("worst {worst:?}");
    assert!(worst < Duration::from_millis(20), "{worst:?}");
}

#[tokio::test]
async fn r30_from_start_after_topic_was_dropped() {
    let hub = Hub::builder().total_history(History::events(5)).build();
    publish(&hub, "p.1", "lost");
    for n in 0..10 { publish(&hub, "o", format!("{n}").as_str()); }
    publish(&hub, "p.1", "kept");
    let mut s = hub.subscribe(topics(&["p.1"]).from_start()).await.unwrap();
    assert_eq!(ready(&mut s), ["kept"]);
    assert!(matches!(s.resumption(), tower_sse::hub::Resumption::Gap(_)), "{:?}", s.resumption());
}

#[tokio::test(start_paused = true)]
async fn r34_idle_topic_with_waiting_reader() {
    let hub = Hub::builder().idle_ttl(Duration::from_secs(1)).build();
    let mut body = subscribe(&hub, topics(&["a"])).into_body().without_greeting();
    let mut waiting = subscribe(&hub, topics(&["a"]));
    publish(&hub, "a", "1");
    ready_bytes(&mut body);
    assert_eq!(ready(&mut waiting), ["1"]);
    tokio::time::advance(Duration::from_secs(5)).await;
    publish(&hub, "b", "x");
    assert_eq!(hub.stats().events, 1);
    assert_eq!(ready(&mut waiting), [""; 0]);
    publish(&hub, "a", "2");
    assert_eq!(ready(&mut waiting), ["2"]);
    assert!(ready_bytes(&mut body).contains("data: 2"));
    assert_eq!(hub.stats().lagged, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r36_hold_of_last_n() {
    let h = History::events(300_000).max_bytes(1 << 30);
    let hub = Hub::builder().history(h).total_history(h).build();
    for _ in 0..300 {
        hub.publish_all((0..1000).map(|n| Publication::new("t", Event::new(n)))).await.unwrap();
    }
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (d, h) = (done.clone(), hub.clone());
    let probe = std::thread::spawn(move || {
        let mut worst = Duration::ZERO;
        while !d.load(std::sync::atomic::Ordering::SeqCst) {
            let at = std::time::Instant::now();
            let _ = h.stats();
            worst = worst.max(at.elapsed());
        }
        worst
    });
    std::thread::sleep(Duration::from_millis(100));
    let mut took = vec![];
    for n in [10usize, 1000, 300_000] {
        let at = std::time::Instant::now();
        let s = hub.subscribe(topics(&["t"]).last(n)).await.unwrap();
        took.push((n, at.elapsed()));
        drop(s);
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    panic!("worst wait {:?}, subscribe {took:?}", probe.join().unwrap());
}

#[tokio::test]
async fn r37_204_after_loss() {
    // The reader's start is trimmed between open and the check: not reachable from one thread.
    let hub = Hub::builder().history(History::events(3000)).build();
    for n in 0..1500 { publish(&hub, "job", format!("{n}").as_str()); }
    hub.finish("job", None).await.unwrap();
    let handler = hub.handler(|connect| async move { Ok(connect.accept().subscribe(topics(&["job"]).last(2))) });
    assert_eq!(call(&handler, get("/")).await.status(), 200);
    // a pattern that lags by more than the head of a batch that is not shown yet
    let hub = Hub::builder().history(History::events(100)).build();
    let mut s = subscribe(&hub, topics(&["a"]));
    hub.publish_all((0..1000).map(|n| Publication::new("a", Event::new(n)))).await.unwrap();
    println!("{:?}", ready(&mut s).len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r43_gaps_of_one_batch() {
    let hub = Hub::builder().history(History::events(100)).total_history(History::events(100)).lagging(tower_sse::hub::Lagging::Skip).build();
    let mut s = subscribe(&hub, topics(&["a"]));
    let h = hub.clone();
    let task = tokio::spawn(async move {
        for _ in 0..20 {
            h.publish_all((0..20_000).map(|n| Publication::new("a", Event::new(n)))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut lags = 0;
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_secs(1), s.next()).await {
        lags += usize::from(next.is_err());
    }
    task.await.unwrap();
    assert!(lags <= 20, "{lags} gaps for 20 batches");
}
