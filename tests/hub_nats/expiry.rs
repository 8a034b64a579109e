//! Many topics that end and expire, in NATS.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_sse::{
    Hub,
    hub::{Resumption, Topic, backend::nats::NatsBackend},
};

use crate::{
    reading::{read, topics},
    server::NatsServer,
};

#[tokio::test]
async fn topics_that_have_ended_and_expired_give_all_memory_back() {
    let server = NatsServer::start();
    let open = |builder: tower_sse::hub::HubBuilder| {
        let backend = NatsBackend::builder(server.url()).max_bytes(4 << 30);
        async move { builder.open(backend.connect().await.unwrap()).await.unwrap() }
    };
    let client = server.client().await;
    let memory = || async { client.info("events").await["state"]["bytes"].as_u64().unwrap() };
    crate::scale::run("NATS, bytes of the stream", open, memory).await;
}

#[tokio::test]
async fn a_topic_has_its_start_although_earlier_ones_were_removed() {
    let server = NatsServer::start();
    let open = |builder: tower_sse::hub::HubBuilder| {
        let backend = NatsBackend::builder(server.url());
        async move { builder.open(backend.connect().await.unwrap()).await.unwrap() }
    };
    let hub = open(Hub::builder().finished_ttl(Duration::from_millis(100))).await;
    hub.publish("first", "gone").await.unwrap();
    hub.finish("first".parse::<Topic>().unwrap(), None).await.unwrap();
    hub.publish("second", "kept").await.unwrap();
    let client = server.client().await;
    // The origin of the log, and the event.
    let patience = Instant::now() + Duration::from_secs(60);
    while client.info("events").await["state"]["messages"] != 2 {
        assert!(Instant::now() < patience, "{:?}", client.info("events").await);
        sleep(Duration::from_millis(100)).await;
    }
    let other = open(Hub::builder().warm_start(0)).await;
    let mut reader = other.subscribe(topics(&["second"]).from_start()).await.unwrap();
    assert_eq!(*reader.resumption(), Resumption::New);
    assert_eq!(read(&mut reader, 1).await, ["kept"]);
}
