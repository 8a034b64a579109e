//! Publishing: an event is appended, and the readers that wait for it are found.

use std::{mem, sync::Arc, task::Waker};

use tokio::time::Instant;

use super::{
    Log,
    keys::TopicKey,
    record::{Draft, Record},
    topics::TopicLog,
};
use crate::hub::topic::Topic;

impl Log {
    /// Returns an empty vector to collect wakers in, with the capacity that was needed before.
    ///
    /// A concurrent call gets a vector without capacity.
    pub(in crate::hub) fn take_spare_wakers(&mut self) -> Vec<Waker> {
        mem::take(&mut self.readers.spare_wakers)
    }

    /// Appends an event, and moves the wakers of the readers that wait for it to `wakers`.
    ///
    /// The caller wakes them after it has released the lock. A reader that is taken from the list
    /// of waiting readers has no waker left, and leaves one again when it has nothing to read.
    pub(in crate::hub) fn append(
        &mut self,
        draft: Draft,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Arc<Record> {
        let Draft { topic, key, is_state, event } = draft;
        self.records.head += 1;
        let position = self.records.head;
        let topic_key = self.topic_or_insert(&topic);
        let topic = &mut self.topics.by_key[topic_key];
        let (bytes, id) = self.ids.prepend_id_line(position, topic.tag, event);
        let record = Arc::new(Record {
            position,
            topic: topic.topic.clone(),
            topic_key,
            key: key.clone(),
            is_state,
            bytes,
            id,
            published_at: now,
        });
        topic.last = position;
        if topic.records.is_empty() {
            self.records.bytes += topic.own_cost();
        }
        topic.records.insert(position);
        let superseded = key.and_then(|key| topic.keys.insert(key, position));
        for group in &topic.groups {
            let group = &mut self.groups.by_key[*group];
            group.last = position;
            group.published += 1;
            if superseded.is_some() {
                group.superseded = position;
            }
            for reader in group.waiting.drain(..) {
                let reader = &mut self.readers.by_key[reader];
                reader.waiting_at = None;
                wakers.extend(reader.waker.take());
            }
        }
        let cost = record.own_cost();
        topic.bytes += cost;
        self.records.bytes += cost;
        self.records.by_position.insert(position, record.clone());
        // The new record is in place before the old one goes, so the topic is never without
        // records, and is not dropped in between.
        if let Some(old) = superseded {
            self.records.superseded = position;
            self.remove(old);
        }
        self.trim_topic(topic_key);
        self.trim_total(now);
        record
    }

    /// Gives back the vector of [`take_spare_wakers`](Self::take_spare_wakers). The larger one is
    /// kept.
    pub(in crate::hub) fn put_spare_wakers(&mut self, wakers: Vec<Waker>) {
        if wakers.capacity() > self.readers.spare_wakers.capacity() {
            self.readers.spare_wakers = wakers;
        }
    }

    /// Returns the key of a topic. If the topic does not exist yet, it is created, and becomes part
    /// of the groups whose patterns match it.
    ///
    /// The caller must give it a record or a reader that names it, or else call
    /// [`drop_topic_if_unused`](Self::drop_topic_if_unused).
    pub(super) fn topic_or_insert(&mut self, topic: &Topic) -> TopicKey {
        if let Some(key) = self.topics.by_name.get(topic) {
            return *key;
        }
        let groups = self.groups.patterns.matches(topic);
        let trimmed = self.topics.dropped_topics_trimmed_to;
        let created = TopicLog::new(topic.clone(), self.ids.tag(topic), groups, trimmed);
        let key = self.topics.by_key.insert(created);
        for group in &self.topics.by_key[key].groups {
            self.groups.by_key[*group].pattern_topics.insert(key);
        }
        self.topics.by_name.insert(topic.clone(), key);
        key
    }
}
