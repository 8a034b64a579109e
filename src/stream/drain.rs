//! The rest of a body after the last event.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::timer::saturating_add;

/// How long the rest of a body is read.
const MAX_TIME: Duration = Duration::from_millis(50);

/// How many bytes of the rest of a body are read.
const MAX_BYTES: usize = 4 << 10;

/// The limits within which the rest of a body is read after the last event.
///
/// Over HTTP/1.1 a connection can be used again only if the whole body was read, and most servers
/// end the body right after the last event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    pub(crate) deadline: Instant,
    bytes_left: usize,
}

impl Drain {
    pub(crate) fn new(now: Instant) -> Self {
        Self { deadline: saturating_add(now, MAX_TIME), bytes_left: MAX_BYTES }
    }

    /// Handles a chunk. Returns whether more may be read.
    pub(crate) fn handle_chunk(&mut self, chunk: &Bytes) -> bool {
        let left = self.bytes_left.checked_sub(chunk.len());
        self.bytes_left = left.unwrap_or_default();
        left.is_some()
    }
}
