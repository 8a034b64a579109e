//! The readers of all nodes, counted with leases.
//!
//! Each node appends how many readers its topics have, as control entries that expire. A node that ends
//! appends nothing more, so its readers count until its lease is over.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{loss::control_topic, shared::Engine};
use crate::hub::{
    backend::{BackendError, EntryKind, EventParts, LogEntry, Outgoing, Position, Wanted},
    disconnect::CONTROL_TOPIC,
    node::Node,
    topic::Topic,
};

/// The start of the keys of counts. The number of the node and of the part follow.
const KEY: &str = "readers.";
/// The size of an entry, in bytes, from which a node begins another one.
const MAX_BYTES: usize = 32 << 10;
/// The longest lease.
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many parts of nodes are kept. Others are left out.
const MAX_PARTS: usize = 1 << 12;

/// What the other nodes have appended, by the number of the node and of the part.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<(u64, u32), Part>);

#[derive(Debug)]
struct Part {
    /// When the lease is over.
    until: Instant,
    readers: HashMap<Topic, usize>,
}

impl Counts {
    /// Adds the counts of an entry. Returns whether it has some.
    pub(super) fn add(&mut self, entry: &LogEntry, now: Instant) -> bool {
        let Some((name, part)) = entry.key.as_deref().and_then(parse_key) else { return false };
        if entry.topic != CONTROL_TOPIC {
            return false;
        }
        self.0.retain(|_, part| part.until > now);
        let until = entry.ttl.and_then(|ttl| now.checked_add(ttl.min(MAX_LEASE)));
        let text = std::str::from_utf8(&entry.event.data).ok();
        let text = text.filter(|text| text.len() <= 2 * MAX_BYTES);
        let (Some(until), Some(text)) = (until, text) else { return false };
        if self.0.len() < MAX_PARTS || self.0.contains_key(&(name, part)) {
            let readers = text.lines().filter_map(parse_line).collect();
            self.0.insert((name, part), Part { until, readers });
        }
        true
    }

    /// Returns how many readers a topic has on other nodes than this one.
    fn readers(&self, topic: &Topic, own: u64, now: Instant) -> usize {
        let others = self.0.iter().filter(|((node, _), part)| *node != own && part.until > now);
        let readers = others.filter_map(|(_, part)| part.readers.get(topic));
        readers.fold(0, |all, readers| all.saturating_add(*readers))
    }
}

fn parse_key(key: &str) -> Option<(u64, u32)> {
    let (node, part) = key.strip_prefix(KEY)?.split_once('.')?;
    Some((u64::from_str_radix(node, 16).ok()?, part.parse().ok()?))
}

/// Parses a number and a topic.
fn parse_line(line: &str) -> Option<(Topic, usize)> {
    let (number, topic) = line.split_once(' ')?;
    Some((topic.parse().ok()?, number.parse().ok()?))
}

impl Engine {
    /// Returns how many readers name a topic on other nodes.
    pub(in crate::hub) fn readers_elsewhere(&self, topic: &Topic) -> usize {
        self.counts().readers(topic, self.number, Instant::now())
    }
}

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
    let key = format!("{KEY}{:x}.{part}", engine.number);
    let entry = Outgoing::new(control_topic()?, EventParts::new(text), fastrand::u128(..));
    let entry = entry.with_key(key).with_kind(EntryKind::Control).with_ttl(lease);
    engine.backend.clone().append_all([entry].into()).await?;
    engine.health.answered();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_others_are_added_until_their_lease_is_over() {
        let mut counts = Counts::default();
        let now = Instant::now();
        let entry = |key: &str, text: &str| {
            let topic = CONTROL_TOPIC.parse().unwrap();
            let entry = LogEntry::new(Position::new(1), topic, EventParts::new(text.to_owned()));
            entry.with_key(key).with_kind(EntryKind::Control).with_ttl(Duration::from_secs(1))
        };
        assert!(counts.add(&entry("readers.a.0", "2 room\n1 a b\nnonsense\nx y\n"), now));
        assert!(counts.add(&entry("readers.b.0", "3 room\n"), now));
        assert!(counts.add(&entry("readers.b.1", "4 room\n"), now));
        assert!(!counts.add(&entry("loss", ""), now));
        assert!(!counts.add(&entry("readers.x.0", ""), now));
        let readers = |counts: &Counts, topic: &str, own, at| {
            counts.readers(&topic.parse().unwrap(), own, at)
        };
        assert_eq!(readers(&counts, "room", 1, now), 9);
        assert_eq!(readers(&counts, "room", 0xb, now), 2);
        assert_eq!(readers(&counts, "a b", 1, now), 1);
        assert!(counts.add(&entry("readers.b.1", ""), now));
        assert_eq!(readers(&counts, "room", 1, now), 5);
        assert_eq!(readers(&counts, "room", 1, now + Duration::from_secs(1)), 0);
        assert!(counts.add(&entry("readers.c.0", ""), now + Duration::from_secs(1)));
        assert_eq!(counts.0.len(), 1);
    }
}
