//! A line whose end has not been received yet.
//!
//! Its bytes are stored where they are needed later: data in the data buffer of its block, anything
//! else in a buffer here. So no byte is searched twice for a line end, and data is copied only
//! once.

use std::mem;

use super::{block::Block, buffer, error::Limits, field::partial_data_value, plain::plain_length};

/// How many bytes are checked before they are copied, so that they are still in the processor's
/// cache.
const CACHE_BLOCK: usize = 4 << 10;

/// The line that the end of the text has split, if any.
#[derive(Clone, Debug, Default)]
pub(super) struct PartialLine {
    /// What is known of the line so far.
    state: PartialLineState,
    /// The number of bytes received so far.
    length: usize,
    /// The offset in the stream of its first byte.
    offset: u64,
    /// Its bytes, if the state is `Buffered`; otherwise empty.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PartialLineState {
    /// There is no partial line: the next byte starts a line.
    #[default]
    None,
    /// Its bytes are in the buffer.
    Buffered,
    /// It is a line of data. Its value is in the block.
    Data,
}

/// A partial line that exceeds a limit.
#[derive(Debug)]
pub(super) struct LineTooLong;

impl PartialLine {
    /// Returns whether there is a partial line.
    #[inline]
    pub(super) fn exists(&self) -> bool {
        self.state != PartialLineState::None
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Starts a line at this offset, unless there is one already.
    pub(super) fn start(&mut self, offset: u64) {
        if self.state == PartialLineState::None {
            self.state = PartialLineState::Buffered;
            self.offset = offset;
            self.length = 0;
        }
    }

    /// Appends bytes that contain no line end.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        block: &mut Block,
        limits: Limits,
    ) -> Result<(), LineTooLong> {
        self.length += bytes.len();
        if self.length > limits.max_line(block.bytes) {
            return Err(LineTooLong);
        }
        if self.state == PartialLineState::Data {
            block.continue_data_line(bytes, limits);
        } else if let (true, Some(value)) = (self.buffer.is_empty(), partial_data_value(bytes)) {
            self.state = PartialLineState::Data;
            block.start_data_line(&[], value, limits);
        } else {
            self.push_to_buffer(bytes, block, limits);
        }
        Ok(())
    }

    fn push_to_buffer(&mut self, bytes: &[u8], block: &mut Block, limits: Limits) {
        buffer::reserve(&mut self.buffer, bytes.len(), limits.line);
        self.buffer.extend_from_slice(bytes);
        if let Some(value) = partial_data_value(&self.buffer) {
            self.state = PartialLineState::Data;
            block.start_data_line(&[], value, limits);
            buffer::clear(&mut self.buffer);
        }
    }

    /// Appends the start of a chunk if this is a line of data, as far as it is printable ASCII.
    /// Returns how many bytes were appended; the others must be decoded as usual.
    #[inline]
    pub(super) fn push_plain_data(
        &mut self,
        chunk: &[u8],
        block: &mut Block,
        limits: Limits,
    ) -> usize {
        let is_data = self.state == PartialLineState::Data;
        // A line that may become too long takes the usual way, which reports it.
        if !is_data || self.length + chunk.len() > limits.max_line(block.bytes) {
            return 0;
        }
        let mut read = 0;
        for bytes in chunk.chunks(CACHE_BLOCK) {
            let plain = plain_length(bytes);
            block.continue_data_line(&bytes[..plain], limits);
            read += plain;
            if plain < bytes.len() {
                break;
            }
        }
        self.length += read;
        read
    }

    /// Ends the line. Returns its bytes, or `None` if it was data, which the block has already.
    /// Give the buffer back with [`reuse`](Self::reuse).
    pub(super) fn finish(&mut self, block: &mut Block) -> Option<Vec<u8>> {
        block.bytes += self.length;
        match mem::take(&mut self.state) {
            PartialLineState::Data => None,
            PartialLineState::None | PartialLineState::Buffered => {
                Some(mem::take(&mut self.buffer))
            }
        }
    }

    /// Takes a buffer for the next partial line.
    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>) {
        buffer::clear(&mut buffer);
        self.buffer = buffer;
    }

    /// Discards the bytes of the line. The line itself goes on.
    pub(super) fn clear(&mut self) {
        buffer::clear(&mut self.buffer);
    }

    /// Ends the line without using it. Returns whether there was one.
    pub(super) fn discard(&mut self) -> bool {
        mem::take(&mut self.state) != PartialLineState::None
    }
}
