//! The chunk that is read, and where in it the reading is.
//!
//! A chunk stays where it was put, and is told apart by positions, until all of it is read: what was
//! just changed is slow to move.

use std::mem;

use bytes::Bytes;

/// A chunk, of which a part is known to be text.
#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    pub(super) chunk: Bytes,
    /// How much of it was read.
    pub(super) position: usize,
    /// Up to where it is text, from the position on; 0 if it was not looked at.
    pub(super) text_end: usize,
    /// The offset of its first byte in the stream.
    offset: u64,
}

impl Input {
    /// Takes a chunk whose first bytes were read, in the place of one that is given up.
    #[inline]
    pub(super) fn put(&mut self, chunk: Bytes, read: usize) {
        self.chunk = chunk;
        self.position = read;
    }

    /// Passes over a chunk that was read before it was put here.
    #[inline]
    pub(super) fn pass(&mut self, length: usize) {
        self.offset += length as u64;
    }

    /// Lets go of the chunk: it would live as long as it is here.
    #[inline]
    pub(super) fn give_up(&mut self) {
        let chunk = mem::take(&mut self.chunk);
        self.pass(chunk.len());
        (self.position, self.text_end) = (0, 0);
    }

    /// Whether there is no chunk.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Whether there is a piece, be it read to its end.
    #[inline]
    pub(super) fn has_piece(&self) -> bool {
        self.text_end > 0
    }

    /// What is not read, be it text or not.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        &self.chunk[self.position..]
    }

    /// The text that is not read.
    #[inline]
    pub(super) fn text(&self) -> &[u8] {
        &self.chunk[self.position..self.text_end]
    }

    /// Returns where a byte of the chunk is in the stream.
    #[inline]
    pub(super) fn offset_of(&self, position: usize) -> u64 {
        self.offset + position as u64
    }
}
