//! Backfill: a pattern gets the records that were published before it was added.
//!
//! A new pattern has the records from then on, which is all that most readers need. A reader that
//! starts earlier needs the others as well. They are collected from the feeds of the topics that
//! match, some topics at a time, and put in front of the pattern's own.

use std::{
    ops::Bound,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use super::{
    Window,
    feed::MAX_SEGMENT,
    group::{Origin, Source},
    limits::MAX_STEPS,
    record::{Record, Seq},
    steps::visit,
};
use crate::hub::{pattern::Pattern, topic::Topic};

/// The records that a pattern lacks, as far as they were collected.
pub(in crate::hub) struct Backfill {
    /// The pattern.
    source: Arc<Source>,
    /// The topic that was visited last.
    visited: Option<Topic>,
    /// The topics of the last step whose records are to be collected.
    topics: Vec<Arc<Source>>,
    /// The records.
    records: Vec<Arc<Record>>,
    /// The place after which the records are complete.
    coverage: Seq,
}

impl Backfill {
    /// Starts to collect the records of a pattern. Returns `None` for a topic.
    pub(in crate::hub) fn new(source: &Arc<Source>) -> Option<Self> {
        match source.origin {
            Origin::Topic { .. } => None,
            Origin::Pattern { .. } => Some(Self {
                source: source.clone(),
                visited: None,
                topics: Vec::new(),
                records: Vec::new(),
                coverage: 0,
            }),
        }
    }

    fn pattern(&self) -> Option<(&Pattern, Seq)> {
        match &self.source.origin {
            Origin::Topic { .. } => None,
            Origin::Pattern { pattern, since, .. } => Some((pattern, *since)),
        }
    }

    /// Collects the records of the topics that the last step has found. Called without the lock.
    pub(in crate::hub) fn collect(&mut self) {
        let Some((_, since)) = self.pattern() else { return };
        for topic in self.topics.drain(..) {
            let view = topic.feed.view();
            self.records.extend(view.after(0).take_while(|it| it.seq <= since).cloned());
        }
    }

    /// Puts the records in order, when all are collected. Called without the lock.
    pub(in crate::hub) fn sort(&mut self) {
        self.records.sort_unstable_by_key(|record| record.seq);
    }
}

impl Window {
    /// Visits some topics, and finds those that match. Returns whether there may be more.
    pub(in crate::hub) fn visit_topics(&mut self, backfill: &mut Backfill) -> bool {
        let Some((pattern, _)) = backfill.pattern() else { return false };
        let (pattern, prefix) = (pattern.clone(), pattern.prefix().to_owned());
        let from = match &backfill.visited {
            Some(name) => Bound::Excluded(name.as_str()),
            None => Bound::Included(prefix.as_str()),
        };
        let topics = self.topics.by_name.range::<str, _>((from, Bound::Unbounded));
        let topics = topics.take_while(|(name, _)| name.as_str().starts_with(&prefix));
        let some: Vec<_> = topics.take(MAX_STEPS).map(|(name, key)| (name.clone(), *key)).collect();
        let has_more = some.len() == MAX_STEPS;
        for (name, key) in some {
            visit(1);
            if pattern.matches(name.as_str()) {
                // From here on, the pattern is told when records of the topic are trimmed.
                self.find_patterns(key);
                let source = &self.topics.by_key[key].source;
                backfill.coverage = backfill.coverage.max(source.feed.coverage());
                backfill.topics.push(source.clone());
            }
            backfill.visited = Some(name);
        }
        has_more
    }

    /// Prepares the pattern's feed for the records.
    pub(in crate::hub) fn start_prepend(&self, backfill: &Backfill) {
        if let Some((_, since)) = backfill.pattern() {
            // Another task may have been dropped in the middle of this.
            backfill.source.feed.undo_prepend(since);
        }
    }

    /// Puts some of the records in front of the pattern's own, the newest of them first. Returns
    /// whether there are more. After the last, the feed is as complete as the topics' feeds are.
    pub(in crate::hub) fn prepend_some(&self, backfill: &mut Backfill) -> bool {
        let from = backfill.records.len().saturating_sub(MAX_SEGMENT);
        visit(backfill.records.len() - from);
        backfill.source.feed.prepend(&backfill.records[from..]);
        backfill.records.truncate(from);
        if from > 0 {
            return true;
        }
        if let Origin::Pattern { trimmed, .. } = &backfill.source.origin {
            // Topics that no longer exist may have had records as well. The feed is complete after
            // its present coverage in any case.
            let coverage = backfill.coverage.max(self.topics.dropped_coverage);
            let coverage = coverage.max(trimmed.load(SeqCst));
            let feed = &backfill.source.feed;
            feed.set_coverage(coverage.min(feed.coverage()));
        }
        false
    }
}
