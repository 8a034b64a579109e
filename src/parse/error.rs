//! The limits of events and lines, and the error of one that exceeds them.

use std::{error::Error, fmt};

/// The default of both limits, in bytes.
const DEFAULT_LIMIT: usize = 16 << 20;

/// The maximum sizes of an event and of a line, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) event: usize,
    pub(super) line: usize,
}

/// The limit that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitKind {
    Event,
    Line,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self { event: DEFAULT_LIMIT, line: DEFAULT_LIMIT };

    /// Returns the maximum length of a line after this many bytes of its event.
    ///
    /// It is the smaller of both limits, also while a line arrives in several chunks. So the same
    /// limit is reported wherever chunks end.
    #[inline]
    pub(super) fn max_line(self, bytes_before: usize) -> usize {
        self.line.min(self.event.saturating_sub(bytes_before))
    }

    /// Returns the limit that a line longer than [`max_line`](Self::max_line) exceeds, and its
    /// value.
    pub(super) fn exceeded(self, bytes_before: usize) -> (LimitKind, usize) {
        if self.line <= self.event.saturating_sub(bytes_before) {
            (LimitKind::Line, self.line)
        } else {
            (LimitKind::Event, self.event)
        }
    }
}

/// The error of an event or a line that exceeds a limit of the parser.
///
/// The event is discarded, with the last event ID that it would have set. The parser continues with
/// the next event.
///
/// ```
/// use tower_sse::EventParser;
///
/// let mut parser = EventParser::new().max_event_bytes(20);
/// parser.push("data: ok\n\ndata: this one is too long\n\ndata: ok again\n\n");
/// assert_eq!(parser.next_event().unwrap()?.data(), "ok");
/// let error = parser.next_event().unwrap().unwrap_err();
/// assert_eq!((error.limit(), error.offset()), (20, 10));
/// assert_eq!(
///     error.to_string(),
///     "the event that starts at byte 10 is larger than 20 bytes; \
///      raise `max_event_bytes` of the parser",
/// );
/// assert_eq!(parser.next_event().unwrap()?.data(), "ok again");
/// # Ok::<(), tower_sse::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    pub(super) kind: LimitKind,
    /// The value of the limit, in bytes.
    pub(super) limit: usize,
    /// The offset in the stream at which the event or the line starts.
    pub(super) offset: u64,
}

impl EventTooLarge {
    /// Returns the limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the position at which the event or the line starts, in bytes from the start of the
    /// stream, counted from 0.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns whether a single line is too long. Otherwise the lines of the event are too large
    /// together.
    #[must_use]
    pub fn is_line(&self) -> bool {
        self.kind == LimitKind::Line
    }
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, larger, setting) = match self.kind {
            LimitKind::Event => ("event", "larger", "max_event_bytes"),
            LimitKind::Line => ("line", "longer", "max_line_bytes"),
        };
        let Self { limit, offset, .. } = self;
        write!(f, "the {what} that starts at byte {offset} is {larger} than {limit} bytes; ")?;
        write!(f, "raise `{setting}` of the parser")
    }
}

impl Error for EventTooLarge {}
