//! The body itself, and its error.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures_core::Stream;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::{
    account::{AcceptedStream, Outcome},
    active::ActiveStream,
    options::{BodyOptions, HandlerOptions, body_settings},
    response::EventStreamResponse,
    source::{ExternalSource, HandlerSettings, Source, StartHandler, StreamItem, forward},
};
use crate::{
    BoxError,
    channel::{EventReceiver, EventSender, event_channel},
    headers::RESPONSE_HEADERS,
    shutdown::Shutdown,
};

/// A response body that is an event stream. It is one type for every source of events.
///
/// It is created from a handler closure with [`EventBody::new`], from any stream of events with
/// [`EventBody::from_stream`], or from an [event channel](crate::event_channel) with
/// `EventBody::from`. Its settings are methods, which apply until the first poll.
/// [`into_http_response`](Self::into_http_response) adds the headers of an event stream.
///
/// See the [module docs](crate::body) for the order of the output, and for the ways to end.
#[must_use = "a body does nothing unless a server polls it"]
pub struct EventBody {
    /// What is left to send.
    state: BodyState,
}

enum BodyState {
    Active(Box<ActiveStream>),
    /// Plain bytes: the body of a refusal.
    Full(Bytes),
    /// The body of a response to `HEAD`. It has ended, but its length is not that of the stream.
    Head,
    Ended,
}

impl EventBody {
    /// Creates a stream of the events that a handler sends.
    ///
    /// Use it in a handler of a framework, and return [`.into_http_response()`](Self::into_http_response).
    ///
    /// The closure is given the sender and returns the handler's future. It is called when the body
    /// is first polled, and the future runs inside the body. The stream ends when the future has
    /// completed and the last clone of the sender was dropped. It ends with an error if the future
    /// returns one or panics.
    ///
    /// [`with_options`](Self::with_options) sets the buffer, the send timeout, and whether the
    /// handler runs in a task.
    ///
    /// ```
    /// use tower_sse::{Event, EventBody};
    ///
    /// let body = EventBody::new(|events| async move {
    ///     events.send(Event::new("hello")).await?;
    ///     Ok(())
    /// });
    /// let response = body.into_http_response();
    /// assert_eq!(response.headers()["content-type"], "text/event-stream");
    /// ```
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: FnOnce(EventSender) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self::with_options(HandlerOptions::new(), handler)
    }

    /// Creates a stream of the events that a handler sends, with settings of the handler and its
    /// buffer. See [`HandlerOptions`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Buffer, Event, EventBody, HandlerOptions};
    ///
    /// let options = HandlerOptions::new()
    ///     .buffer(Buffer::sliding(64))
    ///     .spawn_handler()
    ///     .send_timeout(Duration::from_secs(30));
    /// let body = EventBody::with_options(options, |events| async move {
    ///     events.send(Event::new("hello")).await?;
    ///     Ok(())
    /// });
    /// # let _ = body;
    /// ```
    #[doc(alias = "buffer")]
    #[doc(alias = "spawn_handler")]
    #[doc(alias = "send_timeout")]
    pub fn with_options<F, Fut>(options: impl Into<HandlerOptions>, handler: F) -> Self
    where
        F: FnOnce(EventSender) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let HandlerOptions { body, handler: settings } = options.into();
        let accepted = AcceptedStream::without_request();
        Self::with_handler(Arc::new(body), settings, accepted, |events| {
            Box::new(move || Box::pin(handler(events)))
        })
    }

    /// Creates a stream of the items of another stream. An item is an event, an encoded event, or a
    /// `Result` with one of them, whose error ends the body.
    ///
    /// ```
    /// use tower_sse::{Event, EventBody};
    ///
    /// let (mut sender, receiver) = futures_channel::mpsc::channel(16);
    /// let body = EventBody::from_stream(receiver);
    /// sender.try_send(Event::new("hello"))?;
    /// # let _ = body;
    /// # Ok::<(), tower_sse::BoxError>(())
    /// ```
    pub fn from_stream<S>(stream: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: StreamItem,
    {
        Self::from_stream_with_options(HandlerOptions::new(), stream)
    }

    /// Creates a stream of the items of another stream, with settings of the handler that forwards
    /// them and of its buffer. See [`from_stream`](Self::from_stream) and [`HandlerOptions`].
    pub fn from_stream_with_options<S>(options: impl Into<HandlerOptions>, stream: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: StreamItem,
    {
        Self::with_options(options, |events| forward(stream, events))
    }

    /// Takes all settings of the body from `options`. It replaces settings that were made before, so
    /// call it first. [`with_options`](Self::with_options) takes [`HandlerOptions`].
    pub fn options(self, options: BodyOptions) -> Self {
        self.change_body(|own| *own = options)
    }

    /// Wraps the body in a response with status 200 and the headers of an event stream:
    /// `content-type: text/event-stream`, `cache-control: no-store, no-transform` and
    /// `x-accel-buffering: no`. They keep intermediaries from storing, changing or buffering the
    /// stream.
    pub fn into_http_response(self) -> Response<Self> {
        let mut response = Response::new(self);
        for (name, value) in RESPONSE_HEADERS {
            response.headers_mut().insert(name, value);
        }
        EventStreamResponse::mark(response.extensions_mut());
        response
    }

    /// Sets when the stream must have ended, for example the time at which the client's token
    /// expires. By default there is no deadline. After the first poll it does nothing.
    ///
    /// It is a deadline of this stream alone; [`max_lifetime`](Self::max_lifetime) is a setting for
    /// many streams. The earlier one applies, and ends the stream in the same way.
    ///
    /// For an event channel handler use [`Accept::deadline`](crate::Accept::deadline).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        if let BodyState::Active(stream) = &mut self.state {
            stream.set_deadline(deadline.into());
        }
        self
    }

    /// Returns the next bytes, as a server would get them. Use it in tests that need no server.
    ///
    /// If tokio's clock is paused, keep-alives come at once and on time.
    ///
    /// # Errors
    ///
    /// Returns the error that the stream ends with. After that it returns `None`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Call the method again.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, EventBodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    pub(crate) fn with_handler(
        options: Arc<BodyOptions>,
        settings: HandlerSettings,
        accepted: AcceptedStream,
        handler: impl FnOnce(EventSender) -> StartHandler,
    ) -> Self {
        let (events, receiver) = event_channel(settings.buffer);
        let source = Source::handler(handler(events), receiver, settings);
        ActiveStream::new(source, options, accepted).into()
    }

    /// Creates a stream from an external source.
    pub(crate) fn with_source(
        options: Arc<BodyOptions>,
        accepted: AcceptedStream,
        source: Box<dyn ExternalSource>,
    ) -> Self {
        ActiveStream::new(Source::external(source), options, accepted).into()
    }

    /// Creates a body of plain bytes. It may be empty.
    pub(crate) fn full(bytes: Bytes) -> Self {
        let state = if bytes.is_empty() { BodyState::Ended } else { BodyState::Full(bytes) };
        Self { state }
    }

    /// Replaces the shutdown of the settings by this one. The settings, which other streams may
    /// share, are not changed.
    pub(crate) fn with_shutdown(mut self, shutdown: &Shutdown) -> Self {
        if let BodyState::Active(stream) = &mut self.state {
            stream.set_shutdown(shutdown);
        }
        self
    }

    /// Creates the body of a response to `HEAD`.
    pub(crate) fn head() -> Self {
        Self { state: BodyState::Head }
    }

    fn change_body(mut self, change: impl FnOnce(&mut BodyOptions)) -> Self {
        if let BodyState::Active(stream) = &mut self.state {
            stream.change(change);
        }
        self
    }

    /// Waits until the head of the response can go out: there is a first event, or the stream ends without an
    /// error. An error ends the stream. [`release`](Self::release) ends the wait.
    pub(crate) fn poll_commit(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Arc<dyn Error + Send + Sync>>> {
        let BodyState::Active(stream) = &mut self.state else { return Poll::Ready(Ok(())) };
        if !stream.hold() {
            return Poll::Ready(Ok(()));
        }
        let polled = ready!(self.poll_chunk(cx));
        self.release();
        Poll::Ready(match polled {
            Some(Err(EventBodyError { error })) => Err(error),
            // No bytes have gone out.
            Some(Ok(_)) | None => Ok(()),
        })
    }

    /// Lets the stream begin, although there is no event.
    pub(crate) fn release(&mut self) {
        if let BodyState::Active(stream) = &mut self.state {
            stream.release();
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EventBodyError>>> {
        let stream = match &mut self.state {
            BodyState::Active(stream) => stream,
            BodyState::Full(bytes) => {
                let bytes = mem::take(bytes);
                self.state = BodyState::Ended;
                return Poll::Ready(Some(Ok(bytes)));
            }
            BodyState::Head | BodyState::Ended => return Poll::Ready(None),
        };
        let (last, outcome) = match ready!(stream.poll(cx)) {
            Ok(bytes) => match stream.finished() {
                None => return Poll::Ready(Some(Ok(bytes))),
                Some(outcome) => (Some(Ok(bytes)), outcome),
            },
            Err(outcome) => (None, outcome),
        };
        stream.set_outcome(&outcome);
        // Drops the handler, then reports how the stream ended.
        self.state = BodyState::Ended;
        Poll::Ready(match outcome {
            Outcome::Clean(_) => last,
            Outcome::Failed(_, error) => Some(Err(EventBodyError { error })),
        })
    }
}

body_settings!(EventBody);

impl Body for EventBody {
    type Data = Bytes;
    type Error = EventBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EventBodyError>>> {
        let polled = ready!(self.get_mut().poll_chunk(cx));
        Poll::Ready(polled.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, BodyState::Head | BodyState::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            // The response to `HEAD` must not have the `Content-Length` of an empty one (RFC 9110, 8.6).
            BodyState::Active(_) | BodyState::Head => SizeHint::default(),
            BodyState::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyState::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Default for EventBody {
    /// Creates an empty body that has ended. Layers answer with it, for example to a CORS
    /// preflight.
    fn default() -> Self {
        Self { state: BodyState::Ended }
    }
}

impl From<EventReceiver> for EventBody {
    fn from(receiver: EventReceiver) -> Self {
        let accepted = AcceptedStream::without_request();
        ActiveStream::new(Source::Channel(receiver), Arc::default(), accepted).into()
    }
}

impl From<ActiveStream> for EventBody {
    fn from(stream: ActiveStream) -> Self {
        Self { state: BodyState::Active(Box::new(stream)) }
    }
}

impl fmt::Debug for EventBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            BodyState::Active(_) => "active",
            BodyState::Full(_) => "full",
            BodyState::Head | BodyState::Ended => "ended",
        };
        f.debug_tuple("EventBody").field(&format_args!("{state}")).finish()
    }
}

/// The error of a body whose handler failed, or whose stream was evicted or revoked.
///
/// Servers cut the response short because of it, and may log it. The cause is not its
/// [`source`](Error::source), because servers look there for errors of their own.
#[derive(Clone, Debug)]
pub struct EventBodyError {
    error: Arc<dyn Error + Send + Sync>,
}

impl EventBodyError {
    /// Returns the cause: the error of the handler, the error that [`EventSender::fail`] was given,
    /// a description of a panic, or the reason why the stream was cut off.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl fmt::Display for EventBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event stream failed: {}", self.error)
    }
}

impl Error for EventBodyError {}
