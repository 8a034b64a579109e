//! The topics of a log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    keys::{GroupKey, TopicKey},
    slab::Slab,
};
use crate::hub::{
    position::{Position, Tag},
    topic::Topic,
};

/// The topics that have records or are named by a reader.
#[derive(Default)]
pub(super) struct TopicTable {
    /// The topics.
    pub(super) by_key: Slab<TopicKey, TopicLog>,
    /// The keys of the same topics. The order of names lets a new pattern visit only the topics
    /// that start with its prefix.
    pub(super) by_name: BTreeMap<Topic, TopicKey>,
    /// The position up to which records were trimmed from topics that no longer exist. A topic that
    /// is created again starts with this mark, because it may have had records up to there. So a
    /// reader that resumes may be told of a gap although nothing is missing, but is never told that
    /// all is well if it is not.
    pub(super) dropped_topics_trimmed_to: Position,
}

/// A topic, with the positions of its records.
pub(super) struct TopicLog {
    /// Its name.
    pub(super) topic: Topic,
    /// The hash of its name, which the IDs of its records contain.
    pub(super) tag: Tag,
    /// The positions of its retained records.
    pub(super) records: BTreeSet<Position>,
    /// The cost of its retained records, in bytes.
    pub(super) bytes: usize,
    /// The position of the current record of each publication key.
    pub(super) keys: BTreeMap<Arc<str>, Position>,
    /// The groups that select it, by name or by a pattern, sorted.
    pub(super) groups: Vec<GroupKey>,
    /// How many readers name it. It exists at least as long as one does.
    pub(super) named_by: usize,
    /// The position of its last record, retained or not. 0 if it had none since it was created.
    pub(super) last: Position,
    /// The position up to which its records were trimmed. Starts at `dropped_topics_trimmed_to`.
    pub(super) trimmed: Position,
}

impl TopicLog {
    pub(super) fn new(topic: Topic, tag: Tag, groups: Vec<GroupKey>, trimmed: Position) -> Self {
        Self {
            topic,
            tag,
            records: BTreeSet::new(),
            bytes: 0,
            keys: BTreeMap::new(),
            groups,
            named_by: 0,
            last: 0,
            trimmed,
        }
    }

    /// Returns about how much memory a topic with records takes without these, in bytes.
    pub(super) const fn cost(name: usize) -> usize {
        // The topic itself, and its entries in maps and sets.
        const TOPIC: usize = 512;
        TOPIC + name
    }

    pub(super) fn own_cost(&self) -> usize {
        Self::cost(self.topic.as_str().len())
    }

    /// Returns whether a group selects this topic.
    pub(super) fn is_selected_by(&self, group: GroupKey) -> bool {
        self.groups.binary_search(&group).is_ok()
    }
}
