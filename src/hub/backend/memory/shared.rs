//! The log and its lock, and how tasks wait for changes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{link::Link, log::Log};
use crate::hub::{backend::error::Fault, history::History};

pub(super) struct Shared {
    log: Mutex<Log>,
    /// The bounds of the log, which do not change.
    pub(super) history: History,
    /// Notified after the log or a link has changed. A task that waits must create its `Notified`
    /// before it looks at them.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(history: History) -> Self {
        Self { log: Mutex::new(Log::new(history)), history, changed: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // No foreign code runs under the lock.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the link is stalled.
    pub(super) async fn reach(&self, link: &Link) -> Result<(), Fault> {
        loop {
            let changed = self.changed.notified();
            if link.is_open()? {
                return Ok(());
            }
            changed.await;
        }
    }
}
