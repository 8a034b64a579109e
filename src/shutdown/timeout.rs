//! The error of a shutdown that did not finish in time.

use std::{error::Error, fmt};

/// The error of a shutdown that did not finish in time: streams are still open, because their
/// clients stopped reading or because their handlers still use their grace period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownTimeout {
    streams: usize,
    started: bool,
}

impl ShutdownTimeout {
    pub(super) fn new(streams: usize, started: bool) -> Self {
        Self { streams, started }
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
