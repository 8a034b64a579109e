//! What a reader asks for, and the records that it is given.

use std::sync::Arc;

use super::record::Record;
use crate::{channel::MAX_SEGMENT, hub::position::Position};

/// The records that a reader is to be given next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct ReadRange {
    /// The position after which the range starts.
    pub(in crate::hub) after: Position,
    /// The last position of the state, if only the state is read: the current records of keys. If
    /// `None`, the range contains all records after `after`.
    pub(in crate::hub) state_to: Option<Position>,
}

/// Consecutive records of one reader.
#[derive(Default)]
pub(in crate::hub) struct RecordBatch {
    /// The first record. It is not part of `more`, so that a batch of one needs no allocation.
    pub(in crate::hub) first: Option<Arc<Record>>,
    /// The records after the first.
    pub(in crate::hub) more: Vec<Arc<Record>>,
    /// The sum of their encoded lengths.
    pub(super) bytes: usize,
    /// The position up to which the log was searched. All records of the range up to here are in
    /// the batch.
    pub(in crate::hub) end: Position,
}

impl RecordBatch {
    pub(super) fn new(after: Position) -> Self {
        Self { end: after, ..Self::default() }
    }

    /// Adds a record and returns true, unless the batch is full.
    pub(super) fn push(&mut self, record: &Arc<Record>, max_records: usize) -> bool {
        let len = record.bytes.len();
        if self.first.is_none() {
            self.first = Some(record.clone());
        } else if self.more.len() + 1 < max_records && self.bytes + len <= MAX_SEGMENT {
            self.more.push(record.clone());
        } else {
            return false;
        }
        self.bytes += len;
        true
    }

    pub(in crate::hub) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.first.iter().chain(&self.more)
    }
}
