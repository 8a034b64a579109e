//! A stream in a shutdown's count.

use tokio::time::Instant;

use super::handle::{Phase, Shutdown};
use crate::lifecycle::{StopRequest, StreamHandle};

/// Counts one stream as open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The shutdown that counts the stream.
    shutdown: Shutdown,
    /// The stream's key in the shutdown's map.
    key: u64,
}

impl Shutdown {
    /// Counts a stream, and asks it to end if the shutdown has started.
    pub(crate) fn register(&self, stream: &StreamHandle) -> Registration {
        let (key, request) = {
            let mut state = self.lock();
            let key = state.next_key;
            state.next_key += 1;
            state.streams.insert(key, stream.clone());
            let now = Instant::now();
            let request = match state.phase {
                Phase::Running => None,
                Phase::Started { since } => Some(self.farewell().request_late(now, since)),
                Phase::StartedNow { .. } => {
                    Some(StopRequest { begin: now, end: now, silent: true })
                }
            };
            (key, request)
        };
        if let Some(request) = request {
            self.request_stop(stream, request);
            // The stream may be overdue as soon as it is registered.
            self.notify_changed();
        }
        Registration { shutdown: self.clone(), key }
    }
}

impl Registration {
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shutdown.remove(self.key);
    }
}
