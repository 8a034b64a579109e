//! Readers, and what an application can see of them.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use super::{
    keys::{GroupKey, ReaderKey},
    slab::Slab,
};
use crate::hub::topic::Topic;

/// The readers of a log.
pub(in crate::hub) struct ReaderTable {
    /// The readers.
    pub(in crate::hub) by_key: Slab<ReaderKey, Reader>,
    /// The presence changes that the hooks have yet to be called for.
    pub(in crate::hub) presence: PresenceQueue,
    /// An empty vector, kept for its capacity: publishing collects wakers in it.
    pub(super) spare_wakers: Vec<Waker>,
    /// How many times a reader was found to lag.
    pub(in crate::hub) lagged: u64,
    /// How many subscriptions were resumed with a gap.
    pub(in crate::hub) gaps: u64,
}

/// A reader, without its position.
pub(in crate::hub) struct Reader {
    /// The group that it belongs to.
    pub(in crate::hub) group: GroupKey,
    /// The waker of the task that waits: for a record while `waiting_at` is `Some`, otherwise only
    /// for `Hub::disconnect`.
    pub(super) waker: Option<Waker>,
    /// Its index in the group's `waiting`. `Some` exactly while it stands in that list.
    pub(super) waiting_at: Option<u32>,
    /// `Hub::disconnect` has ended it. It reads nothing any more.
    pub(in crate::hub) is_cut: bool,
    /// The request's extensions, or those set by `Subscription::extensions`, by which
    /// `Hub::disconnect` finds the reader. `None` if there are none and the reader is not a body.
    pub(in crate::hub) session: Option<Arc<http::Extensions>>,
}

/// A change of a topic's readers: the first one has come, or the last one has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum ReaderPresence {
    /// The first reader that names it has subscribed.
    First,
    /// The last reader that named it has left.
    Last,
}

/// The changes of presence, in the order in which they happened.
pub(in crate::hub) struct PresenceQueue {
    /// The changes for which the hooks have yet to be called.
    pub(in crate::hub) changes: VecDeque<(Topic, ReaderPresence)>,
    /// A hook is set, so changes are recorded.
    is_tracked: bool,
    /// A thread is calling a hook. It also calls those for later changes, so that hooks never run
    /// at the same time and never out of order.
    pub(in crate::hub) hook_running: bool,
}

impl ReaderTable {
    pub(super) fn new(tracks_presence: bool) -> Self {
        Self {
            by_key: Slab::default(),
            presence: PresenceQueue {
                changes: VecDeque::new(),
                is_tracked: tracks_presence,
                hook_running: false,
            },
            spare_wakers: Vec::new(),
            lagged: 0,
            gaps: 0,
        }
    }
}

impl Reader {
    pub(super) fn new(group: GroupKey) -> Self {
        Self { group, waker: None, waiting_at: None, is_cut: false, session: None }
    }
}

impl PresenceQueue {
    pub(super) fn push(&mut self, topic: &Topic, change: ReaderPresence) {
        if self.is_tracked {
            self.changes.push_back((topic.clone(), change));
        }
    }
}
