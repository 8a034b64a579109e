//! The topics, patterns and groups of a window.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
};

use tokio::time::Instant;

use super::{
    group::{Group, GroupList, Origin, Source},
    keys::{PatternKey, TopicKey},
    pattern_index::PatternIndex,
    record::{Record, Seq},
    slab::Slab,
};
use crate::hub::{
    backend::Position, ids::Tag, pattern::Pattern, selection::TopicSet, topic::Topic,
};

/// The topics that have records or are named by a reader.
pub(super) struct TopicTable {
    /// The topics.
    pub(super) by_key: Slab<TopicKey, TopicState>,
    /// The keys of the same topics. The order of names lets a new pattern visit only the topics
    /// that start with its prefix, and continue where it has stopped.
    pub(super) by_name: BTreeMap<Topic, TopicKey>,
    /// The keys of the same topics, by the tags that the IDs of their records contain.
    pub(super) by_tag: BTreeSet<(Tag, TopicKey)>,
    /// The place up to which records of topics that no longer exist may be gone. A topic that is
    /// created again is complete only after it, because it may have had records up to there. So a
    /// reader that resumes may be told of a gap although nothing is missing, but is never told that
    /// all is well if it is not.
    pub(super) dropped_coverage: Seq,
    /// The topic whose last record was at `dropped_coverage`.
    pub(super) last_dropped: Option<Topic>,
    /// The window has seen the ends of all topics that have ended and are not in the table. Only the
    /// backend knows others.
    pub(super) knows_ends: bool,
}

impl Default for TopicTable {
    fn default() -> Self {
        Self {
            by_key: Slab::default(),
            by_name: BTreeMap::new(),
            by_tag: BTreeSet::new(),
            dropped_coverage: 0,
            last_dropped: None,
            knows_ends: true,
        }
    }
}

/// A topic.
pub(super) struct TopicState {
    /// Its name.
    pub(super) name: Topic,
    /// The hash of its name, which the IDs of its records contain.
    pub(super) tag: Tag,
    /// Its records, as readers find them.
    pub(super) source: Arc<Source>,
    /// How many records are retained.
    pub(super) len: usize,
    /// The cost of its retained records, in bytes.
    pub(super) bytes: usize,
    /// The current record of each publication key.
    pub(super) keys: BTreeMap<Arc<str>, Arc<Record>>,
    /// The groups that name it. It exists at least as long as it has some.
    pub(super) groups: GroupList,
    /// The patterns that match it, in the table of this version. Patterns that were removed since
    /// are skipped. Patterns that were added since are found at its next record.
    pub(super) patterns: Vec<PatternKey>,
    /// The version of the pattern table in which `patterns` was found.
    pub(super) patterns_version: u64,
    /// When its last record was published, or was received from a backend.
    pub(super) last_published: Instant,
    /// The position of its last record.
    pub(super) last_position: Position,
    /// It has an entry in the window's expiry queue.
    pub(super) is_in_expiry: bool,
}

/// The patterns that readers select.
#[derive(Default)]
pub(super) struct PatternTable {
    /// The patterns.
    pub(super) by_key: BTreeMap<PatternKey, PatternState>,
    /// The keys of the same patterns, by their segments.
    pub(super) index: PatternIndex,
    /// Counts how many patterns were ever added. It is the key of the next one, and the version of
    /// the table.
    pub(super) version: u64,
}

/// A pattern.
pub(super) struct PatternState {
    /// The records of all topics that match, as readers find them.
    pub(super) source: Arc<Source>,
    /// The groups that select it. It exists as long as it has some.
    pub(super) groups: GroupList,
    /// How many readers that are about to join keep it. See `Window::reserve_patterns`.
    pub(super) reserved: usize,
}

/// The groups of readers.
#[derive(Default)]
pub(super) struct GroupTable {
    /// The groups by their topics and patterns: by the hash first, which is cheap to compare.
    pub(super) by_set: BTreeMap<(u64, Arc<TopicSet>), Arc<Group>>,
    /// The number of the next group.
    pub(super) next_number: u64,
}

impl TopicState {
    /// `coverage` is the place after which its feed is complete. `knows_end` states that it has not
    /// ended before.
    pub(super) fn new(
        name: Topic,
        (key, tag): (TopicKey, Tag),
        (coverage, knows_end): (Seq, bool),
        now: Instant,
    ) -> Self {
        let origin = Origin::Topic { name: name.clone(), key, tag, covered_from: coverage };
        Self {
            name,
            tag,
            source: Arc::new(Source::new(origin, coverage, knows_end)),
            len: 0,
            bytes: 0,
            keys: BTreeMap::new(),
            groups: GroupList::default(),
            patterns: Vec::new(),
            // Earlier than all versions of a table with patterns.
            patterns_version: 0,
            last_published: now,
            last_position: Position::START,
            is_in_expiry: false,
        }
    }

    /// Returns about how much memory a topic with records takes without these, in bytes.
    pub(super) const fn cost(name: usize) -> usize {
        // The topic itself, its feed, and its entries in maps and sets.
        const TOPIC: usize = 640;
        TOPIC + name
    }

    pub(super) fn own_cost(&self) -> usize {
        Self::cost(self.name.as_str().len())
    }

    /// Returns its oldest retained record. All records up to the coverage are gone.
    pub(super) fn oldest(&self) -> Option<Arc<Record>> {
        self.source.feed.view().after(self.source.feed.coverage()).next().cloned()
    }
}

impl PatternTable {
    /// Returns the sources of these patterns. Patterns that were removed are left out.
    pub(super) fn sources(&self, keys: &[PatternKey]) -> impl Iterator<Item = &Arc<Source>> {
        keys.iter().filter_map(|key| self.by_key.get(key)).map(|pattern| &pattern.source)
    }

    /// Returns a pattern, which is added if it is not in the table: then it has the records after
    /// `head`.
    pub(super) fn get_or_insert(&mut self, pattern: &Pattern, head: Seq) -> &mut PatternState {
        let key = match self.index.get(pattern) {
            Some(key) => key,
            None => {
                self.version += 1;
                let key = PatternKey(self.version);
                self.index.insert(pattern, key);
                key
            }
        };
        self.by_key.entry(key).or_insert_with(|| {
            let filled = Box::default();
            let pattern = pattern.clone();
            let origin =
                Origin::Pattern { pattern, key, since: head, trimmed: AtomicU64::new(0), filled };
            let source = Arc::new(Source::new(origin, head, true));
            PatternState { source, groups: GroupList::default(), reserved: 0 }
        })
    }

    /// Removes a pattern that no group selects and no reader keeps. Returns whether it did.
    pub(super) fn remove_if_unused(&mut self, pattern: &Pattern, key: PatternKey) -> bool {
        let is_used = |state: &PatternState| !state.groups.is_empty() || state.reserved > 0;
        let is_unused = self.by_key.get(&key).is_some_and(|state| !is_used(state));
        if is_unused {
            self.index.remove(pattern);
            self.by_key.remove(&key);
        }
        is_unused
    }
}
