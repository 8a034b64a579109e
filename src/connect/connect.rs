//! A request that wants a stream, and the answer that it is one.

use std::{fmt, sync::Arc, time::Instant};

use http::{
    Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header::IntoHeaderName,
    request,
};

use super::{LastEventId, Refusal};
use crate::{body::HEAD, delay_range::DelayRange};

/// A request that wants to become an event stream: all of it but its body. What `on_connect`
/// decides upon.
pub struct Connect {
    parts: Box<request::Parts>,
}

impl Connect {
    pub(crate) fn new(parts: request::Parts) -> Self {
        Self { parts: Box::new(parts) }
    }

    /// Returns the method. For `HEAD` the decision is the same as for `GET`, and no stream follows.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Returns the URI.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// Returns the HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns the extensions: what layers have put there, a peer's address say.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// Returns the extensions, to put a session there for the handler and for `on_disconnect`.
    #[must_use]
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.parts.extensions
    }

    /// Returns where the client wants to go on, if it says so.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&LastEventId> {
        self.parts.extensions.get()
    }

    /// Refuses for now, so that the client comes back: a browser by
    /// [`Refusal::retry_later`], for it would never come back after another status; all others by
    /// this status, a 503 or a 429, with `Retry-After`. How long it is to stay away is drawn from
    /// the spread.
    ///
    /// A browser is whoever sends `Accept: text/event-stream` and nothing else, as an `EventSource`
    /// does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::StatusCode;
    /// # use tower_sse::{Accept, Connect, Refusal};
    ///
    /// # fn is_busy() -> bool { true }
    /// # async fn on_connect(connect: Connect) -> Result<Accept, Refusal> {
    /// if is_busy() {
    ///     let spread = Duration::from_secs(5)..Duration::from_secs(30);
    ///     return Err(connect.retry_later(StatusCode::SERVICE_UNAVAILABLE, spread));
    /// }
    /// Ok(connect.accept())
    /// # }
    /// ```
    pub fn retry_later(&self, status: StatusCode, spread: impl Into<DelayRange>) -> Refusal {
        Refusal::for_now(self.headers(), status, spread.into())
    }

    /// Accepts: the response is a 200 and an event stream, with whatever is added to it.
    pub fn accept(self) -> Accept {
        Accept { connect: self, headers: HeaderMap::new(), target: () }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither query nor headers: tokens stand there.
        f.debug_struct("Connect")
            .field("method", self.method())
            .field("path", &self.uri().path())
            .finish_non_exhaustive()
    }
}

/// The answer that a request becomes a stream, made by [`Connect::accept`].
///
/// `T` is what else the answer must say: nothing for an event channel handler.
#[must_use = "return it from on_connect"]
pub struct Accept<T = ()> {
    connect: Connect,
    headers: HeaderMap,
    target: T,
}

/// When the stream of a request must have ended: in its extensions, to keep the answer small.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl<T> Accept<T> {
    /// Adds a header to the response. One that an event stream has by default is replaced.
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

    /// Puts a value in the request's extensions, for the handler and for `on_disconnect`.
    pub fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.connect.parts.extensions.insert(value);
        self
    }

    /// Sets when the stream must have ended: the expiry of the token that it was accepted for, say.
    /// It then ends as one whose [lifetime](crate::EventBody::max_lifetime) is over; the earlier of
    /// the two counts. Of two deadlines the last that was set counts.
    pub fn deadline(self, deadline: Instant) -> Self {
        self.extension(Deadline(deadline))
    }

    /// Says what else the answer must say.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for the hub"))]
    pub(crate) fn with_target<U>(self, target: U) -> Accept<U> {
        Accept { connect: self.connect, headers: self.headers, target }
    }

    /// Returns the request as it was left.
    pub(crate) fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Takes the answer apart.
    pub(crate) fn into_parts(self) -> AcceptParts<T> {
        let mut request = *self.connect.parts;
        let deadline = request.extensions.remove().map(|Deadline(deadline)| deadline);
        let head = ResponseHead::new(self.headers);
        AcceptParts { request, head, deadline, target: self.target }
    }
}

/// What an answer says.
pub(crate) struct AcceptParts<T> {
    pub(crate) request: request::Parts,
    /// The whole head of the response.
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

/// The head of the response that a stream was accepted with, which its handler finds in the
/// extensions of its request.
#[derive(Clone)]
pub struct ResponseHead {
    headers: Arc<HeaderMap>,
}

impl ResponseHead {
    /// Completes the application's headers with those of an event stream.
    pub(crate) fn new(mut headers: HeaderMap) -> Self {
        for (name, value) in HEAD {
            headers.entry(name).or_insert(value);
        }
        Self { headers: Arc::new(headers) }
    }

    /// Returns the headers. The status is 200.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: cookies are among them.
        f.debug_struct("ResponseHead").field("headers", &self.headers.keys()).finish()
    }
}
