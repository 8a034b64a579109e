//! The mark of a log that has lost its end.
//!
//! A server that restarts with older files, or a replica that is promoted, lacks the newest entries. A node
//! that has seen one of them finds out. A reader that has only seen entries before them cannot know, and
//! neither can the other nodes. So the node appends a mark: a reader at a position before it may lack entries.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::shared::Engine;
use crate::hub::{
    backend::{
        BackendError, EntryKind, EventParts, Fault, Located, LogEntry, Outgoing, Position, Wanted,
    },
    disconnect::CONTROL_TOPIC,
    topic::Topic,
};

/// The key of a mark, so that the newest one is part of the state of the log.
const KEY: &str = "loss";

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
    /// Returns the position of the mark before it.
    pub(super) fn before(self) -> Position {
        self.before
    }

    /// Returns the mark that an entry is. `None` if it is another one.
    pub(super) fn of(entry: &LogEntry) -> Option<Self> {
        let is_mark = entry.kind == EntryKind::Control && entry.key.as_deref() == Some(KEY);
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

/// Returns the newest mark of the log. Without one, it is that at the start.
pub(super) async fn find_loss(engine: &Engine, upto: Position) -> Result<Mark, BackendError> {
    let wanted = Arc::new(Wanted::from_parts(vec![control_topic()?], Vec::new()));
    let state = engine.backend.clone().read_state(wanted, upto).await?;
    Ok(state.iter().filter_map(Mark::of).max_by_key(|mark| mark.at).unwrap_or_default())
}

/// Appends a mark after the one that is known.
pub(super) async fn mark_loss(engine: &Engine, before: Position) -> Result<Mark, BackendError> {
    let append_id = fastrand::u128(..);
    let mark = Outgoing::new(control_topic()?, EventParts::new(text(before)), append_id);
    let mark = mark.with_key(KEY).with_kind(EntryKind::Control);
    let positions = engine.backend.clone().append_all([mark].into()).await?;
    let at = positions.first().copied();
    let at = at.ok_or_else(|| BackendError::new(Fault::Unknown, "an entry got no position"))?;
    Ok(Mark { at, before })
}

/// Returns what became of an entry, regardless of its topic.
pub(super) async fn locate(engine: &Engine, at: Position) -> Result<Located, BackendError> {
    engine.backend.clone().locate_entry(at, Arc::new(Wanted::all())).await
}

/// Returns the topic of what nodes tell each other.
pub(super) fn control_topic() -> Result<Topic, BackendError> {
    Topic::try_from(CONTROL_TOPIC).map_err(|error| BackendError::new(Fault::Refused, error))
}

fn text(at: Position) -> String {
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
