//! Runs on two nodes.

use tower_sse::{Hub, hub::backend::nats::NatsBackend};

use crate::{
    runs_nodes::{builder, check_death, check_late_node, check_readers},
    server::NatsServer,
};

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_a_run_from_any_node() {
    let server = NatsServer::start();
    check_readers([open(server.url()).await, open(server.url()).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_later_gives_the_events_of_ended_runs() {
    let server = NatsServer::start();
    check_late_node(open(server.url()).await, open(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_leaves_its_runs_ended_as_failed() {
    let server = NatsServer::start();
    check_death(|| open(server.url())).await;
}

async fn open(url: String) -> Hub {
    let backend = NatsBackend::builder(url).max_bytes(64 << 20).connect().await.unwrap();
    builder().open(backend).await.unwrap()
}
