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

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque},
    mem,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    entry::Record,
    frames::Frames,
    history::History,
    position::{Ids, Position},
    slab::{Key, Slab},
    topic::Topic,
    topics::Spec,
    trie::Trie,
};
use crate::channel::Control;

/// The most records that are looked at under the lock at a time.
const STEPS: usize = 4096;
/// How many bytes are joined into one frame.
const FRAME: usize = 64 << 10;

pub(super) struct Log {
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
    records: BTreeSet<Position>,
    bytes: usize,
    keys: HashMap<Arc<str>, Position>,
    feeds: Vec<Key>,
    /// Readers that name it.
    named: usize,
    last: Position,
    trimmed: Position,
}

pub(super) struct Feed {
    spec: Arc<Spec>,
    topics: BTreeSet<Key>,
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
    /// How many records with a key were trimmed.
    pub(super) state_trimmed: u64,
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
    /// The encoded event, behind room for an id line.
    pub(super) event: BytesMut,
}

/// What a reader looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) after: Position,
    /// To where the state goes; none for everything that comes.
    pub(super) state_to: Option<Position>,
}

/// Records that follow each other for one reader.
#[derive(Default)]
pub(super) struct Batch {
    /// Apart, so that one costs no allocation.
    pub(super) first: Option<Arc<Record>>,
    pub(super) more: Vec<Arc<Record>>,
    bytes: usize,
    /// Up to where was looked.
    pub(super) upto: Position,
}

impl Log {
    pub(super) fn new(per_topic: History, total: History, keeps_presence: bool) -> Self {
        Self {
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

    // ===== publishing =====

    /// Returns an empty vector to gather wakers in, with the room that was needed before.
    pub(super) fn take_room(&mut self) -> Vec<Waker> {
        mem::take(&mut self.wakers)
    }

    /// Appends an event, and takes the wakers of all who wait for it.
    pub(super) fn append(
        &mut self,
        ids: &Ids,
        prepared: Prepared,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Arc<Record> {
        let Prepared { topic, key, event } = prepared;
        self.head += 1;
        let position = self.head;
        let (bytes, id) = ids.put_in_front(position, event);
        let topic_key = self.living(&topic);
        let log = &mut self.topics[topic_key];
        let record = Arc::new(Record {
            position,
            topic: log.topic.clone(),
            topic_key,
            key: key.clone(),
            bytes,
            id,
            at: now,
        });
        log.last = position;
        log.records.insert(position);
        let old = key.and_then(|key| log.keys.insert(key, position));
        for feed in &log.feeds {
            let feed = &mut self.feeds[*feed];
            feed.last = position;
            feed.published += 1;
            if old.is_some() {
                feed.superseded = position;
            }
            for reader in feed.waiting.drain(..) {
                let reader = &mut self.readers[reader];
                reader.place = None;
                wakers.extend(reader.waker.take());
            }
        }
        let cost = record.own_cost();
        log.bytes += cost;
        self.bytes += cost;
        self.order.insert(position, record.clone());
        if let Some(old) = old {
            self.superseded = position;
            self.remove(old);
        }
        self.trim_topic(topic_key);
        self.trim_total(now);
        record
    }

    /// Gives the vector back that wakers were gathered in.
    pub(super) fn give_back(&mut self, wakers: Vec<Waker>) {
        if wakers.capacity() > self.wakers.capacity() {
            self.wakers = wakers;
        }
    }

    fn living(&mut self, topic: &Topic) -> Key {
        if let Some(key) = self.names.get(topic) {
            return *key;
        }
        let feeds = self.patterns.matches(topic);
        let key = self.topics.insert(TopicLog {
            topic: topic.clone(),
            records: BTreeSet::new(),
            bytes: 0,
            keys: HashMap::new(),
            feeds,
            named: 0,
            last: 0,
            trimmed: self.freed,
        });
        for feed in &self.topics[key].feeds {
            self.feeds[*feed].topics.insert(key);
        }
        self.names.insert(topic.clone(), key);
        key
    }

    // ===== trimming =====

    fn trim_topic(&mut self, key: Key) {
        let History { events, bytes, .. } = self.per_topic;
        loop {
            let log = &self.topics[key];
            // The newest is the last to go, and is never larger than the bounds.
            if log.records.len() <= 1 || (log.records.len() <= events && log.bytes <= bytes) {
                return;
            }
            let Some(&oldest) = log.records.first() else { return };
            self.trim(oldest);
        }
    }

    fn trim_total(&mut self, now: Instant) {
        let History { events, bytes, .. } = self.total;
        while self.order.len() > 1 && (self.order.len() > events || self.bytes > bytes) {
            let Some((&oldest, _)) = self.order.first_key_value() else { return };
            self.trim(oldest);
        }
        self.trim_aged(now);
    }

    /// Trims what is too old.
    pub(super) fn trim_aged(&mut self, now: Instant) {
        let age = [self.per_topic.age, self.total.age].into_iter().flatten().min();
        let Some(age) = age else { return };
        while let Some((&position, oldest)) = self.order.first_key_value() {
            if now.saturating_duration_since(oldest.at) < age {
                return;
            }
            self.trim(position);
        }
    }

    fn trim(&mut self, position: Position) {
        let Some(record) = self.order.get(&position) else { return };
        let (topic, has_key) = (record.topic_key, record.key.is_some());
        let log = &mut self.topics[topic];
        log.trimmed = log.trimmed.max(position);
        for feed in &log.feeds {
            let feed = &mut self.feeds[*feed];
            feed.trimmed = feed.trimmed.max(position);
            feed.state_trimmed += u64::from(has_key);
        }
        self.remove(position);
        self.free_if_unused(topic);
    }

    /// Removes a record, which was trimmed or superseded.
    fn remove(&mut self, position: Position) {
        let Some(record) = self.order.remove(&position) else { return };
        let log = &mut self.topics[record.topic_key];
        log.records.remove(&position);
        let cost = record.own_cost();
        log.bytes -= cost;
        self.bytes -= cost;
        if let Some(key) = &record.key {
            if log.keys.get(key) == Some(&position) {
                log.keys.remove(key);
            }
        }
        self.frames.forget(position);
    }

    fn free_if_unused(&mut self, key: Key) {
        let log = &self.topics[key];
        if log.named > 0 || !log.records.is_empty() {
            return;
        }
        let Some(log) = self.topics.remove(key) else { return };
        self.names.remove(&log.topic);
        self.freed = self.freed.max(log.trimmed);
        for feed in log.feeds {
            self.feeds[feed].topics.remove(&key);
        }
    }

    // ===== readers =====

    pub(super) fn enter(&mut self, spec: Spec) -> Key {
        let feed = match self.specs.get(&spec) {
            Some(feed) => *feed,
            None => self.add_feed(spec),
        };
        let spec = self.feeds[feed].spec.clone();
        self.feeds[feed].readers += 1;
        for name in &spec.names {
            let topic = self.living(name);
            let log = &mut self.topics[topic];
            log.named += 1;
            if log.named == 1 && self.keeps_presence {
                self.presence.push_back((name.clone(), Presence::First));
            }
        }
        self.readers.insert(Reader { feed, waker: None, place: None, is_cut: false, session: None })
    }

    fn add_feed(&mut self, spec: Spec) -> Key {
        let spec = Arc::new(spec);
        let key = self.feeds.insert(Feed {
            spec: spec.clone(),
            topics: BTreeSet::new(),
            readers: 0,
            waiting: Vec::new(),
            last: 0,
            trimmed: 0,
            superseded: 0,
            published: 0,
            state_trimmed: 0,
        });
        self.specs.insert(spec.clone(), key);
        let mut topics = BTreeSet::new();
        for name in &spec.names {
            topics.insert(self.living(name));
        }
        for pattern in &spec.patterns {
            let prefix = pattern.prefix();
            let from = self
                .names
                .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
            let same = from.take_while(|(topic, _)| topic.as_str().starts_with(prefix));
            let matching = same.filter(|(topic, _)| pattern.matches(topic));
            topics.extend(matching.map(|(_, key)| *key));
            self.patterns.insert(pattern, key);
        }
        let feed = &mut self.feeds[key];
        if !spec.patterns.is_empty() {
            feed.trimmed = self.freed;
        }
        for topic in &topics {
            let log = &mut self.topics[*topic];
            log.feeds.push(key);
            feed.last = feed.last.max(log.last);
            feed.trimmed = feed.trimmed.max(log.trimmed);
        }
        // What was superseded before is not told apart.
        feed.superseded = self.superseded;
        feed.topics = topics;
        key
    }

    /// Removes a reader, and returns what is to be dropped without the lock.
    pub(super) fn leave(&mut self, key: Key) -> impl Sized + use<> {
        let waker = self.stop_waiting(key);
        let Some(reader) = self.readers.remove(key) else { return (waker, None) };
        let feed = &mut self.feeds[reader.feed];
        feed.readers -= 1;
        let (is_last, spec) = (feed.readers == 0, feed.spec.clone());
        for name in &spec.names {
            let Some(&topic) = self.names.get(name) else { continue };
            let log = &mut self.topics[topic];
            log.named -= 1;
            if log.named == 0 && self.keeps_presence {
                self.presence.push_back((name.clone(), Presence::Last));
            }
        }
        if is_last {
            self.remove_feed(reader.feed);
        }
        for name in &spec.names {
            if let Some(&topic) = self.names.get(name) {
                self.free_if_unused(topic);
            }
        }
        (waker, reader.session)
    }

    fn remove_feed(&mut self, key: Key) {
        let Some(feed) = self.feeds.remove(key) else { return };
        for topic in feed.topics {
            self.topics[topic].feeds.retain(|feed| *feed != key);
        }
        for pattern in &feed.spec.patterns {
            self.patterns.remove(pattern, key);
        }
        self.specs.remove(&*feed.spec);
        self.frames.forget_feed(key);
    }

    /// Leaves a reader's waker, and returns the one before, to be dropped without the lock.
    pub(super) fn wait(&mut self, key: Key, cx: &Context<'_>) -> Option<Waker> {
        let reader = &mut self.readers[key];
        if reader.place.is_none() {
            let waiting = &mut self.feeds[reader.feed].waiting;
            reader.place = u32::try_from(waiting.len()).ok();
            waiting.push(key);
        }
        match &reader.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => reader.waker.replace(cx.waker().clone()),
        }
    }

    fn stop_waiting(&mut self, key: Key) -> Option<Waker> {
        let reader = &mut self.readers[key];
        let waker = reader.waker.take();
        if let Some(place) = reader.place.take() {
            let waiting = &mut self.feeds[reader.feed].waiting;
            waiting.swap_remove(place as usize);
            if let Some(&moved) = waiting.get(place as usize) {
                self.readers[moved].place = Some(place);
            }
        }
        waker
    }

    /// Cuts a reader, and returns its waker.
    pub(super) fn cut(&mut self, key: Key) -> Option<Waker> {
        self.readers[key].is_cut = true;
        self.stop_waiting(key)
    }

    /// Tells all readers that nothing more will come, and returns their wakers.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        for feed in self.feeds.iter_mut() {
            feed.waiting.clear();
        }
        let mut wakers = Vec::new();
        for reader in self.readers.iter_mut() {
            reader.place = None;
            wakers.extend(reader.waker.take());
        }
        wakers
    }

    // ===== reading =====

    /// Collects what is in a range for a feed: at most so many records, and as much as a frame holds.
    pub(super) fn collect(&self, feed: Key, range: Range, most: usize) -> Batch {
        let Range { after, state_to } = range;
        let to = state_to.unwrap_or(self.head);
        let feed = &self.feeds[feed];
        let mut batch = Batch { upto: after, ..Batch::default() };
        if after >= to {
            return batch;
        }
        let mut left = STEPS;
        let mut take = |record: &Arc<Record>| {
            let wanted = state_to.is_none() || record.key.is_some();
            if wanted && !batch.takes(record, most) {
                return false;
            }
            batch.upto = record.position;
            left -= 1;
            left > 0
        };
        // Whatever is in the range, or the records of its own topics only: what promises less.
        let topics = u64::try_from(feed.topics.len()).unwrap_or(u64::MAX);
        let everything = if to - after <= topics.saturating_mul(16) {
            let own = |record: &&Arc<Record>| feed.topics.contains(&record.topic_key);
            self.order.range(after + 1..=to).map(|(_, record)| record).filter(own).all(&mut take)
        } else {
            self.merged(feed, after, to).all(take)
        };
        if everything {
            batch.upto = to;
        }
        batch
    }

    /// Walks the records of a feed's topics, in their order.
    fn merged(
        &self,
        feed: &Feed,
        after: Position,
        to: Position,
    ) -> impl Iterator<Item = &Arc<Record>> {
        let next = move |topic: Key, after: Position| {
            if after >= to {
                return None;
            }
            let mut records = self.topics[topic].records.range(after + 1..=to);
            records.next().map(|position| Reverse((*position, topic)))
        };
        let firsts = feed.topics.iter().filter_map(|topic| next(*topic, after));
        let mut heap: BinaryHeap<_> = firsts.collect();
        std::iter::from_fn(move || {
            let Reverse((position, topic)) = heap.pop()?;
            heap.extend(next(topic, position));
            self.order.get(&position)
        })
    }

    /// Returns how many records of a feed are kept behind a position, unless there are very many.
    pub(super) fn count(&self, feed: Key, after: Position) -> Option<u64> {
        let kept = self.merged(&self.feeds[feed], after, self.head).take(STEPS).count();
        (kept < STEPS).then_some(kept as u64)
    }

    /// Returns how many records of a feed were trimmed behind a position, if that can be told: if
    /// none of another topic was, and nothing was superseded.
    pub(super) fn missed_since(&self, feed: Key, after: Position) -> Option<u64> {
        let topics = &self.feeds[feed].topics;
        let others = self.topics.iter().filter(|(key, _)| !topics.contains(key));
        if self.superseded > after || self.freed > after || self.topics.len() > 64 {
            return None;
        }
        if others.into_iter().any(|(_, log)| log.trimmed > after) {
            return None;
        }
        let kept = self.order.range(after + 1..).take(STEPS).count();
        (kept < STEPS).then(|| (self.head - after) - kept as u64)
    }

    /// Returns whether the record at a position is of another topic than a feed's.
    pub(super) fn is_of_another(&self, feed: Key, position: Position) -> bool {
        let record = self.order.get(&position);
        record.is_some_and(|record| !self.feeds[feed].topics.contains(&record.topic_key))
    }

    /// Returns the first record of a feed behind a position.
    pub(super) fn first(&self, feed: Key, after: Position) -> Option<Arc<Record>> {
        self.merged(&self.feeds[feed], after, self.head).next().cloned()
    }

    // ===== presence =====

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

impl Batch {
    /// Takes a record, unless it is full.
    fn takes(&mut self, record: &Arc<Record>, most: usize) -> bool {
        let len = record.bytes.len();
        if self.first.is_none() {
            self.first = Some(record.clone());
        } else if self.more.len() + 1 < most && self.bytes + len <= FRAME {
            self.more.push(record.clone());
        } else {
            return false;
        }
        self.bytes += len;
        true
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.first.iter().chain(&self.more)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
