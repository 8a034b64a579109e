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
use http::{Response, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    chunks::{ByteStream, StepLimit, poll_chunk},
    drain::Drain,
    end_rule::{EndMatch, EndRule},
    error::{EventStreamError, StreamErrorKind},
    response::{UnexpectedResponse, check},
};
use crate::{
    BoxError,
    event::{Event, EventId, IntoEventId},
    parse::{EventParser, EventTooLarge},
    timer::LazyTimer,
};

/// A [`Stream`] of the events of one body.
///
/// Its own [`next`](Self::next) needs no extension trait. When the body ends or fails, the stream
/// drops it, returns a last event or error if there is one, and then returns `None`.
///
/// A stream holds at most one event and one chunk in memory. An event may be up to 16 MiB by default,
/// see [`max_event_bytes`](Self::max_event_bytes).
///
/// See the [module docs](crate::stream) for examples.
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream<B> {
    /// `None` once the body has ended or failed. The parser may still hold events then.
    body: Option<Pin<Box<B>>>,
    parser: EventParser,
    /// The head of the response. `None` if the stream was created from a body.
    head: Option<Box<response::Parts>>,
    end_rule: EndRule,
    /// Whether the unfinished event is returned at the end. `false` once it was.
    with_unfinished: bool,
    idle_timeout: Option<Duration>,
    /// When the current silence began: the first poll that found no bytes.
    silent_since: Option<Instant>,
    /// For the idle timeout, or for the rest of the body after the last event.
    timer: LazyTimer,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Events are read.
    Events,
    /// The last event was read, and the rest of the body is read within these limits.
    Draining(Drain),
    /// The end or an error was returned.
    Ended,
}

impl<B> EventStream<B> {
    /// Creates a stream of the events of a body. The response that it came with is not checked.
    pub fn new(body: B) -> Self {
        Self {
            body: Some(Box::pin(body)),
            parser: EventParser::new(),
            head: None,
            end_rule: EndRule::default(),
            with_unfinished: false,
            idle_timeout: None,
            silent_since: None,
            timer: LazyTimer::default(),
            phase: Phase::Events,
        }
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
        match check(response.status(), response.headers(), |_| false) {
            Ok(()) => {
                let (head, body) = response.into_parts();
                Ok(Self { head: Some(Box::new(head)), ..Self::new(body) })
            }
            Err(reason) => Err(UnexpectedResponse::new(reason, response)),
        }
    }

    /// Ends the stream at the first event for which the function returns `true`.
    ///
    /// The event is not returned, unless the stream is [`inclusive`](Self::inclusive). If this, or
    /// one of [`until_data`](Self::until_data) and [`until_type`](Self::until_type), is called
    /// several times, the stream ends at the first event that one of them matches.
    ///
    /// After the last event, the rest of the body is read for at most 50 ms and 4 KiB before the
    /// stream ends, so that an HTTP client can use the connection again.
    pub fn until(mut self, is_last: impl FnMut(&Event) -> bool + Send + 'static) -> Self {
        self.end_rule.add(is_last);
        self
    }

    /// Ends the stream at the first event with this data. White space around it does not count.
    ///
    /// ```
    /// use http_body_util::Full;
    /// use tower_sse::EventStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// let body = Full::<bytes::Bytes>::from("data: Hel\n\ndata: lo\n\ndata: [DONE]\n\n");
    /// let mut tokens = EventStream::new(body).until_data("[DONE]");
    /// let mut text = String::new();
    /// while let Some(event) = tokens.next().await {
    ///     text.push_str(event?.data());
    /// }
    /// assert_eq!(text, "Hello");
    /// assert!(tokens.is_reached());
    /// # Ok(()) }
    /// ```
    pub fn until_data(mut self, sentinel: impl AsRef<str>) -> Self {
        self.end_rule.add_data(sentinel.as_ref());
        self
    }

    /// Ends the stream at the first event of this type.
    pub fn until_type(mut self, event_type: impl Into<String>) -> Self {
        self.end_rule.add_type(event_type.into());
        self
    }

    /// Also returns the event at which the stream ends.
    pub fn inclusive(mut self) -> Self {
        self.end_rule.is_inclusive = true;
        self
    }

    /// Makes an end of the body before the last event an error: the answer was cut off. It has no
    /// effect without [`until`](Self::until), [`until_data`](Self::until_data) or
    /// [`until_type`](Self::until_type).
    pub fn required(mut self) -> Self {
        self.end_rule.is_required = true;
        self
    }

    /// Also returns the event that is incomplete when the body ends, which the standard discards.
    ///
    /// Some servers leave out the blank line after their last event. The event is returned only if
    /// the body ends without an error. Otherwise see [`unfinished`](Self::unfinished).
    pub fn with_unfinished(mut self) -> Self {
        self.with_unfinished = true;
        self
    }

    /// Sets how long the body may be silent. After that, the stream returns an error and ends.
    ///
    /// Defaults to no timeout. Zero disables the timeout. Comments count as bytes, so three
    /// times the server's keep-alive interval is a good value. The time starts when the stream is
    /// polled and finds nothing to read. It needs a tokio runtime whose timer is enabled.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
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

    /// Returns the head of the response: its status, headers and extensions. `None` if the stream
    /// was not created from a response.
    #[must_use]
    pub fn head(&self) -> Option<&response::Parts> {
        self.head.as_deref()
    }

    /// Returns whether the last event was read: see [`until`](Self::until). If the stream has ended
    /// without it, the stream was cut off.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.end_rule.is_reached()
    }

    /// Returns the event that was incomplete when the stream ended, which the standard discards.
    ///
    /// Call it after the stream has ended.
    #[must_use]
    pub fn unfinished(&self) -> Option<Event> {
        self.parser.unfinished()
    }

    /// Returns the body, or `None` once the stream has dropped it.
    #[must_use]
    pub fn get_ref(&self) -> Option<&B> {
        self.body.as_ref().map(|body| body.as_ref().get_ref())
    }

    /// Returns the body, or `None` if the stream has dropped it. Bytes that were read and not yet
    /// returned as events are lost.
    #[must_use]
    pub fn into_inner(self) -> Option<Pin<Box<B>>> {
        self.body
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
    /// after it. Also returns it, as the last item, if the body fails, if it is silent for the
    /// [idle timeout](Self::idle_timeout), and if it ends before a [required](Self::required) event.
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
            match self.phase {
                Phase::Events => {}
                Phase::Draining(drain) => {
                    ready!(self.poll_drain(drain, cx));
                    continue;
                }
                Phase::Ended => return Poll::Ready(None),
            }
            if let Some(event) = self.parser.next_event() {
                match self.handle_event(event) {
                    Some(item) => return Poll::Ready(Some(item)),
                    None => continue,
                }
            }
            let Some(body) = &mut self.body else { return Poll::Ready(self.end()) };
            match poll_chunk(body.as_mut(), cx) {
                Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {
                    // The body is ready and is polled again, so this step counts as progress.
                    if let Poll::Ready(item) = self.poll_idle(cx) {
                        return Poll::Ready(item);
                    }
                }
                Poll::Ready(Some(Ok(chunk))) => {
                    self.silent_since = None;
                    self.parser.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(self.fail(StreamErrorKind::Body(error.into())));
                }
                Poll::Ready(None) => {
                    if let Some(item) = self.end_body() {
                        return Poll::Ready(Some(item));
                    }
                }
                Poll::Pending => return self.poll_idle(cx),
            }
        }
    }

    /// Handles an item of the parser. Returns `None` for a last event that is not returned.
    #[inline]
    fn handle_event(
        &mut self,
        event: Result<Event, EventTooLarge>,
    ) -> Option<Result<Event, EventStreamError>> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Some(Err(StreamErrorKind::TooLarge(error).into())),
        };
        let end = self.end_rule.check(&event);
        if end != EndMatch::NotLast {
            self.phase = Phase::Draining(Drain::new(Instant::now()));
        }
        (end != EndMatch::Omitted).then_some(Ok(event))
    }

    /// Reads the rest of the body after the last event, and ends the stream.
    fn poll_drain(&mut self, mut drain: Drain, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(body) = &mut self.body {
            match poll_chunk(body.as_mut(), cx) {
                Poll::Ready(Some(Ok(chunk)))
                    if drain.handle_chunk(&chunk) && Instant::now() < drain.deadline =>
                {
                    self.phase = Phase::Draining(drain);
                    return Poll::Ready(());
                }
                // Without a timer, do not wait.
                Poll::Pending if self.timer.poll_at(drain.deadline, cx) == Some(Poll::Pending) => {
                    return Poll::Pending;
                }
                _ => {}
            }
        }
        self.body = None;
        self.phase = Phase::Ended;
        Poll::Ready(())
    }

    /// Polls the idle timeout while the body has no bytes.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, EventStreamError>>> {
        let Some(timeout) = self.idle_timeout else { return Poll::Pending };
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(timeout) else { return Poll::Pending };
        match self.timer.poll_at(deadline, cx) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) => Poll::Ready(self.fail(StreamErrorKind::IdleTimeout(timeout))),
            None => Poll::Ready(self.fail(StreamErrorKind::NoRuntime)),
        }
    }

    /// Handles the end of the body. Returns the unfinished event, if it is wanted.
    fn end_body(&mut self) -> Option<Result<Event, EventStreamError>> {
        self.body = None;
        if !std::mem::take(&mut self.with_unfinished) {
            return None;
        }
        let event = self.parser.unfinished()?;
        self.parser.reset();
        self.handle_event(Ok(event))
    }

    /// Returns the last item after the body has ended.
    fn end(&mut self) -> Option<Result<Event, EventStreamError>> {
        if self.end_rule.is_missing() {
            return self.fail(StreamErrorKind::Incomplete);
        }
        self.phase = Phase::Ended;
        None
    }

    fn fail(&mut self, kind: StreamErrorKind) -> Option<Result<Event, EventStreamError>> {
        self.body = None;
        self.phase = Phase::Ended;
        Some(Err(kind.into()))
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
