//! The cursor of a reader: how far it has read, and what it does next.
//!
//! A cursor does not wait, and does not take the lock: it is given the log.

use std::sync::Arc;

use tokio::time::Instant;

use crate::hub::{
    gap::{Gap, GapReason, Lagging, Resumption},
    log::{GroupKey, Log, ReadRange, ReaderKey, Record},
    node::Node,
    position::{ParsedId, Position, Tag},
    selection::Selection,
};

/// A reader's place in the log.
///
/// It is touched for each event of each reader, and a server with many readers has none of them in
/// the CPU's cache. `repr(C)` keeps the fields in this order: those that every event needs share
/// cache lines.
#[repr(C)]
pub(super) struct Cursor {
    /// The reader in the log's table.
    pub(super) reader: ReaderKey,
    /// The reader's group.
    pub(super) group: GroupKey,
    /// How far it has read.
    progress: Progress,
    /// The position that the client was last sent as an ID. 0 if the client's ID is of no use, so
    /// that the next idle refresh sends one.
    last_sent_id: Position,
    /// Nothing more will be read.
    pub(super) is_over: bool,
    /// The reader was given at least one entry.
    pub(super) has_read: bool,
    /// The hash of the reader's topics and patterns.
    pub(super) tag: Tag,
    /// What it reads at present.
    phase: ReadPhase,
}

/// How far a reader has read, and what it knows about trimmed records.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The position up to which it has read everything. During the state: where it started.
    at: Position,
    /// The position up to which records of the group were trimmed when the reader started or was
    /// last told of a gap. These are not reported again.
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
pub(super) enum ReadStep {
    /// There is nothing to read. The reader is at the head of the log.
    Wait,
    /// There may be records in this range.
    Read(ReadRange),
    /// Records were trimmed before they were read.
    Gap(Gap),
    /// All of the state was read. The reader continues with the records that were published since
    /// it started.
    StateDone,
    /// Everything was read, and nothing more will be published.
    End,
    /// `Hub::disconnect` has ended the reader.
    Revoked,
}

impl Cursor {
    /// Adds a reader to the log, with a cursor at its head, or after the event with the ID `last`.
    ///
    /// Both are done under one lock: an event that is published in between would be lost.
    pub(super) fn start(
        node: &Node,
        log: &mut Log,
        selection: Selection,
        last: Option<&str>,
    ) -> (Self, Resumption) {
        let reader = log.subscribe(selection.set);
        let group = log.readers.by_key[reader].group;
        let (progress, resumption) = start_cursor(node, log, group, last);
        let phase = if selection.state && resumption == Resumption::New {
            ReadPhase::State { at: 0 }
        } else {
            ReadPhase::Live
        };
        let has_gap = matches!(resumption, Resumption::Gap(_));
        let cursor = Self {
            reader,
            group,
            progress,
            // After a gap, the client's last ID does not lead to where the reader starts.
            last_sent_id: if has_gap { 0 } else { progress.at },
            is_over: false,
            has_read: false,
            tag: log.groups.by_key[group].tag,
            phase,
        };
        (cursor, resumption)
    }

    /// Returns the position up to which everything was read.
    pub(super) fn at(&self) -> Position {
        self.progress.at
    }

    /// Returns the position from which everything that was not read yet can be resumed. During the
    /// state, that is the start of the log.
    pub(super) fn resumable_at(&self) -> Position {
        match self.phase {
            ReadPhase::State { .. } => 0,
            ReadPhase::Live => self.progress.at,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, ReadPhase::Live)
    }

    /// Records that the client is sent an ID of the current position.
    pub(super) fn set_id_sent(&mut self) {
        self.last_sent_id = self.progress.at;
    }

    /// Returns whether the client's last event ID is older than the current position.
    pub(super) fn is_id_outdated(&self) -> bool {
        self.progress.at != self.last_sent_id
    }

    /// Decides what the reader does next. Called under the lock, under which the caller also leaves
    /// the waker if the answer is [`ReadStep::Wait`].
    pub(super) fn next_step(&mut self, node: &Node, log: &mut Log) -> ReadStep {
        if log.readers.by_key[self.reader].is_cut {
            return ReadStep::Revoked;
        }
        if node.has_max_age {
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
            return ReadStep::Gap(self.report_lag(node, log));
        }
        if group.last <= self.progress.at {
            // Nothing for this group was published after the position, so it moves to the head.
            // There it knows the number of events again.
            self.progress.at = log.head();
            self.progress.read_count = Some(group.published);
            return if log.is_closed { ReadStep::End } else { ReadStep::Wait };
        }
        ReadStep::Read(ReadRange { after: self.progress.at, state_to: None })
    }

    /// Returns whether records were trimmed that the reader has neither read nor been told of.
    pub(super) fn has_missed(&self, trimmed: Position) -> bool {
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
    fn report_lag(&mut self, node: &Node, log: &mut Log) -> Gap {
        let missed = self.count_missed(log);
        log.readers.lagged += 1;
        let first = log.first_after(self.group, self.progress.at);
        self.progress.known_gap_end = log.groups.by_key[self.group].trimmed;
        self.progress.read_count = None;
        self.is_over = node.lagging == Lagging::Evict;
        new_gap(GapReason::Trimmed, first, missed)
    }

    /// Moves the reader to `end`, after it was given `events` records of `range`.
    pub(super) fn advance_cursor(
        &mut self,
        end: Position,
        range: ReadRange,
        events: usize,
        log: &Log,
    ) {
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
    // Records that were trimmed before the start are reported here, and not again.
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
