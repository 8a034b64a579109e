//! What readers see of a window without its lock.

use std::sync::{
    PoisonError, RwLock,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Acquire, Release, SeqCst},
    },
};

use super::record::Seq;
use crate::hub::backend::Position;

/// What readers see of a window without its lock.
#[derive(Debug)]
pub(in crate::hub) struct Counters {
    /// The newest record that readers may read.
    head: AtomicU64,
    /// How many records were removed. While it does not change, a record that was read is retained.
    removals: AtomicU64,
    /// How many readers there are.
    readers: AtomicUsize,
    /// Nothing will be published any more.
    is_closed: AtomicBool,
    /// The head again, with its position. `None` if places are positions, because the window is the
    /// log.
    head_position: Option<RwLock<Head>>,
    /// The last loss: everything up to a place, because the log is another one or has lost its end.
    lost: RwLock<LostLog>,
}

/// The newest record that readers may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Head {
    /// Its place in the window.
    pub(in crate::hub) seq: Seq,
    /// Its position in the log.
    pub(in crate::hub) position: Position,
}

/// A loss of all that the window had: the log is another one, or has lost its end.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct LostLog {
    /// The window has forgotten everything up to this place, whose position is the newest one of the log
    /// that is there now. Readers that have not read past it must be told of a gap.
    pub(in crate::hub) upto: Head,
    /// The log is another one, so no reader has read anything of it.
    pub(in crate::hub) is_other: bool,
}

impl Counters {
    /// Creates the counters of an empty window. `is_log` states that the window is the log, so that
    /// places are positions.
    pub(in crate::hub) fn new(is_log: bool) -> Self {
        Self {
            head: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            head_position: (!is_log).then(RwLock::default),
            lost: RwLock::default(),
        }
    }

    /// Returns whether the window is the log, so that places are positions.
    pub(in crate::hub) fn is_log(&self) -> bool {
        self.head_position.is_none()
    }

    /// Returns the newest record that readers may read. A reader asks for it first, then for
    /// records up to it, then for the coverage.
    #[inline]
    pub(in crate::hub) fn head(&self) -> Head {
        match &self.head_position {
            None => {
                let seq = self.head.load(SeqCst);
                Head { seq, position: Position::new(seq) }
            }
            Some(head) => *head.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn set_head(&self, seq: Seq, position: Position) {
        if let Some(head) = &self.head_position {
            *head.write().unwrap_or_else(PoisonError::into_inner) = Head { seq, position };
        }
        self.head.store(seq, SeqCst);
    }

    /// Returns the last loss, because the log is another one or has lost its end.
    pub(in crate::hub) fn lost(&self) -> LostLog {
        *self.lost.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before the coverage is raised, so that a reader that sees the coverage sees this.
    pub(super) fn set_lost(&self, lost: LostLog) {
        *self.lost.write().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    /// Returns how many records were removed.
    #[inline]
    pub(in crate::hub) fn removals(&self) -> u64 {
        self.removals.load(Acquire)
    }

    pub(super) fn count_removal(&self) {
        self.removals.fetch_add(1, Release);
    }

    /// Returns how many readers there are.
    pub(in crate::hub) fn readers(&self) -> usize {
        self.readers.load(Acquire)
    }

    pub(super) fn add_reader(&self) {
        self.readers.fetch_add(1, Release);
    }

    pub(in crate::hub) fn remove_reader(&self) {
        self.readers.fetch_sub(1, Release);
    }

    /// Returns whether nothing will be published any more.
    pub(in crate::hub) fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    pub(in crate::hub) fn close(&self) {
        self.is_closed.store(true, SeqCst);
    }
}
