//! Removing: a record is trimmed when the history exceeds its bounds, superseded by a newer record of
//! its key, or expires.

use std::sync::Arc;

use super::{
    Window,
    keys::TopicKey,
    record::{Record, RecordKind},
};

impl Window {
    /// Removes a record that readers may not have read. The coverage of its feeds is raised first.
    /// Returns how many feeds it was removed from.
    pub(super) fn trim(&mut self, record: &Arc<Record>) -> usize {
        if record.is_expired() {
            // Nobody misses it, whatever removes it first.
            let feeds = self.supersede(record);
            self.drop_topic_if_unused(record.topic_key);
            return feeds;
        }
        let topic = &self.topics.by_key[record.topic_key];
        topic.source.raise_coverage(record.seq);
        for source in self.patterns.sources(&topic.patterns) {
            source.raise_coverage(record.seq);
        }
        let feeds = self.remove(record);
        self.drop_topic_if_unused(record.topic_key);
        feeds
    }

    /// Removes a record that readers are not told of: a newer record of its key has superseded it,
    /// or it has expired. Returns how many feeds it was removed from.
    pub(super) fn supersede(&mut self, record: &Arc<Record>) -> usize {
        self.uncounted_until = self.head;
        let topic = &self.topics.by_key[record.topic_key];
        topic.source.feed.count_superseded();
        for source in self.patterns.sources(&topic.patterns) {
            source.feed.count_superseded();
        }
        self.remove(record)
    }

    /// Removes a record. Returns how many feeds it was removed from.
    fn remove(&mut self, record: &Arc<Record>) -> usize {
        if self.order.remove(record.seq).is_none() {
            return 0;
        }
        record.set_removed();
        self.counters.count_removal();
        let topic = &mut self.topics.by_key[record.topic_key];
        topic.source.feed.remove(record);
        let mut feeds = 1;
        for source in self.patterns.sources(&topic.patterns) {
            source.feed.remove(record);
            feeds += 1;
        }
        let cost = record.own_cost();
        topic.len -= 1;
        topic.bytes -= cost;
        self.bytes -= cost;
        if topic.len == 0 {
            self.bytes -= topic.own_cost();
        }
        if let Some(key) = &record.key {
            // A superseded record's key has the newer record already.
            if topic.keys.get(key).is_some_and(|current| current.seq == record.seq) {
                topic.keys.remove(key);
            }
        }
        feeds
    }

    /// Drops a topic that has no records and that no reader names.
    pub(super) fn drop_topic_if_unused(&mut self, key: TopicKey) {
        let topic = &self.topics.by_key[key];
        if topic.len > 0 || !topic.groups.is_empty() {
            return;
        }
        let Some(topic) = self.topics.by_key.remove(key) else { return };
        self.topics.by_name.remove(&topic.name);
        self.topics.by_tag.remove(&(topic.tag, key));
        let coverage = topic.source.feed.coverage();
        if coverage > self.topics.dropped_coverage {
            self.topics.dropped_coverage = coverage;
            self.topics.last_dropped = Some(topic.name);
        }
    }
}

impl RecordKind {
    /// Returns whether a record of this kind is the entry of its key in the state.
    pub(super) fn is_state(self) -> bool {
        self == Self::State
    }
}
