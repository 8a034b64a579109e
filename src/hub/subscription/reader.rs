//! A reader of the window: a cursor that waits, and leaves the window when it is dropped.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};

use http::Extensions;
use tokio::{task::consume_budget, time::Instant};

use super::{
    cursor::{Cursor, ReadStep, new_gap},
    replay::{Replay, Replayed},
    transform::{Passed, Transform},
};
use crate::{
    catch_panic::Panicked,
    event::{Event, EventId},
    hub::{
        backend::{Located, Position},
        entry::{Entry, Look},
        gap::{Gap, GapReason, Lagged, Lagging, Resumption},
        node::Node,
        window::{Group, Head, JoinedChunk, ReadLimit, ReadRange, Record, RecordBatch, Seq, Wait},
    },
    lifecycle::AbortReason,
};

/// How many records a subscription takes at a look. It holds references to them, not copies.
const RECORDS_PER_LOOK: usize = 32;
/// A reader with a backlog uses up a unit of tokio's budget for this many entries.
const ENTRIES_PER_BUDGET: u8 = 16;
/// How many entries of a replay a filter leaves out before the reader lets other tasks run.
const LEFT_OUT_AT_ONCE: usize = 256;
/// How many looks without an entry a reader takes before it lets other tasks run.
const EMPTY_LOOKS: usize = 8;

/// A reader of the window, as a subscription or the source of a body has it.
///
/// `repr(C)` keeps the node next to the cursor's first fields, which every event needs as well.
#[repr(C)]
pub(super) struct ReaderHandle {
    /// The hub. Holding it does not keep the hub open: only its handles do.
    node: Arc<Node>,
    /// The place in the window.
    cursor: Cursor,
    /// Records that were read, but not given to the application yet.
    ahead: Option<Box<Ahead>>,
    /// What is read from the backend at present, because the window does not have it.
    replay: Option<Box<Replay>>,
    /// How many entries were given since a unit of the task's budget was used up.
    given: u8,
    /// Filters and maps, if there are some.
    transform: Option<Box<Transform>>,
    /// How the reader started.
    resumption: Resumption,
}

/// What a replay has given.
enum ReplayStep {
    /// A record.
    Record(Arc<Record>),
    /// Records are missing in the backend as well.
    Gap(Gap),
    /// The reader goes on in the window, or is over.
    Done,
}

/// Records that were looked up, but not given to the application yet. The cursor is before them.
struct Ahead {
    /// The records.
    records: AheadRecords,
    /// The range in which they lie.
    range: ReadRange,
    /// The place up to which they were given or left out. When all are, the cursor moves there.
    end: Head,
    /// The number of removals before they were looked up. While it does not change, all are current.
    removals: u64,
}

/// Records that were looked up.
enum AheadRecords {
    /// Those of a segment, from a slot on.
    Segment(Arc<Look>, usize),
    /// Those of a batch.
    Batch(vec::IntoIter<Arc<Record>>),
}

/// What a reader is given, as the source of a body.
pub(super) enum Delivery {
    /// The next events.
    Chunk(JoinedChunk),
    /// Records were removed before they were read. The reader has ended if
    /// [`ReaderHandle::is_over`].
    Gap(Gap),
    /// All of the state, or of the newest events, was delivered. The client needs an ID.
    StartDone,
    /// Nothing more will come.
    End,
    /// `Hub::disconnect` has ended the reader.
    Revoked,
    /// A filter or a map has panicked.
    Failed(Panicked),
}

impl ReaderHandle {
    /// Creates a reader from a cursor in the window. From then on, dropping it removes the reader.
    pub(super) fn new(node: Arc<Node>, cursor: Cursor, resumption: Resumption) -> Self {
        Self { node, cursor, ahead: None, replay: None, given: 0, transform: None, resumption }
    }

    /// Replaces how the reader started, when the backend has been asked.
    pub(super) fn set_resumption(&mut self, resumption: Resumption) {
        self.resumption = resumption;
    }

    pub(super) fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Returns whether the reader reads from the backend what the window does not have.
    pub(super) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    pub(super) fn transform(&mut self) -> &mut Transform {
        self.transform.get_or_insert_with(|| Box::new(Transform::new()))
    }

    /// Records that the client is sent an ID of the current place.
    pub(super) fn set_id_sent(&mut self) {
        self.cursor.set_id_sent();
    }

    /// Returns whether nothing more will be read.
    pub(super) fn is_over(&self) -> bool {
        self.cursor.is_over
    }

    /// Returns the ID from which everything that was not given yet can be resumed.
    pub(super) fn position(&self) -> EventId {
        self.node.ids().reader_id(self.cursor.resumable_at(), self.cursor.group.tag)
    }

    /// Returns the event that reports a gap to the client, or `None` if the hook omits it.
    pub(super) fn gap_event(&self, gap: &Gap) -> Option<Event> {
        self.node.hooks.gap_event(gap)
    }

    /// Returns why the reader was ended, or would be at its next read. It does not read.
    pub(super) fn abort_reason(&self) -> Option<AbortReason> {
        let group = &self.cursor.group;
        if group.is_cut(self.cursor.reader) {
            return Some(AbortReason::Revoked);
        }
        if self.node.lagging != Lagging::Evict {
            return None;
        }
        let too_old_until = self.node.too_old().map_or(0, |too_old| group.too_old_until(too_old));
        let has_lagged = || self.cursor.has_lagged(&self.node.lock(), too_old_until);
        let has_missed = || !self.cursor.is_state() && self.cursor.has_missed(group.lost_until());
        // Over a backend, a reader that lacks records of the window reads them there.
        let is_log = self.node.engine().is_none();
        let is_evicted = self.cursor.is_over || (is_log && has_missed() && has_lagged());
        is_evicted.then_some(AbortReason::Evicted)
    }

    /// Returns whether the reader has nothing to read, now and later: all of its topics have ended.
    pub(super) fn is_exhausted(&self) -> bool {
        let (at, too_old) = (self.cursor.at(), self.node.too_old());
        self.replay.is_none()
            && !matches!(self.resumption, Resumption::Gap(_))
            && !self.cursor.is_state()
            && self.cursor.group.is_finished(self.node.counters.head().seq)
            && self.cursor.group.first_after(at, Seq::MAX, too_old).is_none()
            // There are not too many records to have looked at all.
            && self.cursor.group.count_after(at, Seq::MAX, too_old).is_some()
    }

    /// Returns whether nothing more will be published.
    pub(super) fn is_closed(&self) -> bool {
        self.node.counters.is_closed()
            || self.cursor.group.is_finished(self.node.counters.head().seq)
    }

    /// Returns whether `Hub::disconnect` has ended the reader, or stores the waker for that case
    /// alone.
    pub(super) fn poll_revoked(&self, cx: &Context<'_>) -> bool {
        match self.cursor.group.wait_for_cut(self.cursor.reader, cx) {
            Wait::Cut => true,
            Wait::Stored(_old) => false,
        }
    }

    /// Sets the extensions by which `Hub::disconnect` finds the reader.
    pub(super) fn set_session(&self, extensions: Arc<Extensions>) {
        let _unused = self.cursor.group.set_session(self.cursor.reader, extensions);
    }

    /// Returns the extensions by which `Hub::disconnect` finds the reader.
    pub(super) fn session(&self) -> Option<Arc<Extensions>> {
        self.cursor.group.session(self.cursor.reader)
    }

    /// Returns the next entry.
    pub(super) fn poll_entry(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Entry, Lagged>>> {
        let (mut looks, mut left_out) = (0, 0);
        if self.given >= ENTRIES_PER_BUDGET {
            // A reader with a long backlog never waits, so it lets other tasks run.
            ready!(pin!(consume_budget()).poll(cx));
            self.given = 0;
        }
        loop {
            if let Some(entry) = self.take_ahead() {
                let Some(entry) = self.pass_or_panic(entry) else { continue };
                self.given += 1;
                self.cursor.has_read = true;
                return Poll::Ready(Some(Ok(entry)));
            }
            if self.cursor.is_over {
                return Poll::Ready(None);
            }
            if let Some(is_state) = self.replay.as_ref().map(|replay| replay.is_state) {
                match ready!(self.poll_replay(cx)) {
                    ReplayStep::Record(record) => {
                        let Some(entry) = self.pass_or_panic(Entry::new(record, is_state)) else {
                            left_out += 1;
                            if left_out == LEFT_OUT_AT_ONCE {
                                cx.waker().wake_by_ref();
                                return Poll::Pending;
                            }
                            continue;
                        };
                        self.given += 1;
                        self.cursor.has_read = true;
                        return Poll::Ready(Some(Ok(entry)));
                    }
                    ReplayStep::Gap(gap) => {
                        Node::record_gap("lagged", &gap);
                        return Poll::Ready(Some(Err(Lagged { gap })));
                    }
                    ReplayStep::Done => continue,
                }
            }
            // A reader that finds nothing in many records lets other tasks run.
            if looks == EMPTY_LOOKS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            looks += 1;
            let limit = Cursor::limit(&self.node, RECORDS_PER_LOOK);
            let removals = self.node.counters.removals();
            match self.cursor.next_step(&self.node, limit.too_old) {
                ReadStep::Wait(head) => ready!(self.poll_wait(head, cx)),
                ReadStep::Read(range) => self.look(range, limit, removals),
                ReadStep::StartDone => {}
                ReadStep::Replay(upto) => self.start_replay(upto),
                ReadStep::Gap(gap) => {
                    Node::record_gap("lagged", &gap);
                    return Poll::Ready(Some(Err(Lagged { gap })));
                }
                ReadStep::End | ReadStep::Revoked => self.cursor.is_over = true,
            }
        }
    }

    /// Waits for a record after the head, or returns ready if there is one already.
    #[inline(always)]
    fn poll_wait(&mut self, head: Seq, cx: &Context<'_>) -> Poll<()> {
        match self.cursor.group.wait(self.cursor.reader, cx) {
            Wait::Cut => Poll::Ready(()),
            Wait::Stored(_old) => {
                // The group is armed. A record that was published before is found here, a later one
                // wakes the reader.
                let is_current =
                    self.node.counters.head().seq == head && !self.node.counters.is_closed();
                if is_current { Poll::Pending } else { Poll::Ready(()) }
            }
        }
    }

    /// Waits if the reader has read everything. Returns whether it waits.
    ///
    /// A body is polled twice without an event for each one that it sends: after the chunk, and after
    /// the server has written it. So this is done before anything else is looked at.
    #[inline]
    pub(super) fn waits_at_head(&mut self, cx: &Context<'_>) -> bool {
        // Asked in this order: what was published before the hub was closed is read.
        let is_closed = self.node.counters.is_closed();
        let head = self.node.counters.head().seq;
        !is_closed
            && self.ahead.is_none()
            && self.replay.is_none()
            && self.cursor.is_idle_at(head)
            && self.poll_wait(head, cx).is_pending()
    }

    /// Returns the next record as a chunk, if it is the only one that the reader has not read, and
    /// nothing else is to be done. This is what a reader finds that keeps up.
    #[inline]
    pub(super) fn take_only_one(&mut self) -> Option<JoinedChunk> {
        let is_busy = self.transform.is_some() || self.ahead.is_some() || self.replay.is_some();
        if is_busy || !self.cursor.reads_on() {
            return None;
        }
        let range = self.cursor.range_to(self.node.counters.head());
        let too_old = if self.node.has_max_age { self.node.too_old() } else { None };
        let chunk = self.cursor.group.only_chunk(range, too_old)?;
        // As after a search: what was removed may have been before it. If it is young, so is all
        // that may be between the reader's place and it.
        if self.cursor.has_missed(self.cursor.group.lost_until()) {
            return None;
        }
        self.cursor.move_to(range.to, range, Some(1));
        Some(chunk)
    }

    /// Looks up the records of a range.
    fn look(&mut self, range: ReadRange, limit: ReadLimit, removals: u64) {
        let end = Head { seq: range.after, position: self.cursor.position() };
        if self.cursor.takes_all() {
            if let Some((segment, slot)) = self.cursor.group.segment_after(range.after) {
                let records = AheadRecords::Segment(Arc::new(Look { segment }), slot);
                self.ahead = Some(Box::new(Ahead { records, range, end, removals }));
                return;
            }
        }
        let Some(batch) = self.cursor.read(&self.node, range, limit) else { return };
        let end = Head { seq: batch.end, position: batch.end_position };
        if batch.has_skipped {
            self.cursor.forget_count();
        }
        let RecordBatch { first, more, .. } = batch;
        let Some(first) = first else {
            // The search may end without a record: it is limited to a number of steps.
            self.cursor.move_to(end, range, Some(0));
            return;
        };
        let mut records = Vec::with_capacity(1 + more.len());
        records.push(first);
        records.extend(more);
        let records = AheadRecords::Batch(records.into_iter());
        self.ahead = Some(Box::new(Ahead { records, range, end, removals }));
    }

    /// Takes the next record that was looked up, if the application may still be given it.
    #[inline]
    fn take_ahead(&mut self) -> Option<Entry> {
        let ahead = self.ahead.as_mut()?;
        if self.cursor.group.is_cut(self.cursor.reader) {
            self.ahead = None;
            return None;
        }
        let ReadRange { is_state, to, .. } = ahead.range;
        let is_unchanged = self.node.counters.removals() == ahead.removals;
        if !is_unchanged && !self.cursor.is_covered(is_state) {
            // The reader looks again, from where it is.
            self.ahead = None;
            return None;
        }
        let too_old = if self.node.has_max_age { self.node.too_old() } else { None };
        let found = match &mut ahead.records {
            AheadRecords::Segment(look, slot) => loop {
                let Some(record) = look.segment.get(*slot) else { break None };
                if record.seq > to.seq {
                    ahead.end = to;
                    break None;
                }
                if !is_state && self.cursor.has_lost(record, too_old) {
                    // The reader looks again, from where it is.
                    self.ahead = None;
                    return None;
                }
                *slot += 1;
                ahead.end = Head { seq: record.seq, position: record.position };
                if !record.is_removed() && Group::gives(record, is_state, too_old) {
                    break Some(Entry::of_look(look.clone(), *slot - 1, is_state));
                }
                self.cursor.forget_count();
            },
            AheadRecords::Batch(records) => loop {
                let Some(record) = records.next() else { break None };
                if !is_state && self.cursor.has_lost(&record, too_old) {
                    self.ahead = None;
                    return None;
                }
                let end = Head { seq: record.seq, position: record.position };
                if !record.is_removed() && Group::gives(&record, is_state, too_old) {
                    self.cursor.move_to(end, ahead.range, Some(1));
                    return Some(Entry::new(record, is_state));
                }
                self.cursor.forget_count();
            },
        };
        self.cursor.move_to(ahead.end, ahead.range, Some(usize::from(found.is_some())));
        if found.is_none() {
            self.ahead = None;
        }
        found
    }

    /// Passes an entry through filters and maps. Their panics are the application's.
    fn pass_or_panic(&mut self, entry: Entry) -> Option<Entry> {
        let Some(transform) = &mut self.transform else { return Some(entry) };
        match transform.apply(entry) {
            Ok(passed) => passed.map(|passed| passed.entry),
            Err(panicked) => std::panic::resume_unwind(Box::new(panicked.to_string())),
        }
    }

    /// Starts to read from the backend what the window does not have any more.
    fn start_replay(&mut self, upto: Head) {
        if let Some(engine) = self.node.engine() {
            let source = (self.node.clone(), engine.clone());
            let lost = self.node.counters.lost();
            let has_lost = self.cursor.has_missed(lost.upto.seq);
            // Everything in another log is new.
            let is_at_start = has_lost && lost.is_other;
            let after = if is_at_start { Position::START } else { self.cursor.position() };
            // The window has everything that is new in a log that has become shorter.
            let is_shorter = has_lost && after.place() >= lost.upto.position.place();
            let upto = if is_shorter { lost.upto } else { upto };
            let mut replay = Replay::new(source, &self.cursor.group, after, upto, true);
            replay.has_lost = has_lost;
            self.replay = Some(Box::new(replay));
        }
    }

    /// Runs a future until it is done, or `Hub::disconnect` has ended the reader.
    pub(super) async fn until_cut<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.poll_revoked(cx) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Sets what is read from the backend first.
    pub(super) fn set_replay(&mut self, replay: Replay) {
        if !replay.is_state {
            self.cursor.set_position(replay.start_position());
        }
        self.replay = Some(Box::new(replay));
    }

    /// Returns the next step of a replay.
    fn poll_replay(&mut self, cx: &mut Context<'_>) -> Poll<ReplayStep> {
        // The waker is also stored for `Hub::disconnect`, before the backend may keep it waiting.
        if self.poll_revoked(cx) {
            self.replay = None;
            return Poll::Ready(ReplayStep::Done);
        }
        loop {
            let Some(replay) = &mut self.replay else { return Poll::Ready(ReplayStep::Done) };
            match ready!(replay.poll_next(cx)) {
                Replayed::Record(record) => {
                    if !replay.is_state {
                        self.cursor.replayed(&record);
                    }
                    if record.is_given() && record.is_young(self.node.too_old()) {
                        return Poll::Ready(ReplayStep::Record(record));
                    }
                }
                Replayed::Gap(_) if replay.is_outdated() => {
                    self.replay = None;
                    return Poll::Ready(ReplayStep::Done);
                }
                Replayed::Gap(located) => {
                    let first = replay.peek().cloned();
                    self.node.lock().lagged += 1;
                    self.cursor.is_over = self.node.lagging == Lagging::Evict;
                    return Poll::Ready(ReplayStep::Gap(new_gap(reason_of(located), first, None)));
                }
                Replayed::Stopped => {
                    // The client resumes after the last event that it has got.
                    self.cursor.is_over = true;
                    self.replay = None;
                    return Poll::Ready(ReplayStep::Done);
                }
                Replayed::Done(upto) => {
                    self.cursor.end_replay(upto);
                    self.replay = None;
                    return Poll::Ready(ReplayStep::Done);
                }
            }
        }
    }

    /// Returns a chunk of a replay.
    fn poll_replayed_chunk(
        &mut self,
        is_state: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Delivery>> {
        let first = match ready!(self.poll_replay(cx)) {
            ReplayStep::Record(record) => record,
            ReplayStep::Gap(gap) => return Poll::Ready(Some(Delivery::Gap(gap))),
            ReplayStep::Done => return Poll::Ready(None),
        };
        let mut batch = RecordBatch::of(&first);
        // Records of the same page are joined, as many as fit.
        while let Some(next) = self.replay.as_ref().and_then(|replay| replay.peek()).cloned() {
            let is_left_out = !next.is_given() || !next.is_young(self.node.too_old());
            if !is_left_out && !batch.try_keep(&next) {
                break;
            }
            self.replay.as_mut().and_then(|replay| replay.take());
            if !is_state {
                self.cursor.replayed(&next);
            }
        }
        let to = Head { seq: self.cursor.at(), position: self.cursor.position() };
        let range = ReadRange { after: to.seq, to, is_state };
        let chunk = match &mut self.transform {
            Some(transform) => transformed(transform, &batch, range),
            None => Ok(JoinedChunk::join(&batch, is_state)),
        };
        Poll::Ready(match chunk {
            Ok(chunk) => chunk.map(Delivery::Chunk),
            Err(panicked) => Some(Delivery::Failed(panicked)),
        })
    }

    /// Returns the next chunk, or the next of the other things that a body reports.
    // Inlined, so that a chunk is written once, to where the body takes it from.
    #[inline]
    pub(super) fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        // The subscription may have been read before it became a body.
        self.ahead = None;
        let mut looks = 0;
        loop {
            if self.cursor.is_over {
                return Poll::Ready(Delivery::End);
            }
            if let Some(is_state) = self.replay.as_ref().map(|replay| replay.is_state) {
                match ready!(self.poll_replayed_chunk(is_state, cx)) {
                    Some(delivery) => return Poll::Ready(delivery),
                    // A filter may leave out all records of many pages.
                    None if looks == EMPTY_LOOKS => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    None => {
                        looks += 1;
                        continue;
                    }
                }
            }
            let limit = Cursor::limit(&self.node, usize::MAX);
            let range = match self.cursor.next_step(&self.node, limit.too_old) {
                ReadStep::Read(range) => range,
                ReadStep::Wait(head) => {
                    ready!(self.poll_wait(head, cx));
                    continue;
                }
                ReadStep::Replay(upto) => {
                    self.start_replay(upto);
                    continue;
                }
                ReadStep::Gap(gap) => return Poll::Ready(Delivery::Gap(gap)),
                ReadStep::StartDone => return Poll::Ready(Delivery::StartDone),
                ReadStep::End => return Poll::Ready(Delivery::End),
                ReadStep::Revoked => return Poll::Ready(Delivery::Revoked),
            };
            if looks == EMPTY_LOOKS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            looks += 1;
            let removals = self.node.counters.removals();
            let is_shared = self.transform.is_none() && self.cursor.takes_all();
            if is_shared && self.cursor.group.is_shared() {
                if let Some(chunk) = self.find_chunk(range, removals, limit.too_old) {
                    return Poll::Ready(Delivery::Chunk(chunk));
                }
            }
            let Some(batch) = self.cursor.read(&self.node, range, limit) else { continue };
            self.cursor.advance_cursor(&batch, range);
            let chunk = match &mut self.transform {
                Some(transform) => transformed(transform, &batch, range),
                None => Ok(JoinedChunk::join(&batch, range.is_state)),
            };
            match chunk {
                // The search may end without a record: it is limited to a number of steps.
                Ok(None) => {}
                Ok(Some(chunk)) => {
                    if is_shared && chunk.events > 1 && self.cursor.group.is_shared() {
                        self.share_chunk(range, &chunk, &batch, removals);
                    }
                    return Poll::Ready(Delivery::Chunk(chunk));
                }
                Err(panicked) => return Poll::Ready(Delivery::Failed(panicked)),
            }
        }
    }

    /// Returns a chunk that another reader of the group has joined, and moves after it.
    fn find_chunk(
        &mut self,
        range: ReadRange,
        removals: u64,
        too_old: Option<Instant>,
    ) -> Option<JoinedChunk> {
        let group = self.cursor.group.number;
        let chunk = self.node.chunks().find(group, range, removals, too_old)?;
        // As after a search: something may have been removed since the last check.
        let gone = self.cursor.group.lost_until();
        if !range.is_state && self.cursor.has_missed(gone) {
            return None;
        }
        let end = Head { seq: chunk.end, position: chunk.end_position };
        self.cursor.move_to(end, range, Some(chunk.events));
        Some(chunk)
    }

    /// Caches a chunk for the other readers of the group.
    fn share_chunk(
        &self,
        range: ReadRange,
        chunk: &JoinedChunk,
        batch: &RecordBatch,
        removals: u64,
    ) {
        let group = self.cursor.group.number;
        let replaced = self.node.chunks().insert(group, range, chunk.clone(), batch, removals);
        drop(replaced);
    }
}

/// Returns why events may be missing after an entry of the log.
pub(super) fn reason_of(located: Located) -> GapReason {
    match located {
        Located::Kept | Located::Trimmed => GapReason::Trimmed,
        Located::Unknown => GapReason::Unknown,
    }
}

/// Passes the records of a batch through filters and maps, and joins those that pass. Returns `None`
/// if none does.
fn transformed(
    transform: &mut Transform,
    batch: &RecordBatch,
    range: ReadRange,
) -> Result<Option<JoinedChunk>, Panicked> {
    let mut passed = Vec::new();
    let mut kept = RecordBatch::empty_like(batch);
    let mut is_mapped = false;
    for record in batch.records() {
        let entry = Entry::new(record.clone(), range.is_state);
        if let Some(Passed { entry, is_mapped: is_changed }) = transform.apply(entry)? {
            is_mapped |= is_changed;
            kept.keep(record);
            passed.push(entry.to_bytes());
        }
    }
    let chunk = if is_mapped {
        JoinedChunk::join_entries(&passed, &kept, range.is_state)
    } else {
        JoinedChunk::join(&kept, range.is_state)
    };
    let is_past_id = batch.is_past_last || kept.last_seq() != batch.last_seq();
    Ok(chunk.map(|chunk| JoinedChunk { is_past_id, ..chunk }))
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        self.node.leave(&self.cursor.group, self.cursor.reader);
    }
}
