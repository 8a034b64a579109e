//! The error of an event source.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{cause, redirect::RedirectError, refused::RefusedResponse};
use crate::{BoxError, chain::write_chain, parse::EventTooLarge};

/// The error of an [`EventSource`](super::EventSource), and the cause of a reconnect.
///
/// The stream returns two kinds of errors. If an event is too large, the stream continues with the
/// next event. An error that is [fatal](Self::is_fatal) is the last item. The source recovers from
/// all other errors: they only appear as the cause of a [`Reconnecting`](super::Reconnecting)
/// update, and in the log.
///
/// If a server has refused the request, the message shows the start of the response body: see
/// [`refused`](Self::refused).
/// `{:#}` also shows the sources of the error, for example why a connection could not be made.
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
    /// The response is not an event stream.
    Refused(Box<RefusedResponse>),
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
    /// The policy allows no further attempt.
    GaveUp(GaveUp),
    /// The source has ended before the last event.
    Incomplete,
    /// A timer is needed, and there is no runtime for it.
    NoRuntime,
}

/// Why the policy allows no further attempt.
#[derive(Debug)]
pub(super) struct GaveUp {
    /// The number of attempts in a row that gave no event.
    pub(super) failures: u32,
    /// The delay that the server has asked for.
    pub(super) retry_after: Option<Duration>,
    /// The last error.
    pub(super) last: EventSourceError,
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
        matches!(
            *self.last().kind,
            SourceErrorKind::HeaderTimeout(_) | SourceErrorKind::IdleTimeout(_)
        )
    }

    /// Returns whether the server has begun to answer, or may be at work on an answer: a timeout, or
    /// something that is not a response.
    pub(super) fn may_be_answered(&self) -> bool {
        self.is_timeout() || self.is_connect(cause::is_unreadable)
    }

    /// Returns whether the body ended without an error.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(*self.last().kind, SourceErrorKind::Ended)
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

    /// Returns whether the source has ended before an event that is
    /// [required](super::EventSource::required): the answer was cut off.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(*self.kind, SourceErrorKind::Incomplete)
    }

    /// Returns whether the source gave up: see [`attempts`](super::Reconnection::attempts),
    /// [`give_up_after`](super::Reconnection::give_up_after) and
    /// [`max_server_delay`](super::Reconnection::max_server_delay). The other methods of this error
    /// describe the last failure.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        matches!(*self.kind, SourceErrorKind::GaveUp(_))
    }

    /// Returns whether the certificate of the server was refused.
    ///
    /// This recognizes the errors of rustls and of OpenSSL. Another attempt rarely helps, so all
    /// policies but [`standard`](super::Reconnection::standard) end the source with this error.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        self.is_connect(cause::is_certificate)
    }

    /// Returns whether the host of the URL has no address.
    ///
    /// This recognizes the errors of hyper-util, which reqwest uses too, and of the standard
    /// library. A computer without a network has this error for every host, so no policy but
    /// [`never`](super::Reconnection::never) ends the source with it.
    #[must_use]
    pub fn is_unknown_host(&self) -> bool {
        self.is_connect(cause::is_unknown_host)
    }

    fn is_connect(&self, is_cause: fn(&(dyn Error + 'static)) -> bool) -> bool {
        match &*self.last().kind {
            SourceErrorKind::Connect(error) => is_cause(&**error),
            _ => false,
        }
    }

    /// Returns the response that is not an event stream, with the start of its body.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedResponse> {
        match &*self.last().kind {
            SourceErrorKind::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// Returns the status of a response that is not an event stream.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.refused().map(RefusedResponse::status)
    }

    /// Returns the headers of a response that is not an event stream.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.refused().map(RefusedResponse::headers)
    }

    /// Returns the start of the body of a response that is not an event stream: see
    /// [`RefusedResponse::body`].
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        self.refused().map(RefusedResponse::body)
    }

    /// Returns the last error before the source gave up, or this error.
    fn last(&self) -> &Self {
        match &*self.kind {
            SourceErrorKind::GaveUp(gave_up) => gave_up.last.last(),
            _ => self,
        }
    }
}

impl fmt::Display for EventSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            SourceErrorKind::InvalidUri(_) => f.write_str("invalid URI")?,
            #[cfg(feature = "hyper-client")]
            SourceErrorKind::Roots(_) => {
                f.write_str("no root certificates could be read from the system")?;
            }
            SourceErrorKind::Connect(_) => f.write_str("the request failed")?,
            SourceErrorKind::Headers(_) => f.write_str("the header provider failed")?,
            SourceErrorKind::Refused(refused) => write!(f, "not an event stream: {refused}")?,
            SourceErrorKind::Redirect(error) => error.fmt(f)?,
            SourceErrorKind::HeaderTimeout(time) => write!(f, "no response head within {time:?}")?,
            SourceErrorKind::IdleTimeout(time) => write!(f, "no bytes received for {time:?}")?,
            SourceErrorKind::Body(_) => f.write_str("the connection was lost")?,
            SourceErrorKind::Ended => f.write_str("the stream ended")?,
            SourceErrorKind::Incomplete => {
                f.write_str("the stream ended before its last event: it was cut off")?;
            }
            SourceErrorKind::TooLarge(error) => error.fmt(f)?,
            // The last error has its own sources.
            SourceErrorKind::GaveUp(gave_up) => return gave_up.fmt(f),
            SourceErrorKind::NoRuntime => {
                f.write_str("an event source needs a tokio runtime with its timer enabled")?;
            }
        }
        write_chain(f, self)
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gave up")?;
        match self.failures {
            0 => {}
            1 => f.write_str(" after 1 attempt without an event")?,
            failures => write!(f, " after {failures} attempts without an event")?,
        }
        if let Some(delay) = self.retry_after {
            write!(f, "; the server asks for a delay of {delay:?}")?;
        }
        f.write_str(": ")?;
        self.last.fmt(f)
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
            // The message has the last error already.
            SourceErrorKind::GaveUp(gave_up) => gave_up.last.source(),
            _ => None,
        }
    }
}
