//! Feeds: the records of one topic or pattern, which readers read without a lock.
//!
//! A feed is written under the window's lock and read without it. A record is written into a slot of
//! the last segment, where readers find it at once. A segment that is full stays as it is; the next
//! one is added by a new [`View`]. A record that is removed is only marked. Its segment is replaced
//! when the removed records in it take more memory than the others.

use std::{
    mem,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
};

use tokio::time::Instant;

use super::record::{Record, Seq};

/// The smallest segment after the first, in records. Most topics have few records.
const MIN_SEGMENT: usize = 4;
/// The largest segment, in records. Replacing a segment is one step under the window's lock.
pub(super) const MAX_SEGMENT: usize = 1024;
/// A reader takes a whole segment if it has at least this many records for it: then it counts one
/// reference instead of one for each record. Several readers that count references of the same
/// records slow each other down.
const MIN_SHARED_RECORDS: usize = 4;
/// A reader takes a whole segment if its records cost at most this much, in bytes: an entry that the
/// application keeps also keeps the segment.
const MAX_SHARED_BYTES: usize = 64 << 10;
/// How many segments a chunk of small records has. See [`Border::Chunk`].
const SEGMENTS_PER_CHUNK: u64 = 8;
/// Removed records may take this much memory in each segment, in bytes, before it is replaced.
const MAX_DEAD_BYTES: usize = 512;

/// The records of one topic or pattern, in the order of publication.
#[derive(Debug)]
pub(in crate::hub) struct Feed {
    /// The last record. Stored after its slot.
    last: AtomicU64,
    /// The feed is complete after this place: every record after it is either here, or was
    /// superseded or has expired.
    coverage: AtomicU64,
    /// How many records were appended. Stored after `last`.
    appended: AtomicU64,
    /// How many records were superseded or have expired.
    superseded: AtomicU64,
    /// The records. The lock is held to copy or replace the pointer, never during a read.
    view: RwLock<Arc<View>>,
}

/// The segments of a feed at one time.
#[derive(Debug, Default)]
pub(in crate::hub) struct View {
    /// The segments, the oldest first. None is without a record.
    segments: Vec<Arc<Segment>>,
}

/// A part of a feed.
#[derive(Debug)]
pub(in crate::hub) struct Segment {
    /// How many segments the feed had before it.
    number: u64,
    /// The records, in order. Each slot is written once.
    slots: Box<[OnceLock<Arc<Record>>]>,
    /// How many slots are written.
    len: AtomicUsize,
    /// How many records are not removed. Changed under the window's lock only, as are the next two.
    live: AtomicUsize,
    /// What these cost, in bytes.
    live_bytes: AtomicUsize,
    /// What the removed records cost, in bytes.
    dead_bytes: AtomicUsize,
}

impl Feed {
    /// Creates a feed without records that is complete after a place.
    pub(super) fn new(coverage: Seq) -> Self {
        Self {
            last: AtomicU64::new(0),
            coverage: AtomicU64::new(coverage),
            appended: AtomicU64::new(0),
            superseded: AtomicU64::new(0),
            view: RwLock::default(),
        }
    }

    /// Returns the place of the last record, retained or not.
    pub(super) fn last(&self) -> Seq {
        self.last.load(Acquire)
    }

    /// Returns the place after which the feed is complete. A reader asks after it has read: a
    /// record that it did not find, because it was trimmed meanwhile, is at or before this place.
    pub(super) fn coverage(&self) -> Seq {
        self.coverage.load(Acquire)
    }

    /// Returns how many records were appended. If it is asked before [`last`](Self::last), these
    /// are at most the records up to there.
    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Acquire)
    }

    /// Returns how many records were superseded or have expired.
    pub(super) fn superseded(&self) -> u64 {
        self.superseded.load(Acquire)
    }

    /// Returns the records. A reader drops the view before it waits, because a view keeps removed
    /// records in memory.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the last record, if it is the only one after a place and up to another one, and not
    /// removed. `None` also if that would take a search. This is how a reader reads that keeps up,
    /// so it is worth a short read under the lock of the view, instead of one more reference to it.
    #[inline]
    pub(super) fn read_only_one<T>(
        &self,
        after: Seq,
        to: Seq,
        read: impl FnOnce(&Record) -> Option<T>,
    ) -> Option<T> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let segment = view.segments.last()?;
        let last = segment.len.load(Acquire).checked_sub(1)?;
        let (before, record) = (segment.get(last.checked_sub(1)?)?, segment.get(last)?);
        let is_only = before.seq <= after && record.seq > after && record.seq <= to;
        if is_only && !record.is_removed() { read(record) } else { None }
    }

    fn set_view(&self, view: View) {
        let view = Arc::new(view);
        let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let _old = mem::replace(&mut *current, view);
        // The guard is dropped first, and then the old segments.
        drop(current);
    }

    // The methods below write, and are called under the window's lock.

    /// Appends a record, which must be newer than all others.
    pub(super) fn append(&self, record: &Arc<Record>) {
        let is_written = {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            view.segments.last().is_some_and(|segment| segment.push(record))
        };
        if !is_written {
            let view = self.view();
            let live = view.segments.iter().rev().take(16).map(|it| it.slots.len()).sum::<usize>();
            let large = (view.segments.len() * MAX_SEGMENT / 64).max(64);
            let number = view.segments.last().map_or(0, |last| last.number + 1);
            // Many topics have one record.
            let min = if view.segments.is_empty() { 1 } else { MIN_SEGMENT };
            let capacity = live.clamp(min, large.min(MAX_SEGMENT));
            let segment = Segment::new(number, capacity);
            segment.push(record);
            let mut segments = Vec::with_capacity(view.segments.len() + 1);
            segments.extend(view.segments.iter().cloned());
            segments.push(Arc::new(segment));
            self.set_view(View { segments });
        }
        self.last.store(record.seq, Release);
        self.appended.fetch_add(1, Release);
    }

    /// Raises the coverage: records up to this place may be gone. Called before they are marked.
    pub(super) fn raise_coverage(&self, to: Seq) {
        self.coverage.fetch_max(to, SeqCst);
    }

    /// Counts a record that was superseded or has expired.
    pub(super) fn count_superseded(&self) {
        self.superseded.fetch_add(1, Release);
    }

    /// Accounts for a record that was removed. Does nothing if the feed does not have it.
    pub(super) fn remove(&self, record: &Record) {
        let view = self.view();
        let index = view.segment_of(record.seq);
        let Some(segment) = view.segments.get(index).filter(|it| it.has(record.seq)) else {
            return;
        };
        let cost = record.own_cost();
        let live = segment.live.fetch_sub(1, Relaxed) - 1;
        let live_bytes = segment.live_bytes.fetch_sub(cost, Relaxed) - cost;
        let dead_bytes = segment.dead_bytes.fetch_add(cost, Relaxed) + cost;
        if live == 0 || dead_bytes > live_bytes + MAX_DEAD_BYTES {
            self.replace(&view, index, live);
        }
    }

    /// Replaces a segment by one without its removed records, and joins it with a neighbor if both
    /// are small: so the number of segments stays in proportion to the number of records.
    fn replace(&self, view: &View, index: usize, live: usize) {
        let is_small = |neighbor: Option<&Arc<Segment>>| {
            neighbor.is_some_and(|it| it.live.load(Relaxed) + live <= MAX_SEGMENT / 16)
        };
        let (mut from, mut to) = (index, index + 1);
        if live > 0 && is_small(view.segments.get(to)) {
            to += 1;
        } else if live > 0 && from > 0 && is_small(view.segments.get(from - 1)) {
            from -= 1;
        }
        let records = view.segments[from..to].iter().flat_map(|it| it.written());
        let records: Vec<_> = records.filter(|it| !it.is_removed()).cloned().collect();
        let mut segments = Vec::with_capacity(view.segments.len());
        segments.extend_from_slice(&view.segments[..from]);
        if !records.is_empty() {
            // Only the last segment gets more records.
            let spare = if to == view.segments.len() { records.len().max(MIN_SEGMENT) } else { 0 };
            let number = view.segments[from].number;
            let segment = Segment::new(number, records.len() + spare);
            segment.push_all(&records);
            segments.push(Arc::new(segment));
        }
        segments.extend_from_slice(&view.segments[to..]);
        self.set_view(View { segments });
    }

    /// Adds records that are older than all others, in order. These are at most a segment. The
    /// coverage stays as it is.
    pub(super) fn prepend(&self, records: &[Arc<Record>]) {
        let number = self.view().segments.first().map_or(0, |first| first.number);
        let segment = Segment::new(number.saturating_sub(1), records.len());
        segment.push_all(records);
        // Records that were removed meanwhile. Nobody accounts for them later.
        for record in records.iter().filter(|record| record.is_removed()) {
            segment.live.fetch_sub(1, Relaxed);
            segment.live_bytes.fetch_sub(record.own_cost(), Relaxed);
            segment.dead_bytes.fetch_add(record.own_cost(), Relaxed);
        }
        if segment.live.load(Relaxed) > 0 {
            let segments = self.view().segments.clone();
            let segments = std::iter::once(Arc::new(segment)).chain(segments).collect();
            self.set_view(View { segments });
        }
        if let Some(record) = records.last() {
            self.last.fetch_max(record.seq, Release);
        }
    }

    /// Removes the records up to a place that [`prepend`](Self::prepend) has added.
    pub(super) fn undo_prepend(&self, upto: Seq) {
        let view = self.view();
        let (earlier, later): (Vec<_>, Vec<_>) =
            view.segments.iter().partition(|segment| segment.first() <= upto);
        let later = later.into_iter().cloned();
        // A segment of both kinds of records may have come of two that were joined.
        let mixed = earlier.last().and_then(|segment| {
            let records = segment.written().filter(|it| it.seq > upto && !it.is_removed());
            let records: Vec<_> = records.cloned().collect();
            let rest = Segment::new(segment.number, records.len() + MIN_SEGMENT);
            rest.push_all(&records);
            (!records.is_empty()).then(|| Arc::new(rest))
        });
        self.set_view(View { segments: mixed.into_iter().chain(later).collect() });
    }

    /// Sets the place after which the feed is complete, when records were prepended.
    pub(super) fn set_coverage(&self, coverage: Seq) {
        self.coverage.store(coverage, SeqCst);
    }
}

impl View {
    /// Returns the records after a place that are not removed, the oldest first.
    pub(super) fn after(&self, after: Seq) -> Records<'_> {
        let segment = self.segment_of(after);
        let slot = self.segments.get(segment).map_or(0, |it| it.slot_after(after));
        Records { segments: &self.segments, segment, slot }
    }

    /// Returns the segment of the first record after a place, and its slot, if the segment is worth
    /// to be taken as a whole.
    pub(super) fn segment_after(&self, after: Seq) -> Option<(Arc<Segment>, usize)> {
        let mut index = self.segment_of(after);
        let mut slot = self.segments.get(index)?.slot_after(after);
        if slot >= self.segments[index].slots.len() {
            (index, slot) = (index + 1, 0);
        }
        let segment = self.segments.get(index)?;
        let bytes = segment.live_bytes.load(Relaxed) + segment.dead_bytes.load(Relaxed);
        let is_worth_it = segment.len.load(Acquire) >= slot + MIN_SHARED_RECORDS;
        (is_worth_it && bytes <= MAX_SHARED_BYTES).then(|| (segment.clone(), slot))
    }

    /// Returns the records up to a place that are not removed and have an event, the newest first.
    pub(super) fn newest_first(&self, upto: Seq) -> impl Iterator<Item = &Arc<Record>> {
        let segments = self.segments.iter().rev();
        let records = segments.flat_map(|segment| segment.written().rev());
        let is_found = move |record: &&Arc<Record>| {
            record.seq <= upto && record.is_given() && !record.is_removed()
        };
        records.filter(is_found)
    }

    /// Returns the place of the last record that was published at this time or before. 0 if no
    /// record was.
    pub(super) fn published_until(&self, until: Instant) -> Seq {
        let is_older = |record: &Arc<Record>| record.published_at <= until;
        let older = |segment: &Arc<Segment>| segment.written().next().is_some_and(is_older);
        let count = self.segments.partition_point(older);
        let Some(segment) = count.checked_sub(1).map(|index| &self.segments[index]) else {
            return 0;
        };
        let slot = segment.partition_point(is_older);
        slot.checked_sub(1).and_then(|slot| segment.get(slot)).map_or(0, |record| record.seq)
    }

    /// Returns the index of the segment that a place lies in: the last one that starts at or before
    /// it, or the first.
    fn segment_of(&self, seq: Seq) -> usize {
        let starts_before = |segment: &Arc<Segment>| segment.first() <= seq;
        let last = self.segments.len().saturating_sub(1);
        // Most readers are at the end.
        if self.segments.last().is_some_and(starts_before) {
            return last;
        }
        self.segments.partition_point(starts_before).saturating_sub(1)
    }
}

/// The records of a view after a place.
pub(super) struct Records<'a> {
    /// The segments of the view.
    segments: &'a [Arc<Segment>],
    /// The segment of the next record.
    segment: usize,
    /// The slot of the next record.
    slot: usize,
}

impl Records<'_> {
    /// Returns whether the next record is the first one of a segment, and if so, whether chunks end
    /// there.
    pub(super) fn border(&self) -> Border {
        let is_read = |segment: &Arc<Segment>| self.slot >= segment.slots.len();
        let next = match self.segments.get(self.segment) {
            Some(_) if self.slot == 0 => self.segments.get(self.segment),
            Some(segment) if is_read(segment) => self.segments.get(self.segment + 1),
            _ => None,
        };
        match next {
            None => Border::None,
            Some(segment) if segment.number % SEGMENTS_PER_CHUNK == 0 => Border::Chunk,
            Some(_) => Border::Segment,
        }
    }
}

/// What begins with the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Nothing.
    None,
    /// A segment.
    Segment,
    /// A segment at which chunks end, so that readers which start at different places come together.
    Chunk,
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a Arc<Record>;

    #[inline]
    fn next(&mut self) -> Option<&'a Arc<Record>> {
        loop {
            let Some(record) = self.segments.get(self.segment)?.get(self.slot) else {
                self.segment += 1;
                self.slot = 0;
                continue;
            };
            self.slot += 1;
            if !record.is_removed() {
                return Some(record);
            }
        }
    }
}

impl Segment {
    fn new(number: u64, capacity: usize) -> Self {
        Self {
            number,
            slots: (0..capacity).map(|_| OnceLock::new()).collect(),
            len: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            live_bytes: AtomicUsize::new(0),
            dead_bytes: AtomicUsize::new(0),
        }
    }

    /// Appends a record and returns true, unless the segment is full.
    fn push(&self, record: &Arc<Record>) -> bool {
        let len = self.len.load(Relaxed);
        let Some(slot) = self.slots.get(len) else { return false };
        if slot.set(record.clone()).is_err() {
            return false;
        }
        self.live.fetch_add(1, Relaxed);
        self.live_bytes.fetch_add(record.own_cost(), Relaxed);
        self.len.store(len + 1, Release);
        true
    }

    /// Appends records, which must fit.
    fn push_all(&self, records: &[Arc<Record>]) {
        for record in records {
            self.push(record);
        }
    }

    /// Returns the record in a slot.
    #[inline]
    pub(in crate::hub) fn get(&self, slot: usize) -> Option<&Arc<Record>> {
        self.slots.get(slot)?.get()
    }

    fn written(&self) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.slots[..self.len.load(Acquire)].iter().filter_map(OnceLock::get)
    }

    /// Returns the place of the first record. A segment in a view has at least one.
    fn first(&self) -> Seq {
        self.get(0).map_or(0, |record| record.seq)
    }

    fn has(&self, seq: Seq) -> bool {
        let slot = self.partition_point(|record| record.seq < seq);
        self.get(slot).is_some_and(|record| record.seq == seq)
    }

    /// Returns the first slot whose record is after a place.
    fn slot_after(&self, after: Seq) -> usize {
        let len = self.len.load(Acquire);
        // Most readers have read all but the last record.
        let is_read = |slot: usize| self.get(slot).is_some_and(|record| record.seq <= after);
        if len >= 2 && is_read(len - 2) {
            return if is_read(len - 1) { len } else { len - 1 };
        }
        self.partition_point(|record| record.seq <= after)
    }

    fn partition_point(&self, is_before: impl Fn(&Arc<Record>) -> bool) -> usize {
        let written = &self.slots[..self.len.load(Acquire)];
        written.partition_point(|slot| slot.get().is_some_and(&is_before))
    }
}
