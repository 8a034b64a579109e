//! The error of a stream of events.

use std::{error::Error, fmt};

use crate::{BoxError, parse::EventTooLarge};

/// The error of an [`EventStream`](super::EventStream): an event is too large, or the body failed.
///
/// An event that is too large is lost, and the stream continues with the next one. If the body
/// fails, the stream ends.
#[derive(Debug)]
pub struct EventStreamError {
    kind: StreamErrorKind,
}

#[derive(Debug)]
enum StreamErrorKind {
    TooLarge(EventTooLarge),
    Body(BoxError),
}

impl EventStreamError {
    pub(super) fn too_large(error: EventTooLarge) -> Self {
        Self { kind: StreamErrorKind::TooLarge(error) }
    }

    pub(super) fn body(error: BoxError) -> Self {
        Self { kind: StreamErrorKind::Body(error) }
    }

    /// Returns the error of an event that is too large. The stream continues after such an error.
    #[must_use]
    pub fn as_too_large(&self) -> Option<&EventTooLarge> {
        match &self.kind {
            StreamErrorKind::TooLarge(error) => Some(error),
            StreamErrorKind::Body(_) => None,
        }
    }

    /// Returns whether the body failed. The stream ends after such an error.
    #[must_use]
    pub fn is_body(&self) -> bool {
        matches!(self.kind, StreamErrorKind::Body(_))
    }
}

impl fmt::Display for EventStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StreamErrorKind::TooLarge(error) => error.fmt(f),
            StreamErrorKind::Body(_) => f.write_str("the body of the event stream failed"),
        }
    }
}

impl Error for EventStreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            StreamErrorKind::TooLarge(_) => None,
            StreamErrorKind::Body(error) => Some(&**error),
        }
    }
}
