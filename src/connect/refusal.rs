//! The answer that refuses a request.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, IntoHeaderName, RETRY_AFTER, TRANSFER_ENCODING},
};

use super::InvalidLastEventId;
use crate::{
    BoxError,
    body::EventBody,
    catch_panic::catch_and_log,
    delay_range::DelayRange,
    event::Event,
    headers::{RESPONSE_HEADERS, is_event_source},
    trace,
};

/// The answer of `on_connect` that refuses a request, with any status, headers and body.
///
/// In `on_connect`, `?` turns any error into a refusal with status 500. The error is logged, and
/// the client learns nothing of it. An invalid topic, or last event ID, is a 400 instead.
///
/// Note that a browser's `EventSource` never reconnects after a status other than 200. See the
/// [module docs](crate::connect#browsers-and-refusals).
#[must_use = "return it from on_connect"]
pub struct Refusal {
    /// Boxed, to keep the `Result` of `on_connect` small.
    inner: Box<RefusalInner>,
}

struct RefusalInner {
    response: Response<Bytes>,
    /// The error that caused the refusal. It is logged when the response is made.
    error: Option<BoxError>,
}

impl Refusal {
    /// Refuses with this status and an empty body.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_sse::Refusal;
    ///
    /// let refusal = Refusal::new(StatusCode::UNAUTHORIZED).body("log in first");
    /// # let _ = refusal;
    /// ```
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self::from_response(response)
    }

    /// Refuses with this response. Its body is sent whole, so `Content-Length` and `Transfer-Encoding`
    /// are left out, and the server sets them.
    pub fn from_response(response: Response<impl Into<Bytes>>) -> Self {
        Self { inner: Box::new(RefusalInner { response: response.map(Into::into), error: None }) }
    }

    /// Refuses with a 400 and the reason as its body.
    pub fn bad_request(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST).body(reason.to_string())
    }

    /// Makes the client reconnect later: the response is a 200 and a stream that contains only a
    /// reconnection time, and ends.
    ///
    /// The time is drawn from the range. A browser reconnects after it, which it would not after a
    /// 503.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::Refusal;
    ///
    /// let refusal = Refusal::retry_later(Duration::from_secs(5)..Duration::from_secs(30));
    /// # let _ = refusal;
    /// ```
    pub fn retry_later(delay: impl Into<DelayRange>) -> Self {
        let retry = Event::default().with_retry(delay.into().draw()).encode();
        let mut refusal = Self::new(StatusCode::OK);
        for (name, value) in RESPONSE_HEADERS {
            refusal.inner.response.headers_mut().insert(name, value);
        }
        *refusal.inner.response.body_mut() = retry.to_bytes();
        refusal
    }

    /// Refuses a request with these headers for now, as
    /// [`Connect::retry_later`](super::Connect::retry_later) does.
    pub(crate) fn for_now(headers: &HeaderMap, status: StatusCode, delay: DelayRange) -> Self {
        if is_event_source(headers) {
            Self::retry_later(delay)
        } else {
            Self::new(status).retry_after(delay.draw())
        }
    }

    /// Ends the client for good, without an error: the status is 204, after which no conforming
    /// client reconnects.
    pub fn stop() -> Self {
        Self::new(StatusCode::NO_CONTENT)
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.inner.response.headers_mut().append(name, value);
        self
    }

    /// Sets the body. Its content type is `text/plain` in UTF-8, unless another was set.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
        *self.inner.response.body_mut() = body.into();
        self.inner.response.headers_mut().entry(CONTENT_TYPE).or_insert(TEXT);
        self
    }

    /// Sets `Retry-After`, rounded up to whole seconds.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
        self.inner.response.headers_mut().insert(RETRY_AFTER, seconds.into());
        self
    }

    /// Makes an error of the refusal, for a handler that fails before its first event: see
    /// [`commit_within`](crate::EventChannelHandler::commit_within) and
    /// [`EventBody::into_response_within`]. `?` in `on_connect` makes the same refusal of it again.
    ///
    /// After its first event a handler cannot refuse any more: the error ends the stream as any other one.
    #[must_use]
    pub fn into_error(self) -> BoxError {
        Box::new(RefusalError(self))
    }

    /// Returns the response of the refusal in an error, or in one of its sources.
    pub(crate) fn response_in(error: &(dyn Error + 'static)) -> Option<Response<EventBody>> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(RefusalError(refusal)) = error.downcast_ref() {
                refusal.log();
                return Some(to_stream(refusal.inner.response.clone()));
            }
            next = error.source();
        }
        None
    }

    /// Makes the response, and logs the error if there is one.
    ///
    /// `on_connect` does not need it. It is for the handlers of a framework, which return
    /// responses.
    #[must_use]
    pub fn into_http_response(self) -> Response<EventBody> {
        self.log();
        to_stream(self.inner.response)
    }

    fn log(&self) {
        if let Some(error) = &self.inner.error {
            catch_and_log("the error's Display", || trace::on_connect_failed(&**error));
        }
    }
}

fn to_stream(mut response: Response<Bytes>) -> Response<EventBody> {
    [CONTENT_LENGTH, TRANSFER_ENCODING].iter().for_each(|name| {
        response.headers_mut().remove(name);
    });
    response.map(EventBody::full)
}

/// Refuses with a 500. The error is logged, and the client learns nothing of it. An error that was made of a
/// refusal becomes that refusal again. An invalid topic of a hub, and an invalid last event ID, come from the
/// client: these are a 400 with the reason.
impl<E: Into<BoxError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        match error.into().downcast::<RefusalError>() {
            Ok(refusal) => refusal.0,
            Err(error) if is_of_client(&*error) => Self::bad_request(error),
            Err(error) => {
                let mut refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR);
                refusal.inner.error = Some(error);
                refusal
            }
        }
    }
}

/// Returns whether an error is about what a client has sent.
fn is_of_client(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "hub")]
    if error.is::<crate::invalid_topic::InvalidTopic>() {
        return true;
    }
    error.is::<InvalidLastEventId>()
}

/// A refusal as an error. [`Refusal`] itself is not an error, so that `?` can make one of any error.
struct RefusalError(Refusal);

impl fmt::Display for RefusalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RefusalInner { response, error } = &*self.0.inner;
        write!(f, "refused with the status {}", response.status().as_u16())?;
        error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

impl fmt::Debug for RefusalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for RefusalError {}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.inner.response.status())
            .field("error", &self.inner.error)
            .finish_non_exhaustive()
    }
}
