//! The answer that accepts a request.

use std::{fmt, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, header::IntoHeaderName, request};

use super::{
    LastEventId,
    request::{Connect, ConnectInner},
};
use crate::headers::prepare_stream_headers;

/// The answer of `on_connect` that accepts a request. Created by [`Connect::accept`].
///
/// `T` is what the stream consists of. It is `()` for an event channel handler, whose closure sends
/// the events, and a selection of topics for a hub's handler.
#[must_use = "return it from on_connect"]
pub struct Accept<T = ()> {
    connect: Connect,
    /// The headers that the application adds to the response.
    headers: HeaderMap,
    target: T,
}

impl Connect {
    /// Accepts the request: the response is a 200 and an event stream. The methods of [`Accept`]
    /// set headers, extensions and a deadline.
    pub fn accept(self) -> Accept {
        Accept { connect: self, headers: HeaderMap::new(), target: () }
    }
}

impl<T> Accept<T> {
    /// Adds a header to the response. It replaces a default header of the same name.
    ///
    /// Headers that say how a body is sent are left out, because the server sets them: `Connection`,
    /// `Content-Encoding`, `Content-Length` and `Transfer-Encoding`.
    ///
    /// ```
    /// # use http::HeaderValue;
    /// # use tower_sse::Connect;
    /// # async fn on_connect(connect: Connect) -> Result<tower_sse::Accept, tower_sse::Refusal> {
    /// let cookie = HeaderValue::try_from(format!("session={}", 7))?;
    /// Ok(connect
    ///     .accept()
    ///     .header("set-cookie", cookie)
    ///     .header("cache-control", HeaderValue::from_static("no-cache")))
    /// # }
    /// ```
    pub fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Returns the headers that are added to the response.
    #[must_use]
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Puts a value into the request's extensions, for the handler and for `on_disconnect`.
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.connect.extensions_mut().insert(value);
        self
    }

    /// Sets when the stream must have ended, for example the time at which the token of the request
    /// expires.
    ///
    /// The stream then ends as if its [lifetime](crate::EventBody::max_lifetime) were over; the
    /// earlier of the two applies. A second deadline replaces the first. By default there is no
    /// deadline.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.connect.inner.deadline = Some(deadline);
        self
    }

    /// Returns the extensions of the request.
    #[cfg(feature = "hub")]
    pub(crate) fn extensions_mut(&mut self) -> &mut http::Extensions {
        self.connect.extensions_mut()
    }

    /// Replaces the target.
    pub(crate) fn with_target<U>(self, target: U) -> Accept<U> {
        Accept { connect: self.connect, headers: self.headers, target }
    }

    /// Takes the target.
    #[cfg(feature = "hub")]
    pub(crate) fn take_target(self) -> (Accept, T) {
        (Accept { connect: self.connect, headers: self.headers, target: () }, self.target)
    }

    /// Returns the request as the application left it.
    pub(crate) fn connect(&self) -> &Connect {
        &self.connect
    }

    pub(crate) fn into_parts(self) -> AcceptParts<T> {
        let ConnectInner { parts, last_event_id, deadline } = *self.connect.inner;
        let head = ResponseHead::new(self.headers);
        AcceptParts { request: parts, last_event_id, head, deadline, target: self.target }
    }
}

/// The parts of an [`Accept`].
pub(crate) struct AcceptParts<T> {
    pub(crate) request: request::Parts,
    pub(crate) last_event_id: Option<LastEventId>,
    /// The complete head of the response.
    pub(crate) head: ResponseHead,
    pub(crate) deadline: Option<Instant>,
    pub(crate) target: T,
}

impl<T: fmt::Debug> fmt::Debug for Accept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept")
            .field("connect", &self.connect)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// The head of the response to an accepted request. The handler finds it in the extensions of its
/// request.
#[derive(Clone)]
pub struct ResponseHead {
    headers: Arc<HeaderMap>,
}

impl ResponseHead {
    /// Adds the headers of an event stream to the application's, which win.
    fn new(mut headers: HeaderMap) -> Self {
        prepare_stream_headers(&mut headers);
        Self { headers: Arc::new(headers) }
    }

    /// Returns the headers. The status is always 200.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are omitted: they may contain cookies.
        f.debug_struct("ResponseHead").field("headers", &self.headers.keys()).finish()
    }
}
