//! The events of one body.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::Response;
use http_body::Body;

use super::{
    body::{self, ByteStream},
    error::EventStreamError,
    response::{UnexpectedResponse, check},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    parse::EventParser,
};

/// How many chunks without an event are read before others get their turn.
const CHUNKS_AT_ONCE: usize = 32;

/// The events of a body, until it ends.
///
/// It is [`Stream`], and has a [`next`](Self::next) of its own. After the end of the body, or its
/// error, it is `None` for ever, and the body is dropped. The memory that it holds is at most that
/// of one event (16 MiB, see [`max_event_bytes`](Self::max_event_bytes)) and a chunk.
///
/// See the [module docs](crate::stream) for an example.
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream<B> {
    /// None after the end.
    body: Option<Pin<Box<B>>>,
    parser: EventParser,
}

impl<B> EventStream<B> {
    /// Reads a body, whatever its response is.
    pub fn new(body: B) -> Self {
        Self { body: Some(Box::pin(body)), parser: EventParser::new() }
    }

    /// Reads the body of a response that is an event stream: its status is 200, its content type
    /// `text/event-stream`, in any case and with any parameters, and its body not compressed. Of
    /// several content types the last counts that is one, as browsers have it.
    ///
    /// # Errors
    ///
    /// Returns [`UnexpectedResponse`], with the response in it, if it is something else.
    pub fn from_response(response: Response<B>) -> Result<Self, UnexpectedResponse<B>> {
        match check(response.status(), response.headers()) {
            Ok(()) => Ok(Self::new(response.into_body())),
            Err(reason) => Err(UnexpectedResponse { reason, response: Box::new(response) }),
        }
    }

    /// Sets how many bytes the lines of one event may have together. Default is 16 MiB.
    ///
    /// Each line has a limit of its own: for data of more than 16 MiB in one line, raise
    /// [`max_line_bytes`](Self::max_line_bytes) too.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.parser = self.parser.max_event_bytes(bytes);
        self
    }

    /// Sets how many bytes one line may have. Default is 16 MiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.parser = self.parser.max_line_bytes(bytes);
        self
    }

    /// Sets the last event ID to start with, as that of the request was.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that holds a control character.
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        self.parser = self.parser.with_last_event_id(id);
        self
    }

    /// Returns the last event ID: the id of the last block that had one and has ended.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.parser.last_event_id()
    }

    /// Returns the reconnection time, if the stream has told one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.parser.reconnection_time()
    }

    /// Returns what the standard discards at the end: the event whose empty line has not come. Ask
    /// for it when the stream has ended.
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
    /// Reads a stream of bytes.
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
    /// Returns the next event; `None` after the end.
    ///
    /// # Errors
    ///
    /// Returns [`EventStreamError`] in place of an event that is too large, after which it goes on,
    /// and for a body that failed, after which it has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Event, EventStreamError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventStreamError>>> {
        for _ in 0..CHUNKS_AT_ONCE {
            if let Some(event) = self.parser.next_event() {
                return Poll::Ready(Some(event.map_err(EventStreamError::too_large)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match body::poll_chunk(body.as_mut(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => self.parser.push(chunk),
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(EventStreamError::body(error.into()))));
                }
                Poll::Ready(None) => self.body = None,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
