//! What the bounds of the history let go of.

use tokio::time::Instant;

use super::{Log, STEPS};
use crate::hub::{history::History, position::Position, slab::Key};

impl Log {
    pub(super) fn trim_topic(&mut self, key: Key) {
        let History { events, bytes, .. } = self.per_topic;
        loop {
            let log = &self.topics[key];
            // The newest is the last to go, and is never larger than the bounds.
            let is_within = log.bytes + log.own_cost() <= bytes;
            if log.records.len() <= 1 || (log.records.len() <= events && is_within) {
                return;
            }
            let Some(&oldest) = log.records.first() else { return };
            self.trim(oldest);
        }
    }

    pub(super) fn trim_total(&mut self, now: Instant) {
        let History { events, bytes, .. } = self.total;
        while self.order.len() > 1 && (self.order.len() > events || self.bytes > bytes) {
            let Some((&oldest, _)) = self.order.first_key_value() else { return };
            self.trim(oldest);
        }
        self.trim_aged(now);
    }

    /// Trims what is too old: not more of it at a time than may be looked at.
    pub(in crate::hub) fn trim_aged(&mut self, now: Instant) {
        let age = [self.per_topic.age, self.total.age].into_iter().flatten().min();
        let Some(age) = age else { return };
        for _ in 0..STEPS {
            let Some((&position, oldest)) = self.order.first_key_value() else { return };
            if now.saturating_duration_since(oldest.at) < age {
                return;
            }
            self.trim(position);
        }
    }

    fn trim(&mut self, position: Position) {
        let Some(record) = self.order.get(&position) else { return };
        let topic = record.topic_key;
        let log = &mut self.topics[topic];
        log.trimmed = log.trimmed.max(position);
        for feed in &log.feeds {
            let feed = &mut self.feeds[*feed];
            feed.trimmed = feed.trimmed.max(position);
        }
        self.remove(position);
        self.free_if_unused(topic);
    }

    /// Removes a record, which was trimmed or superseded.
    pub(super) fn remove(&mut self, position: Position) {
        let Some(record) = self.order.remove(&position) else { return };
        let log = &mut self.topics[record.topic_key];
        log.records.remove(&position);
        let cost = record.own_cost();
        log.bytes -= cost;
        self.bytes -= cost;
        if log.records.is_empty() {
            self.bytes -= log.own_cost();
        }
        if let Some(key) = &record.key {
            if log.keys.get(key) == Some(&position) {
                log.keys.remove(key);
            }
        }
        self.frames.forget(position);
    }

    pub(super) fn free_if_unused(&mut self, key: Key) {
        let log = &self.topics[key];
        if log.named > 0 || !log.records.is_empty() {
            return;
        }
        let Some(log) = self.topics.remove(key) else { return };
        self.names.remove(&log.topic);
        self.freed = self.freed.max(log.trimmed);
        for feed in log.feeds {
            self.feeds[feed].matched.remove(&key);
        }
    }
}
