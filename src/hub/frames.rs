//! What was joined for one reader, for others of the same topics at the same place.

use bytes::{Bytes, BytesMut};

use super::{
    log::{Batch, Range},
    position::Position,
    slab::Key,
};

/// How many frames are kept: readers at the same place come one after the other.
const KEPT: usize = 8;

/// Records of one reader, joined.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) events: usize,
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
                (first.bytes.clone(), Some(first.id_bytes()))
            };
            return Some(Self { bytes, events, last_id, upto });
        }
        let mut bytes = BytesMut::with_capacity(batch.bytes());
        let mut last_id = None;
        for record in batch.records() {
            if is_state {
                bytes.extend_from_slice(&record.bytes[record.id.end + 1..]);
            } else {
                last_id = Some(bytes.len() + record.id.start..bytes.len() + record.id.end);
                bytes.extend_from_slice(&record.bytes);
            }
        }
        let bytes = bytes.freeze();
        let last_id = last_id.map(|id| bytes.slice(id));
        Some(Self { bytes, events, last_id, upto })
    }
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
        let found = self.kept.iter().find(|(of, from, _)| *of == feed && *from == range);
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
