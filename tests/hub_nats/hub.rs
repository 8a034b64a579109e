//! Hubs on several nodes over one stream.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower_sse::{
    Event, Hub,
    hub::{History, Publication, Resumption, Selection},
};

use crate::{
    connect,
    reading::{check_newest, numbers, read, topics},
    server::NatsServer,
};

async fn node(server: &NatsServer) -> Hub {
    let history = History::events(20);
    let builder = Hub::builder().history(history).total_history(history);
    builder.open(connect(server).await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_one_node_is_read_on_another() {
    let server = NatsServer::start();
    let (one, other) = (node(&server).await, node(&server).await);
    let mut reader = other.subscribe(topics(&["a"])).await.unwrap();
    let mut pattern = other.subscribe(Selection::default().patterns(["*"]).unwrap()).await.unwrap();
    for n in 0..50 {
        one.publish("a", Event::new(n).with_type("number")).await.unwrap();
    }
    assert_eq!(read(&mut reader, 50).await, numbers(0..50));
    assert_eq!(read(&mut pattern, 50).await, numbers(0..50));
    // Another program, which knows nothing of hubs.
    server.client().await.publish("events.a", &[], "50").await;
    assert_eq!(read(&mut reader, 1).await, ["50"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_resumes_on_another_node_also_before_its_window() {
    let server = NatsServer::start();
    let one = node(&server).await;
    let first = one.publish("a", Event::new(0)).await.unwrap().id;
    let all = (1..300).map(|n| Publication::new("a", Event::new(n)));
    one.publish_all(all).await.unwrap();
    // The window of this node has 20 events, and another one begins after all of them.
    for hub in [&one, &node(&server).await] {
        let mut resumed = hub.resume(topics(&["a"]), &first).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete);
        assert_eq!(read(&mut resumed, 299).await, numbers(1..300));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_events_come_from_the_log() {
    let server = NatsServer::start();
    check_newest(&node(&server).await, &node(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_keys_is_that_of_all_nodes() {
    let server = NatsServer::start();
    let (one, other) = (node(&server).await, node(&server).await);
    for n in 0..100 {
        let hub = if n % 2 == 0 { &one } else { &other };
        let keyed = Publication::new("prices", Event::new(n)).key(format!("{}", n % 3));
        hub.publish_all([keyed]).await.unwrap();
    }
    one.retract("prices", "0", Event::new("gone")).await.unwrap();
    let late = node(&server).await;
    let mut state = late.subscribe(topics(&["prices"]).with_state()).await.unwrap();
    let mut found = read(&mut state, 2).await;
    found.sort();
    assert_eq!(found, ["97", "98"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_loses_no_event() {
    let server = Arc::new(NatsServer::start());
    let (one, other) = (node(&server).await, node(&server).await);
    let mut reader = other.subscribe(topics(&["a"])).await.unwrap();
    one.publish("a", Event::new(0)).await.unwrap();
    server.kill();
    let waiting = tokio::spawn({
        let one = one.clone();
        async move { one.publish("a", Event::new(1)).await }
    });
    server.restart();
    waiting.await.unwrap().unwrap();
    let start = Instant::now();
    one.publish("a", Event::new(2)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "the node follows the log again");
    assert_eq!(read(&mut reader, 3).await, numbers(0..3));
}
