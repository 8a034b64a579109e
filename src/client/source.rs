//! The event source as its users see it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    driver::{Driver, Wanted},
    error::{EventSourceError, Kind},
    policy::Reconnection,
    request,
    transport::transport,
    update::{Attempt, ReadyState, Update},
    updates::Updates,
    url::{is_path, url},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    exclusive::Exclusive,
};

/// A client of an event stream that reconnects: what a browser's `EventSource` is, over any tower
/// service.
///
/// It is a [`Stream`] of events, and has a [`next_event`](Self::next_event) of its own. Nothing is
/// sent before it is polled. What it survives it does not tell, unless it is asked for
/// [`updates`](Self::updates). After a fatal error, [`close`](Self::close), or a panic of its service
/// that came through, it is `None` for ever. Dropping it closes the connection at once: over HTTP/2,
/// it resets its stream.
///
/// See the [module docs](crate::client) for examples, and for what it does by default.
#[must_use = "an event source does nothing unless it is polled"]
pub struct EventSource {
    driver: Box<Driver>,
}

/// Where a lost connection is made again, if the last one was redirected.
///
/// The default is the original URL, as browsers do: a redirect may mean another server by then. A
/// permanent redirect (301, 308) is remembered with [`PermanentTarget`](Self::PermanentTarget) alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReconnectTo {
    /// The URL that the source was made with.
    #[default]
    Original,
    /// Where the redirects led to that were permanent, before the first that was not. The original
    /// URL is not tried again, even if there is nobody any more at the other.
    PermanentTarget,
    /// Where the last redirect led to. Headers of the source that name its origin, `Authorization`
    /// among them, stay left out if that is another origin; a header provider sets them again.
    LastTarget,
}

impl EventSource {
    /// Makes a source that gets a URL with a service: an HTTP client, a stack of layers around one,
    /// or a server in the same process.
    ///
    /// Attempts are made one after the other, so the service need not be `Clone`.
    ///
    /// The URI is of `http` or `https` and names a host, or is a path, for a service in the same
    /// process. Any other (`localhost:8080`, `ftp://…`) is invalid, as the first item tells. A user
    /// and a password in it are left out: set `Authorization` instead.
    pub fn get<S, B, R, U>(service: S, uri: U) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: From<Bytes> + 'static,
        R: Body<Error: Into<BoxError>> + Send + 'static,
        U: TryInto<Uri>,
        U::Error: Into<BoxError>,
    {
        Self::with(service, get_request(uri))
    }

    /// Makes a source that sends a request with a service: any method, headers and extensions, and a
    /// body of bytes that is sent again at each attempt.
    ///
    /// `Accept` and `Cache-Control` are set unless the request has them. A `Last-Event-ID` of the
    /// request is the last event ID to start with. Its URI is one that [`get`](Self::get) takes.
    pub fn request<S, B, R, T>(service: S, request: Request<T>) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: From<Bytes> + 'static,
        R: Body<Error: Into<BoxError>> + Send + 'static,
        T: Into<Bytes>,
    {
        Self::with(service, Ok(request.map(Into::into)))
    }

    pub(super) fn with<S, B, R>(
        service: S,
        request: Result<Request<Bytes>, EventSourceError>,
    ) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: From<Bytes> + 'static,
        R: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let mut last_event_id = None;
        let request = request.and_then(checked).map(|request| {
            let (request, id) = request::Request::new(request);
            last_event_id = id;
            request
        });
        let source = Self { driver: Box::new(Driver::new(transport(service), request)) };
        match last_event_id {
            Some(id) => source.with_last_event_id(id),
            None => source,
        }
    }

    /// Sets when a lost connection is made again. Default is [`Reconnection::resilient`].
    pub fn reconnection(mut self, reconnection: Reconnection) -> Self {
        self.driver.core.policy = reconnection;
        self
    }

    /// Sets the last event ID that the first attempt tells, to go on where an earlier source was.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that holds a control character.
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        self.driver.parser = std::mem::take(&mut self.driver.parser).with_last_event_id(id);
        self
    }

    /// Sets what gives headers to each attempt, in place of those of the request with the same
    /// names: tokens that expire. They are of that attempt alone. An error is a failed attempt, and
    /// tried again.
    ///
    /// ```
    /// use http::{HeaderMap, header::AUTHORIZATION};
    /// # use tower_sse::EventSource;
    /// # async fn token() -> Result<String, std::io::Error> { Ok("secret".into()) }
    ///
    /// # fn with(source: EventSource) -> EventSource {
    /// source.headers(|_attempt| async {
    ///     let mut headers = HeaderMap::new();
    ///     headers.insert(AUTHORIZATION, format!("Bearer {}", token().await?).try_into()?);
    ///     Ok(headers)
    /// })
    /// # }
    /// ```
    pub fn headers<F, Fut>(mut self, mut provider: F) -> Self
    where
        F: FnMut(Attempt) -> Fut + Send + 'static,
        Fut: Future<Output = Result<HeaderMap, BoxError>> + Send + 'static,
    {
        self.driver.provider =
            Some(Exclusive::new(Box::new(move |attempt| Box::pin(provider(attempt)))));
        self
    }

    /// Sets how long no byte may come before the connection is taken for dead and made again.
    /// Comments are bytes: three times the server's keep-alive is a good value. Default is none.
    ///
    /// The time counts from when the source is polled and finds nothing to read, so what is done
    /// between two events is no silence. Zero is none.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.driver.idle_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets how long an attempt may take until its response head is there, header provider and
    /// redirects included. Default is none, and so is zero.
    ///
    /// Interim responses (1xx) are read by the transport: a server that sends nothing else for ever
    /// may keep its task busy, and this late.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.driver.header_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets where a connection that was redirected is made again. Default is the original URL.
    pub fn reconnect_to(mut self, reconnect_to: ReconnectTo) -> Self {
        self.driver.reconnect_to = reconnect_to;
        self
    }

    /// Sets how many bytes the lines of one event may have together. Default is 16 MiB.
    ///
    /// Each line has a limit of its own: for data of more than 16 MiB in one line, raise
    /// [`max_line_bytes`](Self::max_line_bytes) too.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.driver.parser = std::mem::take(&mut self.driver.parser).max_event_bytes(bytes);
        self
    }

    /// Sets how many bytes one line may have. Default is 16 MiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.driver.parser = std::mem::take(&mut self.driver.parser).max_line_bytes(bytes);
        self
    }

    /// Returns the last event ID, which the next attempt will tell, unless it is one that a header
    /// cannot carry: then it [is left out](Update::LastEventIdOmitted).
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.driver.parser.last_event_id()
    }

    /// Returns the reconnection time, if the server has told one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.driver.parser.reconnection_time()
    }

    /// Returns what the connection is doing.
    #[must_use]
    pub fn ready_state(&self) -> ReadyState {
        self.driver.ready_state()
    }

    /// Returns the next event; `None` after the end.
    ///
    /// # Errors
    ///
    /// Returns [`EventSourceError`] in place of an event that is too large, after which it goes on,
    /// and, as the last item, for what cannot be survived.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing, an attempt that is on its way neither.
    pub async fn next_event(&mut self) -> Option<Result<Event, EventSourceError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the next update: an event, a block without data, a comment, or what happened to the
    /// connection; `None` after the end.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_update(&mut self) -> Option<Result<Update, EventSourceError>> {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// Turns it into a stream of updates.
    pub fn updates(self) -> Updates {
        Updates::new(self)
    }

    /// Closes the connection and makes it again at once, from the last event ID on; when the network
    /// has changed, say. A source that has ended stays ended.
    pub fn reconnect(&mut self) {
        self.driver.reconnect();
    }

    /// Closes the connection at once, and for good. The service and the header provider are dropped.
    pub fn close(&mut self) {
        self.driver.close();
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventSourceError>>> {
        loop {
            match ready!(self.driver.poll(Wanted::Events, cx)) {
                Some(Ok(Update::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
                // Nothing else was asked for.
                Some(Ok(_)) => {}
            }
        }
    }

    pub(super) fn poll_update(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Update, EventSourceError>>> {
        self.driver.poll(Wanted::Updates, cx)
    }
}

/// A request that gets a URI.
pub(super) fn get_request<U>(uri: U) -> Result<Request<Bytes>, EventSourceError>
where
    U: TryInto<Uri>,
    U::Error: Into<BoxError>,
{
    let uri = uri.try_into().map_err(|error| Kind::InvalidUri(error.into()))?;
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    Ok(request)
}

/// Refuses a URI that no service can ever answer: it would be tried again and again.
fn checked(mut request: Request<Bytes>) -> Result<Request<Bytes>, EventSourceError> {
    if !is_path(request.uri()) {
        *request.uri_mut() = url(request.uri().clone()).ok_or_else(invalid_uri)?;
    }
    Ok(request)
}

pub(super) fn invalid_uri() -> EventSourceError {
    Kind::InvalidUri("no URL of http or https with a host".into()).into()
}

impl Stream for EventSource {
    type Item = Result<Event, EventSourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("ready_state", &self.ready_state())
            .field("last_event_id", &self.last_event_id())
            .field("attempts", &self.driver.core.attempts)
            .finish_non_exhaustive()
    }
}
