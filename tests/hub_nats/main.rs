//! The log in NATS JetStream, with a real server: Debian's, or the binary that `TOWER_SSE_NATS_SERVER`
//! names. `ci/nats-server` fetches a newer one.
#![cfg(all(feature = "nats", feature = "backend-testing"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod contract;
mod expiry;
mod faults;
mod foreign;
mod hub;
mod load;
mod losses;
mod nodes;
mod recovery;
mod settings;

#[path = "../support/heap.rs"]
mod heap;
#[path = "../support/nodes_model.rs"]
mod nodes_model;
#[path = "../support/reading.rs"]
mod reading;
mod runs;
#[path = "../support/runs_nodes.rs"]
mod runs_nodes;

#[path = "../support/scale.rs"]
mod scale;

#[path = "../support/nats.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod server;

use std::time::Duration;

use tokio::time::timeout;
use tower_sse::hub::backend::{
    Backend, BackendError, EventParts, LogEntry, Outgoing, Position, Tail,
    nats::{NatsBackend, NatsTail},
};

use crate::server::NatsServer;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

async fn connect(server: &NatsServer) -> NatsBackend {
    NatsBackend::builder(server.url()).max_bytes(64 << 20).connect().await.unwrap()
}

fn entry(topic: &str, id: u128) -> Outgoing {
    Outgoing::new(topic.parse().unwrap(), EventParts::new(id.to_string()), id)
}

async fn append(backend: &NatsBackend, ids: std::ops::Range<u128>) -> Vec<Position> {
    let entries: Vec<_> = ids.map(|id| entry("a", id)).collect();
    backend.append(&entries).await.unwrap()
}

/// Returns the next entries of a tail.
async fn collect(tail: &mut NatsTail, number: usize) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    while entries.len() < number {
        let batch = timeout(LIMIT, tail.next()).await.expect("they come").unwrap();
        entries.extend(batch.entries);
    }
    assert_eq!(entries.len(), number);
    entries
}

fn data(entries: &[LogEntry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.event.data).unwrap()).collect()
}

/// Calls until it succeeds, for at most [`LIMIT`].
async fn until_ok<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, BackendError>>,
{
    let start = tokio::time::Instant::now();
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < LIMIT, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
