//! What an event source can meet.

use std::{error::Error, fmt, time::Duration};

use http::{HeaderMap, StatusCode};

use super::redirect::RedirectError;
use crate::{BoxError, parse::EventTooLarge, stream::Unexpected};

/// The error of an [`EventSource`](super::EventSource), and the cause of a reconnect.
///
/// As an item of the stream it is either one event that was too large, after which the stream goes
/// on, or [fatal](Self::is_fatal), and the last item. Everything else is survived, and told in
/// [`Reconnecting`](super::Reconnecting) updates alone.
pub struct EventSourceError {
    kind: Box<Kind>,
    fatal: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// What was to be requested is no URI.
    InvalidUri(BoxError),
    /// The roots of the system, which certificates are checked against, could not be read.
    #[cfg(feature = "hyper-client")]
    Roots(BoxError),
    /// The service failed, or was not ready.
    Connect(BoxError),
    /// The header provider failed.
    Headers(BoxError),
    /// The response is no event stream.
    Response(Unexpected, HeaderMap),
    Redirect(RedirectError),
    HeaderTimeout(Duration),
    IdleTimeout(Duration),
    /// The body failed.
    Body(BoxError),
    /// The body ended, as it may.
    Ended,
    TooLarge(EventTooLarge),
    GaveUp(u32, EventSourceError),
    NoRuntime,
}

impl From<Kind> for EventSourceError {
    fn from(kind: Kind) -> Self {
        Self { kind: Box::new(kind), fatal: false }
    }
}

impl EventSourceError {
    pub(super) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Returns whether it is the end: the stream has no further item.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Returns whether a timeout has passed: no head, or no byte, for too long.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(*self.kind, Kind::HeaderTimeout(_) | Kind::IdleTimeout(_))
    }

    /// Returns whether the stream ended as it may, without an error.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(*self.kind, Kind::Ended)
    }

    /// Returns whether a redirect could not be followed: there were too many, or its `Location` is
    /// missing, ambiguous or no URL.
    #[must_use]
    pub fn is_redirect(&self) -> bool {
        matches!(*self.kind, Kind::Redirect(_))
    }

    /// Returns what was too large, if it is an event that was.
    #[must_use]
    pub fn as_too_large(&self) -> Option<&EventTooLarge> {
        match &*self.kind {
            Kind::TooLarge(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the status, if the response was no event stream.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.kind {
            Kind::Response(Unexpected::Status(status), _) => Some(*status),
            Kind::Response(..) => Some(StatusCode::OK),
            Kind::GaveUp(_, last) => last.status(),
            _ => None,
        }
    }

    /// Returns the headers, if the response was no event stream.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        match &*self.kind {
            Kind::Response(_, headers) => Some(headers),
            Kind::GaveUp(_, last) => last.headers(),
            _ => None,
        }
    }
}

impl fmt::Display for EventSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            Kind::InvalidUri(_) => f.write_str("invalid uri"),
            #[cfg(feature = "hyper-client")]
            Kind::Roots(_) => f.write_str("no root certificates could be read from the system"),
            Kind::Connect(_) => f.write_str("the request failed"),
            Kind::Headers(_) => f.write_str("the header provider failed"),
            Kind::Response(reason, _) => write!(f, "not an event stream: {reason}"),
            Kind::Redirect(error) => error.fmt(f),
            Kind::HeaderTimeout(time) => write!(f, "no response head within {time:?}"),
            Kind::IdleTimeout(time) => write!(f, "no byte for {time:?}"),
            Kind::Body(_) => f.write_str("the connection was lost"),
            Kind::Ended => f.write_str("the stream ended"),
            Kind::TooLarge(error) => error.fmt(f),
            Kind::GaveUp(attempts, _) => {
                write!(f, "gave up, with {attempts} failed attempts since the last connection")
            }
            Kind::NoRuntime => {
                f.write_str("an event source needs a tokio runtime with its timer enabled")
            }
        }
    }
}

impl fmt::Debug for EventSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kind, f)
    }
}

impl Error for EventSourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.kind {
            #[cfg(feature = "hyper-client")]
            Kind::Roots(error) => Some(&**error),
            Kind::InvalidUri(error)
            | Kind::Connect(error)
            | Kind::Headers(error)
            | Kind::Body(error) => Some(&**error),
            Kind::GaveUp(_, last) => Some(last),
            _ => None,
        }
    }
}
