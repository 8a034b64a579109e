//! The connection of a node to the log. It always works, except in tests.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::hub::backend::error::Fault;

#[derive(Debug, Default)]
pub(super) struct Link {
    /// Calls fail.
    pub(super) is_unavailable: AtomicBool,
    /// Calls wait.
    pub(super) is_stalled: AtomicBool,
    /// Appends are refused.
    pub(super) refuses: AtomicBool,
    /// The answer to the next append is lost.
    pub(super) loses_answer: AtomicBool,
}

impl Link {
    /// Returns whether a call may be made now. `false` is to wait for a change.
    pub(super) fn is_open(&self) -> Result<bool, Fault> {
        if self.is_unavailable.load(Ordering::Acquire) {
            Err(Fault::Unavailable)
        } else {
            Ok(!self.is_stalled.load(Ordering::Acquire))
        }
    }
}
