//! The bounds of the history.

use std::time::Duration;

/// How much a topic, or a whole hub, retains: bounds in events, bytes and age. When a bound is
/// exceeded, the oldest events are removed first.
///
/// Retained events serve reconnecting readers, slow readers, and the state of keys. A reader that
/// has not read an event before it is removed by a bound in events or bytes
/// [lags](super::Lagging). A key whose entry is removed is no longer part of the state.
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
    /// The maximum number of events, at least one.
    pub(super) events: usize,
    /// The maximum cost of all events, in bytes.
    pub(super) bytes: usize,
    /// The age from which an event is expired.
    pub(super) age: Option<Duration>,
}

impl History {
    /// Retains this number of events, at least one, and at most 16 MiB.
    pub const fn events(events: usize) -> Self {
        Self { events: if events == 0 { 1 } else { events }, bytes: 16 << 20, age: None }
    }

    /// Retains any number of events. Set another limit.
    pub const fn unlimited_events() -> Self {
        Self::events(usize::MAX)
    }

    /// Sets how many bytes are retained. Defaults to 16 MiB.
    ///
    /// An event counts with its encoded length and about 256 bytes of overhead. A key adds its
    /// length and about 96 bytes. A topic counts with its name and about 640 bytes. An event that
    /// exceeds the limit on its own cannot be published.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Retains events for this long. Defaults to no limit.
    ///
    /// Expired events are not delivered to anyone, whether they have been removed or not. Over a backend, that
    /// holds for the memory of the node: the backend has bounds of its own. They are
    /// removed by the next publish, subscribe or [`Hub::stats`](super::Hub::stats) call, some hundred
    /// by each.
    ///
    /// A reader that has not read expired events is told of one gap for all of them. It is not
    /// evicted for that, and continues with the oldest event that has not expired.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }
}

impl Default for History {
    /// Retains 1,024 events and 16 MiB.
    fn default() -> Self {
        Self::events(1024)
    }
}
