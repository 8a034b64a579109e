//! Many topics that end and expire, in NATS.

use tower_sse::hub::backend::nats::NatsBackend;

use crate::server::NatsServer;

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
