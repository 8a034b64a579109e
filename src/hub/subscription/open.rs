//! Opening a subscription: the reader joins the window, and its start is found.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Arc,
};

use http::Extensions;

use super::{
    cursor::{Cursor, Newest, Progress, ReadPhase, new_gap},
    reader::{ReaderHandle, reason_of},
    replay::Replay,
};
use crate::hub::{
    backend::Position,
    engine::{fetch_ends, fetch_newest, fetch_state, shared::Engine},
    gap::{Gap, GapReason, Resumption},
    ids::ParsedId,
    node::Node,
    selection::{Selection, StartAt, TopicSet},
    subscribe_error::SubscribeError,
    window::{
        Backfill, Group, Head, Owner, Place, ReadLimit, ReadRange, ReaderKey, Record, Seq, Window,
    },
};

/// How many entries of all topics are read from the backend for a reader that starts with the newest ones.
const MAX_NEWEST: usize = 1024;

/// A reader that has joined its group, and leaves it when it is dropped before it has started.
struct Joined {
    node: Arc<Node>,
    group: Arc<Group>,
    reader: ReaderKey,
    /// A [`ReaderHandle`] leaves the group instead.
    is_started: bool,
}

/// Where a reader starts, and how that relates to its last event ID.
struct Start {
    /// The place.
    at: Head,
    /// What is read first.
    phase: ReadPhase,
    /// Why events may be missing, if they may.
    gap: Option<GapReason>,
    /// The reader resumes with everything.
    is_complete: bool,
}

/// Adds a reader to the window, which starts as the selection says, or after the event with the ID
/// `last`.
///
/// # Cancel safety
///
/// If the future is dropped, the reader leaves.
pub(super) async fn open(
    node: Arc<Node>,
    selection: Selection,
    last: Option<String>,
    session: Option<Arc<Extensions>>,
) -> Result<ReaderHandle, SubscribeError> {
    node.check_limits(&selection)?;
    let joined = Joined::new(node, selection.set)?;
    if let Some(session) = session {
        // `Hub::disconnect` sees the reader from here on, and so do the hooks.
        let _none = joined.group.set_session(joined.reader, session);
    }
    joined.node.run_presence_hooks();
    let parsed = last.map(|last| joined.node.ids().parse(&last));
    if let (Some(engine), Some(position)) =
        (joined.node.engine(), parsed.and_then(|it| it.position()))
    {
        // Another node may be ahead of this one.
        engine.wait_for(&joined.node.counters, position).await;
    }
    if joined.needs_history(parsed, selection.start) {
        joined.fill_patterns().await;
    }
    let mut reader = joined.start(parsed, selection.start);
    if let Some(engine) = reader.node().engine().cloned() {
        let (node, group) = (reader.node().clone(), reader.cursor().group.clone());
        reader.until_cut(fetch_ends(&node, &engine, &group)).await;
        let last = parsed.and_then(|last| last.position());
        ask_engine(&mut reader, engine, selection.start, (parsed.is_some(), last)).await;
    }
    if let Resumption::Gap(gap) = reader.resumption() {
        Node::record_gap(gap.reason.as_str(), gap);
    }
    Ok(reader)
}

/// What a reader needs from the backend first.
#[derive(Clone, Copy, Debug)]
enum Needs {
    /// What was published since its last event.
    Missed,
    /// Everything. With the reason for which its last event ID is of no use, if it has one.
    All(Option<GapReason>),
}

/// Reads the entries that the window does not have from the backend, and corrects how the reader has
/// started.
async fn ask_engine(
    reader: &mut ReaderHandle,
    engine: Arc<Engine>,
    start: StartAt,
    (is_resumed, last): (bool, Option<Position>),
) {
    let node = reader.node().clone();
    let group = reader.cursor().group.clone();
    if reader.cursor().is_state() {
        // Up to where the reader starts: later entries are read from the window.
        let to = Head { seq: reader.cursor().at(), position: reader.cursor().position() };
        let state = async {
            match state_of_window(&group, to).await {
                Some(state) => Some(state),
                None => {
                    let wanted = Arc::new(group.wanted());
                    fetch_state(node.clone(), engine.clone(), wanted, to.position).await
                }
            }
        };
        let Some(state) = reader.until_cut(state).await.flatten() else { return };
        reader.set_replay(Replay::of_state((node, engine), &group, state, to));
        return;
    }
    if let (StartAt::Last(number), true) = (start, reader.cursor().is_newest()) {
        return ask_for_newest(reader, engine, number).await;
    }
    let needs = match reader.resumption() {
        // The client has an event of this log.
        Resumption::Gap(Gap { reason: GapReason::Trimmed, .. }) if is_resumed => Needs::Missed,
        // The reader starts with the oldest event that is retained, unless the selection says otherwise.
        Resumption::Gap(gap) if is_resumed => match gap.reason {
            GapReason::OtherEpoch | GapReason::Unknown if reader.cursor().is_live() => {
                Needs::All(Some(gap.reason))
            }
            _ => return,
        },
        // The window may not have the beginning of a topic that it has dropped before.
        Resumption::Gap(_) => Needs::All(None),
        Resumption::New if start == StartAt::Start && group.coverage() > 0 => Needs::All(None),
        // The position may be one that the log has lost, between two records of the window.
        Resumption::Complete if last.is_some_and(|last| !node.lock().knows(last)) => Needs::Missed,
        Resumption::New | Resumption::Complete => return,
    };
    let after = match needs {
        Needs::Missed => reader.cursor().position(),
        Needs::All(_) => Position::START,
    };
    let head = node.counters.head();
    let mut replay = Replay::new((node, engine), &group, after, head, true);
    let Some(located) = reader.until_cut(replay.start()).await else { return };
    let gap = |reason| Resumption::Gap(new_gap(reason, replay.peek().cloned(), None));
    reader.set_resumption(match (needs, located) {
        (Needs::All(Some(reason)), _) => gap(reason),
        (_, Some(located)) => gap(reason_of(located)),
        (Needs::All(None), None) => Resumption::New,
        (Needs::Missed, None) => Resumption::Complete,
    });
    reader.set_replay(replay);
}

/// Reads the newest entries of those of the reader's topics of which the window does not have enough, and takes
/// the others from the window.
async fn ask_for_newest(reader: &mut ReaderHandle, engine: Arc<Engine>, number: usize) {
    let (node, group) = (reader.node().clone(), reader.cursor().group.clone());
    let head = node.counters.head();
    let Some((topics, in_window)) = group.lacks_newest(number, head.seq) else { return };
    let most = NonZeroUsize::MIN.saturating_add(number.min(MAX_NEWEST / topics.len()));
    // Two more of each topic: its end may count, and the reader resumes after the other one, if it gets no
    // further.
    let read = most.saturating_add(1);
    let found = fetch_newest(node.clone(), engine.clone(), topics, head.position, read);
    let Some(mut records) = reader.until_cut(found).await.flatten() else { return };
    records.extend(in_window);
    records.retain(|record| record.is_given());
    // The newest first.
    records.sort_unstable_by_key(|record| Reverse(record.position));
    records.dedup_by_key(|record| record.position);
    let (mut counts, mut before) = (HashMap::new(), HashMap::new());
    records.retain(|record| {
        let count = counts.entry(record.topic.clone()).or_insert(0);
        *count += 1;
        if *count == number + 1 {
            before.insert(record.topic.clone(), record.position);
        }
        *count <= number
    });
    records.reverse();
    let before = match records.first() {
        Some(first) => before.get(&first.topic).copied().unwrap_or(Position::START),
        None => head.position,
    };
    if let Resumption::Gap(gap) = reader.resumption() {
        let gap = Resumption::Gap(new_gap(gap.reason, records.first().cloned(), gap.missed));
        reader.set_resumption(gap);
    }
    reader.set_replay(Replay::of_newest((node, engine), &group, (before, records), head));
}

/// Returns the state up to a place. It is collected at once, since the window may drop entries that the
/// backend retains, while the reader reads. `None` if the window does not have all of it.
async fn state_of_window(group: &Group, to: Head) -> Option<Vec<Arc<Record>>> {
    let mut state = Vec::new();
    let limit = ReadLimit { records: usize::MAX, too_old: None };
    let mut after = 0;
    while after < to.seq {
        let batch = group.collect(ReadRange { after, to, is_state: true }, limit);
        after = batch.end;
        state.extend(batch.first.into_iter().chain(batch.more));
        tokio::task::consume_budget().await;
    }
    (group.coverage() == 0).then_some(state)
}

impl Joined {
    fn new(node: Arc<Node>, set: TopicSet) -> Result<Self, SubscribeError> {
        let (group, reader) = node.join(set).map_err(SubscribeError::too_many_named_topics)?;
        // From here on, dropping it removes the reader again.
        Ok(Self { node, group, reader, is_started: false })
    }

    /// Returns whether the reader needs records that were published before one of its patterns was
    /// added.
    fn needs_history(&self, last: Option<ParsedId>, start: StartAt) -> bool {
        let Some(last) = last else { return start != StartAt::Now && self.group.lacks(0) };
        let window = self.node.lock();
        match last.position().map(|position| window.place_of(position)) {
            // A reader with an ID of another topic starts as a new one does.
            Some(Place::At(at)) if owner_of(&window, &self.group, last, at) != Owner::Other => {
                self.group.lacks(at)
            }
            _ => self.group.lacks(0),
        }
    }

    /// Adds the records that were published before the group's patterns were added, some at a time.
    async fn fill_patterns(&self) {
        for (source, filled) in self.group.patterns() {
            filled
                .get_or_init(|| async {
                    let Some(mut backfill) = Backfill::new(source) else { return };
                    loop {
                        let has_more = self.node.lock().visit_topics(&mut backfill);
                        backfill.collect();
                        tokio::task::yield_now().await;
                        if !has_more {
                            break;
                        }
                    }
                    backfill.sort();
                    self.node.lock().start_prepend(&backfill);
                    while self.node.lock().prepend_some(&mut backfill) {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
        }
    }

    /// Starts the reader.
    fn start(mut self, last: Option<ParsedId>, start: StartAt) -> ReaderHandle {
        let too_old = self.node.too_old();
        // This may look at many records, so it is done without the lock. Later records follow anyway.
        let newest = match start {
            StartAt::Last(number) => {
                let to = self.node.counters.head().seq;
                Some((self.group.newest(number, to).unwrap_or(1), to))
            }
            StartAt::Now | StartAt::State | StartAt::Start => None,
        };
        let (cursor, resumption) = {
            let mut window = self.node.lock();
            let head = self.node.counters.head();
            let too_old_until = too_old.map_or(0, |it| self.group.too_old_until(it));
            let gone = self.group.coverage().max(too_old_until).min(head.seq);
            let start = match last {
                None => new_start(&window, &self.group, start, newest, head),
                Some(last) => resumed(&window, &self.group, last, (start, newest), head, gone),
            };
            // Records that were gone before the start are reported here, and not again.
            let known = self.group.lost_until().max(too_old_until).min(head.seq);
            let progress = Progress::new(&self.group, start.at, known);
            let resumption = match start.gap {
                None if start.is_complete => Resumption::Complete,
                None => Resumption::New,
                Some(reason) => {
                    window.gaps += 1;
                    let at = start.at.seq;
                    let missed = (reason == GapReason::Trimmed && last.is_some())
                        .then(|| window.missed_since(&self.group, at, too_old));
                    let first = self.group.first_after(at, head.seq, too_old);
                    Resumption::Gap(new_gap(reason, first, missed.flatten()))
                }
            };
            let (group, has_gap) = (self.group.clone(), start.gap.is_some());
            let mut cursor = Cursor::new(group, self.reader, progress, start.phase, has_gap);
            if has_gap {
                // Events that are missed from here on cannot be distinguished from those of the gap.
                cursor.forget_count();
            }
            (cursor, resumption)
        };
        self.is_started = true;
        ReaderHandle::new(self.node.clone(), cursor, resumption)
    }
}

/// Returns where a reader starts that has no last event ID.
fn new_start(
    window: &Window,
    group: &Group,
    start: StartAt,
    newest: Option<(Seq, Seq)>,
    head: Head,
) -> Start {
    let (at, phase, gap) = match start {
        StartAt::Now => (head, ReadPhase::Live, None),
        StartAt::State => (head, ReadPhase::State { at: 0, to: head }, None),
        StartAt::Start => {
            let gap = group.has_lost_its_start().then_some(GapReason::Trimmed);
            if gap.is_none() && !group.has_after(group.began_at()) {
                // An earlier place would be of no use as an ID, if one of the topics is new.
                return Start { at: head, phase: ReadPhase::Live, gap, is_complete: false };
            }
            (window.head_at(group.began_at()), ReadPhase::Live, gap)
        }
        StartAt::Last(number) => {
            let (first, to) = newest.unwrap_or((1, head.seq));
            let newest = Newest { number, to, firsts: BTreeMap::new() };
            let at = window.head_at(first.saturating_sub(1).min(head.seq));
            (at, ReadPhase::Newest(Box::new(newest)), None)
        }
    };
    Start { at, phase, gap, is_complete: false }
}

/// Returns where a reader starts after its last event ID.
fn resumed(
    window: &Window,
    group: &Group,
    last: ParsedId,
    (start, newest): (StartAt, Option<(Seq, Seq)>),
    head: Head,
    gone: Seq,
) -> Start {
    let (at, gap) = match last.position().map(|position| (position, window.place_of(position))) {
        None if last == ParsedId::OtherEpoch => (None, Some(GapReason::OtherEpoch)),
        None => (None, Some(GapReason::Unknown)),
        // This hub has not issued such a position, or has lost it.
        Some((_, Place::Ahead | Place::Mismatch)) => (None, Some(GapReason::Unknown)),
        Some((position, Place::At(seq))) => {
            let reason = match owner_of(window, group, last, seq) {
                Owner::Other => Some(GapReason::OtherTopic),
                Owner::Unknown => Some(GapReason::Trimmed),
                Owner::Group => (gone > seq).then_some(GapReason::Trimmed),
            };
            (Some(Head { seq, position }), reason)
        }
        // The place is not known, so only living topics tell whose event it is.
        Some((position, Place::Before)) => {
            let is_foreign = owner_of(window, group, last, 0) == Owner::Other;
            let reason = if is_foreign { GapReason::OtherTopic } else { GapReason::Trimmed };
            (Some(Head { seq: 0, position }), Some(reason))
        }
    };
    // The client may have none of the events. So it starts as a new one does, if the selection says
    // how: the state, for example, is more useful to it than the history.
    let is_useless = gap.is_some_and(|reason| reason != GapReason::Trimmed);
    if is_useless && matches!(start, StartAt::State | StartAt::Last(_)) {
        return Start { gap, ..new_start(window, group, start, newest, head) };
    }
    let at = at.unwrap_or_default();
    Start { at, phase: ReadPhase::Live, gap, is_complete: gap.is_none() }
}

/// Returns whether the client's last event, at this place, belongs to the group.
fn owner_of(window: &Window, group: &Group, last: ParsedId, at: Seq) -> Owner {
    match last {
        ParsedId::Event(position, tag) => window.owner_of(group, (at, position), tag),
        ParsedId::ReaderPosition(_, tag) if tag != group.tag => Owner::Other,
        _ => Owner::Group,
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if !self.is_started {
            self.node.leave(&self.group, self.reader);
        }
    }
}
