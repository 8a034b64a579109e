//! What is published is appended, and whoever waits for it is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    task::Waker,
};

use tokio::time::Instant;

use super::{Log, Prepared, TopicLog};
use crate::hub::{entry::Record, slab::Key, topic::Topic};

impl Log {
    /// Returns an empty vector to gather wakers in, with the room that was needed before.
    pub(in crate::hub) fn take_room(&mut self) -> Vec<Waker> {
        mem::take(&mut self.wakers)
    }

    /// Appends an event, and takes the wakers of all who wait for it.
    pub(in crate::hub) fn append(
        &mut self,
        prepared: Prepared,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Arc<Record> {
        let Prepared { topic, key, is_state, event } = prepared;
        self.head += 1;
        let position = self.head;
        let topic_key = self.living(&topic);
        let log = &mut self.topics[topic_key];
        let (bytes, id) = self.ids.put_in_front(position, log.tag, event);
        let record = Arc::new(Record {
            position,
            topic: log.topic.clone(),
            topic_key,
            key: key.clone(),
            is_state,
            bytes,
            id,
            at: now,
        });
        log.last = position;
        if log.records.is_empty() {
            self.bytes += log.own_cost();
        }
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
    pub(in crate::hub) fn give_back(&mut self, wakers: Vec<Waker>) {
        if wakers.capacity() > self.wakers.capacity() {
            self.wakers = wakers;
        }
    }

    pub(super) fn living(&mut self, topic: &Topic) -> Key {
        if let Some(key) = self.names.get(topic) {
            return *key;
        }
        let feeds = self.patterns.matches(topic);
        let key = self.topics.insert(TopicLog {
            topic: topic.clone(),
            tag: self.ids.tag(topic),
            records: BTreeSet::new(),
            bytes: 0,
            keys: BTreeMap::new(),
            feeds,
            named: 0,
            last: 0,
            trimmed: self.freed,
        });
        for feed in &self.topics[key].feeds {
            self.feeds[*feed].matched.insert(key);
        }
        self.names.insert(topic.clone(), key);
        key
    }
}
