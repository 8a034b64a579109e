//! The answer that a request does not become a stream.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, IntoHeaderName, RETRY_AFTER},
};

use crate::{
    BoxError,
    body::{EventBody, HEAD},
    catch_panic::catch_and_log,
    delay_range::DelayRange,
    event::Event,
    trace,
};

/// The answer that a request does not become a stream: any status, headers and body.
///
/// In `on_connect`, `?` makes a refusal of any error: a 500 with the error logged and nothing of it
/// told to the client.
///
/// Mind that a browser's `EventSource` never comes back after any status but 200, see the
/// [module docs](crate::connect#browsers-and-refusals).
#[must_use = "return it from on_connect"]
pub struct Refusal {
    inner: Box<Inner>,
}

struct Inner {
    response: Response<Bytes>,
    /// Why, for the log.
    error: Option<BoxError>,
}

impl Refusal {
    /// Refuses with this status and an empty body.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_sse::Refusal;
    ///
    /// let refusal = Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?");
    /// # let _ = refusal;
    /// ```
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self::from_response(response)
    }

    /// Refuses with a response of one's own.
    pub fn from_response(response: Response<impl Into<Bytes>>) -> Self {
        Self { inner: Box::new(Inner { response: response.map(Into::into), error: None }) }
    }

    /// Refuses with a 400 that says why.
    pub fn bad_request(why: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST).body(why.to_string())
    }

    /// Sends the client away for a while: a 200 and a stream that holds only a reconnection time,
    /// drawn from the spread, and ends. A browser comes back after it, as it would not after a
    /// 503.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::Refusal;
    ///
    /// let refusal = Refusal::retry_later(Duration::from_secs(5)..Duration::from_secs(30));
    /// # let _ = refusal;
    /// ```
    pub fn retry_later(after: impl Into<DelayRange>) -> Self {
        let retry = Event::default().with_retry(after.into().draw()).encode();
        let mut refusal = Self::new(StatusCode::OK);
        for (name, value) in HEAD {
            refusal.inner.response.headers_mut().insert(name, value);
        }
        *refusal.inner.response.body_mut() = retry.to_bytes();
        refusal
    }

    /// Refuses for now, a request with these headers: what
    /// [`Connect::retry_later`](super::Connect::retry_later) does, for handlers of a framework.
    pub(crate) fn for_now(headers: &HeaderMap, status: StatusCode, spread: DelayRange) -> Self {
        let mut accepted = headers.get_all(ACCEPT).iter();
        let is_event_source = accepted.next().is_some_and(|value| {
            value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        });
        if is_event_source && accepted.next().is_none() {
            Self::retry_later(spread)
        } else {
            Self::new(status).retry_after(spread.draw())
        }
    }

    /// Ends the client for good, without an error: a 204, after which no conforming client
    /// reconnects.
    pub fn stop() -> Self {
        Self::new(StatusCode::NO_CONTENT)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.inner.response.headers_mut().append(name, value);
        self
    }

    /// Sets the body: text, unless a content type was set.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
        *self.inner.response.body_mut() = body.into();
        self.inner.response.headers_mut().entry(CONTENT_TYPE).or_insert(TEXT);
        self
    }

    /// Sets `Retry-After`, in whole seconds; what is above is counted as one more.
    pub fn retry_after(mut self, after: Duration) -> Self {
        let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        self.inner.response.headers_mut().insert(RETRY_AFTER, seconds.into());
        self
    }

    /// Makes the response, and logs the error if there is one: for handlers of a framework, which
    /// refuse without an `on_connect`.
    pub fn into_response(self) -> Response<EventBody> {
        if let Some(error) = &self.inner.error {
            catch_and_log("the error's Display", || trace::on_connect_failed(&**error));
        }
        self.inner.response.map(EventBody::full)
    }
}

/// A 500. The error is logged, and not told to the client.
impl<E: Into<BoxError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        let mut refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR);
        refusal.inner.error = Some(error.into());
        refusal
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.inner.response.status())
            .field("error", &self.inner.error)
            .finish_non_exhaustive()
    }
}
