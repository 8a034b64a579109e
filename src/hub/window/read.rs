//! Reading: the records of a group's sources, in the order of publication, without a lock.
//!
//! A reader first asks for the head, then collects records up to it, and then asks for the coverage.
//! Everything up to the head was appended before the head was stored, so nothing is left out. A
//! record that was trimmed during the search is at or before the coverage.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tokio::time::Instant;

use super::{
    batch::{ReadLimit, ReadRange, RecordBatch},
    chunk_cache::JoinedChunk,
    feed::{Border, Records, Segment, View},
    group::Group,
    limits::MAX_STEPS,
    record::{Record, Seq},
    steps,
};

impl Group {
    /// Collects the records of a range, at most what fits one chunk.
    ///
    /// The batch may end before the range does, also without a record, because the number of records
    /// visited in one call is limited. The caller continues at its `end`.
    pub(in crate::hub) fn collect(&self, range: ReadRange, limit: ReadLimit) -> RecordBatch {
        let mut batch = RecordBatch::new(range.after);
        let take = |batch: &mut RecordBatch, record: &Arc<Record>| {
            if !Self::gives(record, range.is_state, limit.too_old) {
                batch.has_skipped = true;
            } else if !batch.push(record, limit.records) {
                return false;
            }
            (batch.end, batch.end_position) = (record.seq, record.position);
            true
        };
        let is_searched = match &*self.sources {
            [source] => {
                let view = source.feed.view();
                visit_aligned(&mut batch, view.after(range.after), range.to.seq, take)
            }
            _ => {
                let views = self.views(range.after);
                let records =
                    Merged::new(&views, range.after).take_while(|it| it.seq <= range.to.seq);
                visit(&mut batch, records, take)
            }
        };
        if is_searched {
            (batch.end, batch.end_position) = (range.to.seq, range.to.position);
        }
        batch
    }

    /// Returns the record of a range as a chunk, if it is the only one and found without a search.
    /// The range must not be of the state.
    #[inline]
    pub(in crate::hub) fn only_chunk(
        &self,
        range: ReadRange,
        too_old: Option<Instant>,
    ) -> Option<JoinedChunk> {
        let [source] = &*self.sources else { return None };
        source.feed.read_only_one(range.after, range.to.seq, |record| {
            Self::gives(record, false, too_old).then(|| JoinedChunk::of_one(record, range.to))
        })
    }

    /// Returns the segment of the first record after a place, and its slot, if the group has one
    /// source and the segment is worth to be taken as a whole.
    pub(in crate::hub) fn segment_after(&self, after: Seq) -> Option<(Arc<Segment>, usize)> {
        match &*self.sources {
            [source] => source.feed.view().segment_after(after),
            _ => None,
        }
    }

    /// Returns whether a reader of a range is given a record.
    #[inline]
    pub(in crate::hub) fn gives(record: &Record, is_state: bool, too_old: Option<Instant>) -> bool {
        record.is_given() && (!is_state || record.kind.is_state()) && record.is_young(too_old)
    }

    /// Returns the views of the sources that may have records after a place.
    fn views(&self, after: Seq) -> Vec<Arc<View>> {
        let sources = self.sources.iter().filter(|source| source.feed.last() > after);
        sources.map(|source| source.feed.view()).collect()
    }

    /// Returns the first record after a place that readers are given, retained and young enough.
    pub(in crate::hub) fn first_after(
        &self,
        after: Seq,
        to: Seq,
        too_old: Option<Instant>,
    ) -> Option<Arc<Record>> {
        let views = self.views(after);
        let records = Merged::new(&views, after).take_while(|it| it.seq <= to).take(MAX_STEPS);
        let mut given =
            records.inspect(|_| steps::visit(1)).filter(|it| it.is_given() && it.is_young(too_old));
        given.next().cloned()
    }

    /// Counts the records after a place that are retained and that nobody misses: they are young
    /// enough, have no event, or their time to live is over. Returns `None` if there are too many to
    /// count.
    pub(in crate::hub) fn count_after(
        &self,
        after: Seq,
        to: Seq,
        too_old: Option<Instant>,
    ) -> Option<u64> {
        let views = self.views(after);
        let records = Merged::new(&views, after).take_while(|it| it.seq <= to);
        let mut kept = 0;
        for (visited, record) in records.enumerate() {
            steps::visit(1);
            if visited >= MAX_STEPS {
                return None;
            }
            let is_missed = record.is_given() && record.is_aged(too_old) && !record.is_expired();
            kept += u64::from(!is_missed);
        }
        Some(kept)
    }

    /// Returns the place of the last record that is too old. Records up to there are not given,
    /// whether they are retained or not. 0 if none is too old.
    pub(in crate::hub) fn too_old_until(&self, too_old: Instant) -> Seq {
        let sources = self.sources.iter();
        sources.map(|source| source.feed.view().published_until(too_old)).max().unwrap_or(0)
    }

    /// Returns how many records its sources ever had, if that number has a meaning: sources must
    /// not share records. Asked before the place of the last one, it is at most their number.
    pub(in crate::hub) fn appended(&self) -> Option<u64> {
        let is_distinct = self.sources.len() == 1 || self.set.patterns.is_empty();
        is_distinct.then(|| self.sources.iter().map(|source| source.feed.appended()).sum())
    }

    /// Returns how many records of its sources were superseded or have expired.
    pub(in crate::hub) fn superseded(&self) -> u64 {
        self.sources.iter().map(|source| source.feed.superseded()).sum()
    }
}

/// Visits records until one is not taken. Returns whether all were taken.
fn visit<'a>(
    batch: &mut RecordBatch,
    records: impl Iterator<Item = &'a Arc<Record>>,
    take: impl Fn(&mut RecordBatch, &Arc<Record>) -> bool,
) -> bool {
    for (visited, record) in records.enumerate() {
        if !take(batch, record) || visited >= MAX_STEPS {
            return false;
        }
    }
    true
}

/// As [`visit`], for the records of one view. A batch that does not take all ends at the border of a
/// segment: so readers that start at different places come together, and share the chunks after that.
fn visit_aligned(
    batch: &mut RecordBatch,
    mut records: Records<'_>,
    to: Seq,
    take: impl Fn(&mut RecordBatch, &Arc<Record>) -> bool,
) -> bool {
    for visited in 0.. {
        let Some(record) = records.next().filter(|record| record.seq <= to) else { break };
        if !take(batch, record) || visited >= MAX_STEPS {
            batch.cut_at_border();
            return false;
        }
        match records.border() {
            Border::None => {}
            Border::Segment => batch.set_border(false),
            Border::Chunk => batch.set_border(true),
        }
    }
    true
}

/// The records of several views in order, each once: a record may be in the feeds of several
/// patterns.
struct Merged<'a> {
    /// The records of each view after the next one.
    rest: Vec<Records<'a>>,
    /// The next record of each view, the oldest on top.
    next: BinaryHeap<Reverse<Next<'a>>>,
    /// The place of the last record.
    last: Seq,
}

/// The next record of a view.
struct Next<'a> {
    record: &'a Arc<Record>,
    view: usize,
}

impl<'a> Merged<'a> {
    fn new(views: &'a [Arc<View>], after: Seq) -> Self {
        let mut rest: Vec<_> = views.iter().map(|view| view.after(after)).collect();
        let firsts = rest.iter_mut().enumerate();
        let next =
            firsts.filter_map(|(view, rest)| Some(Reverse(Next { record: rest.next()?, view })));
        let next = next.collect();
        Self { rest, next, last: after }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Arc<Record>;

    fn next(&mut self) -> Option<&'a Arc<Record>> {
        loop {
            let mut top = self.next.peek_mut()?;
            let Reverse(Next { record, view }) = &mut *top;
            let found = *record;
            match self.rest[*view].next() {
                Some(following) => *record = following,
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
            if found.seq > self.last {
                self.last = found.seq;
                return Some(found);
            }
        }
    }
}

impl Ord for Next<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.record.seq, self.view).cmp(&(other.record.seq, other.view))
    }
}

impl PartialOrd for Next<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next<'_> {}

impl Record {
    /// Returns whether the record may still be given to readers: it is not too old, and its time to
    /// live is not over.
    pub(in crate::hub) fn is_young(&self, too_old: Option<Instant>) -> bool {
        !self.is_aged(too_old) && !self.is_expired()
    }

    /// Returns whether the record is too old.
    #[inline]
    pub(in crate::hub) fn is_aged(&self, too_old: Option<Instant>) -> bool {
        too_old.is_some_and(|too_old| self.published_at <= too_old)
    }

    /// Returns whether the record's time to live is over.
    pub(super) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Instant::now())
    }
}
