//! Maintenance: what exceeds the bounds, is too old or has expired is removed, some at a time.

use std::{mem, ops::Bound};

use tokio::time::Instant;

use super::{
    Expiring, Window,
    counters::{Head, LostLog},
    keys::{PatternKey, TopicKey},
    limits::MAX_STEPS,
    record::Seq,
    slab::SlabKey as _,
    steps::visit,
};
use crate::hub::{backend::Position, history::History, topic::Topic};

/// How far [`Window::lose_some`] is.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct LoseStep {
    /// The place up to which everything is lost.
    upto: Seq,
    /// How many slots of the topic table were visited.
    topics: usize,
    /// The pattern that was visited last.
    after_pattern: Option<PatternKey>,
}

/// How many topics may wait for [`Window::take_expired_topics`]. Others are left to the bounds of the
/// backend.
const MAX_EXPIRED_TOPICS: usize = 1 << 16;

/// In how many topics one step forgets the patterns that were removed.
const SWEPT_TOPICS: usize = 4;

impl Window {
    /// Removes what exceeds the bounds, then what is too old or has expired, in one step. Returns
    /// whether the bounds are kept: if not, the caller continues after it has released the lock for
    /// a moment.
    ///
    /// Records that are too old are not given to readers, whether they are removed or not. So this
    /// work is not urgent, and the next call continues with it.
    pub(in crate::hub) fn maintain(&mut self, now: Instant) -> bool {
        let mut steps = MAX_STEPS / 2;
        let is_within = self.trim_overfull(&mut steps) && self.trim_total(&mut steps);
        if is_within && steps > 0 {
            self.trim_aged(now, &mut steps);
            self.expire(now, &mut steps);
        }
        self.sweep_patterns();
        is_within
    }

    /// Removes what exceeds the bounds after an event was appended, in one step. The rest
    /// is left to [`maintain`](Self::maintain).
    pub(super) fn trim_after_append(&mut self) {
        let mut steps = MAX_STEPS / 64;
        if self.trim_overfull(&mut steps) {
            self.trim_total(&mut steps);
        }
    }

    /// Trims topics that exceed their bounds. Returns whether none is left.
    fn trim_overfull(&mut self, steps: &mut usize) -> bool {
        while let Some(key) = self.overfull.pop() {
            if !self.trim_topic(key, steps) {
                self.overfull.push(key);
                return false;
            }
        }
        self.overfull.shrink_to(MAX_STEPS);
        true
    }

    /// Trims the oldest records of a topic until it is within its bounds. Returns false if there
    /// are more.
    fn trim_topic(&mut self, key: TopicKey, steps: &mut usize) -> bool {
        let History { events, bytes, .. } = self.bounds.per_topic;
        loop {
            let Some(topic) = self.topics.by_key.get(key) else { return true };
            let is_within = topic.bytes + topic.own_cost() <= bytes;
            // The newest record always stays: publishing has checked that it fits on its own.
            if topic.len <= 1 || (topic.len <= events && is_within) {
                return true;
            }
            let Some(oldest) = topic.oldest() else { return true };
            if *steps == 0 {
                return false;
            }
            *steps = steps.saturating_sub(self.trim(&oldest));
        }
    }

    /// Trims the oldest records of all topics until the window is within its bounds. Returns false
    /// if there are more.
    fn trim_total(&mut self, steps: &mut usize) -> bool {
        let History { events, bytes, .. } = self.bounds.total;
        loop {
            if self.order.len() <= 1 || (self.order.len() <= events && self.bytes <= bytes) {
                return true;
            }
            let Some(oldest) = self.order.first().cloned() else { return true };
            if *steps == 0 {
                return false;
            }
            *steps = steps.saturating_sub(self.trim(&oldest));
        }
    }

    /// Trims records that are too old.
    fn trim_aged(&mut self, now: Instant, steps: &mut usize) {
        let Some(age) = self.bounds.max_age() else { return };
        while *steps > 0 {
            let Some(oldest) = self.order.first() else { return };
            if now.saturating_duration_since(oldest.published_at) < age {
                return;
            }
            let oldest = oldest.clone();
            // Set before the record is trimmed, and so before its coverage is raised.
            self.aged_until = self.aged_until.max(oldest.seq);
            *steps = steps.saturating_sub(self.trim(&oldest));
        }
    }

    /// Removes records and topics whose time to live is over.
    fn expire(&mut self, now: Instant, steps: &mut usize) {
        while *steps > 0 {
            let Some((&(at, expiring), ())) = self.expiry.first_key_value() else { return };
            if at > now {
                return;
            }
            *steps -= 1;
            visit(1);
            match expiring {
                Expiring::Record(seq) => {
                    self.expiry.pop_first();
                    self.expire_record(seq);
                }
                Expiring::Topic(key) => {
                    if self.expire_topic(key, now, steps) {
                        self.expiry.remove(&(at, expiring));
                    }
                }
            }
        }
    }

    /// Forgets the patterns that were removed in some of the topics, so that they leave no memory
    /// behind in topics that are quiet.
    fn sweep_patterns(&mut self) {
        for _ in 0..self.unswept.min(SWEPT_TOPICS) {
            self.unswept -= 1;
            if self.next_swept >= self.topics.by_key.slots() {
                self.next_swept = 0;
            }
            let key = TopicKey::from_index(self.next_swept as u32);
            self.next_swept += 1;
            let Some(topic) = self.topics.by_key.get_mut(key) else { continue };
            visit(1 + topic.patterns.len());
            topic.patterns.retain(|pattern| self.patterns.by_key.contains_key(pattern));
            topic.patterns.shrink_to_fit();
        }
    }

    /// Starts to forget all records and to tell all readers of a gap: they have lost what is up to a
    /// place after all records. The caller continues with [`lose_some`](Self::lose_some).
    pub(in crate::hub) fn start_to_lose_all(
        &mut self,
        position: Position,
        is_other: bool,
    ) -> LoseStep {
        self.begin();
        self.head_position = position;
        // Their positions do not fit another log.
        self.expired_topics.clear();
        let upto = Head { seq: self.head, position };
        self.counters.set_lost(LostLog { upto, is_other });
        LoseStep { upto: self.head, topics: 0, after_pattern: None }
    }

    /// Forgets some records and raises the coverage of some sources. Returns the next step, or `None`
    /// if all is done.
    pub(in crate::hub) fn lose_some(&mut self, step: LoseStep) -> Option<LoseStep> {
        let LoseStep { upto, topics, after_pattern } = step;
        if topics < self.topics.by_key.slots() {
            for (_, topic) in self.topics.by_key.some(topics, MAX_STEPS) {
                topic.source.raise_coverage(upto);
                topic.source.reset_end();
            }
            return Some(LoseStep { topics: topics + MAX_STEPS, ..step });
        }
        let after = after_pattern.map_or(Bound::Unbounded, Bound::Excluded);
        let patterns = self.patterns.by_key.range((after, Bound::Unbounded)).take(MAX_STEPS);
        let mut last = None;
        for (key, pattern) in patterns {
            pattern.source.raise_coverage(upto);
            last = Some(*key);
        }
        if last.is_some() {
            return Some(LoseStep { after_pattern: last, ..step });
        }
        for _ in 0..MAX_STEPS / 2 {
            let oldest = self.order.first().filter(|oldest| oldest.seq < upto).cloned()?;
            self.trim(&oldest);
        }
        Some(step)
    }

    /// Returns whether something has expired that is not removed yet.
    pub(in crate::hub) fn has_expired(&self, now: Instant) -> bool {
        self.expiry.first_key_value().is_some_and(|((at, _), ())| *at <= now)
    }

    /// Takes the topics whose time to live was over, each with the position up to which it is.
    pub(in crate::hub) fn take_expired_topics(&mut self) -> Vec<(Topic, Position)> {
        mem::take(&mut self.expired_topics)
    }

    fn expire_record(&mut self, seq: Seq) {
        let Some(record) = self.order.get(seq).cloned() else { return };
        self.supersede(&record);
        self.drop_topic_if_unused(record.topic_key);
    }

    /// Trims a topic whose time to live is over. Returns whether its entry in the expiry queue is
    /// done with.
    fn expire_topic(&mut self, key: TopicKey, now: Instant, steps: &mut usize) -> bool {
        let Some(topic) = self.topics.by_key.get_mut(key) else { return true };
        // It was published on since the entry was made, or another topic has the key now.
        topic.is_in_expiry = false;
        if self.topic_expiry(key).is_none_or(|at| at > now) {
            self.expire_topic_later(key);
            return true;
        }
        let topic = &self.topics.by_key[key];
        let (name, upto) = (topic.name.clone(), topic.last_position);
        while *steps > 0 {
            let topic = self.topics.by_key.get(key);
            let Some(oldest) = topic.and_then(|topic| topic.oldest()) else {
                if let Some(topic) = topic.filter(|_| !self.counters.is_log()) {
                    // Readers still name it, and it may begin anew. Until then the backend knows the end.
                    topic.source.reset_end();
                }
                if !self.counters.is_log() && self.expired_topics.len() < MAX_EXPIRED_TOPICS {
                    self.expired_topics.push((name, upto));
                }
                return true;
            };
            *steps = steps.saturating_sub(self.trim(&oldest));
        }
        if let Some(topic) = self.topics.by_key.get_mut(key) {
            topic.is_in_expiry = true;
        }
        false
    }

    /// Adds a topic to the expiry queue, unless it is there. A topic that is published on does not
    /// move in the queue: its time is looked at again when its entry is due.
    pub(super) fn expire_topic_later(&mut self, key: TopicKey) {
        let is_finished = self.topics.by_key[key].source.end().is_some();
        if self.topics.by_key[key].is_in_expiry && !is_finished {
            return;
        }
        if let Some(at) = self.topic_expiry(key) {
            self.topics.by_key[key].is_in_expiry = true;
            self.expiry.insert((at, Expiring::Topic(key)), ());
        }
    }

    /// Returns when a topic expires.
    fn topic_expiry(&self, key: TopicKey) -> Option<Instant> {
        let topic = &self.topics.by_key[key];
        let finished = self.bounds.finished_ttl.filter(|_| topic.source.end().is_some());
        let ttl = finished.into_iter().chain(self.bounds.idle_ttl).min()?;
        topic.last_published.checked_add(ttl)
    }
}
