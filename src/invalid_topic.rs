//! The error of topics, patterns and selections, and the checks that topics and patterns share.

use std::{convert::Infallible, error::Error, fmt};

/// The longest topic or pattern, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 255;

/// The error of an invalid topic or pattern, of a selection with too many of them, or of an empty
/// selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTopic {
    /// What the text was to become.
    text: TextKind,
    /// What is wrong with it.
    fault: TopicFault,
}

/// What a text is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    Topic,
    Pattern,
}

/// What is wrong with a topic, a pattern or a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicFault {
    Empty,
    TooLong {
        bytes: usize,
    },
    Control {
        at: usize,
        control: char,
    },
    TooManySegments {
        number: usize,
        max: usize,
    },
    /// `>` is followed by another segment.
    RestNotLast,
    /// `*` or `>` stands next to other characters.
    WildcardInSegment,
    TooManyTopics {
        max: usize,
    },
    NoTopics,
    /// The nodes of a hub use the topic for their own messages.
    Reserved,
}

impl InvalidTopic {
    /// The error of a selection without topics and patterns, where one is needed.
    pub(crate) const NONE: Self = Self { text: TextKind::Topic, fault: TopicFault::NoTopics };

    /// The error of publishing on the topic of control entries.
    pub(crate) const RESERVED: Self = Self { text: TextKind::Topic, fault: TopicFault::Reserved };

    pub(crate) const fn new(text: TextKind, fault: TopicFault) -> Self {
        Self { text, fault }
    }
}

/// Checks what topics and patterns have in common.
pub(crate) fn check_text(kind: TextKind, text: &str) -> Result<(), InvalidTopic> {
    let fault = if text.is_empty() {
        TopicFault::Empty
    } else if text.len() > MAX_TEXT_BYTES {
        TopicFault::TooLong { bytes: text.len() }
    } else if let Some((at, control)) = text.char_indices().find(|(_, char)| char.is_control()) {
        TopicFault::Control { at, control }
    } else {
        return Ok(());
    };
    Err(InvalidTopic::new(kind, fault))
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.text {
            TextKind::Topic => "topic",
            TextKind::Pattern => "pattern",
        };
        match self.fault {
            TopicFault::Empty => write!(f, "invalid {kind}: it is empty"),
            TopicFault::TooLong { bytes } => {
                write!(
                    f,
                    "invalid {kind}: it has {bytes} bytes, at most {MAX_TEXT_BYTES} are allowed"
                )
            }
            TopicFault::Control { at, control } => {
                let control = u32::from(control);
                write!(f, "invalid {kind}: control character 0x{control:02x} at byte {at}")
            }
            TopicFault::TooManySegments { number, max } => {
                write!(f, "invalid {kind}: it has {number} segments, at most {max} are allowed")
            }
            TopicFault::RestNotLast => f.write_str("invalid pattern: `>` must be the last segment"),
            TopicFault::WildcardInSegment => {
                f.write_str("invalid pattern: `*` and `>` must be whole segments")
            }
            TopicFault::TooManyTopics { max } => {
                write!(
                    f,
                    "too many topics: a subscription selects at most {max} topics and patterns"
                )
            }
            TopicFault::Reserved => f.write_str("reserved topic: the nodes of the hub use it"),
            TopicFault::NoTopics => f.write_str("no topics: a subscription selects at least one"),
        }
    }
}

impl Error for InvalidTopic {}

/// For arguments that are a [`Topic`](crate::hub::Topic) already.
impl From<Infallible> for InvalidTopic {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
