//! The current chunk, and the position of the parser in it.
//!
//! The chunk is not moved while it is read, and positions refer into it: a value that was just
//! changed is slow to move.

use std::mem;

use bytes::Bytes;

/// The current chunk. Its text is the range that is known to be UTF-8.
///
/// Invariant: `position <= text_end <= chunk.len()` while there is text; otherwise `text_end` is 0
/// or equals `position`.
#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    /// Empty if there is no chunk.
    pub(super) chunk: Bytes,
    /// The number of bytes that have been read.
    pub(super) position: usize,
    /// The end of the text that starts at `position`. 0 if the chunk has not been decoded yet.
    pub(super) text_end: usize,
    /// The offset of the chunk's first byte in the stream.
    offset: u64,
}

impl Input {
    /// Sets the next chunk, of which the first `read` bytes have been read. The previous chunk must
    /// have been released.
    #[inline]
    pub(super) fn set_chunk(&mut self, chunk: Bytes, read: usize) {
        self.chunk = chunk;
        self.position = read;
    }

    /// Counts a chunk that was read without being stored here.
    #[inline]
    pub(super) fn skip(&mut self, length: usize) {
        self.offset += length as u64;
    }

    /// Drops the chunk, because its memory would otherwise stay allocated until the next one.
    #[inline]
    pub(super) fn release_chunk(&mut self) {
        let chunk = mem::take(&mut self.chunk);
        self.skip(chunk.len());
        (self.position, self.text_end) = (0, 0);
    }

    /// Returns whether there is no chunk.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Returns whether text of the chunk has been decoded. It may have been read already.
    #[inline]
    pub(super) fn has_text(&self) -> bool {
        self.text_end > 0
    }

    /// Returns the bytes that have not been read, decoded or not.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.chunk[self.position..]
    }

    /// Returns the text that has not been read.
    #[inline]
    pub(super) fn text(&self) -> &[u8] {
        &self.chunk[self.position..self.text_end]
    }

    /// Returns the offset in the stream of a byte of the chunk.
    #[inline]
    pub(super) fn offset_of(&self, position: usize) -> u64 {
        self.offset + position as u64
    }
}
