//! The error of a subscription that a hub does not accept.

use std::{error::Error, fmt};

use super::window::TooManyNamedTopics;

/// The error of a subscription that selects more than the hub allows.
///
/// In a handler it becomes a refusal with status 400, or 503 if the hub is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeError {
    /// Which limit is exceeded.
    fault: SubscribeFault,
}

/// Which limit is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscribeFault {
    TooManyTopics { number: usize, max: usize },
    TooManyPatterns { number: usize, max: usize },
    TooManyNamedTopics { max: usize },
}

impl SubscribeError {
    pub(super) fn too_many_topics(number: usize, max: usize) -> Self {
        Self { fault: SubscribeFault::TooManyTopics { number, max } }
    }

    pub(super) fn too_many_patterns(number: usize, max: usize) -> Self {
        Self { fault: SubscribeFault::TooManyPatterns { number, max } }
    }

    pub(super) fn too_many_named_topics(error: TooManyNamedTopics) -> Self {
        Self { fault: SubscribeFault::TooManyNamedTopics { max: error.max } }
    }

    /// Returns whether the subscription names more topics than
    /// [`max_topics_per_subscription`](super::HubBuilder::max_topics_per_subscription) allows.
    #[must_use]
    pub fn is_too_many_topics(&self) -> bool {
        matches!(self.fault, SubscribeFault::TooManyTopics { .. })
    }

    /// Returns whether the subscription has more patterns than
    /// [`max_patterns_per_subscription`](super::HubBuilder::max_patterns_per_subscription) allows.
    #[must_use]
    pub fn is_too_many_patterns(&self) -> bool {
        matches!(self.fault, SubscribeFault::TooManyPatterns { .. })
    }

    /// Returns whether the readers of the hub name as many topics as
    /// [`max_named_topics`](super::HubBuilder::max_named_topics) allows. The subscription may
    /// succeed when others have left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.fault, SubscribeFault::TooManyNamedTopics { .. })
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            SubscribeFault::TooManyTopics { number, max } => write!(
                f,
                "too many topics: the subscription names {number}, at most {max} are allowed"
            ),
            SubscribeFault::TooManyPatterns { number, max } => write!(
                f,
                "too many patterns: the subscription has {number}, at most {max} are allowed"
            ),
            SubscribeFault::TooManyNamedTopics { max } => {
                write!(f, "the hub is full: its readers may name {max} topics together")
            }
        }
    }
}

impl Error for SubscribeError {}
