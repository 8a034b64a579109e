//! The log of a hub: the published events, the topics, and the readers with their positions.
//!
//! ```text
//! topic name ──▶ topic ──▶ positions of its records
//!                  └─────▶ groups that select it ──▶ their topics
//!                                              └───▶ their waiting readers
//! position ──▶ record ──▶ topic
//! ```
//!
//! The state has four parts, each in a file of its own:
//!
//! - **Records** ([`RecordStore`]). A record is a published event, encoded together with its ID, at
//!   a position. Positions grow by one with each event of the hub, over all its topics.
//! - **Topics** ([`TopicTable`]). A topic knows the positions of its own records. It exists while
//!   it has records or a reader names it. Trimming of topics that no longer exist is kept
//!   as one mark for all of them (`dropped_topics_trimmed_to`).
//! - **Groups** ([`GroupTable`]). All readers of the same topics and patterns share a group. A
//!   group tracks the position of its last record: a reader at or after it has nothing to read. It
//!   also tracks the position up to which its records were trimmed: a reader before it has missed
//!   events.
//! - **Readers** ([`ReaderTable`]). A reader has a waker and a place in its group's list of waiting
//!   readers. Its position is kept outside of the lock, in its `Cursor`.
//!
//! The operations that change several parts stand in `append`, `trim`, `read` and `membership`.
//!
//! # The lock
//!
//! One mutex guards the whole log (`Node::log`). Three rules hold under it:
//!
//! 1. *Nothing blocks, and no application code runs*, except `Waker::clone`. Wakers are woken and
//!    dropped, hooks called, metrics recorded and chunks joined after the lock is released. Methods
//!    therefore return wakers to their caller.
//! 2. *A panic leaves the log consistent.* `Waker::clone` is the only call that may panic, and
//!    [`Log::wait`] makes it before it changes anything. So a poisoned lock can be used as before.
//! 3. *A reader checks for records and leaves its waker in one critical section.* An event is
//!    appended either before the check, which finds it, or after the waker is stored, which
//!    [`Log::append`] then takes. So no wake-up is lost.

mod append;
mod batch;
mod chunk_cache;
mod groups;
mod keys;
mod membership;
mod pattern_index;
mod read;
mod readers;
mod record;
mod slab;
mod topics;
mod trim;

use std::sync::Arc;

pub(super) use self::{
    batch::ReadRange,
    chunk_cache::JoinedChunk,
    keys::{GroupKey, ReaderKey},
    readers::ReaderPresence,
    record::{Draft, Record},
};
use self::{groups::GroupTable, readers::ReaderTable, record::RecordStore, topics::TopicTable};
use super::{
    history::History,
    position::{Ids, Position},
    topic::Topic,
};

/// The most records, or topics, that one call visits under the lock. Longer work continues in
/// another call, after other threads had a chance to take the lock.
const MAX_STEPS: usize = 4096;

/// The state of a hub that its lock guards. See the [module docs](self) for its parts and rules.
pub(super) struct Log {
    /// Writes the IDs of new records, and hashes topics to tags.
    ids: Arc<Ids>,
    /// The retained events, by position.
    records: RecordStore,
    /// The topics that have records or are named by a reader.
    topics: TopicTable,
    /// The groups of readers, and what they share.
    pub(super) groups: GroupTable,
    /// The readers, and the presence changes that hooks have yet to be called for.
    pub(super) readers: ReaderTable,
    /// The last handle of the hub was dropped, so nothing can be published any more.
    pub(super) is_closed: bool,
}

/// The size of the history: what [`Hub::stats`](super::Hub::stats) reports of it.
pub(super) struct HistorySize {
    /// Topics that have records or are named by a reader.
    pub(super) topics: usize,
    /// Retained records.
    pub(super) records: usize,
    /// The bytes that these take, as [`Record::cost`] and
    /// [`TopicLog::cost`](topics::TopicLog::cost) estimate them.
    pub(super) bytes: usize,
}

impl Log {
    pub(super) fn new(
        ids: Arc<Ids>,
        per_topic: History,
        total: History,
        tracks_presence: bool,
    ) -> Self {
        Self {
            ids,
            records: RecordStore::new(per_topic, total),
            topics: TopicTable::default(),
            groups: GroupTable::default(),
            readers: ReaderTable::new(tracks_presence),
            is_closed: false,
        }
    }

    /// Returns the largest cost of an event, in bytes, with which it fits the history on its own.
    pub(super) fn max_event_cost(per_topic: &History, total: &History) -> usize {
        let topic = topics::TopicLog::cost(Topic::MAX_BYTES);
        per_topic.bytes.min(total.bytes.saturating_sub(topic))
    }

    /// Returns the position of the newest event, which is also the number of events published.
    pub(super) fn head(&self) -> Position {
        self.records.head
    }

    /// Returns how many readers select a topic, by its name or by a pattern.
    pub(super) fn readers_of(&self, topic: &Topic) -> usize {
        let readers = |groups: &[GroupKey]| {
            groups.iter().map(|group| self.groups.by_key[*group].readers).sum()
        };
        match self.topics.by_name.get(topic) {
            Some(key) => readers(&self.topics.by_key[*key].groups),
            None => readers(&self.groups.patterns.matches(topic)),
        }
    }

    pub(super) fn size(&self) -> HistorySize {
        HistorySize {
            topics: self.topics.by_key.len(),
            records: self.records.by_position.len(),
            bytes: self.records.bytes,
        }
    }
}
