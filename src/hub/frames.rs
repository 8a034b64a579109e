//! What was joined for one reader, for others of the same topics at the same place.

use bytes::{Bytes, BytesMut};

use super::{
    entry::Record,
    log::{Batch, Range},
    position::Position,
    slab::Key,
};

/// How many frames are kept: readers at the same place come one after the other.
const KEPT: usize = 8;
/// Up to which length a record may be kept for its id alone, in bytes.
const SMALL: usize = 256;

/// Records of one reader, joined.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) events: usize,
    /// It may be kept as it is.
    pub(super) last_id: Option<Bytes>,
    /// Where a reader stands that has it.
    pub(super) upto: Position,
}

impl Frame {
    /// Joins what was collected; none if that is nothing. Entries of the state have no ids.
    pub(super) fn join(batch: &Batch, is_state: bool) -> Option<Self> {
        let first = batch.first.as_ref()?;
        let (events, upto) = (batch.len(), batch.upto);
        if batch.more.is_empty() {
            let (bytes, last_id) = if is_state {
                (first.without_id(), None)
            } else {
                (first.bytes.clone(), Some(kept_id(first)))
            };
            return Some(Self { bytes, events, last_id, upto });
        }
        let mut bytes = BytesMut::with_capacity(batch.bytes());
        let mut last_id = None;
        for record in batch.records() {
            if is_state {
                bytes.extend_from_slice(&record.bytes[record.id.end + 1..]);
            } else {
                last_id = Some(record);
                bytes.extend_from_slice(&record.bytes);
            }
        }
        let last_id = last_id.map(|record| kept_id(record));
        Some(Self { bytes: bytes.freeze(), events, last_id, upto })
    }
}

/// Returns the id of a record, as readers may keep it: with the record if that is small.
fn kept_id(record: &Record) -> Bytes {
    let id = record.id_bytes();
    if record.bytes.len() <= SMALL { id } else { Bytes::copy_from_slice(&id) }
}

/// The last frames that were made.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kept: Vec<(Key, Range, Frame)>,
    next: usize,
    /// How often something was forgotten: a frame that was made before may be wrong.
    pub(super) age: u64,
}

impl Frames {
    pub(super) fn find(&self, feed: Key, range: Range) -> Option<&Frame> {
        let (newer, older) = self.kept.split_at(self.next);
        let mut newest_first = newer.iter().rev().chain(older.iter().rev());
        let found = newest_first.find(|(of, from, _)| *of == feed && *from == range);
        found.map(|(_, _, frame)| frame)
    }

    pub(super) fn keep(&mut self, feed: Key, range: Range, frame: Frame) {
        if self.kept.len() < KEPT {
            self.kept.push((feed, range, frame));
        } else {
            self.kept[self.next] = (feed, range, frame);
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// Forgets frames that hold the record of this position, which is no longer to be given.
    pub(super) fn forget(&mut self, position: Position) {
        self.age += 1;
        self.kept.retain(|(_, range, frame)| range.after >= position || frame.upto < position);
        self.next = self.kept.len() % KEPT;
    }

    pub(super) fn forget_feed(&mut self, feed: Key) {
        self.kept.retain(|(of, ..)| *of != feed);
        self.next = self.kept.len() % KEPT;
    }
}
