//! What a backend reports about its log and about itself.

use std::time::Duration;

use super::{identity::Identity, position::Position};

/// Which log it is, and what it retains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Which log it is.
    pub identity: Identity,
    /// The position of the oldest retained entry. `None` if no entry is retained.
    pub oldest: Option<Position>,
    /// The position of the newest entry, even if it is no longer retained. [`Position::START`] if
    /// nothing was ever appended.
    pub newest: Position,
}

impl Bounds {
    /// Creates bounds.
    #[must_use]
    pub const fn new(identity: Identity, oldest: Option<Position>, newest: Position) -> Self {
        Self { identity, oldest, newest }
    }
}

/// What became of the entry at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Located {
    /// The position belongs to this log, and every entry of the wanted topics after it is retained, except
    /// for superseded, expired and forgotten ones.
    Kept,
    /// Entries after the position may have been removed to keep the log within its bounds.
    Trimmed,
    /// The position does not belong to this log: nothing was appended there yet, or the entry was
    /// lost, and its place is free or another entry's.
    Unknown,
}

/// What a backend can do. It does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether the entries of one append are appended together or not at all. Otherwise an error can
    /// leave the first of them appended. Defaults to false.
    pub atomic: bool,
    /// The largest [size](super::Outgoing::size) of an entry, in bytes. Defaults to no limit.
    pub largest: usize,
    /// How long a repeated append is recognized. Defaults to two minutes.
    pub dedup: Duration,
}

impl Abilities {
    /// Creates the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { atomic: false, largest: usize::MAX, dedup: Duration::from_secs(120) }
    }

    /// Sets whether the entries of one append are appended together or not at all.
    #[must_use]
    pub const fn with_atomic(mut self, atomic: bool) -> Self {
        self.atomic = atomic;
        self
    }

    /// Sets the largest size of an entry, in bytes.
    #[must_use]
    pub const fn with_largest(mut self, largest: usize) -> Self {
        self.largest = largest;
        self
    }

    /// Sets how long a repeated append is recognized.
    #[must_use]
    pub const fn with_dedup(mut self, dedup: Duration) -> Self {
        self.dedup = dedup;
        self
    }
}

impl Default for Abilities {
    fn default() -> Self {
        Self::new()
    }
}
