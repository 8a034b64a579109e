//! A master that is lost, and a replica that takes its place: by Sentinel, or by hand.

use std::{
    collections::HashMap,
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
        Resumption, Selection, Subscription,
        backend::{Backend as _, Fault, Position, Tail as _, redis::RedisBackend},
    },
};

use crate::{
    hub::{node, node_over},
    reading::{PATIENCE, numbers, read, topics},
    redis_server::{Redis, Relay, free_port},
};

/// Starts a server that is a replica of another one.
async fn replica_of(master: &Redis, settings: &[&str]) -> Arc<Redis> {
    let replication = format!("127.0.0.1 {}", master.port);
    Redis::with(
        &[&["--replicaof", &replication, "--repl-diskless-sync-delay", "0"], settings].concat(),
    )
    .await
}

async fn make_master(server: &Redis) {
    let _: String = server.run_command(&["REPLICAOF", "NO", "ONE"]).await;
}

/// Waits until a Sentinel names another master than this one.
async fn other_master<'a>(
    sentinel: &Redis,
    old: &Redis,
    servers: &'a [Arc<Redis>],
) -> &'a Arc<Redis> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
    let port = |reply: &redis::Value| {
        let (_, port): (String, String) = redis::from_redis_value_ref(reply).unwrap();
        port.parse::<u16>().unwrap()
    };
    sentinel.wait_for(&words, |reply| port(reply) != old.port).await;
    let new = port(&sentinel.run_command(&words).await);
    servers.iter().find(|server| server.port == new).unwrap()
}

/// The reader of all topics, and what it has read.
struct Reader {
    subscription: Subscription,
    /// The number that comes next, of each writer.
    next: Vec<usize>,
    /// Whether there was a gap after the last event of the writer.
    has_gap: Vec<bool>,
    gaps: usize,
    lost: usize,
    /// How many events came again after a gap. The master has lost them, and the publisher has no
    /// answer, so it has published them again.
    again: usize,
}

impl Reader {
    fn new(subscription: Subscription, writers: usize) -> Self {
        let (next, has_gap) = (vec![0; writers], vec![false; writers]);
        Self { subscription, next, has_gap, gaps: 0, lost: 0, again: 0 }
    }

    /// Reads until the end of each writer's numbers. None is missing without a gap, and none comes twice.
    async fn read_all(&mut self) {
        let mut over = 0;
        while over < self.next.len() {
            // A Sentinel does nothing for 30 s if its machine is so busy that it did not run for two.
            let read = timeout(2 * PATIENCE, self.subscription.next()).await.expect("it goes on");
            let Ok(entry) = read.unwrap() else {
                self.gaps += 1;
                self.has_gap.fill(true);
                continue;
            };
            let writer: usize = entry.topic().as_str()["load.".len()..].parse().unwrap();
            let (number, is_last) = match entry.event().data().strip_prefix("over ") {
                Some(number) => (number.parse().unwrap(), true),
                None => (entry.event().data().parse::<usize>().unwrap(), false),
            };
            let (next, has_gap) = (self.next[writer], self.has_gap[writer]);
            if !is_last && has_gap && number + 1 == next {
                self.again += 1;
                self.has_gap[writer] = false;
                continue;
            }
            assert!(number >= next, "writer {writer}: {number} comes twice, {next} is next");
            assert!(number == next || has_gap, "writer {writer}: {next} is lost without a gap");
            self.lost += number - next;
            self.next[writer] = number + usize::from(!is_last);
            self.has_gap[writer] = false;
            over += usize::from(is_last);
        }
    }
}

/// Two nodes publish and read while masters are killed, and Sentinels promote replicas.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_both_nodes_to_the_next_master_and_losses_are_told() {
    let secret = &["--requirepass", "secret", "--masterauth", "secret"][..];
    let first = Redis::with(secret).await;
    let servers =
        [first.clone(), replica_of(&first, secret).await, replica_of(&first, secret).await];
    first.wait_for_replicas(2).await;
    let auth = "auth-pass mymaster secret";
    let sentinel = Redis::sentinel("mymaster", &first, &[auth]).await;
    sentinel.wait_for_info("sentinel", &["slaves=2,sentinels=1"]).await;
    // One of the Sentinels is away, and one knows another master only.
    let alone = Redis::start().await;
    let unrelated = Redis::sentinel("unrelated", &alone, &[]).await;
    let away = format!("redis://127.0.0.1:{}", free_port());
    let urls = || [away.clone(), unrelated.url(), sentinel.url()];
    let open = || async {
        let builder = RedisBackend::sentinels(urls(), "mymaster").password("secret");
        node_over(builder.connect().await.unwrap(), 1000, 120).await
    };
    let nodes = [open().await, open().await];
    let wrong = RedisBackend::sentinels([sentinel.url(), unrelated.url()], "other")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(wrong.fault(), Fault::Refused, "{wrong}");
    let wrong = RedisBackend::sentinels(urls(), "mymaster").password("no").connect().await;
    assert_eq!(wrong.unwrap_err().fault(), Fault::Refused);

    let mut readers = Vec::new();
    for hub in &nodes {
        let selection = Selection::default().patterns(["load.*"]).unwrap();
        let mut reader = Reader::new(hub.subscribe(selection).await.unwrap(), 4);
        readers.push(tokio::spawn(async move {
            reader.read_all().await;
            reader
        }));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write(nodes[writer % 2].clone(), writer, is_over.clone())))
        .collect();
    let mut master = &first;
    for kills in 1..=2 {
        sleep(Duration::from_millis(700)).await;
        master.kill();
        master = other_master(&sentinel, master, &servers).await;
        // A Sentinel does not go on if the new master is away before the failover has ended.
        let ended = format!("status=ok,address=127.0.0.1:{},", master.port);
        sentinel.wait_for_info("sentinel", &[&ended]).await;
        if kills == 1 {
            master.wait_for_info("replication", &["role:master", "state=online"]).await;
        }
    }
    sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(timeout(2 * PATIENCE, writer).await.unwrap().unwrap());
    }
    let total: usize = acknowledged.iter().sum();
    assert!(total > 100, "only {total} events");
    let (mut gaps, mut lost, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for reader in readers {
        let reader = timeout(2 * PATIENCE, reader).await.unwrap().unwrap();
        assert_eq!(reader.next, acknowledged);
        gaps.push(reader.gaps);
        lost.push(reader.lost);
        again.push(reader.again);
    }
    println!(
        "{total} acknowledged, 2 readers, 2 kills: lost {lost:?}, twice 0, gaps {gaps:?}, published \
         again after a gap {again:?}"
    );
}

/// Publishes ascending numbers until it is over. Returns how many there were.
async fn write(hub: Hub, writer: usize, is_over: Arc<AtomicBool>) -> usize {
    let (topic, mut acknowledged) = (format!("load.{writer}"), 0);
    while !is_over.load(Ordering::SeqCst) {
        hub.publish(topic.clone(), Event::new(acknowledged)).await.unwrap();
        acknowledged += 1;
    }
    hub.publish(topic, Event::new(format!("over {acknowledged}"))).await.unwrap();
    acknowledged
}

/// The node has connections to the old master. Nothing closes them.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_became_a_replica_is_left() {
    let old = Redis::start().await;
    let new = replica_of(&old, &[]).await;
    let relay = Relay::to(old.port).await;
    let hub = node(relay.url(), 100).await;
    let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
    for n in 0..5 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let at = read(&mut reader, 5).await;
    old.wait_for_replicas(1).await;
    // A tail of a replica would return nothing while the replica is cut from its master.
    let of_replica = RedisBackend::builder(new.url()).connect().await.unwrap();
    let error = of_replica.tail(Position::START).await.unwrap().next().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unavailable, "{error}");

    make_master(&new).await;
    relay.lead_to(new.port);
    let _: String = old.run_command(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    let other = node(new.url(), 100).await;
    // Only the tail can notice it. The node has nothing to publish.
    other.publish("a", Event::new(5)).await.unwrap();
    hub.publish("a", Event::new(6)).await.unwrap();
    assert_eq!([at, read(&mut reader, 2).await].concat(), numbers(0..7));
}

/// What the promoted replica does with the places of the entries that it lacks.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It has no later entries.
    Nothing,
    /// It has later entries.
    Later,
    /// It gives their IDs to other entries, since its clock is slow.
    SameIds,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_is_told_of_a_gap_if_a_promoted_replica_lacks_acknowledged_entries() {
    for then in [Then::Nothing, Then::Later, Then::SameIds] {
        let old = Redis::start().await;
        let new = replica_of(&old, &[]).await;
        let relays = [Relay::to(old.port).await, Relay::to(old.port).await];
        let mut nodes = vec![node(relays[0].url(), 100).await, node(relays[1].url(), 100).await];
        let (mut readers, mut ids) = (Vec::new(), Vec::new());
        for hub in &nodes {
            readers.push(hub.subscribe(topics(&["a"])).await.unwrap());
        }
        for n in 0..10 {
            if n == 5 {
                old.wait_for_replicas(1).await;
                // From here on the replica, and the second node, get nothing.
                relays[1].cut();
                make_master(&new).await;
            }
            ids.push(nodes[0].publish("a", Event::new(n)).await.unwrap().id.to_string());
        }
        assert_eq!(read(&mut readers[0], 10).await, numbers(0..10));
        assert_eq!(read(&mut readers[1], 5).await, numbers(0..5));
        let lost: redis::Value = old.run_command(&["XRANGE", "events", "-", "+"]).await;
        let lost: Vec<(String, HashMap<String, String>)> = redis::from_redis_value(lost).unwrap();
        relays[0].cut();
        old.kill();
        match then {
            Then::Nothing => {}
            Then::Later => {
                let _: String =
                    new.run_command(&["XADD", "events", "*", "topic", "a", "data", "l"]).await;
            }
            Then::SameIds => {
                // After the origin of the log and five events.
                for (id, _) in &lost[6..] {
                    let words = ["XADD", "events", id, "topic", "a", "data", "another"];
                    let _: String = new.run_command(&words).await;
                }
            }
        }
        relays[0].lead_to(new.port);
        let gap = read(&mut readers[0], 1).await;
        assert!(gap[0].starts_with("gap "), "{then:?}: {gap:?}");
        // This node has seen none of the lost entries. It hears of them from the other one.
        relays[1].lead_to(new.port);
        let mut found = Vec::new();
        while !found.last().is_some_and(|last: &String| last.starts_with("gap ")) {
            found.extend(read(&mut readers[1], 1).await);
            assert!(found.len() < 10, "{then:?}: {found:?}");
        }
        assert!(found.iter().all(|data| !numbers(0..10).contains(data)), "{then:?}: {found:?}");
        nodes.push(node(new.url(), 100).await);
        for (n, hub) in nodes.iter().enumerate() {
            for (number, id) in ids.iter().enumerate() {
                let mut resumed = hub.resume(topics(&["a"]), id).await.unwrap();
                let resumption = resumed.resumption();
                assert!(
                    matches!(resumption, Resumption::Gap(_)),
                    "{then:?}: node {n}, event {number}: {resumption:?}"
                );
                let data = format!("for event {number} at node {n}");
                hub.publish("a", Event::new(&data)).await.unwrap();
                loop {
                    let entry = timeout(PATIENCE, resumed.next()).await.unwrap().unwrap();
                    let found = entry.expect("one gap").event().data().to_owned();
                    assert!(!numbers(5..10).contains(&found), "{then:?}: {found} was lost");
                    if found == data {
                        break;
                    }
                }
            }
        }
        // Readers go on, and positions after the loss are as good as any.
        let id = nodes[0].publish("a", Event::new("kept")).await.unwrap().id;
        nodes[1].publish("a", Event::new("after it")).await.unwrap();
        for hub in &nodes {
            let mut resumed = hub.resume(topics(&["a"]), &id).await.unwrap();
            assert_eq!(*resumed.resumption(), Resumption::Complete, "{then:?}");
            assert_eq!(read(&mut resumed, 1).await, ["after it"]);
        }
        println!("{then:?}: 5 of 10 entries lost, 2 readers and 30 resumptions: each has a gap");
    }
}
