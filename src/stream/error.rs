//! What can go wrong while a stream of events is read.

use std::{error::Error, fmt};

use crate::{BoxError, parse::EventTooLarge};

/// The error of an [`EventStream`](super::EventStream): an event is too large, or the body failed.
///
/// The first loses one event, and the stream goes on. The second is the end of it.
#[derive(Debug)]
pub struct EventStreamError {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    TooLarge(EventTooLarge),
    Body(BoxError),
}

impl EventStreamError {
    pub(super) fn too_large(error: EventTooLarge) -> Self {
        Self { kind: Kind::TooLarge(error) }
    }

    pub(super) fn body(error: BoxError) -> Self {
        Self { kind: Kind::Body(error) }
    }

    /// Returns what was too large, if that is the error: the stream goes on then.
    #[must_use]
    pub fn as_too_large(&self) -> Option<&EventTooLarge> {
        match &self.kind {
            Kind::TooLarge(error) => Some(error),
            Kind::Body(_) => None,
        }
    }

    /// Returns whether the body failed: the connection is gone, and the stream has ended.
    #[must_use]
    pub fn is_body(&self) -> bool {
        matches!(self.kind, Kind::Body(_))
    }
}

impl fmt::Display for EventStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::TooLarge(error) => error.fmt(f),
            Kind::Body(_) => f.write_str("the body of the event stream failed"),
        }
    }
}

impl Error for EventStreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            Kind::TooLarge(_) => None,
            Kind::Body(error) => Some(&**error),
        }
    }
}
