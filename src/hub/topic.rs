//! Topics.

use std::{fmt, str::FromStr, sync::Arc};

use crate::invalid_topic::{InvalidTopic, MAX_TEXT_BYTES, TextKind, check_text};

/// A name that events are published on and readers subscribe to: any text of 1 to 255 bytes without
/// [control characters](char::is_control).
///
/// Dots separate a topic into segments, which only matter to
/// [patterns](super::Selection::patterns). A topic is never a pattern: `*` and `>` are ordinary
/// characters in it.
///
/// ```
/// use tower_sse::hub::Topic;
///
/// assert_eq!(Topic::try_from("orders.7")?.as_str(), "orders.7");
/// let error = Topic::try_from("orders\n").unwrap_err();
/// assert_eq!(error.to_string(), "invalid topic: control character 0x0a at byte 6");
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The longest topic, in bytes.
    pub(super) const MAX_BYTES: usize = MAX_TEXT_BYTES;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: &str) -> Result<Self, InvalidTopic> {
        check_text(TextKind::Topic, text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Self, InvalidTopic> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&String> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: &String) -> Result<Self, InvalidTopic> {
        Self::try_from(text.as_str())
    }
}

impl From<&Self> for Topic {
    fn from(topic: &Self) -> Self {
        topic.clone()
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        Self::try_from(text)
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_any_text_without_control_characters() {
        for fine in ["a", "orders.7", "*", "orders.>", "a..b", ".", "ä\u{1f600}", " "] {
            assert_eq!(Topic::try_from(fine).unwrap(), fine);
        }
        for wrong in ["", "\n", "a\0", "a\u{7f}", "a\u{85}b", &"x".repeat(256)] {
            assert!(Topic::try_from(wrong).is_err(), "{wrong:?}");
        }
        assert!(Topic::try_from("x".repeat(255)).is_ok());
    }
}
