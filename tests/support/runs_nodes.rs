//! Runs on two nodes of a hub, over any backend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tower_sse::{
    Event, Hub,
    hub::{
        History, HubBuilder, Subscription,
        runs::{Run, RunState, Runs, RunsOptions},
    },
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many runs there are, and readers of each.
const RUNS: usize = 200;
const READERS: usize = 5;

/// The settings of a node's hub.
pub(crate) fn builder() -> HubBuilder {
    let history = History::events(100_000);
    Hub::builder().history(history).total_history(history).finished_ttl(Duration::from_secs(600))
}

async fn next(reader: &mut Subscription) -> Option<Event> {
    let next = timeout(PATIENCE, reader.next()).await.expect("an event or the end");
    next.map(|entry| entry.expect("no gap").event())
}

/// How the work of a run ends.
fn fate(n: usize) -> RunState {
    match n % 10 {
        0 => RunState::Failed,
        1 | 2 => RunState::Stopped,
        _ => RunState::Finished,
    }
}

async fn start(runs: &Runs, n: usize, started: Arc<AtomicUsize>) -> Run {
    let run = runs.start("ann", move |events, mut stop| async move {
        started.fetch_add(1, SeqCst);
        for word in 0..20 {
            events.send(Event::new(format!("{n} {word}"))).await?;
            sleep(Duration::from_millis(fastrand::u64(0..20))).await;
            if word == 10 && fate(n) == RunState::Failed {
                return Err("broken".into());
            }
            if word == 15 && fate(n) == RunState::Stopped {
                stop.requested().await;
                return Ok(());
            }
        }
        Ok(())
    });
    run.await.unwrap()
}

/// Reads a run on one node and then another, as a page that is reloaded: from its start, or after the last event.
async fn read(nodes: [Runs; 2], id: String) -> (Vec<String>, String) {
    let (mut data, mut turn, mut last) = (Vec::new(), fastrand::usize(0..2), None);
    loop {
        let run = nodes[turn % 2].get("ann", &id).await.expect("every node knows it");
        let mut reader = match &last {
            Some(last) => run.resume(last).await.unwrap(),
            None => {
                data.clear();
                run.subscribe().await.unwrap()
            }
        };
        let reload_after = fastrand::usize(1..30);
        for _ in 0..reload_after {
            let entry = timeout(PATIENCE, reader.next()).await.expect("an event or the end");
            let Some(entry) = entry else { panic!("{data:?} has no end") };
            let entry = entry.expect("no gap");
            let event = entry.event();
            if event.event_type() == "end" {
                return (data, event.data().to_owned());
            }
            data.push(event.data().to_owned());
            last = entry.id();
        }
        if fastrand::bool() {
            last = None;
        }
        turn += 1;
    }
}

/// Runs with readers that reload at random: each reader gets what was sent, once and in order, and the work is
/// done once.
pub(crate) async fn check_readers(hubs: [Hub; 2]) {
    let nodes = hubs.map(|hub| Runs::new(&hub));
    let started = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    let mut stops = Vec::new();
    for n in 0..RUNS {
        let run = start(&nodes[n % 2], n, started.clone()).await;
        for _ in 0..READERS {
            readers.push((n, tokio::spawn(read(nodes.clone(), run.id().to_owned()))));
        }
        if fate(n) == RunState::Stopped {
            // On the other node.
            let other = nodes[(n + 1) % 2].clone();
            stops.push(tokio::spawn(async move {
                sleep(Duration::from_millis(500)).await;
                other.get("ann", run.id()).await.unwrap().stop().await.unwrap();
            }));
        }
    }
    for stop in stops {
        stop.await.unwrap();
    }
    for (n, reader) in readers {
        let (data, end) = reader.await.unwrap();
        let sent = match fate(n) {
            RunState::Failed => 11,
            RunState::Stopped => 16,
            _ => 20,
        };
        let expected: Vec<_> = (0..sent).map(|word| format!("{n} {word}")).collect();
        assert_eq!((data, end.as_str()), (expected, fate(n).as_str()), "run {n}");
    }
    assert_eq!(started.load(SeqCst), RUNS);
    let begun = Instant::now();
    while nodes.iter().any(|node| node.list("ann").iter().any(|run| run.state == RunState::Running))
    {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    println!("{RUNS} runs, {READERS} readers each: all is equal");
}

/// A node that starts later knows the runs that have ended, and gives their events.
pub(crate) async fn check_late_node(early: Hub, late: impl Future<Output = Hub>) {
    let runs = Runs::new(&early);
    let run = start(&runs, 3, Arc::default()).await;
    let id = run.id().to_owned();
    let first = read([runs.clone(), runs], id.clone()).await;
    let late = Runs::new(&late.await);
    assert_eq!(read([late.clone(), late], id).await, first);
}

/// A node that dies leaves its runs ended as failed.
pub(crate) async fn check_death<O>(open: impl Fn() -> O)
where
    O: Future<Output = Hub> + Send + 'static,
{
    let lease = Duration::from_millis(600);
    let options = RunsOptions::new().lease(lease);
    let survivor = Runs::with_options(&open().await, options.clone());
    let opening = open();
    let (tell, told) = std::sync::mpsc::channel();
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let dying = dying.unwrap();
    dying.spawn(async move {
        let runs = Runs::with_options(&opening.await, options);
        let run = runs.start("ann", |events, _stop| async move {
            for n in 0_usize.. {
                events.send(Event::new(n)).await?;
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        });
        tell.send(run.await.unwrap().id().to_owned()).unwrap();
        std::future::pending::<()>().await;
    });
    let id =
        tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).unwrap()).await.unwrap();
    let run = survivor.get("ann", &id).await.unwrap();
    let mut reader = run.subscribe().await.unwrap();
    // Its node lives for longer than the lease.
    let alive = Instant::now();
    while alive.elapsed() < 2 * lease {
        assert_eq!(next(&mut reader).await.unwrap().event_type(), "message");
    }
    dying.shutdown_background();
    let died = Instant::now();
    let end = loop {
        let event = next(&mut reader).await.expect("the run has an end");
        if event.event_type() == "end" {
            break event;
        }
    };
    println!("the run has ended {:?} after its node, the lease is {lease:?}", died.elapsed());
    assert_eq!(end.data(), "failed");
    assert!(died.elapsed() >= lease / 2, "{:?}", died.elapsed());
    assert!(next(&mut reader).await.is_none());
    while run.state() != RunState::Failed {
        assert!(died.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
}
