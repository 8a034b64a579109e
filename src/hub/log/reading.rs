//! What there is for a reader: the records of its topics, in their order.

use std::{cmp::Reverse, collections::BinaryHeap, iter, sync::Arc};

use super::{Feed, Log, STEPS};
use crate::hub::{
    entry::Record,
    position::{Position, Tag},
    slab::Key,
};

/// How many bytes are joined into one frame.
const FRAME: usize = 64 << 10;

/// What a reader looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Range {
    pub(in crate::hub) after: Position,
    /// To where the state goes; none for everything that comes.
    pub(in crate::hub) state_to: Option<Position>,
}

/// Records that follow each other for one reader.
#[derive(Default)]
pub(in crate::hub) struct Batch {
    /// Apart, so that one costs no allocation.
    pub(in crate::hub) first: Option<Arc<Record>>,
    pub(in crate::hub) more: Vec<Arc<Record>>,
    bytes: usize,
    /// Up to where was looked.
    pub(in crate::hub) upto: Position,
}

impl Log {
    /// Collects what is in a range for a feed: at most so many records, and as much as a frame holds.
    pub(in crate::hub) fn collect(&self, key: Key, range: Range, most: usize) -> Batch {
        let Range { after, state_to } = range;
        let to = state_to.unwrap_or(self.head);
        let feed = &self.feeds[key];
        let mut batch = Batch { upto: after, ..Batch::default() };
        if after >= to {
            return batch;
        }
        let take = |batch: &mut Batch, record: &Arc<Record>| {
            let wanted = state_to.is_none() || record.is_state;
            if wanted && !batch.takes(record, most) {
                return false;
            }
            batch.upto = record.position;
            true
        };
        // A feed of many topics finds its own among all records soon. One of few goes on with theirs
        // alone.
        let steps = STEPS.min(16 * (feed.named.len() + feed.matched.len()));
        let mut all = self.order.range(after + 1..=to).map(|(_, record)| record);
        for record in all.by_ref().take(steps) {
            if !self.is_for(record, key) {
                batch.upto = record.position;
            } else if !take(&mut batch, record) {
                return batch;
            }
        }
        if all.next().is_none() {
            batch.upto = to;
        } else if steps < STEPS {
            let mut own = self.merged(feed, batch.upto, to);
            let is_full = own.by_ref().take(STEPS).any(|record| !take(&mut batch, record));
            if !is_full && own.next().is_none() {
                batch.upto = to;
            }
        }
        batch
    }

    fn is_for(&self, record: &Record, feed: Key) -> bool {
        self.topics[record.topic_key].feeds.binary_search(&feed).is_ok()
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
        let firsts = feed.topics().filter_map(|topic| next(topic, after));
        let mut heap: BinaryHeap<_> = firsts.collect();
        iter::from_fn(move || {
            let Reverse((position, topic)) = heap.pop()?;
            heap.extend(next(topic, position));
            self.order.get(&position)
        })
    }

    /// Returns how many records of a feed are kept behind a position, unless there are very many.
    pub(in crate::hub) fn count(&self, feed: Key, after: Position) -> Option<u64> {
        let kept = self.merged(&self.feeds[feed], after, self.head).take(STEPS).count();
        (kept < STEPS).then_some(kept as u64)
    }

    /// Returns how many records of a feed were trimmed behind a position, if that can be told: if
    /// none of another topic was, and nothing was superseded.
    pub(in crate::hub) fn missed_since(&self, feed: Key, after: Position) -> Option<u64> {
        if self.superseded > after || self.freed > after || self.topics.len() > 64 {
            return None;
        }
        let mut others =
            self.topics.iter().filter(|(_, log)| log.feeds.binary_search(&feed).is_err());
        if others.any(|(_, log)| log.trimmed > after) {
            return None;
        }
        let kept = self.order.range(after + 1..).take(STEPS).count();
        (kept < STEPS).then(|| (self.head - after) - kept as u64)
    }

    /// Returns whether an event of a position and a tag may be of a feed's topics; if not, it surely
    /// is of another.
    pub(in crate::hub) fn may_be_of(&self, feed: Key, position: Position, tag: Tag) -> bool {
        let feed = &self.feeds[feed];
        if feed.topics().take(STEPS).any(|topic| self.topics[topic].tag == tag) {
            return true;
        }
        // A topic of a pattern may be gone, with all that was trimmed of it.
        let may_be_gone = !feed.spec.patterns.is_empty() && position <= feed.trimmed;
        may_be_gone || feed.matched.len() > STEPS
    }

    /// Returns the first record of a feed behind a position.
    pub(in crate::hub) fn first(&self, feed: Key, after: Position) -> Option<Arc<Record>> {
        self.merged(&self.feeds[feed], after, self.head).next().cloned()
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

    pub(in crate::hub) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(in crate::hub) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.first.iter().chain(&self.more)
    }

    pub(in crate::hub) fn bytes(&self) -> usize {
        self.bytes
    }
}
