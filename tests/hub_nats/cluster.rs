//! Hubs over a stream with three replicas, whose leader is killed.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_sse::{
    Hub,
    hub::{History, Lagging, backend::nats::NatsBackend},
};

use crate::{LIMIT, load::Load, server::NatsCluster};

/// Connects to all servers, once the cluster has elected a leader.
async fn node(cluster: &NatsCluster, publish_timeout: Duration) -> Hub {
    let builder = NatsBackend::builder(cluster.urls()).replicas(3).max_bytes(64 << 20);
    let start = Instant::now();
    let backend = loop {
        match builder.clone().connect().await {
            Ok(backend) => break backend,
            Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    let history = History::events(500);
    let hub = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip);
    hub.publish_timeout(publish_timeout).open(backend).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_or_repeated_although_leaders_of_the_stream_are_killed() {
    let cluster = NatsCluster::start();
    // An election takes a few seconds. One node waits for it, the other one does not.
    let nodes = [
        node(&cluster, Duration::from_secs(30)).await,
        node(&cluster, Duration::from_secs(2)).await,
    ];
    let load = Load::start(&nodes).await;
    for _ in 0..3 {
        load.ledger.wait_for(100).await;
        let leader = cluster.leader_of("events").await;
        leader.kill();
        // Two servers go on without it.
        load.ledger.wait_for_any(1).await;
        leader.restart();
    }
    load.ledger.wait_for(100).await;
    let account = load.finish().await;
    println!("leader killed 3 times: {account}");
    account.check();
    assert_eq!(account.gaps, 0, "two of three servers have lost nothing");
}
