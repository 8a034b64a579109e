//! Trimming: records leave the history when it exceeds its bounds or a newer record supersedes
//! them.

use tokio::time::Instant;

use super::{Log, MAX_STEPS, keys::TopicKey};
use crate::hub::{history::History, position::Position};

impl Log {
    /// Trims the oldest records of a topic until it is within its bounds.
    pub(super) fn trim_topic(&mut self, key: TopicKey) {
        let History { events, bytes, .. } = self.records.per_topic;
        loop {
            let topic = &self.topics.by_key[key];
            let is_within = topic.bytes + topic.own_cost() <= bytes;
            // The newest record always stays: publishing has checked that it fits on its own.
            if topic.records.len() <= 1 || (topic.records.len() <= events && is_within) {
                return;
            }
            let Some(&oldest) = topic.records.first() else { return };
            self.trim(oldest);
        }
    }

    /// Trims the oldest records of all topics until the log is within its bounds.
    pub(super) fn trim_total(&mut self, now: Instant) {
        let History { events, bytes, .. } = self.records.total;
        loop {
            let records = &self.records;
            let is_within = records.by_position.len() <= events && records.bytes <= bytes;
            if records.by_position.len() <= 1 || is_within {
                break;
            }
            let Some((&oldest, _)) = records.by_position.first_key_value() else { break };
            self.trim(oldest);
        }
        self.trim_aged(now);
    }

    /// Trims records that are too old, at most [`MAX_STEPS`] of them.
    pub(in crate::hub) fn trim_aged(&mut self, now: Instant) {
        let ages = [self.records.per_topic.age, self.records.total.age];
        let Some(age) = ages.into_iter().flatten().min() else { return };
        for _ in 0..MAX_STEPS {
            let Some((&position, oldest)) = self.records.by_position.first_key_value() else {
                return;
            };
            if now.saturating_duration_since(oldest.published_at) < age {
                return;
            }
            self.trim(position);
        }
    }

    /// Removes a record that readers may not have read, and marks its topic and groups for that.
    fn trim(&mut self, position: Position) {
        let Some(record) = self.records.by_position.get(&position) else { return };
        let key = record.topic_key;
        let topic = &mut self.topics.by_key[key];
        // The marks never go back. Records are trimmed by topic too, so not always oldest first.
        topic.trimmed = topic.trimmed.max(position);
        for group in &topic.groups {
            let group = &mut self.groups.by_key[*group];
            group.trimmed = group.trimmed.max(position);
        }
        self.remove(position);
        self.drop_topic_if_unused(key);
    }

    /// Removes a record, which was trimmed or superseded.
    pub(super) fn remove(&mut self, position: Position) {
        let Some(record) = self.records.by_position.remove(&position) else { return };
        let topic = &mut self.topics.by_key[record.topic_key];
        topic.records.remove(&position);
        let cost = record.own_cost();
        topic.bytes -= cost;
        self.records.bytes -= cost;
        if topic.records.is_empty() {
            self.records.bytes -= topic.own_cost();
        }
        if let Some(key) = &record.key {
            // A superseded record's key has the position of the newer record already.
            if topic.keys.get(key) == Some(&position) {
                topic.keys.remove(key);
            }
        }
        self.groups.chunks.forget_record(position);
    }

    /// Drops a topic that has no records and that no reader names.
    pub(super) fn drop_topic_if_unused(&mut self, key: TopicKey) {
        let topic = &self.topics.by_key[key];
        if topic.named_by > 0 || !topic.records.is_empty() {
            return;
        }
        let Some(topic) = self.topics.by_key.remove(key) else { return };
        self.topics.by_name.remove(&topic.topic);
        let mark = &mut self.topics.dropped_topics_trimmed_to;
        *mark = topic.trimmed.max(*mark);
        // No group names this topic. Such a group would have a reader, and `named_by` would not be
        // 0.
        for group in topic.groups {
            self.groups.by_key[group].pattern_topics.remove(&key);
        }
    }
}
