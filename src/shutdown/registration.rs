//! A stream in a shutdown's count.

use std::{error::Error, fmt, mem};

use super::Shutdown;

/// Counts one stream as open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    shutdown: Shutdown,
    /// The stream's key in the shutdown's map.
    key: u64,
}

impl Registration {
    pub(super) fn new(shutdown: Shutdown, key: u64) -> Self {
        Self { shutdown, key }
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (_stream, finished) = {
            let mut state = self.shutdown.lock();
            let stream = state.streams.remove(&self.key);
            if state.streams.is_empty() && state.streams.capacity() > 64 {
                // The memory of a burst of streams is given back.
                mem::take(&mut state.streams);
            }
            (stream, state.is_finished())
        };
        if finished {
            self.shutdown.notify_changed();
        }
    }
}

/// The error of a shutdown that did not finish in time: streams are still open, because their
/// clients stopped reading or because their handlers still use their grace period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownTimeout {
    streams: usize,
    started: bool,
}

impl ShutdownTimeout {
    pub(super) fn new(shutdown: &Shutdown) -> Self {
        Self { streams: shutdown.streams(), started: shutdown.is_started() }
    }

    /// Returns the number of streams that are still open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }
}

impl fmt::Display for ShutdownTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.started {
            return f.write_str("shutdown not finished in time: it has not started");
        }
        let plural = if self.streams == 1 { "stream is" } else { "streams are" };
        write!(f, "shutdown not finished in time: {} event {plural} still open", self.streams)
    }
}

impl Error for ShutdownTimeout {}
