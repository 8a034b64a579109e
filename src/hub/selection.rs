//! What a reader subscribes to.

use std::fmt;

use super::{
    invalid_topic::{InvalidTopic, TextKind, TopicFault},
    pattern::Pattern,
    topic::Topic,
};

/// The topics that a reader subscribes to: by name, by patterns, or both. A selection has at most
/// 1,024 names and patterns.
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
    /// A new subscription starts with the state.
    pub(super) state: bool,
}

/// Names and patterns, each sorted and without duplicates, so that equal selections are equal sets.
/// Readers with equal sets share a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TopicSet {
    pub(super) names: Vec<Topic>,
    pub(super) patterns: Vec<Pattern>,
}

impl Selection {
    /// Selects these topics. There may be none, for example if only patterns follow.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if a topic is invalid, or if there are more than 1,024.
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
    /// The first subscription of a selection visits all topics that start with the text before a
    /// pattern's first wildcard. If clients choose patterns, limit how many.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if a pattern is invalid, or if there are more than 1,024 topics and
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
    /// starts with new events only.
    ///
    /// A resumed subscription receives missed events as usual. Entries removed from the history are
    /// not part of the state, so retain more events than there are keys.
    #[must_use]
    pub fn with_state(mut self) -> Self {
        self.state = true;
        self
    }

    /// Returns whether nothing is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.names.is_empty() && self.set.patterns.is_empty()
    }
}

impl TopicSet {
    /// The most topics and patterns of one selection.
    const MAX: usize = 1024;

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
            .field("state", &self.state)
            .finish()
    }
}
