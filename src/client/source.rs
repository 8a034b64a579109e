//! `EventSource` and `Updates`: the public API of the client.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Request, Uri};

use super::{
    driver::{Driver, UpdateFilter},
    error::{EventSourceError, SourceErrorKind},
    policy::Reconnection,
    redirect::ReconnectTo,
    request::{RequestTemplate, http_url, is_path},
    transport::HttpService,
    update::{Attempt, ReadyState, Update, UpdateResult},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    exclusive::Exclusive,
};

/// A client of an event stream that reconnects: the `EventSource` of browsers, over any tower
/// service.
///
/// It is a [`Stream`] of events. Its own [`next_event`](Self::next_event) needs no extension trait.
/// Nothing is sent before the first poll. Recovered failures are reported only through
/// [`updates`](Self::updates).
///
/// The stream ends after a fatal error, after [`close`](Self::close), and after a panic of the
/// service, of a body or of the header provider; the panic is passed on to the caller. From then on
/// it returns `None`. Dropping the source closes the connection at once. Over HTTP/2, this resets
/// the stream.
///
/// See the [module docs](crate::client) for examples and for the defaults.
#[must_use = "an event source does nothing unless it is polled"]
pub struct EventSource {
    driver: Box<Driver>,
}

impl EventSource {
    /// Creates a source that gets a URL with a service: an HTTP client, a stack of layers around
    /// one, or a server in the same process.
    ///
    /// The service need not be `Clone`, because attempts are made one after the other.
    ///
    /// The URI must be an http or https URL with a host, or a path. A path is for a service in the
    /// same process. Any other URI (`localhost:8080`, `ftp://…`) is an error, returned as the first
    /// item. A user and a password in the URI are removed: set `Authorization` instead.
    pub fn get<S, B, U>(service: S, uri: U) -> Self
    where
        S: HttpService<B>,
        U: TryInto<Uri>,
        U::Error: Into<BoxError>,
    {
        Self::with(service, get_request(uri))
    }

    /// Creates a source that sends a request with a service. The request may have any method,
    /// headers and extensions, and a body of bytes, which is sent again at each attempt.
    ///
    /// `Accept` and `Cache-Control` are set if the request does not have them. If the request has a
    /// `Last-Event-ID`, the source starts with it. The URI must be one that [`get`](Self::get)
    /// accepts.
    pub fn request<S, B, T>(service: S, request: Request<T>) -> Self
    where
        S: HttpService<B>,
        T: Into<Bytes>,
    {
        Self::with(service, Ok(request.map(Into::into)))
    }

    pub(super) fn with<S: HttpService<B>, B>(
        service: S,
        request: Result<Request<Bytes>, EventSourceError>,
    ) -> Self {
        let mut last_event_id = None;
        let request = request.and_then(checked).map(|request| {
            let (request, id) = RequestTemplate::new(request);
            last_event_id = id;
            request
        });
        let source = Self { driver: Box::new(Driver::new(service.into_transport(), request)) };
        match last_event_id {
            Some(id) => source.with_last_event_id(id),
            None => source,
        }
    }

    /// Sets when a lost connection is made again. Defaults to [`Reconnection::resilient`].
    pub fn reconnection(mut self, reconnection: Reconnection) -> Self {
        self.driver.core.backoff.policy = reconnection;
        self
    }

    /// Sets the last event ID that the first attempt sends, to resume where an earlier source was.
    ///
    /// # Panics
    ///
    /// Panics if `id` is a literal with a control character.
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        let parser = &mut self.driver.core.parser;
        *parser = std::mem::take(parser).with_last_event_id(id);
        self
    }

    /// Sets a provider of headers, which is called for each attempt, for example to send a token
    /// that expires.
    ///
    /// Its headers replace those of the request with the same name, for that attempt only. An error
    /// of the provider is a failed attempt, and is retried like one.
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

    /// Sets how long a connection may be silent before it counts as lost and is made again.
    ///
    /// Defaults to no timeout, and zero is no timeout either. Comments count as bytes, so three
    /// times the server's keep-alive interval is a good value.
    ///
    /// The time starts when the source is polled and finds nothing to read. The time that the
    /// application spends between two polls does not count.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.driver.core.idle_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets how long an attempt may take until its response head has arrived. The header provider
    /// and redirects are part of that time.
    ///
    /// Defaults to no timeout, and zero is no timeout either.
    ///
    /// Interim responses (1xx) are handled by the transport. A server that sends them without end
    /// can delay this timeout.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.driver.core.header_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets where a connection that was redirected is made again. Defaults to the original URL.
    pub fn reconnect_to(mut self, reconnect_to: ReconnectTo) -> Self {
        self.driver.reconnect_to = reconnect_to;
        self
    }

    /// Sets how many bytes the lines of one event may have together. Defaults to 16 MiB.
    ///
    /// Each line has its own limit. To receive more than 16 MiB in one line, also raise
    /// [`max_line_bytes`](Self::max_line_bytes).
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        let parser = &mut self.driver.core.parser;
        *parser = std::mem::take(parser).max_event_bytes(bytes);
        self
    }

    /// Sets how many bytes one line may have. Defaults to 16 MiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        let parser = &mut self.driver.core.parser;
        *parser = std::mem::take(parser).max_line_bytes(bytes);
        self
    }

    /// Returns the last event ID, which the next attempt sends. An ID that a header cannot carry is
    /// [omitted](Update::LastEventIdOmitted).
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.driver.core.parser.last_event_id()
    }

    /// Returns the reconnection time, if the server has sent one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.driver.core.parser.reconnection_time()
    }

    /// Returns the state of the connection.
    #[must_use]
    pub fn ready_state(&self) -> ReadyState {
        self.driver.ready_state()
    }

    /// Returns the next event, or `None` after the end.
    ///
    /// # Errors
    ///
    /// Returns [`EventSourceError`] in place of an event that is too large; the source continues
    /// after it. Also returns it, as the last item, for an error that it cannot recover from.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe. If the future is dropped, no event is lost, and an attempt in
    /// progress continues at the next poll.
    pub async fn next_event(&mut self) -> Option<Result<Event, EventSourceError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the next update, or `None` after the end. An update is an event, a block without
    /// data, a comment, or a change of the connection.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`next_event`](Self::next_event).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe. If the future is dropped, no update is lost.
    pub async fn next_update(&mut self) -> Option<Result<Update, EventSourceError>> {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// Turns the source into a stream of updates.
    pub fn updates(self) -> Updates {
        Updates { source: self }
    }

    /// Closes the connection and makes it again at once, from the last event ID on. This is useful,
    /// for example, after the network has changed. A source that has ended stays ended.
    pub fn reconnect(&mut self) {
        self.driver.reconnect();
    }

    /// Closes the connection at once and ends the source. Drops the service and the header
    /// provider.
    pub fn close(&mut self) {
        self.driver.close();
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventSourceError>>> {
        loop {
            match ready!(self.driver.poll(UpdateFilter::Events, cx)) {
                Some(Ok(Update::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
                // The filter lets nothing else through.
                Some(Ok(_)) => {}
            }
        }
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        self.driver.poll(UpdateFilter::All, cx)
    }
}

/// Creates a GET request.
pub(super) fn get_request<U>(uri: U) -> Result<Request<Bytes>, EventSourceError>
where
    U: TryInto<Uri>,
    U::Error: Into<BoxError>,
{
    let uri = uri.try_into().map_err(|error| SourceErrorKind::InvalidUri(error.into()))?;
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    Ok(request)
}

/// Refuses a URI that no service can ever answer: the source would try it again and again.
fn checked(mut request: Request<Bytes>) -> Result<Request<Bytes>, EventSourceError> {
    if !is_path(request.uri()) {
        *request.uri_mut() = http_url(request.uri().clone()).ok_or_else(invalid_uri)?;
    }
    Ok(request)
}

pub(super) fn invalid_uri() -> EventSourceError {
    SourceErrorKind::InvalidUri("expected an http or https URL with a host".into()).into()
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
            .field("attempts", &self.driver.core.attempts())
            .finish_non_exhaustive()
    }
}

/// The stream that [`EventSource::updates`] returns.
#[must_use = "a stream does nothing unless it is polled"]
#[derive(Debug)]
pub struct Updates {
    source: EventSource,
}

impl Updates {
    /// Returns the source, for example to read its last event ID.
    pub fn get_ref(&self) -> &EventSource {
        &self.source
    }

    /// Returns the source, for example to close it.
    pub fn get_mut(&mut self) -> &mut EventSource {
        &mut self.source
    }
}

impl Stream for Updates {
    type Item = UpdateResult;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.source.poll_update(cx)
    }
}
