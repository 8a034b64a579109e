//! Joined chunks, shared by readers of the same group at the same place.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    batch::{ReadRange, RecordBatch},
    counters::Head,
    record::{Record, Seq},
};
use crate::hub::backend::Position;

/// How many chunks are cached. Readers at the same place come shortly after each other, so a few are
/// enough.
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
    /// Records after the one with the last ID were left out.
    pub(in crate::hub) is_past_id: bool,
    /// The place of a reader that was given this chunk.
    pub(in crate::hub) end: Seq,
    /// The position in the log of that place.
    pub(in crate::hub) end_position: Position,
}

impl JoinedChunk {
    /// Makes a chunk of one record, which is shared as it is, for a reader that then is at `end`.
    #[inline]
    pub(super) fn of_one(record: &Record, end: Head) -> Self {
        Self {
            bytes: record.bytes.clone(),
            events: 1,
            last_id: Some(kept_id(record)),
            is_past_id: false,
            end: end.seq,
            end_position: end.position,
        }
    }

    /// Joins the records of a batch. Returns `None` if it has none. Records of the state are joined
    /// without their IDs.
    pub(in crate::hub) fn join(batch: &RecordBatch, is_state: bool) -> Option<Self> {
        let first = batch.first.as_ref()?;
        let (events, end, end_position) = (batch.len(), batch.end, batch.end_position);
        let is_past_id = batch.is_past_last;
        // One record is shared as it is.
        if batch.more.is_empty() {
            let (bytes, last_id) = if is_state {
                (first.bytes_without_id(), None)
            } else {
                (first.bytes.clone(), Some(kept_id(first)))
            };
            return Some(Self { bytes, events, last_id, is_past_id, end, end_position });
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
        let bytes = bytes.freeze();
        Some(Self { bytes, events, last_id, is_past_id, end, end_position })
    }

    /// Joins entries with other events than those of their records. Returns `None` if there are
    /// none.
    pub(in crate::hub) fn join_entries(
        entries: &[Bytes],
        batch: &RecordBatch,
        is_state: bool,
    ) -> Option<Self> {
        let last = batch.records().last()?;
        let mut bytes = BytesMut::with_capacity(entries.iter().map(Bytes::len).sum());
        entries.iter().for_each(|entry| bytes.extend_from_slice(entry));
        Some(Self {
            bytes: bytes.freeze(),
            events: entries.len(),
            last_id: (!is_state).then(|| kept_id(last)),
            is_past_id: false,
            end: batch.end,
            end_position: batch.end_position,
        })
    }
}

/// Returns the ID of a record for readers to keep. It is a slice of the record if that is small,
/// and a copy otherwise.
fn kept_id(record: &Record) -> Bytes {
    let id = record.id_bytes();
    if record.bytes.len() <= MAX_KEPT_FOR_ID { id } else { Bytes::copy_from_slice(&id) }
}

/// The chunks that were joined last. It has a lock of its own, which readers take once for a chunk of
/// several records.
#[derive(Debug, Default)]
pub(in crate::hub) struct ChunkCache {
    /// The chunks.
    chunks: Vec<CachedChunk>,
    /// The index in `chunks` that is written next, once the cache is full. The newest chunk is
    /// before it, the oldest is at it.
    next: usize,
}

/// A chunk, and what it was joined for.
#[derive(Debug)]
struct CachedChunk {
    /// The number of the group.
    group: u64,
    /// The place after which it starts.
    after: Seq,
    /// It has the current records of keys only.
    is_state: bool,
    /// The chunk.
    chunk: JoinedChunk,
    /// Its records. A chunk is given to readers only while none of them is removed.
    records: Box<[Arc<Record>]>,
    /// Some of the records have a time to live.
    may_expire: bool,
    /// The number of removals when the records were last found not to be removed.
    removals: u64,
}

impl ChunkCache {
    /// Returns the chunk that was joined for a group and a range, unless one of its records was
    /// removed. `removals` is the present number of removals.
    pub(in crate::hub) fn find(
        &mut self,
        group: u64,
        range: ReadRange,
        removals: u64,
        too_old: Option<Instant>,
    ) -> Option<JoinedChunk> {
        let index = self.chunks.iter().position(|it| {
            it.group == group
                && it.after == range.after
                && it.is_state == range.is_state
                && it.chunk.end <= range.to.seq
        })?;
        let cached = &mut self.chunks[index];
        let is_retained =
            cached.removals == removals || cached.records.iter().all(|record| !record.is_removed());
        // The first record is the oldest, but any record may have a time to live of its own.
        let may_be_old = too_old.is_some() || cached.may_expire;
        let is_young =
            || !may_be_old || cached.records.iter().all(|record| record.is_young(too_old));
        if !is_retained || !is_young() {
            self.chunks.swap_remove(index);
            self.next = self.next.min(self.chunks.len());
            return None;
        }
        cached.removals = removals;
        Some(cached.chunk.clone())
    }

    /// Caches a chunk. `removals` is the number of removals before its records were collected.
    /// Returns the chunk that it replaces, to be dropped without the lock.
    pub(in crate::hub) fn insert(
        &mut self,
        group: u64,
        range: ReadRange,
        chunk: JoinedChunk,
        batch: &RecordBatch,
        removals: u64,
    ) -> impl Sized + use<> {
        let records = batch.records().cloned().collect();
        let may_expire = batch.records().any(|record| record.expires_at.is_some());
        let ReadRange { after, is_state, .. } = range;
        let cached = CachedChunk { group, after, is_state, chunk, records, may_expire, removals };
        let old = if self.chunks.len() < CACHED_CHUNKS {
            self.chunks.push(cached);
            None
        } else {
            self.next %= CACHED_CHUNKS;
            Some(std::mem::replace(&mut self.chunks[self.next], cached))
        };
        self.next = (self.next + 1) % CACHED_CHUNKS;
        old
    }
}
