//! Control entries: what nodes tell each other by the log. Readers do not receive them.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::hub::{
    backend::{BackendError, EntryKind, Fault, LogEntry, Position},
    topic::Topic,
};

/// The topic of control entries.
pub(in crate::hub) const CONTROL_TOPIC: &str = "tower-sse.control";
/// The key of a mark, so that the newest one is part of the state of the log.
pub(super) const LOSS: &str = "loss";
/// The key of the first entry of a log.
pub(super) const ORIGIN: &str = "origin";
/// The start of the keys of counts. The number of the node and of the part follow.
pub(super) const READERS: &str = "readers.";
/// The largest counts that are read from one entry, in bytes.
const MAX_COUNTS: usize = 64 << 10;
/// The longest lease.
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many parts of nodes are kept. Others are left out.
const MAX_PARTS: usize = 1 << 12;

/// The mark of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it is in the log.
    pub(super) at: Position,
    /// The mark that its node knew before. Several nodes may mark the same loss, with the same one before.
    before: Position,
}

/// What a node knows of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// The first mark of the last loss.
    first: Mark,
    /// The newest mark of that loss.
    newest: Position,
    /// When the node has found or read the first mark. `None` if it was there when the node has started.
    since: Option<Instant>,
}

/// How long after the first mark another node may mark the same loss.
const SAME_LOSS: Duration = Duration::from_secs(30);

impl Default for Mark {
    fn default() -> Self {
        Self { at: Position::START, before: Position::START }
    }
}

impl Mark {
    pub(super) fn new(at: Position, before: Position) -> Self {
        Self { at, before }
    }

    /// Returns the position of the mark before it.
    pub(super) fn before(self) -> Position {
        self.before
    }

    /// Returns the mark that an entry is. `None` if it is another one.
    pub(super) fn of(entry: &LogEntry) -> Option<Self> {
        let is_mark = entry.kind == EntryKind::Control && entry.key.as_deref() == Some(LOSS);
        let data = std::str::from_utf8(&entry.event.data).ok()?;
        (is_mark && entry.topic == CONTROL_TOPIC)
            .then(|| Self { at: entry.at, before: parse(data).unwrap_or(Position::START) })
    }
}

impl Losses {
    /// What a node knows that has just started.
    pub(super) fn at_start(first: Mark) -> Self {
        Self { first, newest: first.at, since: None }
    }

    /// What a node knows that has just found a loss.
    pub(super) fn found(first: Mark, now: Instant) -> Self {
        Self { first, newest: first.at, since: Some(now) }
    }

    /// Returns the place before which a reader may lack entries.
    pub(super) fn place(&self) -> (u64, u64) {
        self.first.at.place()
    }

    /// Returns the position of the newest mark.
    pub(super) fn newest(&self) -> Position {
        self.newest
    }

    /// Adds a mark that came by the tail. Returns whether it is one of a loss that is not known.
    pub(super) fn add(&mut self, mark: Mark, now: Instant) -> bool {
        if mark.at == self.newest {
            return false;
        }
        self.newest = mark.at;
        let is_recent = self.since.is_some_and(|since| now < since + SAME_LOSS);
        let is_same = is_recent && mark.before == self.first.before;
        if !is_same {
            *self = Self::found(mark, now);
        }
        !is_same
    }
}

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
        let text = text.filter(|text| text.len() <= MAX_COUNTS);
        let (Some(until), Some(text)) = (until, text) else { return false };
        if self.0.len() < MAX_PARTS || self.0.contains_key(&(name, part)) {
            let readers = text.lines().filter_map(parse_line).collect();
            self.0.insert((name, part), Part { until, readers });
        }
        true
    }

    /// Returns how many readers a topic has on other nodes than this one.
    pub(super) fn readers(&self, topic: &Topic, own: u64, now: Instant) -> usize {
        let others = self.0.iter().filter(|((node, _), part)| *node != own && part.until > now);
        let readers = others.filter_map(|(_, part)| part.readers.get(topic));
        readers.fold(0, |all, readers| all.saturating_add(*readers))
    }
}

fn parse_key(key: &str) -> Option<(u64, u32)> {
    let (node, part) = key.strip_prefix(READERS)?.split_once('.')?;
    Some((u64::from_str_radix(node, 16).ok()?, part.parse().ok()?))
}

/// Parses a number and a topic.
fn parse_line(line: &str) -> Option<(Topic, usize)> {
    let (number, topic) = line.split_once(' ')?;
    Some((topic.parse().ok()?, number.parse().ok()?))
}

/// Returns the topic of what nodes tell each other.
pub(super) fn control_topic() -> Result<Topic, BackendError> {
    Topic::try_from(CONTROL_TOPIC).map_err(|error| BackendError::new(Fault::Refused, error))
}

/// Writes a position.
pub(super) fn text(at: Position) -> String {
    format!("{}.{}.{}", at.major(), at.minor(), at.check())
}

fn parse(text: &str) -> Option<Position> {
    let mut parts = text.split('.');
    let mut next = || parts.next()?.parse::<u64>().ok();
    let at = Position::new(next()?).with_minor(next()?);
    Some(at.with_check(u32::try_from(next()?).ok()?))
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
            let entry = LogEntry::new(
                Position::new(1),
                topic,
                crate::hub::backend::EventParts::new(text.to_owned()),
            );
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

    #[test]
    fn marks_of_the_same_loss_are_told_once() {
        let at = |major| Position::new(major).with_check(7);
        let mark = |n, before| Mark { at: at(n), before };
        let now = Instant::now();
        let mut losses = Losses::default();
        assert!(losses.add(mark(5, Position::START), now));
        assert!(!losses.add(mark(5, Position::START), now), "it came twice");
        assert!(!losses.add(mark(6, Position::START), now), "of another node");
        assert_eq!((losses.place(), losses.newest()), ((5, 0), at(6)));
        assert!(losses.add(mark(4, at(6)), now), "the log was lost again, up to an earlier place");
        assert_eq!((losses.place(), losses.newest()), ((4, 0), at(4)));
        // The node that has appended a mark.
        let mut own = Losses::found(mark(5, Position::START), now);
        assert!(!own.add(mark(6, Position::START), now));
        // A later mark stands for another loss: those between may be gone.
        assert!(own.add(mark(7, Position::START), now + SAME_LOSS));
        assert!(Losses::at_start(mark(5, Position::START)).add(mark(6, Position::START), now));
    }

    #[test]
    fn a_position_is_written_and_read() {
        let at = Position::new(u64::MAX).with_minor(3).with_check(u32::MAX);
        assert_eq!(parse(&text(at)), Some(at));
        for wrong in ["", "1", "1.2", "1.2.x", "1.2.99999999999"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
