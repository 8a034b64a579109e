//! The body itself, and its end.

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
    accepted::AcceptedStream,
    live::{End, Live},
    options::{StreamOptions, stream_settings},
    source::{BoxHandler, Feed, Handler, StreamItem, forward},
};
use crate::{
    BoxError,
    channel::{Buffer, Control, EventReceiver, EventSender, event_channel},
    headers::RESPONSE_HEADERS,
    shutdown::Shutdown,
};

/// A response body that is an event stream: one type, whatever its events come from.
///
/// It is made from a handler closure with [`EventBody::new`], from any stream with
/// [`EventBody::from_stream`], from an [event channel](crate::event_channel) with
/// `EventBody::from`. Settings are its methods, and apply until it is first
/// polled. [`into_response`](Self::into_response) gives it the right head.
///
/// See the [module docs](crate::body) for what goes out when, and how it ends.
#[must_use = "a body does nothing unless a server polls it"]
pub struct EventBody {
    state: State,
}

enum State {
    Live(Box<Live>),
    /// Plain bytes: the body of a refusal.
    Full(Bytes),
    Ended,
}

impl EventBody {
    /// Creates a stream of what a handler sends.
    ///
    /// In a handler of a framework, return it as [`.into_response()`](Self::into_response).
    ///
    /// The closure is given the sender and makes the handler's future; it is called when the body
    /// is first polled, and the future runs inside the body. The stream ends when it has
    /// returned and the last clone of the sender is gone; with an error, if it returns one or
    /// panics.
    ///
    /// ```
    /// use tower_sse::{Event, EventBody};
    ///
    /// let body = EventBody::new(|events| async move {
    ///     events.send(Event::new("hello")).await?;
    ///     Ok(())
    /// });
    /// let response = body.into_response();
    /// assert_eq!(response.headers()["content-type"], "text/event-stream");
    /// ```
    pub fn new<F, Fut>(handler: F) -> Self
    where
        F: FnOnce(EventSender) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let accepted = AcceptedStream::without_request();
        Self::with_handler(Arc::new(StreamOptions::new()), accepted, |events| {
            Box::pin(async move { handler(events).await })
        })
    }

    /// Creates a stream of what another stream yields: events, encoded events, or results of them,
    /// whose error ends the body with an error.
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
        Self::new(|events| forward(stream, events))
    }

    /// Wraps the body in a response with the head of an event stream: status 200, `content-type:
    /// text/event-stream`, `cache-control: no-store, no-transform` and `x-accel-buffering: no`,
    /// so that nothing on the way stores, changes or holds it back.
    pub fn into_response(self) -> Response<Self> {
        let mut response = Response::new(self);
        for (name, value) in RESPONSE_HEADERS {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Sets when the stream must have ended: the expiry of the token that opened it, say. It is a
    /// deadline of this one stream, where [`max_lifetime`](Self::max_lifetime) is for all; the
    /// earlier counts, and ends it in the same way. After the first poll it does nothing.
    ///
    /// For an event channel handler, [`Accept::deadline`](crate::Accept::deadline) is the same.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        if let State::Live(live) = &mut self.state {
            live.set_deadline(deadline.into());
        }
        self
    }

    /// Waits for the next bytes, as a server would: for tests that need no server.
    ///
    /// With tokio's clock paused, keep-alives come at once and on time.
    ///
    /// # Errors
    ///
    /// Returns the error that the stream ends with; afterwards `None`.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time; nothing is lost.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, EventBodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    pub(crate) fn with_handler(
        options: Arc<StreamOptions>,
        accepted: AcceptedStream,
        handler: impl FnOnce(EventSender) -> BoxHandler,
    ) -> Self {
        let (events, receiver) = event_channel(Buffer::default());
        let handler = Handler::new(handler(events));
        Live::with_handler(handler, receiver, options, accepted).into()
    }

    /// Creates a stream of what a feed gives, which is made with what can cut the stream.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for the hub"))]
    pub(crate) fn with_feed(
        options: Arc<StreamOptions>,
        accepted: AcceptedStream,
        feed: impl FnOnce(Control) -> Box<dyn Feed>,
    ) -> Self {
        // Nobody sends: the channel is what the stream is governed by.
        let (_, receiver) = event_channel(Buffer::default());
        let handler = Handler::Feed(feed(receiver.control()), None);
        Live::with_handler(handler, receiver, options, accepted).into()
    }

    /// Creates a body of plain bytes, or without any.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { state: if bytes.is_empty() { State::Ended } else { State::Full(bytes) } }
    }

    /// Ends with this shutdown, in place of the settings' one; the settings, which other streams may
    /// share, are left as they are.
    pub(crate) fn with_shutdown(mut self, shutdown: &Shutdown) -> Self {
        if let State::Live(live) = &mut self.state {
            live.set_shutdown(shutdown);
        }
        self
    }

    fn change(mut self, change: impl FnOnce(&mut StreamOptions)) -> Self {
        if let State::Live(live) = &mut self.state {
            live.change(change);
        }
        self
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, EventBodyError>>> {
        let live = match &mut self.state {
            State::Live(live) => live,
            State::Full(bytes) => {
                let bytes = mem::take(bytes);
                self.state = State::Ended;
                return Poll::Ready(Some(Ok(bytes)));
            }
            State::Ended => return Poll::Ready(None),
        };
        let polled = ready!(live.poll(cx));
        let (given, end) = match polled {
            Ok(bytes) => match live.finished() {
                None => return Poll::Ready(Some(Ok(bytes))),
                Some(end) => (Some(Ok(bytes)), end),
            },
            Err(end) => (None, end),
        };
        live.end(&end);
        // Drops the handler, then tells how the stream ended.
        self.state = State::Ended;
        Poll::Ready(match end {
            End::Clean(_) => given,
            End::Failed(_, error) => Some(Err(EventBodyError { error })),
        })
    }
}

stream_settings!(EventBody);

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
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Live(_) => SizeHint::default(),
            State::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Default for EventBody {
    /// Creates a body that is empty and has ended: what a layer answers with itself, a CORS
    /// preflight say.
    fn default() -> Self {
        Self { state: State::Ended }
    }
}

impl From<EventReceiver> for EventBody {
    fn from(receiver: EventReceiver) -> Self {
        Live::with_channel(receiver).into()
    }
}

impl From<Live> for EventBody {
    fn from(live: Live) -> Self {
        Self { state: State::Live(Box::new(live)) }
    }
}

impl fmt::Debug for EventBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Live(_) => "live",
            State::Full(_) => "full",
            State::Ended => "ended",
        };
        f.debug_tuple("EventBody").field(&format_args!("{state}")).finish()
    }
}

/// The error that a body ends with whose handler failed, or that was cut: evicted or revoked.
///
/// Servers take it as a reason to cut the stream short, and may log it. Its cause is not its
/// [`source`](Error::source): servers look there for errors of their own, to tell the client.
#[derive(Clone, Debug)]
pub struct EventBodyError {
    error: Arc<dyn Error + Send + Sync>,
}

impl EventBodyError {
    /// Returns what the handler returned, what [`EventSender::fail`] was given, what tells of a
    /// panic, or why the stream was cut.
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
