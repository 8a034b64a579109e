//! Two nodes of a hub over one log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tower_sse::{
    Event, Hub,
    hub::{History, Resumption},
};

use crate::{
    backend::PostgresBackend,
    postgres_server::Postgres,
    reading::{check_newest, numbers, read, topics},
};

/// A node whose window has this number of events.
async fn node(server: &Postgres, events: usize) -> Hub {
    let history = History::events(events);
    let builder = Hub::builder().history(history).total_history(history);
    let backend = PostgresBackend::open(&server.url(), 100_000).await.unwrap();
    builder.publish_timeout(Duration::from_secs(30)).open(backend).await.unwrap()
}

#[tokio::test]
async fn a_reader_gets_everything_from_either_node() {
    let server = Postgres::start().await;
    let nodes = [node(&server, 5).await, node(&server, 8).await];
    let mut live = nodes[1].subscribe(topics(&["a"])).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(nodes[n % 2].publish("a", Event::new(n)).await.unwrap().id);
        nodes[n % 2].publish("b", Event::new("of another topic")).await.unwrap();
    }
    assert_eq!(read(&mut live, 60).await, numbers(0..60));
    for node in &nodes {
        // Most events are in the log only.
        let mut from_start = node.subscribe(topics(&["a"]).from_start()).await.unwrap();
        assert_eq!(read(&mut from_start, 60).await, numbers(0..60));
        let mut resumed = node.resume(topics(&["a"]), &ids[9]).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete);
        assert_eq!(read(&mut resumed, 50).await, numbers(10..60));
    }
    let late = node(&server, 100).await;
    let mut last = late.subscribe(topics(&["a"]).last(3)).await.unwrap();
    assert_eq!(read(&mut last, 3).await, numbers(57..60));
}

#[tokio::test]
async fn the_newest_events_come_from_the_log() {
    let server = Postgres::start().await;
    check_newest(&node(&server, 20).await, &node(&server, 20).await).await;
}

#[tokio::test]
async fn a_tail_is_woken_and_does_not_wait_until_it_polls() {
    let server = Postgres::start().await;
    let [one, other] = [node(&server, 100).await, node(&server, 100).await];
    let mut reader = other.subscribe(topics(&["a"])).await.unwrap();
    let start = Instant::now();
    for n in 0..20 {
        one.publish("a", Event::new(n)).await.unwrap();
        assert_eq!(read(&mut reader, 1).await, numbers(n..n + 1));
    }
    // A second each, if they were polled.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn keys_and_ends_are_the_same_on_all_nodes() {
    let server = Postgres::start().await;
    let nodes = [node(&server, 100).await, node(&server, 100).await];
    for n in 0..10 {
        let (node, key) = (&nodes[n % 2], format!("key-{}", n % 3));
        node.publish_keyed("prices", key, Event::new(n)).await.unwrap();
    }
    nodes[0].retract("prices", "key-0", Event::new("gone")).await.unwrap();
    let late = node(&server, 3).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_and_repeats_nothing() {
    let server = Postgres::start().await;
    let nodes = [node(&server, 1000).await, node(&server, 1000).await];
    let mut readers = Vec::new();
    for node in &nodes {
        readers.push(node.subscribe(topics(&["a"])).await.unwrap());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let (node, is_over) = (nodes[0].clone(), is_over.clone());
        async move {
            let mut published = 0;
            while !is_over.load(Ordering::SeqCst) {
                node.publish("a", Event::new(published)).await.unwrap();
                published += 1;
            }
            published
        }
    });
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        server.kill();
        server.run().await;
    }
    sleep(Duration::from_millis(300)).await;
    is_over.store(true, Ordering::SeqCst);
    let published = publishing.await.unwrap();
    assert!(published > 10, "{published}");
    for reader in &mut readers {
        assert_eq!(read(reader, published).await, numbers(0..published));
    }
}
