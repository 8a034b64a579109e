//! Changes of presence: a topic gets its first reader, or loses its last one.

use std::collections::VecDeque;

use crate::hub::topic::Topic;

/// A change of a topic's readers: the first one has come, or the last one has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum ReaderPresence {
    /// The first reader that names it has subscribed.
    First,
    /// The last reader that named it has left.
    Last,
}

/// The changes of presence that hooks have yet to be called for, in the order in which they happened.
pub(in crate::hub) struct PresenceQueue {
    /// The changes.
    changes: VecDeque<(Topic, ReaderPresence)>,
    /// A hook is set, so changes are recorded.
    is_tracked: bool,
    /// A thread or task calls the hooks. It also calls those for later changes, or hands them on, so
    /// that hooks never run at the same time and never out of order.
    is_running: bool,
}

impl PresenceQueue {
    pub(super) fn new(is_tracked: bool) -> Self {
        Self { changes: VecDeque::new(), is_tracked, is_running: false }
    }

    pub(super) fn push(&mut self, topic: &Topic, change: ReaderPresence) {
        if self.is_tracked {
            self.changes.push_back((topic.clone(), change));
        }
    }

    /// Returns whether hooks have to be called and nobody calls them yet. Then the caller must.
    pub(in crate::hub) fn start(&mut self) -> Option<usize> {
        if self.is_running || self.changes.is_empty() {
            return None;
        }
        self.is_running = true;
        Some(self.changes.len())
    }

    /// Ends the calls that [`start`](Self::start) has begun, although there may be changes left.
    pub(in crate::hub) fn stop(&mut self) {
        self.is_running = false;
    }

    /// Takes the next change, or ends the calls that [`start`](Self::start) has begun.
    pub(in crate::hub) fn next(&mut self) -> Option<(Topic, ReaderPresence)> {
        let next = self.changes.pop_front();
        if next.is_none() {
            self.is_running = false;
            self.changes.shrink_to(16);
        }
        next
    }
}
