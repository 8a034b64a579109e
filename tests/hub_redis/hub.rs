//! A hub over Redis: its nodes, and what happens when the server fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower_sse::{
    Event, Hub,
    hub::{
        GapReason, History, Lagging, Publication, Resumption, Selection, Subscription,
        backend::redis::RedisBackend,
    },
};

use crate::{
    reading::{PATIENCE, check_newest, numbers, read, topics},
    redis_server::{Redis, Relay},
};

/// A node whose window has this number of events.
pub(crate) async fn node(url: String, events: usize) -> Hub {
    node_over(RedisBackend::builder(url).connect().await.unwrap(), events, 20).await
}

/// A node whose window has this number of events, and which publishes for this number of seconds.
pub(crate) async fn node_over(backend: RedisBackend, events: usize, seconds: u64) -> Hub {
    let history = History::events(events);
    let builder = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip);
    builder.publish_timeout(Duration::from_secs(seconds)).open(backend).await.unwrap()
}

#[tokio::test]
async fn the_newest_events_come_from_the_log() {
    let server = Redis::start().await;
    check_newest(&node(server.url(), 20).await, &node(server.url(), 20).await).await;
}

#[tokio::test]
async fn nodes_are_one_hub_and_a_reader_moves_between_them_without_a_seam() {
    let server = Redis::start().await;
    let nodes = [node(server.url(), 5).await, node(server.url(), 8).await];
    let mut live = nodes[1].subscribe(topics(&["a"])).await.unwrap();
    let first = nodes[0].publish("a", Event::new(0)).await.unwrap().id;
    for n in 1..60 {
        nodes[n % 2].publish("a", Event::new(n)).await.unwrap();
        // The node that published has it, without a wait.
        let mut own = nodes[n % 2].resume(topics(&["a"]), &first).await.unwrap();
        assert_eq!(read(&mut own, n).await, numbers(1..n + 1));
        nodes[n % 2].publish("b", Event::new("of another topic")).await.unwrap();
    }
    assert_eq!(read(&mut live, 60).await, numbers(0..60));
    let mut from_start = nodes[0].subscribe(topics(&["a"]).from_start()).await.unwrap();
    assert_eq!(read(&mut from_start, 60).await, numbers(0..60));
    let mut last = nodes[1].subscribe(topics(&["a"]).last(3)).await.unwrap();
    assert_eq!(read(&mut last, 3).await, numbers(57..60));
    // A reader that is cut now and then goes on at the other node.
    let (mut at, mut seen, mut turn) = (first.to_string(), Vec::new(), 0);
    while seen.len() < 59 {
        let mut resumed = nodes[turn % 2].resume(topics(&["a"]), &at).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete);
        seen.extend(read(&mut resumed, (59 - seen.len()).min(7)).await);
        at = resumed.position().to_string();
        turn += 1;
    }
    assert_eq!(seen, numbers(1..60));
}

#[tokio::test]
async fn keys_and_ends_are_the_same_on_all_nodes() {
    let server = Redis::start().await;
    let nodes = [node(server.url(), 100).await, node(server.url(), 100).await];
    for n in 0..10 {
        nodes[n % 2]
            .publish_keyed("prices", format!("key-{}", n % 3), Event::new(n))
            .await
            .unwrap();
    }
    nodes[0].retract("prices", "key-0", Event::new("gone")).await.unwrap();
    let late = node(server.url(), 3).await;
    for hub in [&nodes[0], &nodes[1], &late] {
        let mut state = hub.subscribe(topics(&["prices"]).with_state()).await.unwrap();
        let mut found = read(&mut state, 2).await;
        found.sort();
        assert_eq!(found, ["7", "8"]);
    }
    nodes[1].publish("job", Event::new("working")).await.unwrap();
    let mut reader = nodes[0].subscribe(topics(&["job"]).from_start()).await.unwrap();
    nodes[1].finish("job", Event::new("done")).await.unwrap();
    assert_eq!(read(&mut reader, 3).await, ["working", "done", "end"]);
    assert!(nodes[0].publish("job", Event::new("late")).await.unwrap_err().is_finished());
}

#[tokio::test]
async fn any_client_publishes_to_readers_and_junk_is_skipped() {
    let server = Redis::start().await;
    let hub = node(server.url(), 100).await;
    let mut reader = hub.subscribe(topics(&["orders"])).await.unwrap();
    let large = "x".repeat(10 << 20);
    for fields in [
        &["topic", "orders", "data", "{\"n\":1}", "type", "order"][..],
        &["data", "no topic"],
        &["topic", "", "data", "an empty topic"],
        &["topic", "orders", "kind", "nonsense"],
        &["topic", "orders", "type", "a\nb", "data", "an invalid type"],
        &["topic", "orders", "kind", "control", "data", "not for readers"],
        &["topic", "orders", "data", &large],
        &["topic", "orders", "data", "after"],
    ] {
        let words = [&["XADD", "events", "*"], fields].concat();
        let _: String = server.run_command(&words).await;
    }
    let first = timeout(PATIENCE, reader.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((first.event().data(), first.event().event_type().as_str()), ("{\"n\":1}", "order"));
    assert_eq!(read(&mut reader, 2).await, [large, "after".into()]);
    // A reader that resumes while the node has the entries gets them too.
    let mut resumed = hub.resume(topics(&["orders"]), first.id().unwrap()).await.unwrap();
    assert_eq!(read(&mut resumed, 2).await[1], "after");
}

/// Entries of other programs are in the log only, and not in the streams of their topics.
#[tokio::test]
async fn readers_do_not_miss_what_other_programs_have_published() {
    let server = Redis::start().await;
    let backend = || RedisBackend::builder(server.url()).max_entries(1000).connect();
    let hub = node_over(backend().await.unwrap(), 1000, 20).await;
    let first = hub.publish("a", Event::new(0)).await.unwrap().id;
    let foreign = async |topic: &str, data: usize| {
        let data = data.to_string();
        let words = ["XADD", "events", "*", "topic", topic, "data", &data];
        let _: String = server.run_command(&words).await;
    };
    let mut live = hub.subscribe(topics(&["a"])).await.unwrap();
    for n in 1..40 {
        match n % 2 {
            0 => drop(hub.publish("a", Event::new(n)).await.unwrap()),
            _ => foreign("a", n).await,
        }
        assert_eq!(read(&mut live, 1).await, numbers(n..n + 1));
        hub.publish("b", Event::new(n)).await.unwrap();
    }
    // A node whose window has only the newest of them.
    let cold = node_over(backend().await.unwrap(), 3, 20).await;
    let mut resumed = cold.resume(topics(&["a"]), &first).await.unwrap();
    assert_eq!(*resumed.resumption(), Resumption::Complete);
    assert_eq!(read(&mut resumed, 39).await, numbers(1..40));
    let mut from_start = cold.subscribe(topics(&["a"]).from_start()).await.unwrap();
    assert_eq!(*from_start.resumption(), Resumption::New);
    assert_eq!(read(&mut from_start, 40).await, numbers(0..40));
    let mut last = cold.subscribe(topics(&["a"]).last(6)).await.unwrap();
    assert_eq!(read(&mut last, 6).await, numbers(34..40));
    // The log is trimmed. The streams of the topics have what the hub has published, and nothing else.
    let _: u64 = server.run_command(&["XTRIM", "events", "MAXLEN", "10"]).await;
    let trimmed = cold.resume(topics(&["a"]), &first).await.unwrap();
    assert!(
        matches!(trimmed.resumption(), Resumption::Gap(gap) if gap.reason == GapReason::Trimmed)
    );
    // Those that the hub has published are still in the streams of their topics.
    let mut last = cold.subscribe(topics(&["a"]).last(12)).await.unwrap();
    let own = (0..35).filter(|n| n % 2 == 0).chain(35..40).map(|n: i32| n.to_string());
    let in_log: Vec<_> = own.collect();
    assert_eq!(read(&mut last, 12).await, in_log[in_log.len() - 12..]);
    let mut whole = cold.subscribe(topics(&["b"]).from_start()).await.unwrap();
    assert_eq!(*whole.resumption(), Resumption::New);
    assert_eq!(read(&mut whole, 39).await, numbers(1..40));
}

/// Publishes numbers on two nodes while the server is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_or_repeated_although_the_server_is_killed() {
    let server = Redis::start().await;
    let nodes = [node(server.url(), 1000).await, node(server.url(), 1000).await];
    let mut readers = Vec::new();
    for hub in &nodes {
        let selection = Selection::default().patterns(["load.*"]).unwrap();
        readers.push(hub.subscribe(selection).await.unwrap());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (hub, is_over) = (nodes[writer % 2].clone(), is_over.clone());
            tokio::spawn(async move {
                let mut acknowledged = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let topic = format!("load.{writer}");
                    hub.publish(topic, Event::new(acknowledged)).await.unwrap();
                    acknowledged += 1;
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        server.kill();
        sleep(Duration::from_millis(300)).await;
        server.run().await;
    }
    sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::SeqCst);
    let mut expected = Vec::new();
    for writer in writers {
        expected.push(timeout(PATIENCE, writer).await.unwrap().unwrap());
    }
    let total: usize = expected.iter().sum();
    assert!(total > 100, "only {total} events");
    for reader in &mut readers {
        let mut next = [0; 4];
        for _ in 0..total {
            let entry = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
            let entry = entry.expect("no gap: each write is on the disk before it is acknowledged");
            let writer: usize = entry.topic().as_str()["load.".len()..].parse().unwrap();
            assert_eq!(entry.event().data(), next[writer].to_string(), "writer {writer}");
            next[writer] += 1;
        }
        assert_eq!(next[..], expected[..]);
        assert!(timeout(Duration::from_millis(100), reader.next()).await.is_err());
    }
    println!("{total} acknowledged, 2 readers, 3 kills: lost 0, twice 0, gaps 0");
}

/// Readers may lose what the server loses, but they get a gap first, and nothing twice. One of them reads
/// all the time, the other one only after the last restart.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_loses_is_lost_with_a_gap() {
    let everysec = ["--appendonly", "yes", "--appendfsync", "everysec"];
    for settings in [&["--appendonly", "no"][..], &everysec] {
        let server = Redis::with(settings).await;
        let hub = node(server.url(), 1000).await;
        let early = hub.subscribe(topics(&["load"])).await.unwrap();
        let late = hub.subscribe(topics(&["load"])).await.unwrap();
        let early = tokio::spawn(numbers_to_the_end(early));
        let is_over = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (hub, is_over) = (hub.clone(), is_over.clone());
            async move {
                let mut acknowledged = 0;
                while !is_over.load(Ordering::SeqCst) {
                    hub.publish("load", Event::new(acknowledged)).await.unwrap();
                    acknowledged += 1;
                }
                hub.publish("load", Event::new("over")).await.unwrap();
                acknowledged
            }
        });
        for _ in 0..3 {
            sleep(Duration::from_millis(500)).await;
            server.kill();
            server.run().await;
        }
        sleep(Duration::from_secs(1)).await;
        is_over.store(true, Ordering::SeqCst);
        let late = numbers_to_the_end(late).await;
        let early = timeout(PATIENCE, early).await.unwrap().unwrap();
        let sent = timeout(PATIENCE, writer).await.unwrap().unwrap();
        for (next, gaps, has_gap) in [early, late] {
            assert!(next == sent || has_gap, "{next} of {sent}, {gaps} gaps");
            // Without persistence each restart leaves another log behind.
            assert!(gaps > 0 || settings == everysec);
        }
        println!("{settings:?}: {sent} acknowledged, 3 kills, gaps {} and {}", early.1, late.1);
    }
}

/// Reads numbers up to "over". None is missing without a gap before it, and none comes twice. Returns
/// the number that comes next, how many gaps there were, and whether one was the last that was read.
async fn numbers_to_the_end(mut reader: Subscription) -> (usize, usize, bool) {
    let (mut next, mut gaps, mut has_gap) = (0, 0, false);
    loop {
        let read = timeout(PATIENCE, reader.next()).await.expect("it goes on").unwrap();
        let Ok(entry) = read else {
            (gaps, has_gap) = (gaps + 1, true);
            continue;
        };
        if entry.event().data() == "over" {
            return (next, gaps, has_gap);
        }
        let number: usize = entry.event().data().parse().unwrap();
        assert!(number >= next, "{number} comes after {next}");
        assert!(number == next || has_gap, "{next} is lost without a gap, before {number}");
        (next, has_gap) = (number + 1, false);
    }
}

/// Each of these leaves another log behind. Readers get a gap, and no wrong events.
#[tokio::test]
async fn a_log_that_was_deleted_or_has_lost_its_end_is_a_gap_for_everyone() {
    for without_files in [false, true] {
        let server = match without_files {
            false => Redis::start().await,
            true => Redis::with(&["--appendonly", "no"]).await,
        };
        let hub = node(server.url(), 100).await;
        let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
        let old = hub.publish("a", Event::new("before")).await.unwrap().id;
        assert_eq!(read(&mut reader, 1).await, ["before"]);
        if without_files {
            server.kill();
            server.run().await;
        } else {
            let _: String = server.run_command(&["FLUSHALL"]).await;
        }
        let gap = read(&mut reader, 1).await;
        assert!(gap[0].starts_with("gap "), "{gap:?}");
        hub.publish("a", Event::new("after")).await.unwrap();
        assert_eq!(read(&mut reader, 1).await, ["after"]);
        let mut resumed = hub.resume(topics(&["a"]), &old).await.unwrap();
        let Resumption::Gap(gap) = resumed.resumption() else { panic!("expected a gap") };
        assert_eq!(gap.reason, GapReason::OtherEpoch);
        assert_eq!(read(&mut resumed, 1).await, ["after"]);
    }
}

#[tokio::test]
async fn a_network_that_stalls_delays_and_loses_nothing() {
    let server = Redis::start().await;
    let relay = Relay::to(server.port).await;
    let hub = node(format!("redis://127.0.0.1:{}", relay.port), 100).await;
    let other = node(server.url(), 100).await;
    let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
    hub.publish("a", Event::new(0)).await.unwrap();
    relay.stall(true);
    let publishing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish("a", Event::new(1)).await }
    });
    sleep(Duration::from_secs(7)).await;
    assert!(!publishing.is_finished(), "it waits for the engine");
    relay.stall(false);
    timeout(PATIENCE, publishing).await.unwrap().unwrap().unwrap();
    other
        .publish_all([Publication::new("a", Event::new(2)), Publication::new("a", Event::new(3))])
        .await
        .unwrap();
    assert_eq!(read(&mut reader, 4).await, numbers(0..4));
    assert!(timeout(Duration::from_millis(200), reader.next()).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_away_or_another_thing_is_a_clear_error() {
    let refused = async |url: String| {
        let error = RedisBackend::builder(url).connect().await.unwrap_err();
        (error.fault(), error.to_string())
    };
    use tower_sse::hub::backend::Fault;
    let server = Redis::with(&["--requirepass", "secret"]).await;
    let (fault, text) = refused(server.url()).await;
    assert_eq!(fault, Fault::Refused, "{text}");
    let port = server.port;
    let backend = RedisBackend::builder(format!("redis://:secret@127.0.0.1:{port}"));
    assert!(!format!("{backend:?}").contains("secret"));
    assert!(!format!("{:?}", backend.connect().await.unwrap()).contains("secret"));
    server.kill();
    let (fault, text) = refused(server.url()).await;
    assert_eq!(fault, Fault::Unavailable, "{text}");
    assert_eq!(refused("http://127.0.0.1/".into()).await.0, Fault::Refused);
    let server = Redis::start().await;
    let _: String = server.run_command(&["SET", "events", "a text"]).await;
    let (fault, text) = refused(server.url()).await;
    assert_eq!(fault, Fault::Refused, "{text}");
    let wrong = RedisBackend::builder(server.url()).log("{a}").connect().await.unwrap_err();
    assert_eq!(wrong.fault(), Fault::Refused);
}

#[tokio::test]
async fn a_label_disconnects_readers_of_other_nodes_and_any_client_may_do_it() {
    let server = Redis::start().await;
    let nodes = [node(server.url(), 100).await, node(server.url(), 100).await];
    for by_command in [false, true] {
        let mut stream = labelled(&nodes[1], "user:7").await;
        let mut other = labelled(&nodes[1], "user:8").await;
        if by_command {
            let words = ["kind", "control", "topic", "tower-sse.control", "data", "user:7"];
            let _: String =
                server.run_command(&[&["XADD", "events", "*"], &words[..]].concat()).await;
        } else {
            assert_eq!(nodes[0].disconnect_label("user:7").await.unwrap(), 0);
        }
        let ended = async { while let Some(Ok(_)) = stream.next_chunk().await {} };
        timeout(PATIENCE, ended).await.expect("the stream is ended");
        nodes[0].publish("a", Event::new("still here")).await.unwrap();
        let mut text = String::new();
        while !text.contains("still here") {
            let chunk = timeout(PATIENCE, other.next_chunk()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// Opens the stream of a reader with a label.
async fn labelled(hub: &Hub, label: &'static str) -> tower_sse::EventBody {
    let handler =
        hub.handler(move |connect| async move { connect.accept().label(label).topics(["a"]) });
    tower::ServiceExt::oneshot(handler, http::Request::new(())).await.unwrap().into_body()
}
