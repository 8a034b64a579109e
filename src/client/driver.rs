//! The I/O of an event source. The driver polls the service, the body and the timer, and reports to
//! the [core](super::core), which decides.

use std::{
    mem,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, response};
use tokio::time::Instant;

use super::{
    attempt::{AttemptError, PendingAttempt},
    core::{Action, Core, Loss, Next, ResponseAction},
    error::{EventSourceError, SourceErrorKind},
    redirect::ReconnectTo,
    refused::{PendingRefusal, WithoutQuery},
    request::{RequestTemplate, http_url, is_path},
    transport::{BoxFuture, Transport},
    update::{Attempt, Opened, ReadyState, Reconnecting, Update, UpdateResult},
};
use crate::{
    event::EventId,
    exclusive::Exclusive,
    metrics::{ClientMetrics, ConnectionMetrics},
    stream::{BoxChunks, StepLimit, Unexpected},
    timer::LazyTimer,
    trace::{self, AttemptSpan},
};

/// The application's header provider, of any type.
pub(super) type HeaderProvider = Box<dyn FnMut(Attempt) -> BoxFuture<HeaderMap> + Send>;

/// Returns the application's request for an attempt after the first open connection, or `None` if
/// there is to be no other attempt.
pub(super) type ResumeRequest = Box<dyn FnMut(Attempt) -> Option<Request<Bytes>> + Send>;

/// Which updates a poll returns. Every poll also returns errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateFilter {
    /// Events only. The parser then creates nothing else.
    Events,
    /// Everything.
    All,
}

/// The I/O that belongs to the current state of the core.
enum Io {
    /// In all other states, and after a body has ended.
    None,
    /// While the core is attempting.
    Attempt(Box<PendingAttempt>),
    /// While the core has a refused response.
    Refused(Box<(PendingRefusal, BoxChunks)>),
    /// While the core is open, or reads the rest of the body.
    Body(OpenBody),
}

/// The body of an open connection.
struct OpenBody {
    chunks: BoxChunks,
    /// Records the end of the connection when it is dropped.
    _metrics: ConnectionMetrics,
}

pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) reconnect_to: ReconnectTo,
    /// `None` if the application has not set a provider, and once the source is closed.
    pub(super) provider: Option<Exclusive<HeaderProvider>>,
    /// `None` if the source reconnects with the same request, and once the source is closed.
    pub(super) resume: Option<Exclusive<ResumeRequest>>,
    /// The head of the response that was opened last.
    pub(super) head: Option<Box<response::Parts>>,
    /// `None` once the source is closed.
    transport: Option<Exclusive<Box<dyn Transport>>>,
    /// The request that the next attempt starts from. A redirect may change it, see
    /// [`ReconnectTo`].
    base_request: RequestTemplate,
    /// The URL of the source. Only its origin gets the headers of the provider.
    url: Uri,
    /// Whether the service needs URLs with an authority, so that a path is invalid.
    pub(super) needs_authority: bool,
    /// Whether the application has asked for a reconnect, which the next attempt has to log.
    is_asked_to_reconnect: bool,
    io: Exclusive<Io>,
    /// The timer for the core's deadline. There is one at a time.
    timer: LazyTimer,
    metrics: ClientMetrics,
    /// Whether a loss was logged as a warning since a connection was last opened.
    has_warned: bool,
}

impl Driver {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        request: Result<RequestTemplate, EventSourceError>,
    ) -> Self {
        let (base_request, core) = match request {
            Ok(request) => (request, Core::new()),
            Err(error) => (RequestTemplate::default(), Core::invalid(error)),
        };
        Self {
            core,
            reconnect_to: ReconnectTo::Original,
            provider: None,
            resume: None,
            head: None,
            transport: Some(Exclusive::new(transport)),
            url: base_request.head.uri.clone(),
            base_request,
            io: Exclusive::new(Io::None),
            timer: LazyTimer::default(),
            metrics: ClientMetrics::new(),
            has_warned: false,
            needs_authority: false,
            is_asked_to_reconnect: false,
        }
    }

    /// Closes the connection in any state. Drops the service and the code of the application too.
    pub(super) fn close(&mut self) {
        // The core is closed first: a drop of the application's code may panic.
        self.core.handle_close();
        *self.io.get_mut() = Io::None;
        self.transport = None;
        self.provider = None;
        self.resume = None;
    }

    /// Drops the connection and begins the next attempt at the next poll.
    pub(super) fn reconnect(&mut self) {
        self.core.handle_reconnect();
        *self.io.get_mut() = Io::None;
        // The code of the application is called by the next poll, which handles its panics.
        self.is_asked_to_reconnect = self.ready_state() == ReadyState::Connecting;
    }

    pub(super) fn ready_state(&self) -> ReadyState {
        self.core.ready_state()
    }

    /// Returns the next update that passes the filter, or `None` after the end.
    ///
    /// This runs code of the application: the service, bodies and the header provider. A panic of
    /// that code is passed on to the caller and ends the source.
    pub(super) fn poll(
        &mut self,
        filter: UpdateFilter,
        cx: &mut Context<'_>,
    ) -> Poll<Option<UpdateResult>> {
        let mut guard = CloseOnPanic { driver: self, is_armed: true };
        let polled = guard.driver.poll_actions(filter, cx);
        guard.is_armed = false;
        polled
    }

    fn poll_actions(
        &mut self,
        filter: UpdateFilter,
        cx: &mut Context<'_>,
    ) -> Poll<Option<UpdateResult>> {
        let mut limit = StepLimit::default();
        loop {
            ready!(limit.poll_step(cx));
            let update = match self.core.next_action() {
                Action::Read => {
                    // An item that the core takes from the parser has passed the filter.
                    let update = match filter {
                        UpdateFilter::Events => self.core.next_event(),
                        UpdateFilter::All => self.core.next_update(),
                    };
                    match update {
                        Some(_) => {
                            self.metrics.received(matches!(update, Some(Ok(Update::Event(_)))));
                            return Poll::Ready(update);
                        }
                        // The last event was read and is omitted.
                        None if self.ready_state() == ReadyState::Closed => None,
                        None => ready!(self.poll_body(cx)),
                    }
                }
                Action::Drain => ready!(self.poll_rest(cx)),
                Action::PollAttempt => ready!(self.poll_attempt(cx)),
                Action::PollRefusal => ready!(self.poll_refusal(cx)),
                Action::Wait => ready!(self.poll_timer(cx)),
                Action::Connect => self.begin(),
                Action::Fail(error) => self.follow(Next::Fail(error)),
                Action::End => {
                    // After a panic the service and the body are still here.
                    self.close();
                    return Poll::Ready(None);
                }
            };
            match update {
                // An event that comes at the end of a body, or an error.
                Some(Ok(Update::Event(_)) | Err(_)) => return Poll::Ready(update),
                Some(_) if filter == UpdateFilter::All => return Poll::Ready(update),
                _ => {}
            }
        }
    }

    /// Begins an attempt. Returns an update if its request cannot carry the last event ID.
    fn begin(&mut self) -> Option<UpdateResult> {
        if mem::take(&mut self.is_asked_to_reconnect) && self.core.attempts() > 0 {
            let attempt = self.core.attempts() + 1;
            if let Err(next) = self.choose_request(attempt) {
                let next = next.unwrap_or_else(|| self.core.end());
                return self.follow(next);
            }
            let url = &self.base_request.head.uri;
            let cause = "the application has asked for it";
            trace::reconnecting(false, attempt, Duration::ZERO, &cause, &WithoutQuery(url));
            self.metrics.reconnects();
        }
        let number = self.core.handle_attempt(Instant::now());
        let mut request = self.base_request.clone();
        let last_event_id = self.core.parser.last_event_id().cloned();
        let is_sent = request.set_last_event_id(last_event_id.as_ref());
        let sent_id = last_event_id.clone().filter(|_| is_sent);
        let span = {
            let head = &request.head;
            let id = sent_id.as_ref().map(EventId::as_str);
            AttemptSpan::new(number, head.method.as_str(), &WithoutQuery(&head.uri), id)
        };
        // A redirect may have led to another origin, which must not get the headers.
        let is_own_origin = request.has_origin_of(&self.url);
        let headers = self
            .provider
            .as_mut()
            .filter(|_| is_own_origin)
            .map(|provider| provider.get_mut()(Attempt { number, last_event_id: sent_id }));
        let attempt = PendingAttempt::new(request, headers, self.reconnect_to, span);
        *self.io.get_mut() = Io::Attempt(Box::new(attempt));
        last_event_id.filter(|_| !is_sent).map(|id| Ok(Update::LastEventIdOmitted(id)))
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        let (Io::Attempt(attempt), Some(transport)) = (self.io.get_mut(), &mut self.transport)
        else {
            return Poll::Ready(self.follow(Next::End));
        };
        let kind = match attempt.poll(&mut **transport.get_mut(), cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(self.respond(response)),
            Poll::Ready(Err(AttemptError::Headers(error))) => SourceErrorKind::Headers(error),
            Poll::Ready(Err(AttemptError::Connect(error))) => SourceErrorKind::Connect(error),
            Poll::Pending => return self.poll_timer(cx),
        };
        Poll::Ready(self.lose(Loss::retryable(kind)))
    }

    fn respond(&mut self, response: Response<BoxChunks>) -> Option<UpdateResult> {
        let (head, body) = response.into_parts();
        match self.core.handle_response(&head, Instant::now()) {
            ResponseAction::Open => Some(Ok(Update::Opened(self.open(head, body)))),
            ResponseAction::Redirect => self.redirect(&head),
            ResponseAction::Refuse(reason) => self.refuse(reason, head, body),
            ResponseAction::Drop(next) => self.follow(next),
        }
    }

    fn open(&mut self, head: response::Parts, body: BoxChunks) -> Opened {
        if let Io::Attempt(attempt) = self.io.get_mut() {
            attempt.span.opened();
            if let Some(request) = attempt.take_next_request() {
                self.base_request = request;
            }
        }
        self.core.handle_open(Instant::now());
        *self.io.get_mut() = Io::Body(OpenBody { chunks: body, _metrics: self.metrics.opened() });
        self.has_warned = false;
        let headers = head.headers.clone();
        let opened = Opened { status: head.status, headers, attempt: self.core.attempts() };
        self.head = Some(Box::new(head));
        opened
    }

    /// Begins to read the body of a response that is not an event stream: the body says why.
    fn refuse(
        &mut self,
        reason: Unexpected,
        head: response::Parts,
        body: BoxChunks,
    ) -> Option<UpdateResult> {
        let Io::Attempt(attempt) = self.io.get_mut() else { return self.follow(Next::End) };
        attempt.span.failed();
        let url = attempt.url().clone();
        let refusal = PendingRefusal::new(reason, head, url, self.core.redirects());
        *self.io.get_mut() = Io::Refused(Box::new((refusal, body)));
        self.core.handle_refusal(Instant::now());
        None
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        let Io::Refused(refused) = self.io.get_mut() else {
            return Poll::Ready(self.follow(Next::End));
        };
        let deadline = self.core.poll_timeout();
        let (refusal, body) = &mut **refused;
        let is_complete = match body.as_mut().poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                let is_late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                if refusal.handle_chunk(&chunk) && !is_late {
                    return Poll::Ready(None);
                }
                false
            }
            Poll::Ready(Some(Err(_))) => false,
            Poll::Ready(None) => true,
            Poll::Pending => {
                let fired = deadline.and_then(|deadline| self.timer.poll_at(deadline, cx));
                if fired == Some(Poll::Pending) {
                    return Poll::Pending;
                }
                false
            }
        };
        let Io::Refused(refused) = mem::replace(self.io.get_mut(), Io::None) else {
            return Poll::Ready(self.follow(Next::End));
        };
        let refused = refused.0.finish(is_complete);
        let next = self.core.handle_refused(refused, Instant::now(), SystemTime::now());
        Poll::Ready(self.follow(next))
    }

    fn redirect(&mut self, head: &response::Parts) -> Option<UpdateResult> {
        let Io::Attempt(attempt) = self.io.get_mut() else { return self.follow(Next::End) };
        match attempt.redirect(head) {
            Ok(is_accepted) => {
                if is_accepted {
                    self.core.handle_accepted();
                }
                None
            }
            Err(error) => self.lose(Loss::fatal(SourceErrorKind::Redirect(error))),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        let Io::Body(body) = self.io.get_mut() else {
            // The body has ended, and its unfinished event was returned.
            return Poll::Ready(self.lose(Loss::retryable(SourceErrorKind::Ended)));
        };
        match body.chunks.as_mut().poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {
                self.core.handle_silence(Instant::now);
                // The body is ready and is polled again, so this step counts as progress.
                match self.poll_timer(cx) {
                    Poll::Pending => Poll::Ready(None),
                    ready @ Poll::Ready(_) => ready,
                }
            }
            Poll::Ready(Some(Ok(chunk))) => {
                self.core.handle_bytes(chunk);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(self.lose(Loss::retryable(SourceErrorKind::Body(error))))
            }
            Poll::Ready(None) => {
                // The connection is dropped before the event is returned.
                *self.io.get_mut() = Io::None;
                let unfinished = self.core.handle_body_end();
                self.metrics.received(matches!(unfinished, Some(Ok(Update::Event(_)))));
                Poll::Ready(unfinished)
            }
            Poll::Pending => {
                self.core.handle_silence(Instant::now);
                self.poll_timer(cx)
            }
        }
    }

    /// Polls the timer for the core's deadline. Without a deadline this is pending.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        let Some(deadline) = self.core.poll_timeout() else { return Poll::Pending };
        let next = match self.timer.poll_at(deadline, cx) {
            Some(Poll::Pending) => return Poll::Pending,
            // A timer may fire up to a millisecond early. The deadline counts as reached all the
            // same: otherwise the core would ask for the same deadline again, and the timer, which
            // has fired, would be ready again at once.
            Some(Poll::Ready(())) => self.core.handle_timeout(Instant::now().max(deadline)),
            None => Some(self.core.handle_missing_timer()),
        };
        Poll::Ready(next.and_then(|next| self.follow(next)))
    }

    fn lose(&mut self, loss: Loss) -> Option<UpdateResult> {
        let next = self.core.handle_loss(loss, Instant::now());
        self.follow(next)
    }

    /// Reads the rest of the body after the last event, and ends the source.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        if let Io::Body(body) = self.io.get_mut() {
            match body.chunks.as_mut().poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) if self.core.handle_rest(&chunk, Instant::now()) => {
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let deadline = self.core.poll_timeout();
                    let fired = deadline.and_then(|deadline| self.timer.poll_at(deadline, cx));
                    // Without a timer, do not wait.
                    if fired == Some(Poll::Pending) {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(_) => {}
            }
        }
        let next = self.core.end();
        Poll::Ready(self.follow(next))
    }

    /// Does what the core has decided after a loss. Drops the connection before the loss is
    /// reported, so that an application that reacts to it finds the old connection closed.
    fn follow(&mut self, next: Next) -> Option<UpdateResult> {
        if let Io::Attempt(attempt) = self.io.get_mut() {
            attempt.span.failed();
        }
        *self.io.get_mut() = Io::None;
        match next {
            Next::Reconnect(reconnecting) => self.report(reconnecting),
            Next::Fail(error) => {
                self.close();
                Some(Err(error))
            }
            Next::End => {
                self.close();
                None
            }
        }
    }

    /// Reports and logs that the next attempt follows, unless the application wants none.
    fn report(&mut self, reconnecting: Reconnecting) -> Option<UpdateResult> {
        if let Err(next) = self.choose_request(reconnecting.attempt) {
            let next = match next {
                Some(next) => next,
                None if reconnecting.cause.is_end() => self.core.end(),
                None => self.core.fail(reconnecting.cause),
            };
            return self.follow(next);
        }
        let Reconnecting { attempt, delay, ref cause } = reconnecting;
        let is_first = !mem::replace(&mut self.has_warned, true);
        let url = WithoutQuery(&self.base_request.head.uri);
        trace::reconnecting(is_first, attempt, delay, cause, &url);
        self.metrics.reconnects();
        Some(Ok(Update::Reconnecting(reconnecting)))
    }

    /// Asks the application for the request of an attempt after the first open connection, if it has
    /// one. Returns an error if there is no other attempt: `None` if the application wants none.
    fn choose_request(&mut self, number: u64) -> Result<(), Option<Next>> {
        let last_event_id = self.core.parser.last_event_id().cloned();
        let Some(resume) = self.resume.as_mut().filter(|_| self.core.has_opened()) else {
            return Ok(());
        };
        let request = resume.get_mut()(Attempt { number, last_event_id }).ok_or(None)?;
        let request = match is_path(request.uri()) && self.needs_authority {
            true => Err(no_host()),
            false => checked(request),
        };
        self.base_request = match request {
            Ok(request) => RequestTemplate::new(request).0,
            Err(error) => return Err(Some(self.core.fail(error))),
        };
        Ok(())
    }
}

/// The error of a URI that is only a path.
pub(super) fn no_host() -> EventSourceError {
    SourceErrorKind::InvalidUri("expected an http or https URL with a host".into()).into()
}

/// Refuses a URI that no service can ever answer: the source would try it again and again.
pub(super) fn checked(mut request: Request<Bytes>) -> Result<Request<Bytes>, EventSourceError> {
    if !is_path(request.uri()) {
        let url = http_url(request.uri().clone());
        *request.uri_mut() = url.map_err(|error| SourceErrorKind::InvalidUri(error.into()))?;
    }
    Ok(request)
}

/// Closes the core if a poll panics, so that code that has panicked is not called again.
///
/// The service and the body stay where they are: they are dropped at the next poll, or with the
/// source. To drop them while the thread unwinds would abort the process if they panic again.
struct CloseOnPanic<'a> {
    driver: &'a mut Driver,
    is_armed: bool,
}

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.driver.core.handle_close();
        }
    }
}
