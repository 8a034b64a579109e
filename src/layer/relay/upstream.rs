//! The answer of an upstream, event by event: its time limits, and whether its stream is complete.

use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::error::RelayError;
use crate::{
    BoxError,
    catch_panic::{CatchPanic, catch_and_log, catch_panic},
    event::Event,
    exclusive::Exclusive,
    layer::foreign::{Boundary, ForeignBody},
    parse::EventParser,
    stream::{BoxChunks, Chunks, Drain, StepLimit, box_chunks, check},
    timer::{LazyTimer, saturating_add},
};

/// The default of both time limits.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The default of the maximum size of an event.
const MAX_EVENT_BYTES: usize = 16 << 20;
/// How much of an unexpected answer is read, and for how long.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the service in the message of a panic.
const SERVICE: &str = "the service of a relay";

/// The settings of an upstream.
#[derive(Clone)]
pub(super) struct UpstreamConfig {
    pub(super) first_byte_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_event_bytes: usize,
    /// An event that one of them matches is the last one.
    pub(super) is_last: Vec<Arc<IsLast>>,
    pub(super) inspect: Vec<Arc<Inspect>>,
}

type IsLast = dyn Fn(&Event) -> bool + Send + Sync;
type Inspect = dyn Fn(&Event) + Send + Sync;

impl UpstreamConfig {
    /// Returns until when the first byte of a request that is sent now has to come.
    pub(super) fn first_byte_limit(&self) -> Option<Instant> {
        self.first_byte_timeout.map(|time| saturating_add(Instant::now(), time))
    }

    fn needs_events(&self) -> bool {
        !self.is_last.is_empty() || !self.inspect.is_empty()
    }

    fn inspect(&self, event: &Event) {
        for inspect in &self.inspect {
            catch_and_log("inspect", || inspect(event));
        }
    }

    fn is_last(&self, event: &Event) -> bool {
        let mut is_last = false;
        for rule in &self.is_last {
            catch_and_log("until", || is_last |= rule(event));
        }
        is_last
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            first_byte_timeout: Some(TIMEOUT),
            idle_timeout: Some(TIMEOUT),
            max_event_bytes: MAX_EVENT_BYTES,
            is_last: Vec::new(),
            inspect: Vec::new(),
        }
    }
}

/// The response of a service, whose panics are caught.
pub(super) type SentRequest<B> = CatchPanic<Result<Response<B>, BoxError>>;

/// Sends a request once the service is ready.
pub(super) fn send<S, ReqBody, ResBody>(
    mut service: S,
    request: Request<ReqBody>,
) -> SentRequest<ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: 'static,
{
    CatchPanic::new(
        SERVICE,
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        }),
    )
}

/// Bytes of whole events.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) bytes: Bytes,
    /// How many events they contain.
    pub(super) events: usize,
}

/// An upstream that answers a request.
pub(super) struct Upstream {
    state: UpstreamState,
    config: Arc<UpstreamConfig>,
    boundary: Boundary,
    /// The bytes since the last place between events.
    held: BytesMut,
    /// `None` if the events need not be known.
    events: Option<Events>,
    /// The error after what has just been passed on.
    failure: Option<RelayError>,
    /// Whether a byte of an event stream has come.
    has_begun: bool,
    /// Until when the present wait lasts: for the first byte, the next one, the body of a refusal, or the end.
    deadline: Option<Instant>,
    timer: LazyTimer,
}

type UpstreamBody = ForeignBody<dyn Chunks + Send>;

enum UpstreamState {
    /// It has not answered.
    Waiting(Exclusive<SentRequest<BoxChunks>>),
    /// The answer is not an event stream.
    Refused(Box<PendingRefusal>),
    Open(UpstreamBody),
    /// The last event has come, and the rest of the body is read, so that the connection can be used again.
    Draining(UpstreamBody, Drain),
    Ended,
}

struct PendingRefusal {
    head: response::Parts,
    chunks: Exclusive<BoxChunks>,
    read: BytesMut,
}

/// The events of an upstream.
struct Events {
    parser: EventParser,
    /// Whether the events are returned.
    is_collecting: bool,
    collected: VecDeque<Event>,
}

impl Events {
    fn new(is_collecting: bool) -> Self {
        // The upstream itself limits the size of events.
        let parser = EventParser::new().max_event_bytes(usize::MAX).max_line_bytes(usize::MAX);
        Self { parser, is_collecting, collected: VecDeque::new() }
    }

    /// Handles more bytes. Returns whether they end with the last event.
    fn handle(&mut self, bytes: Bytes, config: &UpstreamConfig) -> bool {
        self.parser.push(bytes);
        let mut is_last = false;
        while let Some(event) = self.parser.next_event() {
            // There is no limit that an event could exceed.
            let Ok(event) = event else { continue };
            config.inspect(&event);
            is_last |= config.is_last(&event);
            self.collect(event);
        }
        is_last
    }

    fn collect(&mut self, event: Event) {
        if self.is_collecting {
            self.collected.push_back(event);
        }
    }
}

impl Upstream {
    /// Creates an upstream that has to answer a request which was sent now.
    pub(super) fn waiting(
        response: SentRequest<BoxChunks>,
        config: &Arc<UpstreamConfig>,
        deadline: Option<Instant>,
    ) -> Self {
        let state = UpstreamState::Waiting(Exclusive::new(response));
        Self { deadline, ..Self::new(state, config, false) }
    }

    /// Creates an upstream that has answered with an event stream.
    pub(super) fn open(
        chunks: BoxChunks,
        config: &Arc<UpstreamConfig>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { deadline, ..Self::new(open(chunks), config, false) }
    }

    /// Creates an upstream whose events are returned by [`take_event`](Self::take_event).
    pub(super) fn collecting<B>(response: SentRequest<B>, config: &Arc<UpstreamConfig>) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let state = UpstreamState::Waiting(Exclusive::new(boxed(response)));
        Self { deadline: config.first_byte_limit(), ..Self::new(state, config, true) }
    }

    fn new(state: UpstreamState, config: &Arc<UpstreamConfig>, is_collecting: bool) -> Self {
        Self {
            state,
            boundary: Boundary::default(),
            held: BytesMut::new(),
            events: (is_collecting || config.needs_events()).then(|| Events::new(is_collecting)),
            failure: None,
            has_begun: false,
            deadline: None,
            timer: LazyTimer::default(),
            config: config.clone(),
        }
    }

    /// Returns an event that was collected.
    pub(super) fn take_event(&mut self) -> Option<Event> {
        self.events.as_mut()?.collected.pop_front()
    }

    /// Drops the answer.
    pub(super) fn close(&mut self) {
        self.state = UpstreamState::Ended;
        self.held = BytesMut::new();
    }

    /// Returns the next whole events or comments, or `None` at the end of a complete stream.
    pub(super) fn poll_passed(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Passed, RelayError>>> {
        let mut steps = StepLimit::default();
        loop {
            if let Some(error) = self.failure.take() {
                self.close();
                return Poll::Ready(Some(Err(error)));
            }
            ready!(steps.poll_step(cx));
            match &mut self.state {
                UpstreamState::Waiting(response) => {
                    let response = match Pin::new(response.get_mut()).poll(cx) {
                        Poll::Ready(response) => response.map_err(BoxError::from),
                        Poll::Pending => {
                            ready!(self.poll_silence(cx));
                            continue;
                        }
                    };
                    match response.and_then(|response| response) {
                        Ok(response) => self.answered(response),
                        Err(error) => self.failure = Some(RelayError::Service(error)),
                    }
                }
                UpstreamState::Refused(_) => {
                    // Asked first, since the body may always be ready.
                    let is_late = self.poll_deadline(cx).is_ready();
                    if is_late || ready!(self.poll_refusal(cx)) {
                        self.failure = Some(self.refused());
                    }
                }
                UpstreamState::Open(body) => match poll_body(body, cx) {
                    Poll::Ready(Some(Ok(bytes))) => {
                        (self.has_begun, self.deadline) = (true, None);
                        if let Some(passed) = self.pass(bytes) {
                            return Poll::Ready(Some(Ok(passed)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => self.failure = Some(RelayError::Body(error)),
                    Poll::Ready(None) => match self.ended() {
                        Ok(Some(passed)) => return Poll::Ready(Some(Ok(passed))),
                        Ok(None) => return Poll::Ready(None),
                        Err(error) => self.failure = Some(error),
                    },
                    Poll::Pending => ready!(self.poll_silence(cx)),
                },
                UpstreamState::Draining(..) => {
                    let is_late = self.poll_deadline(cx).is_ready();
                    if is_late || ready!(self.poll_rest(cx)) {
                        self.close();
                    }
                }
                UpstreamState::Ended => return Poll::Ready(None),
            }
        }
    }

    fn answered(&mut self, response: Response<BoxChunks>) {
        let (head, chunks) = response.into_parts();
        let status = if is_stream_status(head.status) { StatusCode::OK } else { head.status };
        match check(status, &head.headers, |_| false) {
            Ok(()) => self.state = open(chunks),
            Err(_) => {
                let refusal =
                    PendingRefusal { head, chunks: Exclusive::new(chunks), read: BytesMut::new() };
                self.state = UpstreamState::Refused(Box::new(refusal));
                self.wait_for(REFUSAL_TIMEOUT);
            }
        }
    }

    fn refused(&mut self) -> RelayError {
        match std::mem::replace(&mut self.state, UpstreamState::Ended) {
            UpstreamState::Refused(refusal) => refusal.into_error(),
            _ => RelayError::Incomplete,
        }
    }

    /// Takes whole events and comments out of more bytes. The bytes after them are held back.
    fn pass(&mut self, bytes: Bytes) -> Option<Passed> {
        let mut events = 0;
        let mut at = 0;
        while let Some(end) = self.boundary.next_end(&bytes[at..]) {
            if end.len > self.config.max_event_bytes {
                self.failure = Some(RelayError::EventTooLarge);
                // The event before it ended here, and comments may follow it.
                let before = (at + end.at).saturating_sub(end.len).max(at);
                return self.passed(bytes, before, events);
            }
            let event = bytes.slice(at..at + end.at);
            at += end.at;
            events += 1;
            if self.events.as_mut().is_some_and(|it| it.handle(event, &self.config)) {
                return Some(Passed { bytes: self.last_event(bytes, at), events });
            }
        }
        let unfinished = self.boundary.unfinished();
        if unfinished > self.config.max_event_bytes {
            self.failure = Some(RelayError::EventTooLarge);
        }
        if let Some(parsed) = &mut self.events {
            parsed.handle(bytes.slice(at..), &self.config);
        }
        let whole = bytes.len().saturating_sub(unfinished);
        self.passed(bytes, whole, events)
    }

    /// Passes on the bytes up to `whole`, after those that were held back, and holds back the rest.
    fn passed(&mut self, mut bytes: Bytes, whole: usize, events: usize) -> Option<Passed> {
        let rest = bytes.split_off(whole);
        let bytes = if bytes.is_empty() || self.held.is_empty() {
            bytes
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(&bytes);
            held.freeze()
        };
        if self.failure.is_none() && matches!(self.state, UpstreamState::Open(_)) {
            self.held.extend_from_slice(&rest);
        }
        (!bytes.is_empty()).then_some(Passed { bytes, events })
    }

    /// Returns the last event with those before it, and begins to drain the body. Its bytes end at `at`.
    fn last_event(&mut self, mut bytes: Bytes, mut at: usize) -> Bytes {
        let ends_with_cr = bytes[..at].ends_with(b"\r");
        if ends_with_cr && bytes.get(at) == Some(&b'\n') {
            at += 1;
        }
        let is_cut = ends_with_cr && at == bytes.len() && !bytes.ends_with(b"\n");
        bytes.truncate(at);
        if is_cut || !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(&bytes);
            if is_cut {
                // The LF of a CR LF that has not come.
                held.extend_from_slice(b"\n");
            }
            bytes = held.freeze();
        }
        if let UpstreamState::Open(body) = std::mem::replace(&mut self.state, UpstreamState::Ended)
        {
            let drain = Drain::new(Instant::now());
            self.deadline = Some(drain.deadline);
            self.state = UpstreamState::Draining(body, drain);
        }
        bytes
    }

    /// Reads on after the last event. Returns whether there is no more to read.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let UpstreamState::Draining(body, drain) = &mut self.state else {
            return Poll::Ready(true);
        };
        Poll::Ready(match ready!(poll_body(body, cx)) {
            Some(Ok(chunk)) => !drain.handle_chunk(&chunk),
            Some(Err(_)) | None => true,
        })
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.state {
            UpstreamState::Refused(refusal) => refusal.poll_read(cx),
            _ => Poll::Ready(true),
        }
    }

    /// Returns how the stream has ended, although that was not returned yet. `None` if it has not.
    pub(super) fn outcome(&mut self) -> Option<Result<(), RelayError>> {
        match self.state {
            UpstreamState::Draining(..) => Some(Ok(())),
            _ => self.failure.take().map(Err),
        }
    }

    /// Handles the end of the body. Returns the last event if its empty line is missing.
    fn ended(&mut self) -> Result<Option<Passed>, RelayError> {
        if let Some(events) = &mut self.events {
            let last = events.parser.unfinished().filter(|event| self.config.is_last(event));
            if let Some(event) = last {
                self.config.inspect(&event);
                events.collect(event);
                let mut bytes = std::mem::take(&mut self.held);
                bytes.extend_from_slice(self.boundary.missing_end());
                self.close();
                return Ok(Some(Passed { bytes: bytes.freeze(), events: 1 }));
            }
        }
        if self.boundary.unfinished() > 0 || !self.config.is_last.is_empty() {
            return Err(RelayError::Incomplete);
        }
        self.close();
        Ok(None)
    }

    fn wait_for(&mut self, time: Duration) {
        self.deadline = Some(saturating_add(Instant::now(), time));
    }

    /// Waits until the upstream has been silent for too long, which is a failure.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_begun && self.deadline.is_none() {
            // The time begins here, and not with the last bytes: a client that does not read is not the silence of
            // the upstream.
            self.deadline =
                self.config.idle_timeout.map(|time| saturating_add(Instant::now(), time));
        }
        ready!(self.poll_deadline(cx));
        self.failure = Some(match self.has_begun {
            true => RelayError::IdleTimeout,
            false => RelayError::FirstByteTimeout,
        });
        Poll::Ready(())
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Without a runtime, there is no time to wait for.
        let timer = self.deadline.and_then(|until| self.timer.poll_at(until, cx));
        timer.unwrap_or(Poll::Pending)
    }
}

impl PendingRefusal {
    /// Reads a chunk of the body. Returns whether there is no more to read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(Ok(chunk)) = ready!(self.chunks.get_mut().as_mut().poll_chunk(cx)) else {
            return Poll::Ready(true);
        };
        let room = MAX_REFUSAL_BYTES - self.read.len();
        self.read.extend_from_slice(&chunk[..chunk.len().min(room)]);
        Poll::Ready(self.read.len() == MAX_REFUSAL_BYTES)
    }

    fn into_error(self) -> RelayError {
        let response = Response::from_parts(self.head, self.read.freeze());
        RelayError::UnexpectedResponse(Box::new(response))
    }
}

/// Returns whether a response with this status may be an event stream that is relayed as one.
pub(super) fn is_stream_status(status: StatusCode) -> bool {
    let without_body = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
    status.is_success() && !without_body.contains(&status)
}

/// Polls a body. A panic is an error.
fn poll_body(
    body: &mut UpstreamBody,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BoxError>>> {
    match catch_panic("the body of a relay", || body.poll_bytes(cx)) {
        Ok(polled) => polled,
        Err(panicked) => Poll::Ready(Some(Err(panicked.into()))),
    }
}

fn open(chunks: BoxChunks) -> UpstreamState {
    let mut body = ForeignBody::new(chunks);
    // A block may go out before the first event.
    body.precede();
    UpstreamState::Open(body)
}

/// Hides the type of the body.
pub(super) fn boxed<B>(response: SentRequest<B>) -> SentRequest<BoxChunks>
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    let boxed = async move { Ok(response.await??.map(box_chunks)) };
    CatchPanic::new(SERVICE, Box::pin(boxed))
}
