//! Hubs under load whose server is killed, whose network fails, or which are killed themselves.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tower_sse::{
    Event, Hub,
    hub::{History, Lagging, PublishError, Resumption, backend::nats::NatsBackend},
};

use crate::{
    load::{Account, Ledger, Load, Seen, WRITERS, all, publish_over, seen, topic},
    reading::PATIENCE,
    server::{NatsServer, Proxy},
};

/// How long a publication may take, so that some of them fail.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(1500);

async fn node(url: String) -> Hub {
    let history = History::events(500);
    let builder = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip);
    let backend = NatsBackend::builder(url).max_bytes(64 << 20).connect().await.unwrap();
    builder.publish_timeout(PUBLISH_TIMEOUT).open(backend).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_or_repeated_although_the_server_is_killed() {
    let server = NatsServer::start();
    let nodes = [node(server.url()).await, node(server.url()).await];
    let load = Load::start(&nodes).await;
    // The second time, the server is away for longer than publishing waits.
    for away in [200, 2500, 50, 200] {
        load.ledger.wait_for(150).await;
        server.kill();
        sleep(Duration::from_millis(away)).await;
        server.restart();
    }
    load.ledger.wait_for(150).await;
    let account = load.finish().await;
    println!("server killed 4 times: {account}");
    account.check();
    assert_eq!(account.gaps, 0, "a server that keeps its files has lost nothing");
}

/// Publishes while the network of a node does not work. Returns the error.
async fn publish_in_vain(hub: &Hub) -> PublishError {
    let start = Instant::now();
    let published = timeout(PATIENCE, hub.publish("other", Event::new("in vain"))).await;
    let error = published.expect("it does not wait forever").unwrap_err();
    // It gives up a second earlier if nothing was sent.
    let least = PUBLISH_TIMEOUT - Duration::from_secs(1);
    assert!(start.elapsed() >= least, "it waits for the network");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_under_load_delays_and_loses_nothing() {
    let server = NatsServer::start();
    let networks = [Proxy::start(server.address()).await, Proxy::start(server.address()).await];
    let nodes = [node(networks[0].url()).await, node(networks[1].url()).await];
    let load = Load::start(&nodes).await;
    let rounds = [&[0][..], &[1], &[0, 1]];
    for cut in rounds {
        load.ledger.wait_for(100).await;
        for index in cut {
            networks[*index].set_refusing(true).await;
        }
        for index in cut {
            while nodes[*index].health().is_up {
                sleep(Duration::from_millis(5)).await;
            }
            let error = publish_in_vain(&nodes[*index]).await;
            // The node may not know that nothing was sent.
            assert!(error.is_unavailable() || error.is_unknown(), "{error}");
        }
        for index in cut {
            networks[*index].set_refusing(false).await;
        }
    }
    load.ledger.wait_for(100).await;
    let account = load.finish().await;
    println!("network cut {} times: {account}", rounds.len());
    account.check();
    assert_eq!(account.gaps, 0, "the log is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_stalls_under_load_delays_and_loses_nothing() {
    let server = NatsServer::start();
    let networks = [Proxy::start(server.address()).await, Proxy::start(server.address()).await];
    let nodes = [node(networks[0].url()).await, node(networks[1].url()).await];
    let load = Load::start(&nodes).await;
    // The last stall is longer than a node waits for a word of the server.
    let rounds = [(&[0][..], 0), (&[1], 0), (&[0, 1], 2500)];
    for (stalled, longer) in rounds {
        load.ledger.wait_for(100).await;
        for index in stalled {
            networks[*index].set_stalled(true);
        }
        for index in stalled {
            let error = publish_in_vain(&nodes[*index]).await;
            assert!(error.is_unknown() && !error.is_unavailable(), "it is under way: {error}");
        }
        sleep(Duration::from_millis(longer)).await;
        for index in stalled {
            networks[*index].set_stalled(false);
        }
    }
    load.ledger.wait_for(100).await;
    let account = load.finish().await;
    println!("network stalled {} times: {account}", rounds.len());
    account.check();
    assert_eq!(account.gaps, 0, "the log is whole");
}

/// A node that can be killed: all its tasks end at once.
struct NodeProcess {
    hub: Hub,
    runtime: Runtime,
}

impl NodeProcess {
    async fn start(url: String) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let hub = runtime.spawn(node(url)).await.unwrap();
        Self { hub, runtime }
    }

    fn kill(self) {
        // The tasks that are left are not polled again.
        self.runtime.shutdown_background();
    }
}

/// The nodes, of which each may be killed and replaced.
#[derive(Clone)]
struct Processes(Arc<Mutex<Vec<Option<NodeProcess>>>>);

impl Processes {
    /// Runs something on a node, or on another one if that node is down.
    fn on<T>(&self, index: usize, run: impl FnOnce(&NodeProcess) -> T) -> T {
        let nodes = self.0.lock().unwrap();
        let mut living = nodes.iter().cycle().skip(index).take(nodes.len()).flatten();
        run(living.next().expect("one node is up"))
    }

    fn set(&self, index: usize, node: Option<NodeProcess>) {
        let old = std::mem::replace(&mut self.0.lock().unwrap()[index], node);
        if let Some(old) = old {
            old.kill();
        }
    }
}

/// Publishes some events, each on a node that is up. The result of one whose node is killed is unknown.
async fn write(nodes: Processes, writer: usize, ledger: Arc<Ledger>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        let number = ledger.next(writer);
        let published = nodes.on(writer % 2, |node| {
            let hub = node.hub.clone();
            node.runtime.spawn(async move { hub.publish(topic(writer), Event::new(number)).await })
        });
        if let Ok(result) = published.await {
            ledger.set(writer, number, &result);
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Reads to the end of the load, on another node when the node of this reader is killed.
async fn read_somewhere(nodes: Processes, index: usize, mut last: String) -> (Vec<Seen>, usize) {
    let (mut found, mut moves) = (Vec::new(), 0);
    loop {
        let (sender, mut receiver) = mpsc::channel(1);
        nodes.on(index, |node| {
            let (hub, last) = (node.hub.clone(), last.clone());
            node.runtime.spawn(async move {
                let mut reader = hub.resume(all(), &last).await.unwrap();
                let is_whole = *reader.resumption() == Resumption::Complete;
                let mut next = (!is_whole).then_some((Seen::Gap, last));
                loop {
                    if let Some(next) = next.take() {
                        if sender.send(next).await.is_err() {
                            return;
                        }
                    }
                    next = Some(match reader.next().await.expect("the hub is not closed") {
                        Ok(entry) => (seen(&entry), entry.id().unwrap().to_string()),
                        Err(_) => (Seen::Gap, reader.position().to_string()),
                    });
                }
            })
        });
        while let Some((seen, id)) = timeout(PATIENCE, receiver.recv()).await.expect("it goes on") {
            found.push(seen);
            last = id;
            if seen == Seen::Over {
                return (found, moves);
            }
        }
        moves += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_killed_node_go_on_at_another_one_with_each_event_once() {
    let server = NatsServer::start();
    let nodes = [NodeProcess::start(server.url()).await, NodeProcess::start(server.url()).await];
    let nodes = Processes(Arc::new(Mutex::new(nodes.map(Some).into())));
    let first = nodes.on(0, |node| {
        let hub = node.hub.clone();
        node.runtime
            .spawn(async move { hub.subscribe(all()).await.unwrap().position().to_string() })
    });
    let first = first.await.unwrap();
    let (ledger, is_over) = (Arc::<Ledger>::default(), Arc::<AtomicBool>::default());
    let readers = [0, 0, 1, 1];
    let readers = readers.map(|it| tokio::spawn(read_somewhere(nodes.clone(), it, first.clone())));
    let writers = (0..WRITERS)
        .map(|writer| tokio::spawn(write(nodes.clone(), writer, ledger.clone(), is_over.clone())));
    let writers: Vec<_> = writers.collect();
    for kill in 0..4 {
        ledger.wait_for(100).await;
        nodes.set(kill % 2, None);
        ledger.wait_for(100).await;
        nodes.set(kill % 2, Some(NodeProcess::start(server.url()).await));
    }
    is_over.store(true, Ordering::SeqCst);
    for writer in writers {
        timeout(PATIENCE, writer).await.expect("a writer ends").unwrap();
    }
    let over = nodes.on(0, |node| {
        let hub = node.hub.clone();
        node.runtime.spawn(async move { publish_over(&hub).await })
    });
    over.await.unwrap();
    let (mut found, mut moves) = (Vec::new(), 0);
    for reader in readers {
        let (seen, moved) = timeout(PATIENCE, reader).await.expect("a reader ends").unwrap();
        assert!(moved >= 2, "both of its nodes were killed");
        found.push(seen);
        moves += moved;
    }
    let account = Account::new(&ledger, &found, moves);
    println!("node killed 4 times: {account}");
    account.check();
    assert_eq!(account.gaps, 0, "the log is whole");
    for index in [0, 1] {
        nodes.set(index, None);
    }
}
