//! Runs on two nodes.

use tower_sse::{Hub, hub::backend::redis::RedisBackend};

use crate::{
    redis_server::Redis,
    runs_nodes::{builder, check_death, check_late_node, check_readers},
};

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_a_run_from_any_node() {
    let server = Redis::start().await;
    check_readers([open(server.url()).await, open(server.url()).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_later_gives_the_events_of_ended_runs() {
    let server = Redis::start().await;
    check_late_node(open(server.url()).await, open(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_leaves_its_runs_ended_as_failed() {
    let server = Redis::start().await;
    check_death(|| open(server.url())).await;
}

async fn open(url: String) -> Hub {
    builder().open(RedisBackend::builder(url).connect().await.unwrap()).await.unwrap()
}
