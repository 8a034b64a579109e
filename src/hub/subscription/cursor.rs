//! The cursor of a reader: where it stands in the log, and what it is given next.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Extensions;
use tokio::{task::consume_budget, time::Instant};

use crate::{
    channel::Control,
    event::{Event, EventId},
    hub::{
        entry::Entry,
        gap::{Gap, GapReason, Lagged, Lagging, Resumption},
        log::{GroupKey, JoinedChunk, Log, ReadRange, ReaderKey, Record, Session},
        node::Node,
        position::{ParsedId, Position, Tag},
        selection::Selection,
    },
};

/// A reader's place in the log. It reads records from there, and removes the reader when dropped.
///
/// A cursor is touched for each event of each reader, and a server with many readers has none of them
/// in the CPU's cache. `repr(C)` keeps the fields in this order: those that every event needs share
/// cache lines.
#[repr(C)]
pub(super) struct Cursor {
    node: Arc<Node>,
    /// The reader in the log's table, until the cursor is dropped.
    reader: ReaderKey,
    /// The reader's group.
    group: GroupKey,
    progress: Progress,
    /// The position that the client was last sent as an ID. 0 makes the next idle refresh send one.
    last_sent_id: Position,
    /// Nothing more will be read: the reader was evicted or cut, or the hub is gone and all is read.
    is_over: bool,
    /// At least one entry was returned by `poll_entry`.
    has_read: bool,
    /// The hash of the reader's topics and patterns.
    tag: Tag,
    phase: ReadPhase,
    resumption: Resumption,
}

/// How far a reader has read, and what it knows about trimmed records.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The position up to which it has read everything. During the state: where it started.
    at: Position,
    /// The position up to which records of the group were trimmed when the reader started or was last
    /// told of a gap. These are not reported again.
    known_gap_end: Position,
    /// How many events of the group were published up to `at`. `None` while that is not known.
    read_count: Option<u64>,
}

/// What a reader reads at present.
#[derive(Clone, Copy, Debug)]
enum ReadPhase {
    /// The current record of each key, up to where the reader started.
    State {
        /// The position up to which these were read.
        at: Position,
    },
    /// All records, as they are published.
    Live,
}

/// What a reader does next.
enum ReadStep {
    /// There is nothing to read. The reader is at the head of the log.
    Wait,
    /// There may be records in this range.
    Read(ReadRange),
    /// Records were trimmed before they were read.
    Gap(Gap),
    /// All of the state was read. The reader continues with what was published since it started.
    StateDone,
    /// Nothing more will be read.
    End,
}

/// What a reader is given, as the source of a body.
pub(super) enum Delivery {
    Chunk(JoinedChunk),
    /// Records were trimmed before they were read. The reader has ended if [`Cursor::is_over`].
    Gap(Gap),
    /// All of the state was delivered.
    StateDone,
    End,
}

impl Cursor {
    /// Adds a reader to the log, which starts at the head, or after the event with the ID `last`.
    pub(super) fn new(node: Arc<Node>, selection: Selection, last: Option<&str>) -> Self {
        let mut log = node.lock();
        log.trim_aged(Instant::now());
        // In the same critical section as `start_cursor`: an event that was published in between would
        // be lost.
        let reader = log.subscribe(selection.set);
        let group = log.readers.by_key[reader].group;
        let (progress, resumption) = start_cursor(&node, &mut log, group, last);
        let phase = if selection.state && resumption == Resumption::New {
            ReadPhase::State { at: 0 }
        } else {
            ReadPhase::Live
        };
        let tag = log.groups.by_key[group].tag;
        let presence_changed = !log.readers.presence.changes.is_empty();
        drop(log);
        let mut this = Self {
            node,
            reader,
            group,
            progress,
            last_sent_id: progress.at,
            is_over: false,
            has_read: false,
            tag,
            phase,
            resumption,
        };
        if presence_changed {
            this.node.run_presence_hooks();
        }
        if let Resumption::Gap(gap) = &this.resumption {
            Node::record_gap(gap.reason.as_str(), gap);
            // The client's last ID is of no use any more, so the first idle refresh replaces it.
            this.last_sent_id = 0;
        }
        this
    }

    pub(super) fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Returns the position up to which everything was read.
    pub(super) fn at(&self) -> Position {
        self.progress.at
    }

    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, ReadPhase::Live)
    }

    /// Returns the ID from which everything that was not read yet can be resumed. During the state,
    /// that is the start of the log.
    pub(super) fn position(&self) -> EventId {
        let at = match self.phase {
            ReadPhase::State { .. } => 0,
            ReadPhase::Live => self.progress.at,
        };
        self.node.ids.reader_id(at, self.tag)
    }

    /// Returns the event that reports a gap to the client, or `None` if the hook omits it.
    pub(super) fn gap_event(&self, gap: &Gap) -> Option<Event> {
        self.node.hooks.gap_event(gap)
    }

    /// Records that the client is sent an ID of the current position.
    pub(super) fn set_id_sent(&mut self) {
        self.last_sent_id = self.progress.at;
    }

    /// Returns whether the client's last event ID is older than the current position.
    pub(super) fn is_id_outdated(&self) -> bool {
        self.progress.at != self.last_sent_id
    }

    /// Returns whether the reader is to be evicted, or was. It does not read.
    pub(super) fn has_lagged(&self) -> bool {
        let trimmed = self.node.lock().groups.by_key[self.group].trimmed;
        self.node.lagging == Lagging::Evict && (self.is_over || self.has_missed(trimmed))
    }

    /// Sets what `Hub::disconnect` knows the reader by, and how it ends its stream.
    pub(super) fn set_session(&self, extensions: Arc<Extensions>, control: Option<Control>) {
        let (session, _old, is_cut) = {
            let mut log = self.node.lock();
            let reader = &mut log.readers.by_key[self.reader];
            // Empty extensions do not replace those that the application has set.
            let extensions = match &reader.session {
                Some(before) if extensions.is_empty() => before.extensions.clone(),
                _ => extensions,
            };
            let session = Arc::new(Session { extensions, control });
            let old = reader.session.replace(session.clone());
            (session, old, reader.is_cut)
        };
        // `disconnect` ran before the reader had a stream. Later runs find the session.
        if let Some(control) = session.control.as_ref().filter(|_| is_cut) {
            control.revoke();
        }
    }

    /// Returns the next entry.
    pub(super) fn poll_entry(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Entry, Lagged>>> {
        // A reader with a long backlog never waits, so it lets other tasks run by tokio's budget.
        ready!(pin!(consume_budget()).poll(cx));
        let node = self.node.clone();
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            let mut log = node.lock();
            match self.next_step(&mut log) {
                ReadStep::Wait => {
                    let old = log.wait(self.reader, cx);
                    drop(log);
                    drop(old);
                    return Poll::Pending;
                }
                ReadStep::Read(range) => {
                    let batch = log.collect(self.group, range, 1);
                    self.advance_cursor(batch.end, range, batch.len(), &log);
                    drop(log);
                    // The search may end without a record: it is limited to a number of steps.
                    let Some(record) = batch.first else { continue };
                    self.has_read = true;
                    return Poll::Ready(Some(Ok(entry_of(record, range))));
                }
                ReadStep::StateDone => {}
                ReadStep::Gap(gap) => {
                    drop(log);
                    Node::record_gap("lagged", &gap);
                    return Poll::Ready(Some(Err(Lagged { gap })));
                }
                ReadStep::End => self.is_over = true,
            }
        }
    }

    /// Returns the next chunk, or the next of the other things that a body reports.
    pub(super) fn poll_delivery(&mut self, cx: &Context<'_>) -> Poll<Delivery> {
        loop {
            if self.is_over {
                return Poll::Ready(Delivery::End);
            }
            let node = self.node.clone();
            let mut log = node.lock();
            let range = match self.next_step(&mut log) {
                ReadStep::Read(range) => range,
                ReadStep::Wait => {
                    let old = log.wait(self.reader, cx);
                    drop(log);
                    drop(old);
                    return Poll::Pending;
                }
                ReadStep::Gap(gap) => return Poll::Ready(Delivery::Gap(gap)),
                ReadStep::StateDone => return Poll::Ready(Delivery::StateDone),
                ReadStep::End => return Poll::Ready(Delivery::End),
            };
            if let Some(chunk) = log.groups.chunks.find(self.group, range).cloned() {
                self.advance_cursor(chunk.end, range, chunk.events, &log);
                return Poll::Ready(Delivery::Chunk(chunk));
            }
            let batch = log.collect(self.group, range, usize::MAX);
            self.advance_cursor(batch.end, range, batch.len(), &log);
            let is_shared = log.groups.by_key[self.group].readers > 1;
            let is_state = range.state_to.is_some();
            let removals = log.groups.chunks.removals;
            if !batch.more.is_empty() {
                // Joining copies up to 64 KiB, so it is done without the lock. A record that is removed
                // meanwhile is delivered to this reader, but must not be cached for later ones.
                drop(log);
                let Some(chunk) = JoinedChunk::join(&batch, is_state) else { continue };
                if is_shared {
                    let mut log = node.lock();
                    if log.groups.chunks.removals == removals {
                        log.groups.chunks.insert(self.group, range, chunk.clone());
                    }
                }
                return Poll::Ready(Delivery::Chunk(chunk));
            }
            let Some(chunk) = JoinedChunk::join(&batch, is_state) else { continue };
            if is_shared {
                log.groups.chunks.insert(self.group, range, chunk.clone());
            }
            return Poll::Ready(Delivery::Chunk(chunk));
        }
    }

    /// Decides what the reader does next. Called under the lock, under which the caller also leaves
    /// the waker if the answer is [`ReadStep::Wait`].
    fn next_step(&mut self, log: &mut Log) -> ReadStep {
        if log.readers.by_key[self.reader].is_cut {
            return ReadStep::End;
        }
        if self.node.has_max_age {
            log.trim_aged(Instant::now());
        }
        let group = &log.groups.by_key[self.group];
        // Trimmed entries of the state are not missed: a reader that starts later does not get them
        // either.
        if let ReadPhase::State { at } = self.phase {
            if at < self.progress.at {
                return ReadStep::Read(ReadRange { after: at, state_to: Some(self.progress.at) });
            }
            self.phase = ReadPhase::Live;
            return ReadStep::StateDone;
        }
        if self.has_missed(group.trimmed) {
            return ReadStep::Gap(self.report_lag(log));
        }
        if group.last <= self.progress.at {
            // Nothing for this group was published after the position, so it moves to the head. There
            // it knows the number of events again.
            self.progress.at = log.head();
            self.progress.read_count = Some(group.published);
            return if log.is_closed { ReadStep::End } else { ReadStep::Wait };
        }
        ReadStep::Read(ReadRange { after: self.progress.at, state_to: None })
    }

    /// Returns whether records were trimmed that the reader has neither read nor been told of.
    fn has_missed(&self, trimmed: Position) -> bool {
        trimmed > self.progress.at.max(self.progress.known_gap_end)
    }

    /// Counts the records that were trimmed before they were read. Returns `None` if records were
    /// superseded meanwhile, or if the number is not known for another reason.
    fn count_missed(&self, log: &Log) -> Option<u64> {
        let group = &log.groups.by_key[self.group];
        if group.superseded > self.progress.at {
            return None;
        }
        let kept = log.count(self.group, self.progress.at)?;
        (group.published - self.progress.read_count?).checked_sub(kept)
    }

    /// Returns the gap that the reader has just fallen into. It is not reported again, and ends the
    /// reader if the hub evicts.
    fn report_lag(&mut self, log: &mut Log) -> Gap {
        let missed = self.count_missed(log);
        log.readers.lagged += 1;
        let first = log.first_after(self.group, self.progress.at);
        self.progress.known_gap_end = log.groups.by_key[self.group].trimmed;
        self.progress.read_count = None;
        self.is_over = self.node.lagging == Lagging::Evict;
        new_gap(GapReason::Trimmed, first, missed)
    }

    /// Moves the reader to `end`, after it was given `events` records of `range`.
    fn advance_cursor(&mut self, end: Position, range: ReadRange, events: usize, log: &Log) {
        if let (ReadPhase::State { at }, Some(_)) = (&mut self.phase, range.state_to) {
            *at = end;
            return;
        }
        self.progress.at = end;
        // A superseded record counts as published but was not given, so the count is lost.
        let is_exact = log.groups.by_key[self.group].superseded <= range.after;
        let read_count = self.progress.read_count.filter(|_| is_exact);
        self.progress.read_count = read_count.map(|count| count + events as u64);
    }
}

/// Returns where a reader starts, and how that relates to its last event ID.
fn start_cursor(
    node: &Node,
    log: &mut Log,
    group: GroupKey,
    last: Option<&str>,
) -> (Progress, Resumption) {
    let (published, trimmed) =
        (log.groups.by_key[group].published, log.groups.by_key[group].trimmed);
    let head = log.head();
    let Some(last) = last else {
        let progress = Progress { at: head, known_gap_end: trimmed, read_count: Some(published) };
        return (progress, Resumption::New);
    };
    let group_tag = log.groups.by_key[group].tag;
    let (at, reason) = match node.ids.parse(last) {
        // This hub has not issued such a position yet.
        ParsedId::Event(at, _) | ParsedId::ReaderPosition(at, _) if at > head => {
            (0, Some(GapReason::Unknown))
        }
        ParsedId::Event(at, tag) if !log.may_belong_to(group, at, tag) => {
            (at, Some(GapReason::OtherTopic))
        }
        ParsedId::ReaderPosition(at, tag) if tag != group_tag => (at, Some(GapReason::OtherTopic)),
        ParsedId::Event(at, _) | ParsedId::ReaderPosition(at, _) if trimmed > at => {
            (at, Some(GapReason::Trimmed))
        }
        ParsedId::Event(at, _) | ParsedId::ReaderPosition(at, _) => (at, None),
        ParsedId::OtherEpoch => (0, Some(GapReason::OtherEpoch)),
        ParsedId::Unknown => (0, Some(GapReason::Unknown)),
    };
    // What was trimmed before the start is reported here, and not again.
    let progress = Progress { at, known_gap_end: trimmed, read_count: None };
    let Some(reason) = reason else { return (progress, Resumption::Complete) };
    log.readers.gaps += 1;
    let is_trimmed = reason == GapReason::Trimmed;
    let missed = if is_trimmed { log.missed_since(group, at) } else { None };
    let first = log.first_after(group, at);
    (progress, Resumption::Gap(new_gap(reason, first, missed)))
}

fn new_gap(reason: GapReason, first: Option<Arc<Record>>, missed: Option<u64>) -> Gap {
    Gap { reason, first: first.map(|record| record.event_id()), missed }
}

fn entry_of(record: Arc<Record>, range: ReadRange) -> Entry {
    match range.state_to {
        Some(_) => Entry::of_state(record),
        None => Entry::new(record),
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let (_gone, presence_changed) = {
            let mut log = self.node.lock();
            let gone = log.unsubscribe(self.reader);
            (gone, !log.readers.presence.changes.is_empty())
        };
        if presence_changed {
            self.node.run_presence_hooks();
        }
    }
}
