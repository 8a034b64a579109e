//! The window of a node: the newest part of the log, in memory, which all readers share.
//!
//! ```text
//! topic name ──▶ topic ───▶ source ──▶ feed ──▶ records
//! pattern ─────▶ pattern ─▶ source ──▶ feed ──▶ records of all topics that match
//!                             └──▶ groups of readers that wait for the next record
//! ```
//!
//! - **Records** ([`Record`]). A record is a published event, encoded together with its ID, at a
//!   place in the window (`Seq`), which has no meaning outside of this process.
//! - **Feeds** ([`feed`]). Each topic, and each pattern that readers select, has a feed of its own
//!   records. Readers read feeds without a lock.
//! - **Coverage.** A feed knows the place after which it is complete. A reader at an earlier place
//!   has missed records, or must read them elsewhere. Trimming raises the coverage.
//! - **Groups** ([`group`]). All readers of the same topics and patterns share a group. A reader
//!   that waits leaves its waker there.
//! - **The order** ([`order`]). All retained records, the oldest first, for the bounds of the whole
//!   window.
//!
//! The operations that change several parts stand in `append`, `remove`, `maintain`, `membership`
//! and `backfill`. Reading stands in `read`, and needs no `Window` at all.
//!
//! # The lock
//!
//! One mutex guards the window (`Node::window`). Publishers, and readers that come, leave or lag, take
//! it. Four rules hold under it:
//!
//! 1. *Nothing blocks, and no application code runs.* Wakers are woken and dropped, hooks called and
//!    metrics recorded after the lock is released. Methods therefore return wakers and groups to
//!    their caller.
//! 2. *No step grows with the number of topics, readers, patterns or records.* A step visits at most
//!    [`MAX_STEPS`](limits::MAX_STEPS) of them, and the caller takes the lock again for the next
//!    step. Entering and leaving visit the topics and patterns of one selection, whose number is
//!    bounded by the settings.
//! 3. *Readers see a batch at once, or not at all.* They read up to the head (`Counters::head`), which
//!    [`Window::commit`] stores after the last record of a batch.
//! 4. *A loss is visible before the record is gone.* The coverage of a feed is raised before the
//!    record is marked as removed. A reader checks the coverage after it has read.

mod append;
mod backfill;
mod batch;
mod chunk_cache;
mod counters;
mod feed;
mod group;
mod keys;
mod limits;
mod maintain;
mod membership;
mod order;
mod pattern_index;
mod presence;
mod read;
mod record;
mod remove;
mod slab;
mod start;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, task::Waker, time::Duration};

use tokio::time::Instant;

pub(super) use self::{
    backfill::Backfill,
    batch::{ReadLimit, ReadRange, RecordBatch},
    chunk_cache::{ChunkCache, JoinedChunk},
    counters::{Counters, Head},
    feed::Segment,
    group::{Armed, Group, Wait},
    keys::{ReaderKey, TopicKey},
    membership::{GroupsFrom, TooManyNamedTopics},
    presence::{PresenceQueue, ReaderPresence},
    record::{Draft, Record, RecordKind, Seq},
    start::{Owner, Place},
    steps::start_hold,
};
use self::{
    keys::PatternKey,
    order::RetainedOrder,
    tables::{GroupTable, PatternTable, TopicTable},
};
use super::{backend::Position, history::History, ids::Ids, topic::Topic};

/// The bounds of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowBounds {
    /// What each topic may retain.
    pub(super) per_topic: History,
    /// What all topics may retain together.
    pub(super) total: History,
    /// How long a topic exists after its end.
    pub(super) finished_ttl: Option<Duration>,
    /// How long a topic exists after its last record.
    pub(super) idle_ttl: Option<Duration>,
    /// How many topics may exist because readers name them.
    pub(super) named_topics: usize,
}

/// The state of a window that its lock guards. See the [module docs](self) for its parts and rules.
pub(super) struct Window {
    /// Writes the IDs of new records, and hashes topics to tags.
    ids: Arc<Ids>,
    /// What readers see without the lock.
    counters: Arc<Counters>,
    /// The bounds.
    bounds: WindowBounds,
    /// The retained records of all topics.
    order: RetainedOrder,
    /// The cost of all retained records, and of the topics that have some, in bytes.
    bytes: usize,
    /// The newest record. Readers see it after the next `commit`.
    head: Seq,
    /// How many places have no record, because the window has begun there.
    beginnings: u64,
    /// The position of the newest record in the log.
    head_position: Position,
    /// When the newest record was published.
    head_time: Option<Instant>,
    /// The newest record when a record was last superseded or has last expired. Events that were
    /// missed before it cannot be counted.
    uncounted_until: Seq,
    /// How many slots of the topic table may have patterns that were removed.
    unswept: usize,
    /// The slot of the topic table that is looked at next for that.
    next_swept: usize,
    /// The newest place at which a record was trimmed that was too old by then. All records up to
    /// it are too old.
    aged_until: Seq,
    /// The topics that have records or are named by a reader.
    topics: TopicTable,
    /// The topics that readers name.
    named_topics: usize,
    /// The patterns that readers select.
    patterns: PatternTable,
    /// The groups of readers.
    groups: GroupTable,
    /// What expires, and when.
    expiry: BTreeMap<(Instant, Expiring), ()>,
    /// Topics whose time to live was over, for the backend to forget. Always empty without one.
    expired_topics: Vec<(Topic, Position)>,
    /// Topics that exceed their bounds, with records still to be trimmed.
    overfull: Vec<TopicKey>,
    /// The sources that got records since the last commit.
    touched: Vec<Touched>,
    /// How many of these there were when the present step of appending has begun.
    touched_before: usize,
    /// The presence changes that hooks have yet to be called for.
    pub(super) presence: PresenceQueue,
    /// Empty vectors, kept for their capacity.
    spare: Wakes,
    /// How many times a reader was found to lag.
    pub(super) lagged: u64,
    /// How many subscriptions were resumed with a gap.
    pub(super) gaps: u64,
}

/// What a publisher has to wake after it has released the lock.
#[derive(Default)]
pub(super) struct Wakes {
    /// The groups that wait for one of the new records.
    pub(super) armed: Vec<Armed>,
    /// Collects wakers. Always empty between two calls.
    pub(super) wakers: Vec<Waker>,
}

/// A source that got a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    Topic(TopicKey),
    Pattern(PatternKey),
}

/// What expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expiring {
    /// A record.
    Record(Seq),
    /// A topic, by its key. Another topic may have the key later: its time is looked at when the
    /// entry is due.
    Topic(TopicKey),
}

/// The size of the history: what [`Hub::stats`](super::Hub::stats) reports of it.
pub(super) struct HistorySize {
    /// Topics that have records or are named by a reader.
    pub(super) topics: usize,
    /// Retained records.
    pub(super) records: usize,
    /// The bytes that these take, as [`Record::cost`] and
    /// [`TopicState::cost`](tables::TopicState::cost) estimate them.
    pub(super) bytes: usize,
}

impl WindowBounds {
    /// Returns whether topics expire as a whole.
    pub(super) fn expires_topics(&self) -> bool {
        self.finished_ttl.is_some() || self.idle_ttl.is_some()
    }

    /// Returns the age from which an event is not given to readers any more.
    pub(super) fn max_age(&self) -> Option<Duration> {
        self.per_topic.age.into_iter().chain(self.total.age).min()
    }
}

impl Window {
    pub(super) fn new(
        ids: Arc<Ids>,
        counters: Arc<Counters>,
        bounds: WindowBounds,
        tracks_presence: bool,
    ) -> Self {
        Self {
            ids,
            counters,
            bounds,
            order: RetainedOrder::default(),
            bytes: 0,
            head: 0,
            beginnings: 0,
            head_position: Position::START,
            head_time: None,
            uncounted_until: 0,
            unswept: 0,
            next_swept: 0,
            aged_until: 0,
            topics: TopicTable::default(),
            named_topics: 0,
            patterns: PatternTable::default(),
            groups: GroupTable::default(),
            expiry: BTreeMap::new(),
            expired_topics: Vec::new(),
            overfull: Vec::new(),
            touched: Vec::new(),
            touched_before: 0,
            presence: PresenceQueue::new(tracks_presence),
            spare: Wakes::default(),
            lagged: 0,
            gaps: 0,
        }
    }

    /// Returns the largest cost of an event, in bytes, with which it fits the history on its own.
    pub(super) fn max_event_cost(bounds: &WindowBounds) -> usize {
        let topic = tables::TopicState::cost(Topic::MAX_BYTES);
        bounds.per_topic.bytes.min(bounds.total.bytes.saturating_sub(topic))
    }

    /// Returns empty vectors to collect wakers in, with the capacity that was needed before. A
    /// concurrent call gets vectors without capacity.
    pub(super) fn take_spare_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.spare)
    }

    /// Gives the vectors of [`take_spare_wakes`](Self::take_spare_wakes) back. The larger ones are
    /// kept.
    pub(super) fn put_spare_wakes(&mut self, wakes: Wakes) {
        if wakes.wakers.capacity() > self.spare.wakers.capacity() {
            self.spare = wakes;
        }
    }

    pub(super) fn size(&self) -> HistorySize {
        HistorySize {
            topics: self.topics.by_key.len(),
            records: self.order.len(),
            bytes: self.bytes,
        }
    }
}
