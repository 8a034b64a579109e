//! The health of a hub's backend.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::backend::BackendError;
use crate::{metrics, trace};

/// The health of a hub's backend, as one node sees it. Returned by [`Hub::health`](super::Hub::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the last call of the backend was answered. A hub without a backend is always up.
    pub is_up: bool,
    /// The last error of the backend, also if it is up again.
    pub last_error: Option<String>,
    /// How many calls of the backend have failed. Each of them was repeated.
    pub errors: u64,
    /// The age of the newest entry when the node received it: the delay with which the node follows the log.
    /// NATS compares the clocks of the node and of the server. Zero if the backend does not know
    /// [ages](super::backend::LogEntry::age).
    pub lag: Duration,
    /// How many pages of older events were read from the backend.
    pub replays: u64,
    /// How many entries of the log were skipped, because no hub has written them and they are not
    /// events.
    pub junk: u64,
}

/// What a node has seen of its backend.
#[derive(Debug)]
pub(super) struct HealthRecord {
    is_up: AtomicBool,
    last_error: Mutex<Option<String>>,
    errors: AtomicU64,
    lag_micros: AtomicU64,
    replays: AtomicU64,
    junk: AtomicU64,
}

impl HealthRecord {
    pub(super) fn new() -> Self {
        metrics::backend_up(true);
        Self {
            is_up: AtomicBool::new(true),
            last_error: Mutex::default(),
            errors: AtomicU64::new(0),
            lag_micros: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            junk: AtomicU64::new(0),
        }
    }

    /// Records a call that was answered.
    pub(super) fn answered(&self) {
        // Most calls are. They write nothing.
        if !self.is_up.load(Relaxed) && !self.is_up.swap(true, Relaxed) {
            metrics::backend_up(true);
            trace::backend_is_up();
        }
    }

    /// Records a call that has failed.
    pub(super) fn failed(&self, error: &BackendError) {
        self.errors.fetch_add(1, Relaxed);
        metrics::backend_failed();
        let text = error.to_string();
        if self.is_up.swap(false, Relaxed) {
            metrics::backend_up(false);
            trace::backend_failed(true, &text);
        } else {
            trace::backend_failed(false, &text);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// Records the age of an entry when it was received.
    pub(super) fn arrived_after(&self, lag: Duration) {
        self.lag_micros.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Relaxed);
        metrics::backend_lag(lag);
    }

    /// Records that a page of older events was read.
    pub(super) fn replayed(&self) {
        self.replays.fetch_add(1, Relaxed);
        metrics::backend_replayed();
    }

    /// Records entries that were skipped.
    pub(super) fn skipped(&self, junk: u64) {
        if junk == 0 {
            return;
        }
        metrics::backend_junk(junk);
        if self.junk.fetch_add(junk, Relaxed) == 0 {
            trace::backend_junk();
        }
    }

    pub(super) fn health(&self) -> Health {
        Health {
            is_up: self.is_up.load(Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            errors: self.errors.load(Relaxed),
            lag: Duration::from_micros(self.lag_micros.load(Relaxed)),
            replays: self.replays.load(Relaxed),
            junk: self.junk.load(Relaxed),
        }
    }
}

impl Health {
    /// The health of a hub whose log is in memory.
    pub(super) fn of_memory() -> Self {
        Self { is_up: true, last_error: None, errors: 0, lag: Duration::ZERO, replays: 0, junk: 0 }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.is_up, &self.last_error) {
            (true, _) => f.write_str("up"),
            (false, Some(error)) => write!(f, "down: {error}"),
            (false, None) => f.write_str("down"),
        }
    }
}
