//! What a reader asks for, and the records that it is given.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    counters::Head,
    record::{Record, Seq},
};
use crate::{channel::MAX_SEGMENT, hub::backend::Position};

/// The records that a reader is to be given next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct ReadRange {
    /// The place after which the range starts.
    pub(in crate::hub) after: Seq,
    /// The last place of the range, and its position in the log.
    pub(in crate::hub) to: Head,
    /// Only the current records of keys are read, without their IDs.
    pub(in crate::hub) is_state: bool,
}

/// How much a reader takes at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct ReadLimit {
    /// The most records.
    pub(in crate::hub) records: usize,
    /// Records that were published at this time or before are too old. `None` if there is no bound
    /// in age.
    pub(in crate::hub) too_old: Option<Instant>,
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
    /// The place up to which the feeds were searched. All records of the range up to here are in the
    /// batch.
    pub(in crate::hub) end: Seq,
    /// The position in the log of that place.
    pub(in crate::hub) end_position: Position,
    /// Some records were left out, since they are too old or not for readers.
    pub(in crate::hub) has_skipped: bool,
    /// Records after the last one were left out, although readers are given them: a reader that
    /// resumes after the last one would be given them.
    pub(in crate::hub) is_past_last: bool,
    /// The last border between segments in the batch.
    border: Option<Border>,
}

/// What a batch has up to a border between segments.
#[derive(Clone, Copy)]
struct Border {
    is_end_of_chunk: bool,
    more: usize,
    bytes: usize,
    end: Seq,
    end_position: Position,
}

impl RecordBatch {
    pub(super) fn new(after: Seq) -> Self {
        Self { end: after, ..Self::default() }
    }

    /// Remembers that the batch may end here, at the border of a segment. At the first border at which
    /// chunks end, it ends if it cannot take all.
    pub(super) fn set_border(&mut self, is_end_of_chunk: bool) {
        if self.border.is_some_and(|border| border.is_end_of_chunk) {
            return;
        }
        self.border = Some(Border {
            is_end_of_chunk,
            more: self.more.len(),
            bytes: self.bytes,
            end: self.end,
            end_position: self.end_position,
        });
    }

    /// Ends the batch at the last border, if there is one within it.
    pub(super) fn cut_at_border(&mut self) {
        if let Some(Border { more, bytes, end, end_position, .. }) = self.border.take() {
            self.more.truncate(more);
            (self.bytes, self.end, self.end_position) = (bytes, end, end_position);
        }
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

    /// Creates a batch without records that ends where another one does.
    pub(in crate::hub) fn empty_like(other: &Self) -> Self {
        Self { end: other.end, end_position: other.end_position, ..Self::default() }
    }

    /// Creates a batch of one record that is in no feed.
    pub(in crate::hub) fn of(record: &Arc<Record>) -> Self {
        let mut batch = Self { end_position: record.position, ..Self::default() };
        batch.push(record, usize::MAX);
        batch
    }

    /// Adds a record that is in no feed and returns true, unless the batch is full.
    pub(in crate::hub) fn try_keep(&mut self, record: &Arc<Record>) -> bool {
        self.push(record, usize::MAX)
    }

    /// Adds a record of another batch.
    pub(in crate::hub) fn keep(&mut self, record: &Arc<Record>) {
        self.push(record, usize::MAX);
    }

    /// Returns the place of the last record.
    pub(in crate::hub) fn last_seq(&self) -> Option<Seq> {
        self.records().last().map(|record| record.seq)
    }

    pub(in crate::hub) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(in crate::hub) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.first.iter().chain(&self.more)
    }
}
