//! Why a relayed stream has failed.

use std::{error::Error, fmt};

use bytes::Bytes;
use http::Response;

use crate::{BoxError, stream::check};

/// Why the upstream gave no stream, or did not complete it. The [module docs](crate::layer::relay#failures) say
/// how the client learns of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The service returned an error or panicked before it answered, for example because it could not connect.
    Service(BoxError),
    /// No byte of a body came within [`first_byte_timeout`](crate::SseRelay::first_byte_timeout).
    FirstByteTimeout,
    /// The answer has a status other than 2xx, is not an event stream, or is encoded, and the response has begun
    /// already, or only [events](crate::SseRelay::events) were wanted. It holds the head and the start of the body: up to
    /// 64 KiB, as received within 5 seconds.
    UnexpectedResponse(Box<Response<Bytes>>),
    /// The body has failed, for example since the connection was lost.
    Body(BoxError),
    /// The body has ended inside an event, or before its [last event](crate::SseRelay::until).
    Incomplete,
    /// No bytes came for the [`idle_timeout`](crate::SseRelay::idle_timeout).
    IdleTimeout,
    /// An event is larger than [`max_event_bytes`](crate::SseRelay::max_event_bytes).
    EventTooLarge,
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(error) => write!(f, "the request to the upstream has failed: {error}"),
            Self::FirstByteTimeout => f.write_str("the upstream has sent nothing in time"),
            Self::UnexpectedResponse(response) => {
                let reason = check(response.status(), response.headers(), |_| false);
                f.write_str("the upstream's answer is not an event stream")?;
                reason.map_or_else(|reason| write!(f, ": {reason}"), Ok)
            }
            Self::Body(error) => write!(f, "the stream of the upstream has failed: {error}"),
            Self::Incomplete => f.write_str("the stream of the upstream was cut short"),
            Self::IdleTimeout => f.write_str("the upstream has been silent for too long"),
            Self::EventTooLarge => f.write_str("an event of the upstream is too large"),
        }
    }
}

impl Error for RelayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Service(error) | Self::Body(error) => error.source(),
            _ => None,
        }
    }
}
