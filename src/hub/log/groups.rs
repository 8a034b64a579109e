//! Groups: all readers that select the same topics and patterns.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    chunk_cache::ChunkCache,
    keys::{GroupKey, ReaderKey, TopicKey},
    pattern_index::PatternIndex,
    slab::Slab,
};
use crate::hub::{
    position::{Position, Tag},
    selection::TopicSet,
};

/// The groups of a log.
#[derive(Default)]
pub(in crate::hub) struct GroupTable {
    /// The groups.
    pub(in crate::hub) by_key: Slab<GroupKey, ReaderGroup>,
    /// The keys of the same groups, by their topics and patterns.
    pub(super) by_set: HashMap<Arc<TopicSet>, GroupKey>,
    /// The patterns of all groups, to find the groups that a new topic belongs to.
    pub(super) patterns: PatternIndex,
    /// The chunks that were joined last, for other readers of the same group at the same position.
    pub(in crate::hub) chunks: ChunkCache,
}

/// What all readers of the same topics and patterns share. It exists while it has readers.
pub(in crate::hub) struct ReaderGroup {
    /// The topics and patterns that it selects.
    pub(super) set: Arc<TopicSet>,
    /// The hash of `set`, which the IDs of its readers' positions contain.
    pub(in crate::hub) tag: Tag,
    /// The topics that it names. They exist as long as the group does.
    pub(super) named_topics: Box<[TopicKey]>,
    /// The existing topics that only its patterns select.
    pub(super) pattern_topics: BTreeSet<TopicKey>,
    /// How many readers it has.
    pub(in crate::hub) readers: usize,
    /// The readers that have left a waker. Each knows its index here (`Reader::waiting_at`).
    pub(super) waiting: Vec<ReaderKey>,
    /// The position of the last record of its topics. A reader at or after it has nothing to read.
    pub(in crate::hub) last: Position,
    /// The position up to which records of its topics were trimmed. A reader before it has missed
    /// events, unless it has reported that gap already.
    pub(in crate::hub) trimmed: Position,
    /// The position of the last event that superseded a record of its topics. Superseded records
    /// are gone without being missed, so counts of missed events are exact only after this
    /// position.
    pub(in crate::hub) superseded: Position,
    /// How many events were published on its topics since the group was created.
    pub(in crate::hub) published: u64,
}

impl ReaderGroup {
    /// Returns the keys of all its topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = TopicKey> + '_ {
        self.named_topics.iter().chain(&self.pattern_topics).copied()
    }

    pub(super) fn topic_count(&self) -> usize {
        self.named_topics.len() + self.pattern_topics.len()
    }
}

impl GroupTable {
    pub(super) fn insert(&mut self, group: ReaderGroup) -> GroupKey {
        let set = group.set.clone();
        let key = self.by_key.insert(group);
        for pattern in &set.patterns {
            self.patterns.insert(pattern, key);
        }
        self.by_set.insert(set, key);
        key
    }

    pub(super) fn remove(&mut self, key: GroupKey) -> Option<ReaderGroup> {
        let group = self.by_key.remove(key)?;
        for pattern in &group.set.patterns {
            self.patterns.remove(pattern, key);
        }
        self.by_set.remove(&*group.set);
        // A map does not shrink by itself, and a burst of selections may have made it large.
        if self.by_set.capacity() > 8 * self.by_set.len() + 64 {
            self.by_set.shrink_to(2 * self.by_set.len());
        }
        // The key may be given to another group.
        self.chunks.forget_group(key);
        Some(group)
    }
}
