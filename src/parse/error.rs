//! The error of an event over the limit.

use std::{error::Error, fmt};

/// The error of an event, or a line, that is larger than was allowed. It is lost, with whatever it
/// would have set, and the parser goes on with the event after it.
///
/// ```
/// use tower_sse::EventParser;
///
/// let mut parser = EventParser::new().max_event_bytes(20);
/// parser.push("data: ok\n\ndata: this one is too long\n\ndata: ok again\n\n");
/// assert_eq!(parser.next_event().unwrap()?.data(), "ok");
/// let error = parser.next_event().unwrap().unwrap_err();
/// assert_eq!((error.limit(), error.offset()), (20, 10));
/// assert_eq!(error.to_string(), "the event that starts at byte 10 is larger than 20 bytes");
/// assert_eq!(parser.next_event().unwrap()?.data(), "ok again");
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    pub(super) what: What,
    pub(super) limit: usize,
    pub(super) offset: u64,
}

/// What is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Event,
    Line,
}

impl EventTooLarge {
    /// Returns the limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns where the event, or the line, starts: in bytes from the start of the stream, counted
    /// from 0.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns whether it is one line that is too long, rather than all lines of the event
    /// together.
    #[must_use]
    pub fn is_line(&self) -> bool {
        self.what == What::Line
    }
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, how) = match self.what {
            What::Event => ("event", "larger"),
            What::Line => ("line", "longer"),
        };
        let Self { limit, offset, .. } = self;
        write!(f, "the {what} that starts at byte {offset} is {how} than {limit} bytes")
    }
}

impl Error for EventTooLarge {}
