//! Removing: a record is trimmed when the history exceeds its bounds, superseded by a newer record of
//! its key, or expires.

use std::sync::Arc;

use super::{
    Window,
    keys::TopicKey,
    record::{Record, RecordKind, Seq},
    steps::visit,
};

impl Window {
    /// Removes a record that readers may not have read. The coverage of its feeds is raised first,
    /// if readers would have been given it. Returns how many feeds were visited.
    pub(super) fn trim(&mut self, record: &Arc<Record>) -> usize {
        if record.is_expired() || !record.is_given() {
            // Nobody misses it. A reader finds the end of a topic without its record.
            let visited = self.supersede(record);
            self.drop_topic_if_unused(record.topic_key);
            return visited;
        }
        if self.is_aged(record) {
            self.aged_until = self.aged_until.max(record.seq);
        }
        let topic = &self.topics.by_key[record.topic_key];
        topic.source.raise_coverage(record.seq);
        for source in self.patterns.sources(&topic.patterns) {
            source.raise_coverage(record.seq);
        }
        let visited = self.remove(record);
        self.drop_topic_if_unused(record.topic_key);
        visited
    }

    /// Returns whether a record was too old when the newest one was published.
    fn is_aged(&self, record: &Record) -> bool {
        self.head_time.zip(self.bounds.max_age()).is_some_and(|(now, max_age)| {
            now.saturating_duration_since(record.published_at) >= max_age
        })
    }

    /// Returns the place up to which records are too old, as far as that was found when they were
    /// trimmed.
    pub(in crate::hub) fn aged_until(&self) -> Seq {
        self.aged_until
    }

    /// Removes a record that readers are not told of: a newer record of its key has superseded it,
    /// it has expired, or it has no event. Returns how many feeds were visited.
    pub(super) fn supersede(&mut self, record: &Arc<Record>) -> usize {
        self.uncounted_until = self.head;
        let topic = &self.topics.by_key[record.topic_key];
        topic.source.feed.count_superseded();
        for source in self.patterns.sources(&topic.patterns) {
            source.feed.count_superseded();
        }
        self.remove(record)
    }

    /// Removes a record. Returns how many feeds were visited.
    fn remove(&mut self, record: &Arc<Record>) -> usize {
        if self.order.remove(record.seq).is_none() {
            return 0;
        }
        record.set_removed();
        self.counters.count_removal();
        let topic = &mut self.topics.by_key[record.topic_key];
        topic.source.feed.remove(record);
        for source in self.patterns.sources(&topic.patterns) {
            source.feed.remove(record);
        }
        // Patterns that were removed are looked up as well.
        let visited = 1 + topic.patterns.len();
        visit(visited);
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
        visited
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
        if topic.source.end().is_some() || !topic.source.knows_end() {
            self.topics.knows_ends = false;
        }
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
