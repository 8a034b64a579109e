//! The error of a subscription that a hub does not accept.

use std::{error::Error, fmt};

use super::window::TooManyNamedTopics;

/// The error of a subscription that selects more than the hub allows.
///
/// In a handler it becomes a refusal with status 400. If the hub is full, it becomes a 503 with
/// `Retry-After`, and a browser is asked to reconnect later: see
/// [`HubHandler::retry_after`](super::HubHandler::retry_after).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeError {
    /// Which limit is exceeded.
    fault: SubscribeFault,
}

/// Which limit is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscribeFault {
    /// The subscription names too many topics.
    TopicLimit { number: usize, max: usize },
    /// It has too many patterns.
    PatternLimit { number: usize, max: usize },
    /// All readers together name too many topics.
    HubFull { max: usize },
}

impl SubscribeError {
    pub(super) fn too_many_topics(number: usize, max: usize) -> Self {
        Self { fault: SubscribeFault::TopicLimit { number, max } }
    }

    pub(super) fn too_many_patterns(number: usize, max: usize) -> Self {
        Self { fault: SubscribeFault::PatternLimit { number, max } }
    }

    pub(super) fn too_many_named_topics(error: TooManyNamedTopics) -> Self {
        Self { fault: SubscribeFault::HubFull { max: error.max } }
    }

    /// Returns whether the subscription names more topics than
    /// [`max_topics_per_subscription`](super::HubBuilder::max_topics_per_subscription) allows.
    #[must_use]
    pub fn is_too_many_topics(&self) -> bool {
        matches!(self.fault, SubscribeFault::TopicLimit { .. })
    }

    /// Returns whether the subscription has more patterns than
    /// [`max_patterns_per_subscription`](super::HubBuilder::max_patterns_per_subscription) allows.
    #[must_use]
    pub fn is_too_many_patterns(&self) -> bool {
        matches!(self.fault, SubscribeFault::PatternLimit { .. })
    }

    /// Returns whether the readers of the hub name as many topics as
    /// [`max_named_topics`](super::HubBuilder::max_named_topics) allows. The subscription may
    /// succeed when others have left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.fault, SubscribeFault::HubFull { .. })
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            SubscribeFault::TopicLimit { number, max } => write!(
                f,
                "too many topics: the subscription names {number}, at most {max} are allowed"
            ),
            SubscribeFault::PatternLimit { number, max } => write!(
                f,
                "too many patterns: the subscription has {number}, at most {max} are allowed"
            ),
            SubscribeFault::HubFull { max } => {
                write!(f, "the hub is full: its readers may name {max} topics together")
            }
        }
    }
}

impl Error for SubscribeError {}
