//! The error of a stream of events.

use std::{error::Error, fmt, time::Duration};

use crate::{BoxError, chain::write_chain, parse::EventTooLarge};

/// The error of an [`EventStream`](super::EventStream).
///
/// An event that is too large is lost, and the stream continues with the next one. The stream ends
/// after every other error.
///
/// `{:#}` also shows the sources of the error.
pub struct EventStreamError {
    kind: StreamErrorKind,
}

#[derive(Debug)]
pub(super) enum StreamErrorKind {
    TooLarge(EventTooLarge),
    Body(BoxError),
    /// No bytes arrived for this time.
    IdleTimeout(Duration),
    /// The body ended before the last event.
    Incomplete,
    /// A timer is needed, and there is no runtime for it.
    NoRuntime,
}

impl From<StreamErrorKind> for EventStreamError {
    fn from(kind: StreamErrorKind) -> Self {
        Self { kind }
    }
}

impl EventStreamError {
    /// Returns the error of an event that is too large. The stream continues after such an error.
    #[must_use]
    pub fn as_too_large(&self) -> Option<&EventTooLarge> {
        match &self.kind {
            StreamErrorKind::TooLarge(error) => Some(error),
            _ => None,
        }
    }

    /// Returns whether reading the body failed.
    #[must_use]
    pub fn is_body(&self) -> bool {
        matches!(self.kind, StreamErrorKind::Body(_))
    }

    /// Returns whether the [idle timeout](super::EventStream::idle_timeout) has expired.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, StreamErrorKind::IdleTimeout(_))
    }

    /// Returns whether the body ended before an event that is
    /// [required](super::EventStream::required).
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self.kind, StreamErrorKind::Incomplete)
    }
}

impl fmt::Display for EventStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StreamErrorKind::TooLarge(error) => error.fmt(f)?,
            StreamErrorKind::Body(_) => f.write_str("the body of the event stream failed")?,
            StreamErrorKind::IdleTimeout(time) => write!(f, "no bytes received for {time:?}")?,
            StreamErrorKind::Incomplete => {
                f.write_str("the stream ended before its last event: it was cut off")?;
            }
            StreamErrorKind::NoRuntime => {
                f.write_str("a timeout needs a tokio runtime with its timer enabled")?;
            }
        }
        write_chain(f, self)
    }
}

impl fmt::Debug for EventStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for EventStreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            StreamErrorKind::Body(error) => Some(&**error),
            _ => None,
        }
    }
}
