//! What a reader subscribes to.

use std::fmt;

use super::{pattern::Pattern, topic::Topic};
use crate::invalid_topic::{InvalidTopic, TextKind, TopicFault};

/// The topics that a reader subscribes to: by name, by patterns, or both.
///
/// A hub limits how many a subscription may select: see
/// [`HubBuilder::max_topics_per_subscription`](super::HubBuilder::max_topics_per_subscription) and
/// [`max_patterns_per_subscription`](super::HubBuilder::max_patterns_per_subscription). A selection
/// itself has at most 65,536 names and patterns.
///
/// ```
/// use tower_sse::hub::Selection;
///
/// let selection = Selection::new(["news", "orders"])?.patterns(["orders.>"])?.with_state();
/// # let _ = selection;
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Default)]
pub struct Selection {
    /// The topics and patterns.
    pub(super) set: TopicSet,
    /// Where a new subscription starts.
    pub(super) start: StartAt,
}

/// Where a new subscription starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StartAt {
    /// With the next event.
    #[default]
    Now,
    /// With the current entry of each key.
    State,
    /// With the oldest retained event.
    Start,
    /// With this many of the newest events of each topic.
    Last(usize),
}

/// Names and patterns, each sorted and without duplicates, so that equal selections are equal sets.
/// Readers with equal sets share a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicSet {
    pub(super) names: Vec<Topic>,
    pub(super) patterns: Vec<Pattern>,
}

impl Selection {
    /// Selects these topics. There may be none, for example if only patterns follow.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if a topic is invalid, or if there are more than 65,536.
    pub fn new<I>(topics: I) -> Result<Self, InvalidTopic>
    where
        I: IntoIterator,
        I::Item: TryInto<Topic>,
        <I::Item as TryInto<Topic>>::Error: Into<InvalidTopic>,
    {
        let mut this = Self::default();
        for topic in topics {
            this.set.names.push(topic.try_into().map_err(Into::into)?);
            this.set.check_number()?;
        }
        this.set.names.sort_unstable();
        this.set.names.dedup();
        this.set.names.shrink_to_fit();
        Ok(this)
    }

    /// Adds patterns of topics.
    ///
    /// Dots separate a pattern into at most 32 segments. The segment `*` matches one segment of a
    /// topic. `>`, as the last segment, matches one or more. For example, `orders.*` matches
    /// `orders.7`, and `orders.>` also matches `orders.7.paid`. Neither matches `orders`.
    ///
    /// A reader that starts with new events costs the same however many topics match. If it starts
    /// earlier, and no other reader of the pattern has done so before, the hub visits all topics
    /// that start with the text before the pattern's first wildcard, some thousand at a time.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if a pattern is invalid, or if there are more than 65,536 topics and
    /// patterns. A pattern is invalid if it is not a valid topic, if a segment contains `*` or `>`
    /// next to other characters, or if `>` is not the last segment.
    pub fn patterns<I>(mut self, patterns: I) -> Result<Self, InvalidTopic>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for pattern in patterns {
            self.set.patterns.push(Pattern::new(pattern.as_ref())?);
            self.set.check_number()?;
        }
        self.set.patterns.sort_unstable();
        self.set.patterns.dedup();
        self.set.patterns.shrink_to_fit();
        Ok(self)
    }

    /// Starts a new subscription with the current entry of each key. By default a subscription
    /// starts with new events only. Of this method, [`from_start`](Self::from_start) and
    /// [`last`](Self::last), the last call counts.
    ///
    /// A resumed subscription receives missed events as usual. If its last event ID is useless,
    /// because it belongs to another hub or to other topics, it receives the gap and then the state.
    /// Entries removed from the history are not part of the state, so retain more events than there
    /// are keys.
    #[must_use]
    pub fn with_state(mut self) -> Self {
        self.start = StartAt::State;
        self
    }

    /// Starts a new subscription with the oldest retained event of its topics, for example to show
    /// the whole output of a job.
    ///
    /// If the beginning of a topic was removed from the history, the subscription starts with a
    /// [`Gap`](super::Gap) of the reason [`Trimmed`](super::GapReason::Trimmed). A resumed
    /// subscription continues after its last event ID, as usual.
    ///
    /// A topic begins anew when it is published on after all of its events were removed.
    ///
    /// With patterns, all topics that no longer exist count as well, because the hub does not know
    /// which of them the patterns would have matched.
    #[must_use]
    pub fn from_start(mut self) -> Self {
        self.start = StartAt::Start;
        self
    }

    /// Starts a new subscription with the newest `number` events of each topic, for example the last
    /// messages of a chat. They come in the order of publication, with their IDs, and no gap is
    /// reported. A resumed subscription continues after its last event ID, as usual. If that is
    /// useless, because it belongs to another hub or to other topics, it receives the gap and then
    /// the newest events.
    ///
    /// Over a [backend](super::backend), events that this node does not have in memory are read from the log,
    /// at most 1,024 of all topics together. With patterns, only those in memory are given.
    #[must_use]
    pub fn last(mut self, number: usize) -> Self {
        self.start = StartAt::Last(number);
        self
    }

    /// Returns whether nothing is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.names.is_empty() && self.set.patterns.is_empty()
    }
}

impl TopicSet {
    /// The most topics and patterns of one selection. A hub has lower limits of its own.
    const MAX: usize = 65_536;

    /// Returns whether a topic is selected, by its name or by a pattern.
    pub(super) fn selects(&self, topic: &str) -> bool {
        let is_named = self.names.binary_search_by(|name| name.as_str().cmp(topic)).is_ok();
        is_named || self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    fn check_number(&self) -> Result<(), InvalidTopic> {
        if self.names.len() + self.patterns.len() > Self::MAX {
            let fault = TopicFault::TooManyTopics { max: Self::MAX };
            return Err(InvalidTopic::new(TextKind::Topic, fault));
        }
        Ok(())
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("topics", &self.set.names)
            .field("patterns", &self.set.patterns)
            .field("start", &self.start)
            .finish()
    }
}
