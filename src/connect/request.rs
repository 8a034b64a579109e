//! The request that `on_connect` decides about.

use std::{fmt, time::Instant};

use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version, request};

use super::{LastEventId, Refusal};
use crate::delay_range::DelayRange;

/// A request for an event stream, without its body: the argument of `on_connect`.
pub struct Connect {
    /// Boxed, because it is moved into the hook's future and out again.
    pub(super) inner: Box<ConnectInner>,
}

/// A request, with the facts that its stream depends on. These are fields, not extensions of the
/// request, so that an application that replaces the extensions does not change how the stream
/// resumes and ends.
pub(super) struct ConnectInner {
    pub(super) parts: request::Parts,
    /// Read from the header or the query before `on_connect` runs.
    pub(super) last_event_id: Option<LastEventId>,
    /// When the stream must have ended. It is set by `Accept::deadline`, and stands here to keep
    /// an `Accept` small.
    pub(super) deadline: Option<Instant>,
}

impl Connect {
    pub(crate) fn new(parts: request::Parts, last_event_id: Option<LastEventId>) -> Self {
        Self { inner: Box::new(ConnectInner { parts, last_event_id, deadline: None }) }
    }

    /// Returns the method. A `HEAD` request is decided like a `GET`, but no stream follows.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.inner.parts.method
    }

    /// Returns the URI.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.inner.parts.uri
    }

    /// Returns the HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.parts.version
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.parts.headers
    }

    /// Returns the extensions of the request, for example the peer's address that a layer has put
    /// there.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.inner.parts.extensions
    }

    /// Returns a mutable reference to the extensions. The handler and `on_disconnect` see the
    /// values that are put there, for example the user.
    #[must_use]
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.inner.parts.extensions
    }

    /// Returns a mutable reference to the head of the request, for the extractors of a framework. The
    /// handler sees what they leave there. Do not change the method. With the feature `axum`,
    /// `connect.extract::<Path<String>>()` is shorter, and keeps the response of a rejection.
    ///
    /// ```
    /// use axum::extract::{FromRequestParts as _, Path};
    /// use tower_sse::{Connect, Refusal};
    ///
    /// # async fn on_connect(mut connect: Connect) -> Result<tower_sse::Accept, Refusal> {
    /// let Path(room) = Path::<String>::from_request_parts(connect.parts_mut(), &()).await?;
    /// # let _ = room;
    /// # Ok(connect.accept())
    /// # }
    /// ```
    #[must_use]
    pub fn parts_mut(&mut self) -> &mut request::Parts {
        &mut self.inner.parts
    }

    /// Returns the last event ID if the client sent one: the stream should resume after that event.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&LastEventId> {
        self.inner.last_event_id.as_ref()
    }

    /// Refuses the request for now, so that the client reconnects later.
    ///
    /// Browsers get [`Refusal::retry_later`], because they never reconnect after a status other
    /// than 200. Other clients get this status, usually a 503 or a 429, with `Retry-After`. The
    /// delay is drawn from the range.
    ///
    /// A request counts as a browser's if it sends `Accept: text/event-stream` and nothing else, as
    /// an `EventSource` does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::StatusCode;
    /// # use tower_sse::{Accept, Connect, Refusal};
    ///
    /// # fn is_busy() -> bool { true }
    /// # async fn on_connect(connect: Connect) -> Result<Accept, Refusal> {
    /// if is_busy() {
    ///     let delay = Duration::from_secs(5)..Duration::from_secs(30);
    ///     return Err(connect.retry_later(StatusCode::SERVICE_UNAVAILABLE, delay));
    /// }
    /// Ok(connect.accept())
    /// # }
    /// ```
    pub fn retry_later(&self, status: StatusCode, delay: impl Into<DelayRange>) -> Refusal {
        Refusal::for_now(self.headers(), status, delay.into())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Query and headers are omitted: they may contain tokens.
        f.debug_struct("Connect")
            .field("method", self.method())
            .field("path", &self.uri().path())
            .finish_non_exhaustive()
    }
}
