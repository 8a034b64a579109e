//! Selection, and patterns of them.

use std::{convert::Infallible, error::Error, fmt, str::FromStr, sync::Arc};

/// What an event is published on, and readers subscribe to: any text of 1 to 255 bytes without
/// [control characters](char::is_control).
///
/// Its segments stand between dots, which matters to [patterns](super::Selection::patterns) alone. There is
/// nothing in a topic that makes it a pattern: `*` and `>` are characters as others.
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
    /// The longest topic or pattern, in bytes.
    pub(super) const LONGEST: usize = 255;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A pattern of topics: `*` stands for one segment, `>` at the end for one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pattern(Arc<str>);

impl Pattern {
    pub(super) const MOST_SEGMENTS: usize = 32;

    pub(super) fn new(text: &str) -> Result<Self, InvalidTopic> {
        check(Kind::Pattern, text)?;
        let number = text.split('.').count();
        if number > Self::MOST_SEGMENTS {
            let fault = Fault::TooManySegments(number);
            return Err(InvalidTopic { kind: Kind::Pattern, fault });
        }
        let mut segments = text.split('.').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            if segment == "*" || (segment == ">" && is_last) {
                continue;
            }
            if segment == ">" {
                return Err(InvalidTopic { kind: Kind::Pattern, fault: Fault::RestNotLast });
            }
            if segment.contains(['*', '>']) {
                return Err(InvalidTopic { kind: Kind::Pattern, fault: Fault::WildcardInSegment });
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

    /// Returns what all topics start with that it stands for.
    pub(super) fn prefix(&self) -> &str {
        let wildcard = self.0.find(['*', '>']).unwrap_or(self.0.len());
        &self.0[..wildcard]
    }

    #[cfg(test)]
    pub(super) fn matches(&self, topic: &Topic) -> bool {
        let mut segments = topic.0.split('.');
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

fn check(kind: Kind, text: &str) -> Result<(), InvalidTopic> {
    let fault = if text.is_empty() {
        Fault::Empty
    } else if text.len() > Topic::LONGEST {
        Fault::TooLong(text.len())
    } else if let Some((at, control)) = text.char_indices().find(|(_, char)| char.is_control()) {
        Fault::Control { at, control }
    } else {
        return Ok(());
    };
    Err(InvalidTopic { kind, fault })
}

impl TryFrom<&str> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: &str) -> Result<Self, InvalidTopic> {
        check(Kind::Topic, text)?;
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

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The error of a text that is no topic, or no pattern, or of too many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTopic {
    kind: Kind,
    fault: Fault,
}

impl InvalidTopic {
    pub(super) const TOO_MANY: Self = Self { kind: Kind::Topic, fault: Fault::TooMany };
    pub(super) const NONE: Self = Self { kind: Kind::Topic, fault: Fault::None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Topic,
    Pattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Empty,
    TooLong(usize),
    Control { at: usize, control: char },
    TooManySegments(usize),
    RestNotLast,
    WildcardInSegment,
    TooMany,
    None,
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Topic => "topic",
            Kind::Pattern => "pattern",
        };
        match self.fault {
            Fault::Empty => write!(f, "invalid {kind}: it is empty"),
            Fault::TooLong(len) => {
                write!(f, "invalid {kind}: it has {len} bytes, and {} is the most", Topic::LONGEST)
            }
            Fault::Control { at, control } => {
                let control = u32::from(control);
                write!(f, "invalid {kind}: control character 0x{control:02x} at byte {at}")
            }
            Fault::TooManySegments(number) => {
                let most = Pattern::MOST_SEGMENTS;
                write!(f, "invalid {kind}: it has {number} segments, and {most} is the most")
            }
            Fault::RestNotLast => f.write_str("invalid pattern: `>` can only be its last segment"),
            Fault::WildcardInSegment => {
                f.write_str("invalid pattern: `*` and `>` can only be whole segments")
            }
            Fault::TooMany => {
                write!(f, "too many topics: a subscription has at most {}", super::topics::MOST)
            }
            Fault::None => f.write_str("no topic"),
        }
    }
}

impl Error for InvalidTopic {}

/// For what is a topic already.
impl From<Infallible> for InvalidTopic {
    fn from(never: Infallible) -> Self {
        match never {}
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

    #[test]
    fn patterns_match_by_segments() {
        let matches = |pattern: &str, topic: &str| {
            Pattern::new(pattern).unwrap().matches(&topic.parse().unwrap())
        };
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
