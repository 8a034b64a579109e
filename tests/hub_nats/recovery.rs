//! A server that is killed, hangs, loses its end, or is made anew, and connections that are cut.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tower_sse::hub::backend::{
    Backend, EventParts, Fault, Located, LogEntry, Outgoing, Position, Tail, Wanted,
    nats::{NatsBackend, NatsTail},
};

use crate::{
    LIMIT, append, collect, connect, data, entry,
    server::{NatsServer, Proxy},
    until_ok,
};

/// Longer than a server may be silent.
const SILENCE: Duration = Duration::from_secs(5);

async fn over_proxy(server: &NatsServer) -> (Proxy, NatsBackend) {
    let proxy = Proxy::start(server.address()).await;
    let builder = NatsBackend::builder(proxy.url()).max_bytes(64 << 20);
    (proxy, builder.connect().await.unwrap())
}

async fn read_all(backend: &NatsBackend) -> Vec<LogEntry> {
    let upto = backend.bounds().await.unwrap().newest;
    let (mut after, mut all) = (Position::START, Vec::new());
    while after.place() < upto.place() {
        let most = NonZeroUsize::new(1000).unwrap();
        let page = backend.read(after, upto, &Wanted::all(), most).await.unwrap();
        after = page.end().unwrap();
        all.extend(page.entries);
    }
    all
}

/// Returns the fault with which a tail ends. It must not return an entry before.
async fn end(tail: &mut NatsTail) -> Fault {
    loop {
        match timeout(LIMIT, tail.next()).await.expect("it ends") {
            Ok(batch) => assert!(batch.entries.is_empty(), "{batch:?}"),
            Err(error) => return error.fault(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_ends_a_tail_although_each_call_is_dropped_soon() {
    let server = NatsServer::start();
    let (proxy, backend) = over_proxy(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    append(&backend, 0..1).await;
    collect(&mut tail, 1).await;
    proxy.set_silent(true);
    let start = Instant::now();
    let error = loop {
        if let Ok(Err(error)) = timeout(Duration::from_millis(50), tail.next()).await {
            break error;
        }
        assert!(start.elapsed() < LIMIT, "the tail waits forever");
    };
    assert_eq!(error.fault(), Fault::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_follows_another_one_has_a_time_limit_of_its_own() {
    let server = NatsServer::start();
    let (proxy, backend) = over_proxy(&server).await;
    let mut at = Position::START;
    for round in 0..2 {
        let mut tail = until_ok(|| backend.tail(at)).await;
        append(&backend, round..round + 1).await;
        collect(&mut tail, 1).await;
        // Quiet is no silence.
        assert!(timeout(SILENCE, tail.next()).await.is_err());
        at = append(&backend, 10 + round..11 + round).await[0];
        collect(&mut tail, 1).await;
        proxy.set_silent(true);
        assert_eq!(end(&mut tail).await, Fault::Unavailable);
        proxy.set_silent(false);
        proxy.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_was_not_polled_for_long_goes_on() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    append(&backend, 0..5000).await;
    sleep(SILENCE).await;
    append(&backend, 5000..5100).await;
    let entries = collect(&mut tail, 5100).await;
    assert!(entries.iter().enumerate().all(|(at, entry)| entry.append_id == Some(at as u128)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_made_anew_under_load_is_noticed() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (backend, is_over) = (backend.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut id = 0;
            while !is_over.load(Ordering::Relaxed) {
                id += 1;
                // The log is made by `bounds`, as a hub does it.
                if backend.append(&[entry("a", id)]).await.is_err() {
                    let _made = backend.bounds().await;
                }
            }
        })
    };
    let mut last = 0;
    while last < 100 {
        let batch = timeout(LIMIT, tail.next()).await.unwrap().unwrap();
        last = batch.entries.last().unwrap().append_id.unwrap();
    }
    server.client().await.delete("events").await;
    // Entries that were received before may still be returned, and each in its order.
    let fault = loop {
        match timeout(LIMIT, tail.next()).await.expect("it ends") {
            Ok(batch) => {
                for entry in batch.entries {
                    last += 1;
                    assert_eq!(entry.append_id, Some(last));
                }
            }
            Err(error) => break error.fault(),
        }
    };
    is_over.store(true, Ordering::Relaxed);
    publisher.await.unwrap();
    assert_eq!(fault, Fault::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_files_are_noticed_by_the_fingerprint() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let identity = backend.bounds().await.unwrap().identity;
    append(&backend, 0..5).await;
    server.kill();
    let copy = server.copy();
    server.restart();
    let old = until_ok(|| async { backend.append(&[entry("a", 5), entry("a", 6)]).await }).await;
    let mut tail = backend.tail(old[0]).await.unwrap();
    collect(&mut tail, 1).await;
    server.kill();
    server.put_back(&copy);
    server.restart();
    let new =
        until_ok(|| async { backend.append(&[entry("a", 105), entry("a", 106)]).await }).await;
    // The same places in the same log. Only the fingerprints tell the entries apart.
    assert_eq!(new[1].place(), old[1].place());
    assert_eq!(backend.bounds().await.unwrap().identity, identity);
    assert_eq!(backend.locate(old[1], &Wanted::all()).await.unwrap(), Located::Unknown);
    assert_eq!(backend.locate(new[1], &Wanted::all()).await.unwrap(), Located::Kept);
    assert_eq!(end(&mut tail).await, Fault::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_without_its_files_is_another_log() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    let old = append(&backend, 0..5).await;
    let identity = backend.bounds().await.unwrap().identity;
    let mut tail = backend.tail(old[4]).await.unwrap();
    server.kill();
    server.wipe();
    server.restart();
    let bounds = until_ok(|| backend.bounds()).await;
    assert_ne!(bounds.identity, identity);
    append(&backend, 10..30).await;
    assert_eq!(end(&mut tail).await, Fault::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing_and_adds_nothing_twice() {
    let server = Arc::new(NatsServer::start());
    let backend = connect(&server).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let publish = |task: u128| {
        let (backend, is_over) = (backend.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut id = task << 64;
            while !is_over.load(Ordering::Relaxed) {
                let entries: Vec<_> = (id..id + 20).map(|id| entry("a", id)).collect();
                id += 20;
                let positions = until_ok(|| backend.append(&entries)).await;
                acknowledged.extend(entries.iter().map(|it| it.append_id).zip(positions));
            }
            acknowledged
        })
    };
    let tasks: Vec<_> = (0..3).map(publish).collect();
    let mut seen: Vec<LogEntry> = Vec::new();
    let mut kills = 0;
    let mut at = Position::START;
    let start = Instant::now();
    'tails: loop {
        let mut tail = until_ok(|| backend.tail(at)).await;
        loop {
            match timeout(Duration::from_millis(100), tail.next()).await {
                Ok(Ok(batch)) => {
                    at = batch.end().unwrap();
                    seen.extend(batch.entries);
                }
                Ok(Err(error)) => {
                    assert_eq!(error.fault(), Fault::Unavailable, "{error}");
                    continue 'tails;
                }
                Err(_) => assert!(start.elapsed() < 4 * LIMIT, "{} were seen", seen.len()),
            }
            // A new server each time that it has taken some entries.
            if kills < 4 && seen.len() > 2000 * (kills + 1) {
                kills += 1;
                server.kill();
                server.restart();
            } else if seen.len() > 12_000 {
                is_over.store(true, Ordering::Relaxed);
            }
            if tasks.iter().all(|task| task.is_finished()) {
                let newest = until_ok(|| backend.bounds()).await.newest;
                if at == newest {
                    break 'tails;
                }
            }
        }
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    acknowledged.sort_by_key(|(_, at)| *at);
    let seen: Vec<_> = seen.iter().map(|entry| (entry.append_id.unwrap(), entry.at)).collect();
    assert_eq!(seen.len(), acknowledged.len());
    assert!(seen == acknowledged, "the tails have seen what was acknowledged, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_connection_is_cut_leaves_no_hole() {
    let server = NatsServer::start();
    let reader = connect(&server).await;
    let (proxy, backend) = over_proxy(&server).await;
    let (mut before, mut cuts) = (0, 0);
    for round in 0..30_u128 {
        let entries: Vec<_> =
            (0..600).map(|n| entry(&format!("round.{round}"), round << 64 | n)).collect();
        let cut = async {
            sleep(Duration::from_micros(300 * round as u64)).await;
            proxy.cut();
        };
        let (first, ()) = tokio::join!(backend.append(&entries), cut);
        cuts += usize::from(first.is_err());
        // Nothing that the server still has to read may add one later, so another node looks twice.
        until_ok(|| backend.bounds()).await;
        let all = read_all(&reader).await;
        let found: Vec<_> = all[before..].iter().map(|entry| entry.append_id.unwrap()).collect();
        let prefix: Vec<_> =
            entries.iter().map(|entry| entry.append_id).take(found.len()).collect();
        assert_eq!(found, prefix, "round {round}");
        let positions = until_ok(|| backend.append(&entries)).await;
        assert!(positions.is_sorted_by(|a, b| a.place() < b.place()));
        before += entries.len();
        assert_eq!(read_all(&reader).await.len(), before);
    }
    assert!(cuts > 0, "no append was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_several_nodes_keep_their_order() {
    let server = NatsServer::start();
    let nodes = [connect(&server).await, connect(&server).await, connect(&server).await];
    let tasks = [0, 1, 2].map(|task: u128| {
        let backend = nodes[task as usize].clone();
        tokio::spawn(async move {
            for round in 0..10_u128 {
                let first = task << 64 | (round * 300);
                let entries: Vec<_> = (first..first + 300).map(|id| entry("a", id)).collect();
                backend.append(&entries).await.unwrap();
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    let all = read_all(&nodes[0]).await;
    assert_eq!(all.len(), 9000);
    for task in 0..3_u128 {
        let ids = all.iter().map(|entry| entry.append_id.unwrap()).filter(|id| id >> 64 == task);
        assert!(ids.eq((0..3000).map(|n| task << 64 | n)), "task {task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hang_callers() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    append(&backend, 0..1).await;
    let mut tail = backend.tail(Position::START).await.unwrap();
    collect(&mut tail, 1).await;
    server.pause(true);
    let failed = timeout(LIMIT, backend.append(&[entry("a", 1)])).await.expect("it ends");
    assert_eq!(failed.unwrap_err().fault(), Fault::Unknown);
    let failed = timeout(LIMIT, backend.bounds()).await.expect("it ends");
    assert_eq!(failed.unwrap_err().fault(), Fault::Unavailable);
    assert_eq!(end(&mut tail).await, Fault::Unavailable);
    server.pause(false);
    let again = until_ok(|| async { backend.append(&[entry("a", 1)]).await }).await;
    let found = read_all(&backend).await;
    assert_eq!(data(&found), ["0", "1"]);
    assert_eq!(found[1].at, again[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_entries_are_no_gap_for_a_tail() {
    let server = NatsServer::start();
    let builder = NatsBackend::builder(server.url()).max_bytes(1 << 30).compact_keys(true);
    let backend = builder.connect().await.unwrap();
    let mut tail = backend.tail(Position::START).await.unwrap();
    let keyed: Vec<_> = (0..500).map(|id| entry("a", id).with_key("only")).collect();
    let positions = backend.append(&keyed).await.unwrap();
    let mut last = None;
    while last != Some(positions[499]) {
        let batch = timeout(LIMIT, tail.next()).await.unwrap().unwrap();
        last = batch.end();
    }
    let state = backend.state(&Wanted::all(), positions[499]).await.unwrap();
    assert_eq!(data(&state), ["499"]);
    assert_eq!(read_all(&backend).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_end_of_the_log_is_still_a_position() {
    let server = NatsServer::start();
    let backend = connect(&server).await;
    append(&backend, 0..3).await;
    let over = Outgoing::new("over".parse().unwrap(), EventParts::new("x"), 9);
    let at = backend.append(&[over]).await.unwrap()[0];
    backend.forget(&[("over".parse().unwrap(), at)]).await.unwrap();
    let newest = backend.bounds().await.unwrap().newest;
    assert_eq!(newest.major(), 4);
    assert_eq!(backend.locate(newest, &Wanted::all()).await.unwrap(), Located::Kept);
    let mut tail = backend.tail(newest).await.unwrap();
    append(&backend, 10..11).await;
    assert_eq!(data(&collect(&mut tail, 1).await), ["10"]);
    assert_eq!(backend.locate(newest, &Wanted::all()).await.unwrap(), Located::Kept);
}
