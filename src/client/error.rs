//! The error of an event source.

use std::{error::Error, fmt, time::Duration};

use http::{HeaderMap, StatusCode};

use super::redirect::RedirectError;
use crate::{BoxError, parse::EventTooLarge, stream::Unexpected};

/// The error of an [`EventSource`](super::EventSource), and the cause of a reconnect.
///
/// The stream returns two kinds of errors. If an event is too large, the stream continues with the
/// next event. An error that is [fatal](Self::is_fatal) is the last item. The source recovers from
/// all other errors: they only appear as the cause of a [`Reconnecting`](super::Reconnecting)
/// update.
pub struct EventSourceError {
    kind: Box<SourceErrorKind>,
    /// Whether the source has ended with this error.
    fatal: bool,
}

#[derive(Debug)]
pub(super) enum SourceErrorKind {
    /// The URI is invalid, or cannot be requested.
    InvalidUri(BoxError),
    /// The root certificates of the system could not be read.
    #[cfg(feature = "hyper-client")]
    Roots(BoxError),
    /// The service failed, or failed to become ready.
    Connect(BoxError),
    /// The header provider failed.
    Headers(BoxError),
    /// The response is not an event stream. Its headers are kept for the application.
    Response(Unexpected, HeaderMap),
    /// A redirect could not be followed.
    Redirect(RedirectError),
    /// No response head arrived within this time.
    HeaderTimeout(Duration),
    /// No bytes arrived for this time.
    IdleTimeout(Duration),
    /// The body failed.
    Body(BoxError),
    /// The body ended without an error.
    Ended,
    /// An event is too large. This is never the cause of a loss.
    TooLarge(EventTooLarge),
    /// The policy allows no further attempt: the number of failed attempts, and the last error.
    GaveUp(u32, EventSourceError),
    /// A timer is needed, and there is no runtime for it.
    NoRuntime,
}

impl From<SourceErrorKind> for EventSourceError {
    fn from(kind: SourceErrorKind) -> Self {
        Self { kind: Box::new(kind), fatal: false }
    }
}

impl EventSourceError {
    pub(super) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Returns whether the source has ended with this error. The stream has no further item then.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Returns whether a timeout has expired: the
    /// [header timeout](super::EventSource::header_timeout), or the
    /// [idle timeout](super::EventSource::idle_timeout).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(*self.kind, SourceErrorKind::HeaderTimeout(_) | SourceErrorKind::IdleTimeout(_))
    }

    /// Returns whether the body ended without an error.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(*self.kind, SourceErrorKind::Ended)
    }

    /// Returns whether a redirect could not be followed: there were too many, or the `Location` is
    /// missing, ambiguous or not a URL.
    #[must_use]
    pub fn is_redirect(&self) -> bool {
        matches!(*self.kind, SourceErrorKind::Redirect(_))
    }

    /// Returns the error of an event that is too large.
    #[must_use]
    pub fn as_too_large(&self) -> Option<&EventTooLarge> {
        match &*self.kind {
            SourceErrorKind::TooLarge(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the status of a response that is not an event stream.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.kind {
            SourceErrorKind::Response(Unexpected::Status(status), _) => Some(*status),
            SourceErrorKind::Response(..) => Some(StatusCode::OK),
            SourceErrorKind::GaveUp(_, last) => last.status(),
            _ => None,
        }
    }

    /// Returns the headers of a response that is not an event stream.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        match &*self.kind {
            SourceErrorKind::Response(_, headers) => Some(headers),
            SourceErrorKind::GaveUp(_, last) => last.headers(),
            _ => None,
        }
    }
}

impl fmt::Display for EventSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            SourceErrorKind::InvalidUri(_) => f.write_str("invalid URI"),
            #[cfg(feature = "hyper-client")]
            SourceErrorKind::Roots(_) => {
                f.write_str("no root certificates could be read from the system")
            }
            SourceErrorKind::Connect(_) => f.write_str("the request failed"),
            SourceErrorKind::Headers(_) => f.write_str("the header provider failed"),
            SourceErrorKind::Response(reason, _) => write!(f, "not an event stream: {reason}"),
            SourceErrorKind::Redirect(error) => error.fmt(f),
            SourceErrorKind::HeaderTimeout(time) => write!(f, "no response head within {time:?}"),
            SourceErrorKind::IdleTimeout(time) => write!(f, "no bytes received for {time:?}"),
            SourceErrorKind::Body(_) => f.write_str("the connection was lost"),
            SourceErrorKind::Ended => f.write_str("the stream ended"),
            SourceErrorKind::TooLarge(error) => error.fmt(f),
            SourceErrorKind::GaveUp(attempts, _) => {
                write!(f, "gave up after {attempts} failed attempts since the last connection")
            }
            SourceErrorKind::NoRuntime => {
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
            SourceErrorKind::Roots(error) => Some(&**error),
            SourceErrorKind::InvalidUri(error)
            | SourceErrorKind::Connect(error)
            | SourceErrorKind::Headers(error)
            | SourceErrorKind::Body(error) => Some(&**error),
            SourceErrorKind::GaveUp(_, last) => Some(last),
            _ => None,
        }
    }
}
