//! The tail: the entries of the log become records of the window.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    control::{CONTROL_TOPIC, Losses, Mark, ORIGIN},
    loss::{find_loss, mark_loss, mark_origin},
    shared::{Backoff, Delivered, Engine},
};
use crate::{
    encode::{Layout, id_line, sealed::Encode as _},
    event::Event,
    hub::{
        backend::{
            BackendError, Batch, Bounds, EntryKind, Fault, Located, LogEntry, Position, Wanted,
            dynamic::DynTail,
        },
        disconnect::disconnect_label,
        ids::{Ids, MAX_EVENT_ID_BYTES},
        node::Node,
        publication::Published,
        window::{Draft, Record, RecordKind},
    },
};

/// How long a node that opens waits for entries up to the end of the log, before it asks whether there are
/// some.
const MAX_WAIT_FOR_END: Duration = Duration::from_millis(500);
/// How many entries are appended to the window in one step.
const ENTRIES_PER_STEP: usize = 64;

/// Asks the backend for the bounds of its log, which it makes if needed.
async fn open(engine: &Engine) -> Result<Bounds, BackendError> {
    engine.backend.clone().get_bounds().await
}

/// Asks the backend for the bounds of its log, which it makes if needed, and for the position from which
/// a node follows it that reads about `most` entries.
pub(in crate::hub) async fn find_start(
    engine: &Engine,
    most: usize,
) -> Result<(Bounds, Position), BackendError> {
    let mut bounds = open(engine).await?;
    if bounds.newest == Position::START {
        mark_origin(engine).await?;
        bounds = open(engine).await?;
    }
    let loss = find_loss(engine, bounds.newest).await?;
    *engine.losses() = Losses::at_start(loss);
    let start = match NonZeroUsize::new(most) {
        Some(most) => engine.backend.clone().find_warm_start(most).await?,
        None => bounds.newest,
    };
    // Entries that were appended between the two calls are not needed at the start. Entries before a loss
    // stay in the backend.
    Ok((bounds, start.min(bounds.newest).max(loss.at)))
}

/// Follows the log from a position until the last handle of the hub is dropped. `ready` is told when the
/// window has all entries up to `upto`.
pub(in crate::hub) async fn follow(
    node: Arc<Node>,
    engine: Arc<Engine>,
    (start, upto): (Position, Position),
    ready: oneshot::Sender<()>,
) {
    if start != Position::START {
        node.begin_at(start);
    }
    let follower = Follower { node: &node, engine: &engine };
    let _stopped = engine.until_stopped(follower.run(start, upto, ready)).await;
}

struct Follower<'a> {
    node: &'a Node,
    engine: &'a Engine,
}

impl Follower<'_> {
    async fn run(&self, mut at: Position, mut upto: Position, ready: oneshot::Sender<()>) {
        let mut ready = Some(ready);
        let mut backoff = Backoff::new();
        loop {
            let failed = self.follow_from(&mut at, upto, &mut ready, &mut backoff).await;
            self.engine.health.failed(&failed);
            if failed.fault() == Fault::Lost {
                // All readers get a gap.
                at = self.begin_again(at).await;
                // The node is at the end of the log, which may be shorter than it was.
                upto = at;
            } else {
                backoff.wait().await;
            }
        }
    }

    /// Follows the log after a position, until that fails.
    async fn follow_from(
        &self,
        at: &mut Position,
        upto: Position,
        ready: &mut Option<oneshot::Sender<()>>,
        backoff: &mut Backoff,
    ) -> BackendError {
        let mut tail = match self.start(*at).await {
            Ok(tail) => tail,
            Err(error) => return error,
        };
        loop {
            if *at >= upto {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
            }
            let next = match ready.is_some() {
                // The newest entries may be gone. Then no batch leads up to their position.
                true => match timeout(MAX_WAIT_FOR_END, tail.next_batch()).await {
                    Ok(next) => next,
                    Err(_) => match self.is_at_end(*at, upto).await {
                        Ok(true) => {
                            self.node.set_head_position(upto);
                            ready.take().map(|ready| ready.send(()));
                            continue;
                        }
                        Ok(false) => continue,
                        Err(error) => return error,
                    },
                },
                false => tail.next_batch().await,
            };
            match next {
                Ok(batch) => {
                    self.engine.health.answered();
                    self.engine.health.skipped(batch.junk);
                    *at = batch.end().unwrap_or(*at);
                    self.deliver(batch).await;
                    *backoff = Backoff::new();
                }
                Err(error) => return error,
            }
        }
    }

    /// Returns whether the log has no entry in a range.
    async fn is_at_end(&self, at: Position, upto: Position) -> Result<bool, BackendError> {
        let all = Arc::new(Wanted::all());
        let page = self.engine.backend.clone().read_page(at, upto, all, NonZeroUsize::MIN).await?;
        let is_whole = page.end().is_none_or(|end| end.place() >= upto.place());
        Ok(page.entries.is_empty() && is_whole)
    }

    /// Starts a tail, and makes sure that nothing was lost before its first entry.
    async fn start(&self, at: Position) -> Result<Box<dyn DynTail>, BackendError> {
        let bounds = open(self.engine).await?;
        if !self.node.ids().are_of(bounds.identity) {
            return Err(Fault::Lost.into());
        }
        let tail = self.engine.backend.clone().start_tail(at).await?;
        self.engine.health.answered();
        if at == Position::START {
            return Ok(tail);
        }
        match self.engine.locate(at).await? {
            Located::Kept => Ok(tail),
            Located::Trimmed | Located::Unknown => Err(Fault::Lost.into()),
        }
    }

    /// Begins with the newest entry of a log that is another one, or has lost the entry at `at`. All
    /// readers are told of a gap.
    async fn begin_again(&self, at: Position) -> Position {
        let mut backoff = Backoff::new();
        loop {
            match self.try_to_begin_again(at).await {
                Ok(newest) => return newest,
                Err(error) => {
                    self.engine.health.failed(&error);
                    backoff.wait().await;
                }
            }
        }
    }

    async fn try_to_begin_again(&self, at: Position) -> Result<Position, BackendError> {
        let Bounds { identity, mut newest, .. } = open(self.engine).await?;
        let is_other = !self.node.ids().are_of(identity);
        let mut mark = find_loss(self.engine, newest).await?;
        // One mark is enough, and another node may have been faster.
        let known = self.engine.losses().newest();
        let is_marked = mark.at != known && mark.before() == known;
        // A tail that was overtaken by trimming has lost nothing but its readers' place.
        let may_be_lost = !is_other && !is_marked;
        if may_be_lost && self.engine.locate(at).await? == Located::Unknown {
            mark = mark_loss(self.engine, known).await?;
            newest = newest.max(mark.at);
        }
        *self.engine.losses() = Losses::found(mark, Instant::now());
        self.node.set_ids(Ids::new(identity, None));
        self.node.lose_all(newest, is_other);
        Ok(newest)
    }

    /// Appends entries to the window, and tells their publishers.
    async fn deliver(&self, batch: Batch) {
        let upto = batch.end();
        if let Some(age) = batch.entries.last().and_then(|newest| newest.age) {
            self.engine.health.arrived_after(age);
        }
        let mut entries = batch.entries.into_iter().peekable();
        while let Some(next) = entries.peek() {
            if next.kind == EntryKind::Control {
                if let Some(entry) = entries.next() {
                    self.control(&entry);
                }
                continue;
            }
            let now = Instant::now();
            let (mut appended, mut drafts) = (Vec::new(), Vec::new());
            while drafts.len() < ENTRIES_PER_STEP {
                let Some(entry) = entries.next_if(|next| next.kind != EntryKind::Control) else {
                    break;
                };
                if entry.topic == CONTROL_TOPIC {
                    self.engine.health.skipped(1);
                    continue;
                }
                let (at, append_id) = (entry.at, entry.append_id);
                // A machine that has just started has no time that is long enough ago.
                let appended_at = entry.age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
                match draft(entry) {
                    Some(draft) => drafts.push((at, append_id, draft, appended_at)),
                    None => self.engine.health.skipped(1),
                }
            }
            let woken = self.node.append_delivered(|window| {
                for (at, append_id, draft, appended_at) in drafts {
                    let is_finished = window.is_finished(&draft.topic);
                    let record = (!is_finished)
                        .then(|| window.append(draft, Some(at), MAX_EVENT_ID_BYTES, appended_at));
                    appended.extend(append_id.map(|append_id| (append_id, record)));
                }
            });
            self.tell_publishers(appended, woken);
            tokio::task::consume_budget().await;
        }
        if let Some(upto) = upto {
            self.node.set_head_position(upto);
        }
        self.engine.advanced.notify_waiters();
    }

    /// Does what an entry says that is not for readers: it is the mark of a loss, or has the counts of
    /// readers of another node, or its data is the label of the readers to disconnect.
    fn control(&self, entry: &LogEntry) {
        if let Some(mark) = Mark::of(entry) {
            let is_new = self.engine.losses().add(mark, Instant::now());
            if is_new {
                self.node.lose_all(entry.at, false);
            }
            return;
        }
        let is_origin = entry.topic == CONTROL_TOPIC && entry.key.as_deref() == Some(ORIGIN);
        if is_origin || self.engine.counts().add(entry, Instant::now()) {
            return;
        }
        let label = std::str::from_utf8(&entry.event.data).ok();
        let label = label.filter(|_| entry.topic == CONTROL_TOPIC);
        let Some(label) = label else { return self.engine.health.skipped(1) };
        let disconnected = disconnect_label(self.node, label);
        let publisher = entry.append_id.and_then(|id| self.engine.waiting().remove(&id));
        if let Some(publisher) = publisher {
            let id = self.node.event_id(entry.at, &entry.topic);
            // The publisher may have been dropped.
            let _gone = publisher.send(Delivered::Published(Published { id, woken: disconnected }));
        }
    }
}

impl Follower<'_> {
    /// Tells the publishers of this node what became of their entries. A record is `None` if its topic
    /// had ended.
    fn tell_publishers(&self, appended: Vec<(u128, Option<Arc<Record>>)>, woken: usize) {
        let mut waiting = self.engine.waiting();
        for (append_id, record) in appended {
            let Some(publisher) = waiting.remove(&append_id) else { continue };
            let delivered = match record {
                Some(record) => {
                    let id = self.node.id_of(&record);
                    Delivered::Published(Published { id, woken })
                }
                None => Delivered::Finished,
            };
            // The publisher may have been dropped.
            let _gone = publisher.send(delivered);
        }
    }
}

/// Encodes an entry. Returns `None` if readers are not given it: it is not an event, or not one that
/// can be sent.
pub(super) fn draft(entry: LogEntry) -> Option<Draft> {
    let LogEntry { topic, key, kind, event, ttl, .. } = entry;
    let kind = match (kind, &key) {
        (EntryKind::Event, None) | (EntryKind::Tombstone, None) => RecordKind::Event,
        (EntryKind::Event, Some(_)) => RecordKind::State,
        (EntryKind::Tombstone, Some(_)) => RecordKind::Tombstone,
        (EntryKind::End, _) => RecordKind::End,
        (EntryKind::Control, _) => return None,
    };
    let event = event.to_event()?;
    let has_event = kind != RecordKind::End || event != Event::default();
    let encoded = has_event.then(|| {
        let layout: Layout = event.layout();
        let mut encoded = id_line::with_room(MAX_EVENT_ID_BYTES, layout.len);
        event.write(&layout, &mut encoded);
        encoded
    });
    let expires_at = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
    Some(Draft { topic, key, kind, expires_at, event: encoded })
}
