//! `EventStream`: the events of one body.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::Response;
use http_body::Body;

use super::{
    chunks::{ByteStream, StepLimit, poll_chunk},
    error::EventStreamError,
    response::{UnexpectedResponse, check},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    parse::EventParser,
};

/// A [`Stream`] of the events of one body.
///
/// Its own [`next`](Self::next) needs no extension trait. When the body ends or fails, the stream
/// drops it, and from then on returns `None`.
///
/// A stream holds at most one event and one chunk in memory. An event may have 16 MiB by default,
/// see [`max_event_bytes`](Self::max_event_bytes).
///
/// See the [module docs](crate::stream) for an example.
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream<B> {
    /// `None` once the body has ended or failed. The parser may still hold events then.
    body: Option<Pin<Box<B>>>,
    parser: EventParser,
}

impl<B> EventStream<B> {
    /// Creates a stream of the events of a body. The response that it came with is not checked.
    pub fn new(body: B) -> Self {
        Self { body: Some(Box::pin(body)), parser: EventParser::new() }
    }

    /// Creates a stream of the events of a response, if the response is an event stream.
    ///
    /// It is one if its status is 200, its content type is `text/event-stream` (in any case and
    /// with any parameters), and its body has no content encoding. If there are several content
    /// types, the last valid one counts, as in browsers.
    ///
    /// # Errors
    ///
    /// Returns [`UnexpectedResponse`] if the response is not an event stream. The error gives the
    /// response back.
    pub fn from_response(response: Response<B>) -> Result<Self, UnexpectedResponse<B>> {
        match check(response.status(), response.headers()) {
            Ok(()) => Ok(Self::new(response.into_body())),
            Err(reason) => Err(UnexpectedResponse { reason, response: Box::new(response) }),
        }
    }

    /// Sets how many bytes the lines of one event may have together. Defaults to 16 MiB.
    ///
    /// Each line has its own limit. To receive more than 16 MiB in one line, also raise
    /// [`max_line_bytes`](Self::max_line_bytes).
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.parser = self.parser.max_event_bytes(bytes);
        self
    }

    /// Sets how many bytes one line may have. Defaults to 16 MiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.parser = self.parser.max_line_bytes(bytes);
        self
    }

    /// Sets the last event ID to start with: the one that the request was sent with.
    ///
    /// # Panics
    ///
    /// Panics if `id` is a literal with a control character.
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        self.parser = self.parser.with_last_event_id(id);
        self
    }

    /// Returns the last event ID: the ID of the last complete block with an `id` field.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.parser.last_event_id()
    }

    /// Returns the reconnection time, if the server has sent one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.parser.reconnection_time()
    }

    /// Returns the event that was incomplete when the stream ended, which the standard discards.
    ///
    /// Call it after the stream has ended.
    #[must_use]
    pub fn unfinished(&self) -> Option<Event> {
        self.parser.unfinished()
    }
}

impl<S, T, E> EventStream<ByteStream<S>>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
{
    /// Creates a stream of the events in a stream of bytes.
    ///
    /// ```
    /// use tower_sse::{BoxError, EventStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// let bytes = futures_util::stream::iter(["data: a", "b\n\n"].map(Ok::<_, BoxError>));
    /// let mut events = EventStream::from_bytes(bytes);
    /// assert_eq!(events.next().await.unwrap()?.data(), "ab");
    /// # Ok(()) }
    /// ```
    pub fn from_bytes(stream: S) -> Self {
        Self::new(ByteStream::new(stream))
    }
}

impl<B> EventStream<B>
where
    B: Body<Error: Into<BoxError>>,
{
    /// Returns the next event, or `None` after the end.
    ///
    /// # Errors
    ///
    /// Returns [`EventStreamError`] in place of an event that is too large; the stream continues
    /// after it. Also returns it if the body fails; the stream ends after it.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe. If the future is dropped, no event is lost.
    pub async fn next(&mut self) -> Option<Result<Event, EventStreamError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventStreamError>>> {
        let mut limit = StepLimit::default();
        loop {
            ready!(limit.poll_step(cx));
            if let Some(event) = self.parser.next_event() {
                return Poll::Ready(Some(event.map_err(EventStreamError::too_large)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match ready!(poll_chunk(body.as_mut(), cx)) {
                Some(Ok(chunk)) => self.parser.push(chunk),
                Some(Err(error)) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(EventStreamError::body(error.into()))));
                }
                None => self.body = None,
            }
        }
    }
}

impl<B> Stream for EventStream<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Item = Result<Event, EventStreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl<B> fmt::Debug for EventStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("ended", &self.body.is_none())
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}
