//! What a reader subscribes to.

use std::fmt;

use super::topic::{InvalidTopic, Pattern, Topic};

/// The most topics and patterns that one subscription has.
pub(super) const MOST: usize = 1024;

/// What a reader subscribes to: topics, patterns of topics, or both; at most 1,024 together.
///
/// ```
/// use tower_sse::hub::Selection;
///
/// let topics = Selection::new(["news", "orders"])?.patterns(["orders.>"])?.with_state();
/// # let _ = topics;
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Default)]
pub struct Selection {
    pub(super) spec: Spec,
    pub(super) state: bool,
}

/// The topics and patterns, each sorted and once: equal for readers of the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spec {
    pub(super) names: Vec<Topic>,
    pub(super) patterns: Vec<Pattern>,
}

impl Selection {
    /// Creates a set of topics. It may be empty, if patterns follow.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if one of them is none, or there are too many.
    pub fn new<I>(topics: I) -> Result<Self, InvalidTopic>
    where
        I: IntoIterator,
        I::Item: TryInto<Topic>,
        <I::Item as TryInto<Topic>>::Error: Into<InvalidTopic>,
    {
        let mut this = Self::default();
        for topic in topics {
            this.spec.names.push(topic.try_into().map_err(Into::into)?);
            this.spec.check_number()?;
        }
        this.spec.names.sort_unstable();
        this.spec.names.dedup();
        this.spec.names.shrink_to_fit();
        Ok(this)
    }

    /// Adds patterns: of the segments between dots, `*` stands for one, and `>`, at the end, for one
    /// or more. `orders.*` is for `orders.7`, `orders.>` for `orders.7.paid` as well, and neither
    /// for `orders`. A pattern has at most 32 segments.
    ///
    /// A new subscription looks at the topics that start like its patterns. If clients choose
    /// patterns, let them choose few.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if one is none, or there are too many: a pattern is a topic in which
    /// `*` and `>` are whole segments, and `>` is the last.
    pub fn patterns<I>(mut self, patterns: I) -> Result<Self, InvalidTopic>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for pattern in patterns {
            self.spec.patterns.push(Pattern::new(pattern.as_ref())?);
            self.spec.check_number()?;
        }
        self.spec.patterns.sort_unstable();
        self.spec.patterns.dedup();
        self.spec.patterns.shrink_to_fit();
        Ok(self)
    }

    /// Begins a new subscription with the current entry of each key, then goes on with what comes.
    /// One that is resumed gets what it has missed of them, as without. What the history has let go
    /// of is not of the state, so let it be longer than there are keys.
    #[must_use]
    pub fn with_state(mut self) -> Self {
        self.state = true;
        self
    }

    /// Returns whether it is of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spec.names.is_empty() && self.spec.patterns.is_empty()
    }
}

impl Spec {
    fn check_number(&self) -> Result<(), InvalidTopic> {
        let number = self.names.len() + self.patterns.len();
        if number > MOST { Err(InvalidTopic::TOO_MANY) } else { Ok(()) }
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("topics", &self.spec.names)
            .field("patterns", &self.spec.patterns)
            .field("state", &self.state)
            .finish()
    }
}
