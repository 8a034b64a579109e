//! Reading: the records of a reader's topics, in the order of publication.

use std::{cmp::Reverse, collections::BinaryHeap, iter, sync::Arc};

use super::{
    Log, MAX_STEPS,
    batch::{ReadRange, RecordBatch},
    groups::ReaderGroup,
    keys::{GroupKey, TopicKey},
    record::Record,
};
use crate::hub::position::{Position, Tag};

/// Above this number of topics, missed events are not counted, since each topic would be visited.
const MAX_TOPICS_TO_COUNT: usize = 64;
/// How many records of the whole log are visited for each topic of a group, before its topics' own
/// indexes are merged instead.
const STEPS_PER_TOPIC: usize = 16;

impl Log {
    /// Collects the records of a range for a group: at most `max_records`, and at most what fits
    /// one chunk.
    ///
    /// The batch may end before the range does, also without a record, because the number of
    /// records visited in one call is limited. The caller continues at its `end`.
    pub(in crate::hub) fn collect(
        &self,
        key: GroupKey,
        range: ReadRange,
        max_records: usize,
    ) -> RecordBatch {
        let ReadRange { after, state_to } = range;
        let to = state_to.unwrap_or(self.records.head);
        let group = &self.groups.by_key[key];
        let mut batch = RecordBatch::new(after);
        // `range` panics if its start is after its end.
        if after >= to {
            return batch;
        }
        let take = |batch: &mut RecordBatch, record: &Arc<Record>| {
            let is_wanted = state_to.is_none() || record.is_state;
            if is_wanted && !batch.push(record, max_records) {
                return false;
            }
            batch.end = record.position;
            true
        };
        // With many topics, a scan of all records finds a match quickly. With few, the scan is
        // short, and the topics' own indexes are merged after it.
        let steps = MAX_STEPS.min(STEPS_PER_TOPIC * group.topic_count());
        let mut all = self.records.by_position.range(after + 1..=to).map(|(_, record)| record);
        for record in all.by_ref().take(steps) {
            if !self.topics.by_key[record.topic_key].is_selected_by(key) {
                batch.end = record.position;
            } else if !take(&mut batch, record) {
                return batch;
            }
        }
        if all.next().is_none() {
            batch.end = to;
        } else if steps < MAX_STEPS {
            let mut own = self.merged(group, batch.end, to);
            let is_full = own.by_ref().take(MAX_STEPS).any(|record| !take(&mut batch, record));
            if !is_full && own.next().is_none() {
                batch.end = to;
            }
        }
        batch
    }

    /// Iterates over the records of a group's topics in order, by merging the topics' own indexes.
    ///
    /// The first step visits every topic of the group.
    fn merged(
        &self,
        group: &ReaderGroup,
        after: Position,
        to: Position,
    ) -> impl Iterator<Item = &Arc<Record>> {
        let next = move |topic: TopicKey, after: Position| {
            if after >= to {
                return None;
            }
            let mut records = self.topics.by_key[topic].records.range(after + 1..=to);
            records.next().map(|position| Reverse((*position, topic)))
        };
        let firsts = group.topics().filter_map(|topic| next(topic, after));
        // The heap holds the next record of each topic that has one.
        let mut heap: BinaryHeap<_> = firsts.collect();
        iter::from_fn(move || {
            let Reverse((position, topic)) = heap.pop()?;
            heap.extend(next(topic, position));
            self.records.by_position.get(&position)
        })
    }

    /// Counts the retained records of a group after a position. Returns `None` if there are too
    /// many to count.
    pub(in crate::hub) fn count(&self, group: GroupKey, after: Position) -> Option<u64> {
        let records = self.merged(&self.groups.by_key[group], after, self.records.head);
        let kept = records.take(MAX_STEPS).count();
        (kept < MAX_STEPS).then_some(kept as u64)
    }

    /// Counts the records of a group that were trimmed after a position. Returns `None` if that is
    /// not known.
    ///
    /// The log only knows how many events were published and which are retained. So the number is
    /// known only if every event after the position that is no longer retained was trimmed from a
    /// topic of this group. It is not known if one of them belonged to another topic or to a topic
    /// that no longer exists, or was superseded.
    pub(in crate::hub) fn missed_since(&self, group: GroupKey, after: Position) -> Option<u64> {
        if self.records.superseded > after
            || self.topics.dropped_topics_trimmed_to > after
            || self.topics.by_key.len() > MAX_TOPICS_TO_COUNT
        {
            return None;
        }
        let mut topics = self.topics.by_key.iter().map(|(_, topic)| topic);
        if topics.any(|topic| topic.trimmed > after && !topic.is_selected_by(group)) {
            return None;
        }
        let kept = self.records.by_position.range(after + 1..).take(MAX_STEPS).count();
        (kept < MAX_STEPS).then(|| (self.records.head - after) - kept as u64)
    }

    /// Returns false only if an event with this position and tag certainly belongs to a topic
    /// outside of the group.
    pub(in crate::hub) fn may_belong_to(
        &self,
        group: GroupKey,
        position: Position,
        tag: Tag,
    ) -> bool {
        let group = &self.groups.by_key[group];
        if group.topics().take(MAX_STEPS).any(|topic| self.topics.by_key[topic].tag == tag) {
            return true;
        }
        // A topic of a pattern may no longer exist, if all of its records were trimmed.
        let may_be_dropped = !group.set.patterns.is_empty() && position <= group.trimmed;
        may_be_dropped || group.pattern_topics.len() > MAX_STEPS
    }

    /// Returns the first retained record of a group after a position.
    pub(in crate::hub) fn first_after(
        &self,
        group: GroupKey,
        after: Position,
    ) -> Option<Arc<Record>> {
        self.merged(&self.groups.by_key[group], after, self.records.head).next().cloned()
    }
}
