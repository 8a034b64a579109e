//! Runs on two nodes.

use tower_sse::hub::backend::MemoryBackend;

use crate::runs_nodes::{builder, check_death, check_late_node, check_readers};

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_a_run_from_any_node() {
    let log = MemoryBackend::default();
    let hubs = [log.node(), log.node()].map(|node| builder().open(node));
    let [one, other] = hubs;
    check_readers([one.await.unwrap(), other.await.unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_later_gives_the_events_of_ended_runs() {
    let log = MemoryBackend::default();
    let early = builder().open(log.node()).await.unwrap();
    let late = async { builder().warm_start(0).open(log.node()).await.unwrap() };
    check_late_node(early, late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_leaves_its_runs_ended_as_failed() {
    let log = MemoryBackend::default();
    check_death(|| {
        let node = log.node();
        async move { builder().open(node).await.unwrap() }
    })
    .await;
}
