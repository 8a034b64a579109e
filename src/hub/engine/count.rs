//! The readers of all nodes, counted with leases.
//!
//! Each node appends how many readers its topics have, as control entries that expire. A node that ends
//! appends nothing more, so its readers count until its lease is over.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    control::{READERS, control_topic},
    shared::Engine,
};
use crate::hub::{
    backend::{BackendError, EntryKind, EventParts, Outgoing, Position, Wanted},
    node::Node,
};

/// The size of an entry, in bytes, from which a node begins another one.
const MAX_BYTES: usize = 32 << 10;

/// Reads the leases of the other nodes.
pub(in crate::hub) async fn find_counts(
    engine: &Engine,
    upto: Position,
) -> Result<(), BackendError> {
    let wanted = Arc::new(Wanted::from_parts(vec![control_topic()?], Vec::new()));
    let state = engine.backend.clone().read_state(wanted, upto).await?;
    let now = Instant::now();
    let mut counts = engine.counts();
    for entry in state {
        let _other = counts.add(&entry, now);
    }
    Ok(())
}

/// Appends the counts of a node three times in each lease, until the last handle of the hub is dropped.
pub(in crate::hub) async fn append_counts(node: Arc<Node>, engine: Arc<Engine>, lease: Duration) {
    let run = async {
        let mut parts_before = 0;
        loop {
            let texts = texts(&node).await;
            // A part that is not needed any more is empty, so that it does not count until its lease is over.
            let parts = texts.len().max(parts_before);
            parts_before = texts.len();
            let mut texts = texts.into_iter();
            for part in 0..parts {
                let text = texts.next().unwrap_or_default();
                if let Err(error) = append(&engine, part, text, lease).await {
                    engine.health.failed(&error);
                }
            }
            sleep(lease / 3).await;
        }
    };
    let _stopped: Option<()> = engine.until_stopped(run).await;
}

/// Returns the counts of a node, in parts. There is at least one.
async fn texts(node: &Node) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = Some(0);
    while let Some(index) = from {
        let mut found = Vec::new();
        from = node.lock().named_topics(index, &mut found);
        for topic in found {
            let readers = node.readers_that_name(&topic);
            if texts.last().is_none_or(|last| last.len() > MAX_BYTES) {
                texts.push(String::new());
            }
            if let Some(last) = texts.last_mut() {
                // Writing to a string does not fail.
                let _written = writeln!(last, "{readers} {topic}");
            }
        }
        tokio::task::yield_now().await;
    }
    texts
}

async fn append(
    engine: &Engine,
    part: usize,
    text: String,
    lease: Duration,
) -> Result<(), BackendError> {
    let key = format!("{READERS}{:x}.{part}", engine.number);
    let entry = Outgoing::new(control_topic()?, EventParts::new(text), fastrand::u128(..));
    let entry = entry.with_key(key).with_kind(EntryKind::Control).with_ttl(lease);
    engine.backend.clone().append_all([entry].into()).await?;
    engine.health.answered();
    Ok(())
}
