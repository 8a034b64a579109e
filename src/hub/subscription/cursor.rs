//! The cursor of a reader: how far it has read, and what it does next.
//!
//! A cursor does not wait, and reads without the window's lock.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use crate::hub::{
    backend::Position,
    gap::{Gap, GapReason, Lagging},
    node::Node,
    window::{
        Group, Head, ReadLimit, ReadRange, ReaderKey, Record, RecordBatch, Seq, TopicKey, Window,
    },
};

/// A reader's place in the window.
///
/// It is touched for each event of each reader, and a server with many readers has none of them in
/// the CPU's cache. `repr(C)` keeps the fields in this order: those that every event needs share
/// cache lines.
#[repr(C)]
pub(super) struct Cursor {
    /// The reader's group.
    pub(super) group: Arc<Group>,
    /// The reader in its group.
    pub(super) reader: ReaderKey,
    /// Nothing more will be read.
    pub(super) is_over: bool,
    /// The reader was given at least one entry.
    pub(super) has_read: bool,
    /// How far it has read.
    progress: Progress,
    /// The place that the client was last sent as an ID. `None` if the client's ID is of no use, so
    /// that the next idle refresh sends one.
    last_sent_id: Option<Seq>,
    /// What it reads at present.
    phase: ReadPhase,
}

/// How far a reader has read, and what it knows about records that are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The place up to which it has read everything. During the state: where it started.
    pub(super) at: Seq,
    /// The position of that place in the log.
    pub(super) position: Position,
    /// The place up to which records of the group were gone when the reader started or was last told
    /// of a gap. These are not reported again.
    pub(super) known_gap_end: Seq,
    /// How many records the group's sources had up to `at`, and how many of their records were
    /// superseded by then. `None` while that is not known.
    counted: Option<(u64, u64)>,
}

/// What a reader reads at present.
pub(super) enum ReadPhase {
    /// The current record of each key, up to where the reader started.
    State {
        /// The place up to which these were read.
        at: Seq,
        /// Where the reader started.
        to: Head,
    },
    /// The newest records of each topic, up to where the reader started.
    Newest(Box<Newest>),
    /// All records, as they are published.
    Live,
}

/// The start of a reader that gets the newest records of each topic.
pub(super) struct Newest {
    /// How many of each topic.
    pub(super) number: usize,
    /// Where the reader started.
    pub(super) to: Seq,
    /// The first record of each topic that the reader gets. `None` for a topic that is gone.
    pub(super) firsts: BTreeMap<TopicKey, Option<Seq>>,
}

/// What a reader does next.
pub(super) enum ReadStep {
    /// There is nothing to read up to this place, which is the head of the window.
    Wait(Seq),
    /// There may be records in this range.
    Read(ReadRange),
    /// Records were removed before they were read.
    Gap(Gap),
    /// All of the state, or of the newest events, was read. The reader continues with the records
    /// that were published since it started.
    StartDone,
    /// The window does not have all records any more, but the backend may. The window goes on after
    /// this place.
    Replay(Head),
    /// Everything was read, and nothing more will be published.
    End,
    /// `Hub::disconnect` has ended the reader.
    Revoked,
}

impl Progress {
    /// Creates the progress of a reader that starts at a place. Called under the window's lock.
    pub(super) fn new(group: &Group, at: Head, known_gap_end: Seq) -> Self {
        let is_exact = known_gap_end <= at.seq && !group.has_after(at.seq);
        let counted = group.appended().filter(|_| is_exact);
        let counted = counted.map(|appended| (appended, group.superseded()));
        Self { at: at.seq, position: at.position, known_gap_end, counted }
    }
}

impl Cursor {
    /// Creates a cursor. `has_gap` states that the client's last ID does not lead to where the
    /// reader starts.
    pub(super) fn new(
        group: Arc<Group>,
        reader: ReaderKey,
        progress: Progress,
        phase: ReadPhase,
        has_gap: bool,
    ) -> Self {
        let is_at_id = !has_gap && matches!(phase, ReadPhase::Live);
        let last_sent_id = is_at_id.then_some(progress.at);
        Self { group, reader, is_over: false, has_read: false, progress, last_sent_id, phase }
    }

    /// Returns the place up to which everything was read.
    pub(super) fn at(&self) -> Seq {
        self.progress.at
    }

    /// Returns the position from which everything that was not read yet can be resumed. During the
    /// state, that is the start of the log.
    pub(super) fn resumable_at(&self) -> Position {
        match self.phase {
            ReadPhase::State { .. } => Position::START,
            ReadPhase::Newest(_) | ReadPhase::Live => self.progress.position,
        }
    }

    /// Returns the position of the place up to which everything was read.
    pub(super) fn position(&self) -> Position {
        self.progress.position
    }

    /// Returns whether the reader reads all records, not only those that it starts with.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, ReadPhase::Live)
    }

    /// Returns whether the reader starts with the newest events of its topics.
    pub(super) fn is_newest(&self) -> bool {
        matches!(self.phase, ReadPhase::Newest(_))
    }

    pub(super) fn is_state(&self) -> bool {
        matches!(self.phase, ReadPhase::State { .. })
    }

    /// Records that the client is sent an ID of the current place.
    pub(super) fn set_id_sent(&mut self) {
        self.last_sent_id = Some(self.progress.at);
    }

    /// Returns whether the client's last event ID is older than the current place.
    pub(super) fn is_id_outdated(&self) -> bool {
        self.last_sent_id != Some(self.progress.at)
    }

    /// Returns how much the reader takes at once.
    #[inline]
    pub(super) fn limit(node: &Node, records: usize) -> ReadLimit {
        ReadLimit { records, too_old: node.too_old() }
    }

    /// Returns whether [`next_step`](Self::next_step) would be to wait at this head. `false` is not
    /// certain.
    #[inline]
    pub(super) fn is_idle_at(&self, head: Seq) -> bool {
        let Progress { at, counted, .. } = self.progress;
        let is_quiet = |(_, superseded)| self.group.is_quiet(head, superseded);
        at == head && !self.is_over && self.is_live() && counted.is_some_and(is_quiet)
    }

    /// Returns whether the reader reads all records, and was not ended.
    #[inline]
    pub(super) fn reads_on(&self) -> bool {
        self.is_live() && !self.is_over && !self.group.is_cut(self.reader)
    }

    /// Returns the records after the reader's place.
    #[inline]
    pub(super) fn range_to(&self, to: Head) -> ReadRange {
        ReadRange { after: self.progress.at, to, is_state: false }
    }

    /// Decides what the reader does next.
    #[inline]
    pub(super) fn next_step(&mut self, node: &Node, too_old: Option<Instant>) -> ReadStep {
        if self.group.is_cut(self.reader) {
            return ReadStep::Revoked;
        }
        // Asked before the head: what was published before the hub was closed is read.
        let is_closed = node.counters.is_closed();
        let head = node.counters.head();
        // Removed entries of the state are not missed: a reader that starts later does not get them
        // either.
        if !self.is_live() {
            if let Some(step) = self.start_step() {
                return step;
            }
        }
        // The newest events of each topic are those in the window.
        let may_replay = node.engine().is_some() && self.is_live();
        if may_replay && self.has_missed(self.group.lost_until()) {
            return ReadStep::Replay(head);
        }
        if let Some(gap) = self.check_gap(node, head, too_old) {
            return ReadStep::Gap(gap);
        }
        if head.seq <= self.progress.at || !self.group.has_after(self.progress.at) {
            self.move_to_head(head);
            if !self.is_live() && self.ends_newest() {
                return ReadStep::StartDone;
            }
            return if is_closed || self.group.is_finished(self.progress.at) {
                ReadStep::End
            } else {
                ReadStep::Wait(head.seq)
            };
        }
        ReadStep::Read(self.range_to(head))
    }

    /// Decides what a reader does next that has not read what it starts with. `None` if it reads the
    /// newest events.
    fn start_step(&mut self) -> Option<ReadStep> {
        if let ReadPhase::State { at, to } = self.phase {
            if at < to.seq {
                return Some(ReadStep::Read(ReadRange { after: at, to, is_state: true }));
            }
            self.phase = ReadPhase::Live;
            return Some(ReadStep::StartDone);
        }
        self.ends_newest().then_some(ReadStep::StartDone)
    }

    /// Ends the newest events if all were given to the application. Returns whether the client has to
    /// be sent an ID now.
    fn ends_newest(&mut self) -> bool {
        let ReadPhase::Newest(newest) = &self.phase else { return false };
        if newest.to > self.progress.at {
            return false;
        }
        self.phase = ReadPhase::Live;
        self.is_id_outdated()
    }

    /// Moves to the head, since nothing for this group was published after the reader's place.
    /// There it knows the number of records again.
    #[inline]
    fn move_to_head(&mut self, head: Head) {
        let progress = &mut self.progress;
        let superseded = self.group.superseded();
        if head.seq > progress.at {
            (progress.at, progress.position) = (head.seq, head.position);
        } else if progress.counted.is_some_and(|(_, counted)| counted == superseded) {
            return;
        }
        let appended = self.group.appended();
        // A record may have been appended since the group was found to have none.
        let is_exact = !self.group.has_after(progress.at);
        progress.counted = appended.filter(|_| is_exact).map(|appended| (appended, superseded));
    }

    /// Returns the gap that the reader has fallen into since it last looked, if there is one.
    #[inline]
    fn check_gap(&mut self, node: &Node, head: Head, too_old: Option<Instant>) -> Option<Gap> {
        let mut gone = self.group.lost_until();
        if let Some(too_old) = too_old {
            gone = gone.max(self.group.too_old_until(too_old).min(head.seq));
        }
        self.has_missed(gone).then(|| self.report_lag(node, gone, too_old))
    }

    /// Returns whether records were removed that the reader has neither read nor been told of.
    pub(super) fn has_missed(&self, gone: Seq) -> bool {
        gone > self.progress.at.max(self.progress.known_gap_end)
    }

    /// Returns whether records that the reader has neither read nor been told of were removed while
    /// they were young: the reader is too slow for the history. Records that are only too old are no
    /// lag, since they are not given to any reader.
    pub(super) fn has_lagged(&self, window: &Window, too_old_until: Seq) -> bool {
        let lost = self.group.lost_until();
        lost > window.aged_until().max(too_old_until) && self.has_missed(lost)
    }

    /// Returns the gap that the reader has just fallen into. It is not reported again, and ends the
    /// reader if the hub evicts and the records were not only too old.
    #[cold]
    fn report_lag(&mut self, node: &Node, gone: Seq, too_old: Option<Instant>) -> Gap {
        let at = self.progress.at;
        let too_old_until = too_old.map_or(0, |too_old| self.group.too_old_until(too_old));
        // Under the lock, the numbers of published and of retained records belong together.
        let mut window = node.lock();
        window.lagged += 1;
        let head = window.newest();
        let group = &self.group;
        let missed = || {
            let (read, superseded) = self.progress.counted?;
            let kept = group.count_after(at, head, too_old)?;
            let is_exact = superseded == group.superseded();
            group.appended().filter(|_| is_exact)?.checked_sub(read)?.checked_sub(kept)
        };
        let missed = missed();
        let is_evicted = node.lagging == Lagging::Evict && self.has_lagged(&window, too_old_until);
        drop(window);
        let first = group.first_after(at, head, too_old);
        self.progress.known_gap_end = gone;
        self.progress.counted = None;
        self.is_over = is_evicted;
        new_gap(GapReason::Trimmed, first, missed)
    }

    /// Collects the records of a range. Returns `None` if records were removed meanwhile that the
    /// batch would need: then there is a gap.
    #[inline]
    pub(super) fn read(
        &mut self,
        node: &Node,
        range: ReadRange,
        limit: ReadLimit,
    ) -> Option<RecordBatch> {
        let mut batch = self.group.collect(range, limit);
        if !range.is_state && self.has_missed(self.group.lost_until()) {
            return None;
        }
        if let ReadPhase::Newest(newest) = &mut self.phase {
            newest.filter(node, &mut batch);
        }
        Some(batch)
    }

    /// Moves the reader to the end of a batch of `range`.
    pub(super) fn advance_cursor(&mut self, batch: &RecordBatch, range: ReadRange) {
        let events = if batch.has_skipped { None } else { Some(batch.len()) };
        let end = Head { seq: batch.end, position: batch.end_position };
        self.move_to(end, range, events);
    }

    /// Moves the reader to a place, after it was given `events` records of `range`. `None` if
    /// that number does not count all records of the range.
    #[inline]
    pub(super) fn move_to(&mut self, end: Head, range: ReadRange, events: Option<usize>) {
        if let (ReadPhase::State { at, .. }, true) = (&mut self.phase, range.is_state) {
            *at = end.seq;
            return;
        }
        let progress = &mut self.progress;
        (progress.at, progress.position) = (end.seq, end.position);
        let counted = progress.counted.zip(events);
        progress.counted =
            counted.map(|((read, superseded), events)| (read + events as u64, superseded));
    }

    /// Sets the position from which a reader resumes that has not read anything of its replay.
    pub(super) fn set_position(&mut self, position: Position) {
        self.progress.position = position;
    }

    /// Records that the reader was given everything up to a record of the backend, which is in no feed.
    pub(super) fn replayed(&mut self, record: &Record) {
        self.progress.position = record.position;
        if record.is_end() {
            // The window does not have the end of the topic any more.
            self.group.set_finished(&record.topic);
        }
    }

    /// Goes on in the window after a place, when everything up to there was read from the backend.
    pub(super) fn end_replay(&mut self, upto: Head) {
        match &mut self.phase {
            ReadPhase::State { at, to } => *at = to.seq,
            ReadPhase::Newest(_) | ReadPhase::Live => {
                (self.progress.at, self.progress.position) = (upto.seq, upto.position);
                self.progress.counted = None;
            }
        }
    }

    /// Records that the number of records up to the place is not known any more.
    pub(super) fn forget_count(&mut self) {
        self.progress.counted = None;
    }

    /// Returns whether the reader takes all records of a range, so that it can share them with other
    /// readers of its group.
    pub(super) fn takes_all(&self) -> bool {
        !matches!(self.phase, ReadPhase::Newest(_))
    }

    /// Returns whether the next record was removed or is too old, and the reader has to be told of a
    /// gap for that.
    #[inline]
    pub(super) fn has_lost(&self, record: &Record, too_old: Option<Instant>) -> bool {
        // The mark is read before the coverage, which is raised before the mark is set.
        (record.is_removed() && self.has_missed(self.group.lost_until()))
            || (record.is_aged(too_old) && self.has_missed(record.seq))
    }

    /// Returns whether the reader may go on with records that it has looked up before some were
    /// removed. If not, it looks again.
    pub(super) fn is_covered(&self, is_state: bool) -> bool {
        is_state || !self.has_missed(self.group.lost_until())
    }
}

impl Newest {
    /// Removes the records from a batch that are not among the newest of their topics.
    fn filter(&mut self, node: &Node, batch: &mut RecordBatch) {
        let Self { number, to, firsts } = self;
        let mut is_new = |record: &Arc<Record>| {
            let first = firsts.entry(record.topic_key()).or_insert_with(|| {
                // Only the source is looked up under the lock.
                let source = node.lock().source_of(record.topic_key());
                source?.nth_newest(*number, *to)
            });
            record.seq > *to || first.is_some_and(|first| first <= record.seq)
        };
        let last = batch.last_seq();
        let first = batch.first.take();
        let kept = first.into_iter().chain(std::mem::take(&mut batch.more)).filter(&mut is_new);
        let mut kept = kept.collect::<Vec<_>>().into_iter();
        batch.has_skipped = true;
        batch.first = kept.next();
        batch.more = kept.collect();
        batch.is_past_last = batch.last_seq() != last;
    }
}

pub(super) fn new_gap(reason: GapReason, first: Option<Arc<Record>>, missed: Option<u64>) -> Gap {
    Gap { reason, first: first.map(|record| record.event_id()), missed }
}
