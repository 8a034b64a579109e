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
use http::{HeaderMap, HeaderValue, Request, Uri, response};

use super::{
    driver::{Driver, UpdateFilter, checked},
    error::{EventSourceError, SourceErrorKind},
    policy::Reconnection,
    redirect::ReconnectTo,
    request::RequestTemplate,
    transport::HttpService,
    update::{Attempt, ReadyState, Update, UpdateResult},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    exclusive::Exclusive,
};

/// A client of an event stream. It reconnects, as the `EventSource` of browsers does, over any tower
/// service.
///
/// It is a [`Stream`] of events. Its own [`next_event`](Self::next_event) needs no extension trait.
/// Nothing is sent before the first poll. Recovered failures are reported through
/// [`updates`](Self::updates), and in the log: the first one since the source was open as a warning.
///
/// The stream ends after its [last event](Self::until), after a fatal error, after a status of 204,
/// after [`close`](Self::close), and, if the policy allows no other attempt, with its connection. It
/// also ends after a panic of the application's code, for example of the service, a body or the
/// header provider; the panic is passed on to the caller. From then on it returns `None`. Dropping the source closes the connection at once. Over HTTP/2, this resets
/// the stream.
///
/// See the [module docs](crate::client) for examples and for the defaults.
#[must_use = "an event source does nothing unless it is polled"]
pub struct EventSource {
    driver: Box<Driver>,
}

impl EventSource {
    /// Creates a source that requests a URL through a service: an HTTP client, a stack of layers around
    /// one, or a server in the same process.
    ///
    /// The service need not be `Clone`, because attempts are made one after the other.
    ///
    /// The URI must be an http or https URL with a host, or a path. A path is for a service in the
    /// same process. Any other URI (`localhost:8080`, `ftp://…`, port 99999) is an error, returned as
    /// the first item. A user and a password in the URI are removed: set `Authorization` instead.
    pub fn get<S, B, U>(service: S, uri: U) -> Self
    where
        S: HttpService<B>,
        U: TryInto<Uri>,
        U::Error: Into<BoxError>,
    {
        Self::with(service, get_request(uri))
    }

    /// Creates a source that sends a request with a service. The request may have any method,
    /// headers and extensions, and a body of bytes.
    ///
    /// A request whose method is safe, for example GET, is sent again whenever the connection is
    /// lost: [`Reconnection::resilient`]. Any other request is sent again only until a response is
    /// opened: [`Reconnection::until_opened`]. After that, a loss is an error. Before that, the server
    /// may have done its work as well, for example if it answers with a 504. Set
    /// [`Reconnection::never`] to exclude that.
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
        let mut reconnection = Reconnection::resilient();
        let request = request.and_then(checked).map(|request| {
            reconnection = Reconnection::default_for(request.method());
            let (request, id) = RequestTemplate::new(request);
            last_event_id = id;
            request
        });
        let source = Self { driver: Box::new(Driver::new(service.into_transport(), request)) };
        let source = source.reconnection(reconnection);
        match last_event_id {
            Some(id) => source.with_last_event_id(id),
            None => source,
        }
    }

    /// Makes a path an invalid URI also for a request of [`reconnect_with`](Self::reconnect_with).
    #[cfg(feature = "hyper-client")]
    pub(super) fn needs_authority(&mut self) {
        self.driver.needs_authority = true;
    }

    /// Sets when the request is sent again. Defaults to [`Reconnection::resilient`] for requests
    /// whose method is safe, for example GET, and to [`Reconnection::until_opened`] for others.
    pub fn reconnection(mut self, reconnection: Reconnection) -> Self {
        self.driver.core.backoff.policy = reconnection;
        self
    }

    /// Sets the last event ID that the first attempt sends, to resume where an earlier source
    /// ended.
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

    /// Sets a provider of headers, which is called for each attempt at the origin of the source's
    /// URL, for example to send a token that expires.
    ///
    /// Its headers replace those of the request with the same name, for that attempt only. They are
    /// not sent to another origin, neither by a redirect nor by
    /// [`reconnect_with`](Self::reconnect_with). An error of the provider is a failed attempt, and is
    /// retried like one.
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

    /// Sets a function that creates the request of each attempt after the first open connection.
    ///
    /// Use it if a stream is resumed with another request than it is started with: in the Model
    /// Context Protocol, a POST starts the work, and a GET with the last event ID resumes the stream.
    /// The source sets the last event ID, `Accept` and `Cache-Control`, and nothing of the first
    /// request, so set headers such as `Authorization` again. If the function returns `None`, there
    /// is no other attempt: a loss is an error, and the end of the stream ends the source.
    ///
    /// With this, a loss of an open connection is followed by another attempt under every policy but
    /// [`never`](Reconnection::never).
    ///
    /// ```
    /// use http::Request;
    /// use tower_sse::EventSource;
    ///
    /// # fn call(call: Request<String>) -> EventSource {
    /// # let service = tower_sse::event_channel_handler::<_, _, http_body_util::Full<bytes::Bytes>>(|_, _| async { Ok(()) });
    /// EventSource::request(service, call).reconnect_with(|attempt| {
    ///     // Without an ID the stream cannot be resumed.
    ///     attempt.last_event_id.as_ref()?;
    ///     Request::get("https://tools.example/mcp").body("").ok()
    /// })
    /// # }
    /// ```
    pub fn reconnect_with<F, T>(mut self, mut request: F) -> Self
    where
        F: FnMut(Attempt) -> Option<Request<T>> + Send + 'static,
        T: Into<Bytes>,
    {
        self.driver.core.resumes = true;
        self.driver.resume = Some(Exclusive::new(Box::new(move |attempt| {
            request(attempt).map(|request| request.map(Into::into))
        })));
        self
    }

    /// Accepts responses whose content type is not `text/event-stream`, if the function returns
    /// `true`. It gets the value of the last `Content-Type` header, or `None` without
    /// one.
    ///
    /// ```
    /// # use tower_sse::EventSource;
    /// # fn with(source: EventSource) -> EventSource {
    /// source.accept_content_type(|content_type| {
    ///     content_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
    /// })
    /// # }
    /// ```
    pub fn accept_content_type(
        mut self,
        accepts: impl Fn(Option<&HeaderValue>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.driver.core.accept_content_type = Some(Box::new(accepts));
        self
    }

    /// Ends the source at the first event for which the function returns `true`.
    ///
    /// The event is not returned, unless the source is [`inclusive`](Self::inclusive). If this, or
    /// one of [`until_data`](Self::until_data) and [`until_type`](Self::until_type), is called
    /// several times, the source ends at the first event that one of them matches.
    ///
    /// After the last event, the rest of the body is read for at most 50 ms and 4 KiB before the
    /// source ends, so that an HTTP client can use the connection again. If the source is dropped
    /// before it has ended, its connection is closed.
    pub fn until(mut self, is_last: impl FnMut(&Event) -> bool + Send + 'static) -> Self {
        self.driver.core.end_rule.add(is_last);
        self
    }

    /// Ends the source at the first event with this data. White space around it does not count.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use http::Request;
    /// use http_body_util::Full;
    /// use tower_sse::{Event, EventSource, event_channel_handler};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// let model = event_channel_handler(|_: Request<Full<bytes::Bytes>>, events| async move {
    ///     events.send(Event::new("Hi")).await?;
    ///     events.send(Event::new("[DONE]")).await?;
    ///     Ok(())
    /// });
    /// let mut tokens = EventSource::request(model, Request::post("/chat").body("Hello")?)
    ///     .until_data("[DONE]")
    ///     .required(); // an earlier end is an error
    /// assert_eq!(tokens.next_event().await.unwrap()?.data(), "Hi");
    /// assert!(tokens.next_event().await.is_none());
    /// assert!(tokens.is_reached());
    /// # Ok(()) }
    /// ```
    pub fn until_data(mut self, sentinel: impl AsRef<str>) -> Self {
        self.driver.core.end_rule.add_data(sentinel.as_ref());
        self
    }

    /// Ends the source at the first event of this type.
    pub fn until_type(mut self, event_type: impl Into<String>) -> Self {
        self.driver.core.end_rule.add_type(event_type.into());
        self
    }

    /// Also returns the event at which the source ends.
    pub fn inclusive(mut self) -> Self {
        self.driver.core.end_rule.is_inclusive = true;
        self
    }

    /// Makes an end of the source before the last event an error: the answer was cut off. It has no
    /// effect without [`until`](Self::until), [`until_data`](Self::until_data) or
    /// [`until_type`](Self::until_type), and after [`close`](Self::close).
    pub fn required(mut self) -> Self {
        self.driver.core.end_rule.is_required = true;
        self
    }

    /// Also returns the event that is incomplete when a body ends, which the standard discards.
    ///
    /// Some servers leave out the blank line after their last event. The event is returned only if
    /// the body ends without an error. If the source reconnects after that, the server may send the
    /// event again: its ID is not the last event ID.
    pub fn with_unfinished(mut self) -> Self {
        self.driver.core.with_unfinished = true;
        self
    }

    /// Sets how long a connection may be silent before it counts as lost. The policy decides whether
    /// the source reconnects.
    ///
    /// Defaults to no timeout. Zero disables the timeout. Comments count as bytes, so three
    /// times the server's keep-alive interval is a good value.
    ///
    /// The time starts when the source is polled and finds nothing to read. The time that the
    /// application spends between two polls does not count.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.driver.core.idle_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets how long an attempt may take until its response head has arrived. The header provider
    /// and redirects are part of that time, and so is the body of a refused response.
    ///
    /// Defaults to 30 s. Zero disables the timeout. A model that thinks before it answers may need
    /// some minutes.
    ///
    /// Interim responses (1xx) are handled by the transport. A server that sends them without end
    /// can delay this timeout.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.driver.core.header_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// Sets the URL to reconnect to after a redirect. Defaults to the original URL.
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

    /// Returns the head of the response that was opened last: its status, headers and extensions.
    /// `None` before a connection was open.
    #[must_use]
    pub fn head(&self) -> Option<&response::Parts> {
        self.driver.head.as_deref()
    }

    /// Returns whether the last event was read: see [`until`](Self::until). If the source has ended
    /// without it, the answer was cut off.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.driver.core.end_rule.is_reached()
    }

    /// Returns the event that was incomplete when the source ended, which the standard discards.
    ///
    /// Call it after the source has ended. See also [`with_unfinished`](Self::with_unfinished).
    #[must_use]
    pub fn unfinished(&self) -> Option<Event> {
        self.driver.core.parser.unfinished()
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

    /// Closes the connection. The next poll sends the request again, with the last event ID, under
    /// every policy, also if its method is not safe. This is useful, for example, after the network
    /// has changed. A source that has ended stays ended.
    ///
    /// If [`reconnect_with`](Self::reconnect_with) returns no request, the source ends instead.
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

    /// Returns the source. No update is lost.
    pub fn into_inner(self) -> EventSource {
        self.source
    }

    /// Returns the head of the response that was opened last: see [`EventSource::head`].
    #[must_use]
    pub fn head(&self) -> Option<&response::Parts> {
        self.source.head()
    }
}

impl Stream for Updates {
    type Item = UpdateResult;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.source.poll_update(cx)
    }
}

#[cfg(feature = "json")]
impl<T> crate::stream::Json<EventSource, T> {
    /// Returns the head of the response that was opened last: see [`EventSource::head`].
    #[must_use]
    pub fn head(&self) -> Option<&response::Parts> {
        self.get_ref().head()
    }
}
