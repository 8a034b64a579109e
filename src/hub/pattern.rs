//! Patterns of topics.

use std::{fmt, sync::Arc};

use crate::invalid_topic::{InvalidTopic, TextKind, TopicFault, check_text};

/// A pattern of topics: `*` matches one segment, `>` at the end matches one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pattern(Arc<str>);

impl Pattern {
    /// Bounds how deep a search for a topic goes.
    pub(super) const MAX_SEGMENTS: usize = 32;

    pub(super) fn new(text: &str) -> Result<Self, InvalidTopic> {
        check_text(TextKind::Pattern, text)?;
        let invalid = |fault| Err(InvalidTopic::new(TextKind::Pattern, fault));
        let number = text.split('.').count();
        if number > Self::MAX_SEGMENTS {
            return invalid(TopicFault::TooManySegments { number, max: Self::MAX_SEGMENTS });
        }
        let mut segments = text.split('.').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            if segment == "*" || (segment == ">" && is_last) {
                continue;
            }
            if segment == ">" {
                return invalid(TopicFault::RestNotLast);
            }
            if segment.contains(['*', '>']) {
                return invalid(TopicFault::WildcardInSegment);
            }
        }
        Ok(Self(text.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Returns the text that all matching topics start with.
    pub(super) fn prefix(&self) -> &str {
        let wildcard = self.0.find(['*', '>']).unwrap_or(self.0.len());
        &self.0[..wildcard]
    }

    /// Returns whether the pattern matches a topic. To find the patterns that match a topic, the
    /// window asks its `PatternIndex`, which is tested against this.
    pub(super) fn matches(&self, topic: &str) -> bool {
        let mut segments = topic.split('.');
        for wanted in self.segments() {
            match (wanted, segments.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                (_, Some(_)) => return false,
            }
        }
        segments.next().is_none()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_segments() {
        let matches = |pattern: &str, topic: &str| Pattern::new(pattern).unwrap().matches(topic);
        for (pattern, topic) in [
            ("orders.*", "orders.7"),
            ("orders.*", "orders."),
            ("*.7", "orders.7"),
            ("orders.>", "orders.7"),
            ("orders.>", "orders.7.paid"),
            (">", "orders"),
            ("*", "orders"),
            ("a.*.c.>", "a.b.c.d.e"),
            ("orders", "orders"),
        ] {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [
            ("orders.*", "orders"),
            ("orders.*", "orders.7.paid"),
            ("orders.>", "orders"),
            ("orders.>", "ordersx.7"),
            ("*", "a.b"),
            ("a.*.c", "a.b.d"),
        ] {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn wildcards_are_whole_segments() {
        for wrong in ["", "a*", "a.b>", ">.a", "a.>.b", "**", "\n", &"*.".repeat(32)] {
            assert!(Pattern::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
