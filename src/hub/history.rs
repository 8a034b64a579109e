//! How much is kept.

use std::time::Duration;

/// How much a topic keeps, or a whole hub: bounds in events, bytes and age. What is older goes, and
/// the oldest goes first.
///
/// What is kept serves three: readers that come back, readers that are slow, and the state of keys.
/// A reader that falls behind more than is kept is [lagging](super::Lagging), and a key whose entry
/// has gone is no longer part of the state.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::hub::History;
///
/// let history = History::events(1_000).max_bytes(1 << 20).max_age(Duration::from_secs(60));
/// # let _ = history;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct History {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) age: Option<Duration>,
}

impl History {
    /// Keeps so many events, at least one, and 16 MiB.
    pub const fn events(events: usize) -> Self {
        Self { events: if events == 0 { 1 } else { events }, bytes: 16 << 20, age: None }
    }

    /// Keeps any number of events: another bound is to be set.
    pub const fn unlimited_events() -> Self {
        Self::events(usize::MAX)
    }

    /// Keeps so many bytes: of encoded events, about 256 for each to keep it, and about 512 and its
    /// name for a topic. An event that is larger cannot be published. Default is 16 MiB.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Keeps events for so long. Default is for ever. What is older is not given to anyone any
    /// more; its memory is freed when something is published, somebody subscribes or reads, or
    /// [`Hub::stats`](super::Hub::stats) is asked: some thousand events at a time.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

impl Default for History {
    /// Keeps 1,024 events and 16 MiB.
    fn default() -> Self {
        Self::events(1024)
    }
}
