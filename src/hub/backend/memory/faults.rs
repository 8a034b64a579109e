//! Faults of engines, simulated.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::Instant;

use super::{link::Link, shared::Shared};
use crate::hub::backend::position::Position;

/// Simulates the faults of an engine, for tests. Created by
/// [`MemoryBackend::faults`](super::MemoryBackend::faults).
///
/// The faults of the connection affect one node: the backend, its clones, and their tails. The
/// faults of the log affect all nodes. Tasks that wait are woken.
#[derive(Clone)]
pub struct MemoryFaults {
    shared: Arc<Shared>,
    link: Arc<Link>,
}

impl MemoryFaults {
    pub(super) fn new(shared: Arc<Shared>, link: Arc<Link>) -> Self {
        Self { shared, link }
    }

    /// While set, each call returns [`Fault::Unavailable`](crate::hub::backend::Fault::Unavailable).
    pub fn set_unavailable(&self, is_unavailable: bool) {
        self.set(&self.link.is_unavailable, is_unavailable);
    }

    /// While set, calls wait.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.set(&self.link.is_stalled, is_stalled);
    }

    /// While set, each append returns [`Fault::Refused`](crate::hub::backend::Fault::Refused).
    pub fn set_refusing(&self, refuses: bool) {
        self.set(&self.link.refuses, refuses);
    }

    /// The next append succeeds, but returns
    /// [`Fault::Unknown`](crate::hub::backend::Fault::Unknown).
    pub fn lose_next_answer(&self) {
        self.set(&self.link.loses_answer, true);
    }

    /// Removes all entries before this position, as if the log were out of its bounds.
    pub fn trim_before(&self, at: Position) {
        self.shared.lock().trim_before(at, Instant::now());
        self.shared.changed.notify_waiters();
    }

    /// Removes all entries after this position. Their places are given again, with another
    /// fingerprint.
    pub fn lose_after(&self, at: Position) {
        self.shared.lock().lose_after(at);
        self.shared.changed.notify_waiters();
    }

    /// Deletes the log and makes it again, with another identity.
    pub fn recreate(&self) {
        self.shared.lock().recreate();
        self.shared.changed.notify_waiters();
    }

    fn set(&self, flag: &AtomicBool, value: bool) {
        flag.store(value, Ordering::Release);
        self.shared.changed.notify_waiters();
    }
}

impl fmt::Debug for MemoryFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFaults").field("link", &self.link).finish_non_exhaustive()
    }
}
