//! A log in a Redis Cluster: its slot moves, and a replica takes the place of a killed master.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tower_sse::{
    Event, Hub,
    hub::{
        Resumption,
        backend::{redis::RedisBackend, testing},
    },
};

use crate::{
    contract::subject_at,
    hub::node_over,
    reading::{PATIENCE, numbers, read, topics},
    redis_server::{FREE_PORT, Redis, Relay},
};

/// A cluster of three masters. Each has a third of the slots.
struct Cluster {
    masters: Vec<Arc<Redis>>,
    /// A server without slots, which may become the replica of a master.
    spare: Arc<Redis>,
}

const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

impl Cluster {
    async fn start() -> Self {
        let mut masters = Vec::new();
        for (n, (first, last)) in SLOTS.iter().enumerate() {
            let master = start_node().await;
            let epoch = (n + 1).to_string();
            let _: String = master.run_command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            let _: String = master.run_command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
            masters.push(master);
        }
        let spare = start_node().await;
        for node in masters[1..].iter().chain([&spare]) {
            let (port, bus) = (masters[0].port.to_string(), bus_port(&masters[0]));
            let words = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            let _: String = node.run_command(&words).await;
        }
        for node in masters.iter().chain([&spare]) {
            let lines = ["cluster_state:ok", "cluster_known_nodes:4", "cluster_size:3"];
            node.wait_for_cluster(&lines).await;
        }
        Self { masters, spare }
    }

    /// Returns the number of the master that has the log.
    async fn owner(&self) -> usize {
        let slot: u16 = self.masters[0].run_command(&["CLUSTER", "KEYSLOT", "events"]).await;
        let has_slot = |(first, last): &(&str, &str)| {
            (first.parse().unwrap()..=last.parse().unwrap()).contains(&slot)
        };
        SLOTS.iter().position(has_slot).unwrap()
    }
}

async fn start_node() -> Arc<Redis> {
    Redis::with(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        FREE_PORT,
        "--cluster-node-timeout",
        "2000",
        "--repl-diskless-sync-delay",
        "0",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ])
    .await
}

fn bus_port(node: &Redis) -> String {
    node.setting("--cluster-port").unwrap().to_owned()
}

async fn id_of(node: &Redis) -> String {
    node.run_command(&["CLUSTER", "MYID"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_cluster_keeps_the_contract() {
    let cluster = Cluster::start().await;
    let owner = cluster.owner().await;
    let other = cluster.masters[(owner + 1) % 3].url();
    let report = testing::run_all(|| async {
        let relay = Arc::new(Relay::to(cluster.masters[owner].port).await);
        // One node asks the server that has the slot. The other one is sent there.
        let backends = [vec![relay.url(), other.clone()], vec![other.clone()]];
        let [first, second] = backends.map(RedisBackend::cluster);
        subject_at(&cluster.masters[owner], relay, first, second).await
    })
    .await;
    report.assert_all_kept();
}

/// Publishes numbers at both nodes in turns. Returns the IDs.
async fn publish(nodes: &[Hub], numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for n in numbers {
        let published = nodes[n % 2].publish("a", Event::new(n)).await.unwrap();
        ids.push(published.id.to_string());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_follow_the_slot_of_the_log_to_another_master_and_to_its_replica() {
    let cluster = Cluster::start().await;
    let owner = cluster.owner().await;
    let (old, new) = (&cluster.masters[owner], &cluster.masters[(owner + 1) % 3]);
    let third = &cluster.masters[(owner + 2) % 3];
    let _: String = cluster.spare.run_command(&["CLUSTER", "REPLICATE", &id_of(new).await]).await;
    new.wait_for_replicas(1).await;

    let mut nodes = Vec::new();
    for seeds in [[old.url(), third.url()], [third.url(), new.url()]] {
        nodes.push(node_over(RedisBackend::cluster(seeds).connect().await.unwrap(), 20, 60).await);
    }
    let mut readers = Vec::new();
    for hub in &nodes {
        readers.push(hub.subscribe(topics(&["a"])).await.unwrap());
    }
    let mut ids = publish(&nodes, 0..50).await;

    // The slot moves while the nodes publish.
    let moving = tokio::spawn({
        let nodes = nodes.clone();
        async move { publish(&nodes, 50..150).await }
    });
    let before: usize = move_slot(old, new, third).await;
    ids.extend(timeout(PATIENCE, moving).await.unwrap().unwrap());
    let at_new: usize = new.run_command(&["XLEN", "events"]).await;
    // The first entry is the origin of the log.
    assert_eq!(at_new, 1 + 150);

    // Its new master is killed. The replica takes its place.
    new.wait_for_replicas(1).await;
    new.kill();
    cluster.spare.wait_for_info("replication", &["role:master"]).await;
    third.wait_for_cluster(&["cluster_state:ok"]).await;
    ids.extend(publish(&nodes, 150..200).await);
    let at_spare: usize = cluster.spare.run_command(&["XLEN", "events"]).await;
    assert_eq!(at_spare, 1 + 200);

    for (reader, hub) in readers.iter_mut().zip(&nodes) {
        assert_eq!(read(reader, 200).await, numbers(0..200));
        // The node has the newest 20 in memory.
        let mut from_start = hub.subscribe(topics(&["a"]).from_start()).await.unwrap();
        assert_eq!(read(&mut from_start, 200).await, numbers(0..200));
        for n in [0, 49, 75, 149, 199] {
            let mut resumed = hub.resume(topics(&["a"]), &ids[n]).await.unwrap();
            assert_eq!(*resumed.resumption(), Resumption::Complete, "after {n}");
            assert_eq!(read(&mut resumed, 199 - n).await, numbers(n + 1..200));
        }
        assert!(timeout(Duration::from_millis(100), reader.next()).await.is_err());
    }
    println!(
        "200 events, the slot moved when there were {before}, its master was killed: lost 0, twice 0, \
         gaps 0"
    );
}

/// Moves the slot of the log. Returns how many entries the log had when the last key moved.
async fn move_slot(old: &Redis, new: &Redis, third: &Redis) -> usize {
    let slot: u16 = old.run_command(&["CLUSTER", "KEYSLOT", "events"]).await;
    let (slot, port) = (slot.to_string(), new.port.to_string());
    let (from, to) = (id_of(old).await, id_of(new).await);
    let set = ["CLUSTER", "SETSLOT", &slot];
    let _: String = new.run_command(&[&set[..], &["IMPORTING", &from]].concat()).await;
    let _: String = old.run_command(&[&set[..], &["MIGRATING", &to]].concat()).await;
    let mut entries = 0;
    loop {
        let words = ["CLUSTER", "GETKEYSINSLOT", &slot, "10"];
        let keys: Vec<String> = old.run_command(&words).await;
        if keys.is_empty() {
            break;
        }
        if keys.iter().any(|key| key == "events") {
            entries = old.run_command(&["XLEN", "events"]).await;
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        let _: String = old.run_command(&[&words[..], &keys].concat()).await;
    }
    // Calls meanwhile are sent to and fro.
    sleep(Duration::from_millis(300)).await;
    for node in [new, old, third] {
        let _: String = node.run_command(&[&set[..], &["NODE", &to]].concat()).await;
    }
    entries
}
