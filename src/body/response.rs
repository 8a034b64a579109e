//! The mark of responses that are event streams.

use http::Extensions;

/// An extension of each response that is an event stream of this crate, or one that [`SseGovern`](crate::SseGovern) or
/// [`SseRelay`](crate::SseRelay) has passed on. Layers around them recognize streams by it, for example to leave them
/// out of a trace: see [`telemetry`](crate::telemetry#other-layers).
///
/// ```
/// use tower_sse::{EventBody, body::EventStreamResponse};
///
/// let response = EventBody::new(|_events| async { Ok(()) }).into_http_response();
/// assert!(response.extensions().get::<EventStreamResponse>().is_some());
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventStreamResponse;

impl EventStreamResponse {
    pub(crate) fn mark(extensions: &mut Extensions) {
        extensions.insert(Self);
    }

    pub(crate) fn is_in(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }
}
