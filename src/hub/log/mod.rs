//! The log of a hub: what was published, who reads it, and where they stand. All of it behind one
//! lock, under which nothing waits and no code runs that is not ours, `Waker::clone` apart.
//!
//! ```text
//! names ──▶ topic ──▶ positions of its records     feed: all readers of the same topics
//!             │ └───▶ feeds that have it             │ └─▶ its topics
//! order: position ──▶ record ──▶ topic               └───▶ readers that wait
//! ```
//!
//! - A *record* is an event, encoded with its id, at its position. `order` has them all, and a topic
//!   the positions of its own.
//! - A *feed* is what readers of the same topics and patterns share. It knows the position of the
//!   last record that was for it, so whoever stands there, or behind, has nothing to read; and the
//!   last that was trimmed, so whoever stands before that has missed something.
//! - A reader that has nothing to read leaves its waker here, under the same lock under which it
//!   looked: so no wake-up is lost.
//! - A topic lives as long as it has records or is named by a reader. What was trimmed of topics that
//!   are gone is one mark for all of them, `freed`, so a topic that comes into being may have had
//!   records up to there.

mod publishing;
mod readers;
mod reading;
mod trimming;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use bytes::BytesMut;

pub(super) use self::reading::{Batch, Range};
use super::{
    entry::Record,
    frames::Frames,
    history::History,
    position::{Ids, Position, Tag},
    slab::{Key, Slab},
    topic::Topic,
    topics::Spec,
    trie::Trie,
};
use crate::channel::Control;

/// The most records that are looked at under the lock at a time.
const STEPS: usize = 4096;
/// What a topic takes beside its name: itself, and its places in maps and sets.
const TOPIC: usize = 512;

pub(super) struct Log {
    ids: Arc<Ids>,
    per_topic: History,
    total: History,
    pub(super) head: Position,
    /// Up to where records were trimmed of topics that are gone.
    freed: Position,
    /// The last position at which a record was superseded.
    superseded: Position,
    topics: Slab<TopicLog>,
    names: BTreeMap<Topic, Key>,
    order: BTreeMap<Position, Arc<Record>>,
    bytes: usize,
    pub(super) feeds: Slab<Feed>,
    specs: HashMap<Arc<Spec>, Key>,
    patterns: Trie,
    pub(super) readers: Slab<Reader>,
    pub(super) frames: Frames,
    /// An empty vector with room, to gather wakers in.
    wakers: Vec<Waker>,
    /// What the hooks are yet to be told, in order.
    pub(super) presence: VecDeque<(Topic, Presence)>,
    pub(super) keeps_presence: bool,
    /// Somebody tells the hooks.
    pub(super) is_telling: bool,
    /// No hub can publish any more.
    pub(super) is_closed: bool,
    pub(super) lagged: u64,
    pub(super) gaps: u64,
}

/// That a topic has got its first reader, or lost its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    First,
    Last,
}

struct TopicLog {
    topic: Topic,
    tag: Tag,
    records: BTreeSet<Position>,
    bytes: usize,
    keys: BTreeMap<Arc<str>, Position>,
    /// Sorted.
    feeds: Vec<Key>,
    /// Readers that name it.
    named: usize,
    last: Position,
    trimmed: Position,
}

pub(super) struct Feed {
    spec: Arc<Spec>,
    pub(super) tag: Tag,
    /// The topics that it names, which live as long as it does.
    named: Box<[Key]>,
    /// The others, of its patterns.
    matched: BTreeSet<Key>,
    pub(super) readers: usize,
    waiting: Vec<Key>,
    /// The position of the last record for it.
    pub(super) last: Position,
    /// Up to where records for it were trimmed.
    pub(super) trimmed: Position,
    /// The last position at which one of its records was superseded.
    pub(super) superseded: Position,
    /// How many records there were for it, since it is there.
    pub(super) published: u64,
}

pub(super) struct Reader {
    pub(super) feed: Key,
    waker: Option<Waker>,
    /// Where it stands in the feed's `waiting`.
    place: Option<u32>,
    /// It was cut.
    pub(super) is_cut: bool,
    pub(super) session: Option<Arc<Session>>,
}

/// Whose stream it is, and how it is cut.
pub(super) struct Session {
    pub(super) extensions: Arc<http::Extensions>,
    pub(super) control: Option<Control>,
}

/// What is ready to be published but for its position.
pub(super) struct Prepared {
    pub(super) topic: Topic,
    pub(super) key: Option<Arc<str>>,
    /// It is of the state as long as it is kept.
    pub(super) is_state: bool,
    /// The encoded event, behind room for an id line.
    pub(super) event: BytesMut,
}

impl TopicLog {
    /// About how much memory a topic takes that has records, beside these, in bytes.
    const fn cost(name: usize) -> usize {
        TOPIC + name
    }

    fn own_cost(&self) -> usize {
        Self::cost(self.topic.as_str().len())
    }
}

impl Feed {
    fn topics(&self) -> impl Iterator<Item = Key> + '_ {
        self.named.iter().chain(&self.matched).copied()
    }
}

impl Log {
    pub(super) fn new(
        ids: Arc<Ids>,
        per_topic: History,
        total: History,
        keeps_presence: bool,
    ) -> Self {
        Self {
            ids,
            per_topic,
            total,
            head: 0,
            freed: 0,
            superseded: 0,
            topics: Slab::default(),
            names: BTreeMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            feeds: Slab::default(),
            specs: HashMap::new(),
            patterns: Trie::default(),
            readers: Slab::default(),
            frames: Frames::default(),
            wakers: Vec::new(),
            presence: VecDeque::new(),
            keeps_presence,
            is_telling: false,
            is_closed: false,
            lagged: 0,
            gaps: 0,
        }
    }

    /// Returns the most that an event may take, in bytes, so that it is within the bounds alone.
    pub(super) fn largest(per_topic: &History, total: &History) -> usize {
        let topic = TopicLog::cost(Topic::LONGEST);
        per_topic.bytes.min(total.bytes.saturating_sub(topic))
    }

    /// Returns how many readers a topic has, by name or by a pattern.
    pub(super) fn readers_of(&self, topic: &Topic) -> usize {
        let readers = |feeds: &[Key]| feeds.iter().map(|feed| self.feeds[*feed].readers).sum();
        match self.names.get(topic) {
            Some(key) => readers(&self.topics[*key].feeds),
            None => readers(&self.patterns.matches(topic)),
        }
    }

    pub(super) fn kept(&self) -> (usize, usize, usize) {
        (self.topics.len(), self.order.len(), self.bytes)
    }
}
