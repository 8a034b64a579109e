//! Publishing: a record is appended to its feeds, and the groups that wait for it are found.

use std::{mem, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Expiring, Touched, Window,
    group::Armed,
    keys::TopicKey,
    limits::MAX_STEPS,
    record::{Draft, Record, RecordKind},
    steps::visit,
    tables::TopicState,
};
use crate::hub::{
    backend::Position,
    ids::{Ids, MAX_EVENT_ID_BYTES},
    topic::Topic,
};

impl Window {
    /// Returns whether a topic has ended, so that nothing can be published on it.
    pub(in crate::hub) fn is_finished(&self, topic: &Topic) -> bool {
        let key = self.topics.by_name.get(topic);
        key.is_some_and(|key| self.topics.by_key[*key].source.end().is_some())
    }

    /// Returns the topics of which the window does not know whether they have ended.
    pub(in crate::hub) fn with_unknown_end<'a>(
        &self,
        topics: impl Iterator<Item = &'a Topic>,
    ) -> Vec<Topic> {
        let is_unknown = |topic: &&Topic| match self.topics.by_name.get(*topic) {
            Some(key) => !self.topics.by_key[*key].source.knows_end(),
            None => !self.topics.knows_ends,
        };
        topics.filter(is_unknown).cloned().collect()
    }

    /// Records that the backend was asked whether a topic has ended, and that it has not.
    pub(in crate::hub) fn set_knows_end(&self, topic: &Topic) {
        if let Some(key) = self.topics.by_name.get(topic) {
            self.topics.by_key[*key].source.set_knows_end();
        }
    }

    /// Appends an event. Readers see it after the next [`commit`](Self::commit).
    ///
    /// `position` is its position in the log. Without one, the window is the log, and counts. `now` is
    /// when it was published.
    pub(in crate::hub) fn append(
        &mut self,
        mut draft: Draft,
        position: Option<Position>,
        room: usize,
        now: Instant,
    ) -> Arc<Record> {
        let now = self.head_time.map_or(now, |last| last.max(now));
        self.head += 1;
        let is_received = position.is_some();
        let position = position.unwrap_or(Position::new(self.head));
        (self.head_position, self.head_time) = (position, Some(now));
        let topic_key = self.topic_or_insert(&draft.topic, now);
        self.find_patterns(topic_key);
        let topic = &mut self.topics.by_key[topic_key];
        let encoded = match draft.event.take() {
            Some(event) => self.ids.prepend_id_line(position, topic.tag, room, event),
            None => (Bytes::new(), 0..0),
        };
        let record = Record::new(draft, self.head, position, topic_key, encoded, now);
        let record = Arc::new(record);

        topic.source.feed.append(&record);
        self.touched.push(Touched::Topic(topic_key));
        visit(1 + topic.patterns.len());
        for key in &topic.patterns {
            if let Some(pattern) = self.patterns.by_key.get(key) {
                pattern.source.feed.append(&record);
                self.touched.push(Touched::Pattern(*key));
            }
        }
        self.order.push(record.clone());
        let cost = record.own_cost();
        if topic.len == 0 {
            self.bytes += topic.own_cost();
        }
        topic.len += 1;
        topic.bytes += cost;
        self.bytes += cost;
        // Clocks of nodes and engines differ, so a topic lives by the clock of this node.
        topic.last_published = if is_received { Instant::now() } else { now };
        topic.last_position = position;
        if record.kind == RecordKind::End {
            topic.source.set_end(record.seq);
        }
        if let Some(at) = record.expires_at {
            self.expiry.insert((at, Expiring::Record(record.seq)), ());
        }
        // The new record is in place before the old one goes, so the topic is never without
        // records, and is not dropped in between.
        if let Some(key) = record.key.clone() {
            if let Some(old) = topic.keys.insert(key, record.clone()) {
                self.supersede(&old);
            }
        }
        self.expire_topic_later(topic_key);
        self.overfull.push(topic_key);
        self.trim_after_append();
        record
    }

    /// Shows readers all records that were appended, and adds the groups that wait for them to
    /// `armed`. The caller wakes them after it has released the lock. Returns whether there may be more
    /// groups: then the caller commits again, in another step.
    pub(in crate::hub) fn commit(&mut self, armed: &mut Vec<Armed>) -> bool {
        // Before the groups are taken: a reader that arms its group later sees the head.
        self.counters.set_head(self.head, self.head_position);
        let mut touched = mem::take(&mut self.touched);
        touched.dedup();
        let from = touched.len().saturating_sub(MAX_STEPS);
        visit(touched.len() - from);
        for touched in touched.drain(from..) {
            let source = match touched {
                Touched::Topic(key) => self.topics.by_key.get(key).map(|it| &it.source),
                Touched::Pattern(key) => self.patterns.by_key.get(&key).map(|it| &it.source),
            };
            armed.extend(source.map(|source| source.take_armed()).filter(|it| !it.is_empty()));
        }
        // The capacity is kept, unless a large batch has made it large.
        touched.shrink_to(MAX_STEPS);
        self.touched = touched;
        from > 0
    }

    /// Returns whether a step of appending is long enough: the caller then releases the lock for a
    /// moment.
    pub(in crate::hub) fn is_step_full(&self) -> bool {
        self.touched.len() - self.touched_before >= MAX_STEPS
    }

    /// Starts a step of appending.
    pub(in crate::hub) fn start_step(&mut self) {
        self.touched_before = self.touched.len();
    }

    /// Makes a record that is in no feed.
    pub(in crate::hub) fn detached_record(
        ids: &Ids,
        mut draft: Draft,
        position: Position,
        now: Instant,
    ) -> Record {
        let encoded = match draft.event.take() {
            Some(event) => {
                let tag = ids.topic_tag(&draft.topic);
                ids.prepend_id_line(position, tag, MAX_EVENT_ID_BYTES, event)
            }
            None => (Bytes::new(), 0..0),
        };
        Record::new(draft, 0, position, TopicKey::default(), encoded, now)
    }

    /// Begins the window at a position of the log. Everything up to it is known to the backend only.
    pub(in crate::hub) fn begin_at(&mut self, position: Position) {
        self.begin();
        self.head_position = position;
        self.counters.set_head(self.head, position);
    }

    /// Moves the head to a place that has no record. All topics that are in the table later are complete
    /// after it.
    pub(super) fn begin(&mut self) {
        self.head += 1;
        self.beginnings += 1;
        self.topics.dropped_coverage = self.head;
        self.topics.last_dropped = None;
        self.topics.knows_ends = false;
    }

    /// Returns how many records were appended.
    pub(in crate::hub) fn appended(&self) -> u64 {
        self.head - self.beginnings
    }

    /// Records that the log has nothing for the window up to a position.
    pub(in crate::hub) fn set_head_position(&mut self, position: Position) {
        if position > self.head_position {
            self.head_position = position;
            self.counters.set_head(self.head, position);
        }
    }

    /// Sets what writes IDs, because the log is another one.
    pub(in crate::hub) fn set_ids(&mut self, ids: Arc<Ids>) {
        self.ids = ids;
    }

    /// Returns the key of a topic, which is created if it does not exist yet.
    ///
    /// The caller must give it a record or a group that names it, or else call
    /// [`drop_topic_if_unused`](Self::drop_topic_if_unused).
    pub(super) fn topic_or_insert(&mut self, name: &Topic, now: Instant) -> TopicKey {
        if let Some(key) = self.topics.by_name.get(name) {
            return *key;
        }
        let tag = self.ids.topic_tag(name);
        let known = (self.topics.dropped_coverage, self.topics.knows_ends);
        let state = |key| TopicState::new(name.clone(), (key, tag), known, now);
        let key = self.topics.by_key.insert_with(state);
        self.topics.by_name.insert(name.clone(), key);
        self.topics.by_tag.insert((tag, key));
        key
    }

    /// Finds the patterns that match a topic, if patterns were added since they were found last.
    pub(super) fn find_patterns(&mut self, key: TopicKey) {
        let topic = &mut self.topics.by_key[key];
        if topic.patterns_version != self.patterns.version {
            topic.patterns = self.patterns.index.matches(&topic.name);
            topic.patterns_version = self.patterns.version;
            visit(topic.patterns.len());
        }
    }
}
