//! Joined chunks, shared by readers of the same group at the same position.

use bytes::{Bytes, BytesMut};

use super::{
    batch::{ReadRange, RecordBatch},
    keys::GroupKey,
    record::Record,
};
use crate::hub::position::Position;

/// How many chunks are cached. Readers at the same position come shortly after each other, so a few
/// are enough.
const CACHED_CHUNKS: usize = 8;
/// The longest record, in bytes, that may be kept in memory for its ID alone.
const MAX_KEPT_FOR_ID: usize = 256;

/// Consecutive records of a reader, joined to one chunk that is written to its client at once.
#[derive(Clone, Debug)]
pub(in crate::hub) struct JoinedChunk {
    /// The encoded events.
    pub(in crate::hub) bytes: Bytes,
    /// How many events these are.
    pub(in crate::hub) events: usize,
    /// The last event ID in `bytes`. Readers may keep it without a copy. `None` if the events
    /// belong to the state, where they have no ID.
    pub(in crate::hub) last_id: Option<Bytes>,
    /// The position of a reader that was given this chunk.
    pub(in crate::hub) end: Position,
}

impl JoinedChunk {
    /// Joins the records of a batch. Returns `None` if it has none. Records of the state are joined
    /// without their IDs.
    pub(in crate::hub) fn join(batch: &RecordBatch, is_state: bool) -> Option<Self> {
        let first = batch.first.as_ref()?;
        let (events, end) = (batch.len(), batch.end);
        // One record is shared as it is.
        if batch.more.is_empty() {
            let (bytes, last_id) = if is_state {
                (first.bytes_without_id(), None)
            } else {
                (first.bytes.clone(), Some(kept_id(first)))
            };
            return Some(Self { bytes, events, last_id, end });
        }
        let mut bytes = BytesMut::with_capacity(batch.bytes);
        let mut last = None;
        for record in batch.records() {
            if is_state {
                bytes.extend_from_slice(record.without_id());
            } else {
                last = Some(record);
                bytes.extend_from_slice(&record.bytes);
            }
        }
        let last_id = last.map(|record| kept_id(record));
        Some(Self { bytes: bytes.freeze(), events, last_id, end })
    }
}

/// Returns the ID of a record for readers to keep. It is a slice of the record if that is small,
/// and a copy otherwise.
fn kept_id(record: &Record) -> Bytes {
    let id = record.id_bytes();
    if record.bytes.len() <= MAX_KEPT_FOR_ID { id } else { Bytes::copy_from_slice(&id) }
}

/// The chunks that were joined last.
///
/// Invariant: a cached chunk holds only records that are retained, and all records of its range up
/// to its end. Records are only removed by [`Log::remove`](super::Log::remove), which calls
/// [`forget_record`](Self::forget_record).
#[derive(Debug, Default)]
pub(in crate::hub) struct ChunkCache {
    /// The chunks, each with the group and the range that it was joined for.
    chunks: Vec<(GroupKey, ReadRange, JoinedChunk)>,
    /// The index in `chunks` that is written next, once the cache is full. The newest chunk is
    /// before it, the oldest is at it.
    next: usize,
    /// How many times a record was removed. A chunk is joined without the lock, and is cached only
    /// if this number has not changed meanwhile: otherwise one of its records may be gone.
    pub(in crate::hub) removals: u64,
}

impl ChunkCache {
    pub(in crate::hub) fn find(&self, group: GroupKey, range: ReadRange) -> Option<&JoinedChunk> {
        let (newer, older) = self.chunks.split_at(self.next);
        let mut newest_first = newer.iter().rev().chain(older.iter().rev());
        let found = newest_first.find(|(of, from, _)| *of == group && *from == range);
        found.map(|(_, _, chunk)| chunk)
    }

    pub(in crate::hub) fn insert(&mut self, group: GroupKey, range: ReadRange, chunk: JoinedChunk) {
        if self.chunks.len() < CACHED_CHUNKS {
            self.chunks.push((group, range, chunk));
        } else {
            self.chunks[self.next] = (group, range, chunk);
        }
        self.next = (self.next + 1) % CACHED_CHUNKS;
    }

    /// Forgets the chunks that contain the record at this position, which was removed.
    pub(super) fn forget_record(&mut self, position: Position) {
        self.removals += 1;
        self.chunks.retain(|(_, range, chunk)| range.after >= position || chunk.end < position);
        self.next = self.chunks.len() % CACHED_CHUNKS;
    }

    /// Forgets the chunks of a group that was removed.
    pub(super) fn forget_group(&mut self, group: GroupKey) {
        self.chunks.retain(|(of, ..)| *of != group);
        self.next = self.chunks.len() % CACHED_CHUNKS;
    }
}
