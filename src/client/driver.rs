//! The I/O of an event source. The driver polls the service, the body and the timer, and tells the
//! [core](super::core) what happened; the core decides.

use std::{
    task::{Context, Poll, ready},
    time::SystemTime,
};

use http::{HeaderMap, Response, response};
use tokio::time::Instant;

use super::{
    attempt::{AttemptError, PendingAttempt},
    core::{Action, Core, Loss, Next, ResponseAction},
    error::{EventSourceError, SourceErrorKind},
    redirect::ReconnectTo,
    request::RequestTemplate,
    transport::{BoxFuture, Transport},
    update::{Attempt, Opened, ReadyState, Update, UpdateResult},
};
use crate::{
    exclusive::Exclusive,
    stream::{BoxChunks, StepLimit},
    timer::LazyTimer,
};

/// The application's header provider, of any type.
pub(super) type HeaderProvider = Box<dyn FnMut(Attempt) -> BoxFuture<HeaderMap> + Send>;

/// Which updates a poll returns. Errors that are items are always among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateFilter {
    /// Events only. The parser then creates nothing else.
    Events,
    /// Everything.
    All,
}

/// The I/O that belongs to the current state of the core.
enum Io {
    /// In all other states.
    None,
    /// While the core is attempting.
    Attempt(Box<PendingAttempt>),
    /// While the core is open.
    Body(BoxChunks),
}

pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) reconnect_to: ReconnectTo,
    /// `None` if the application has not set a provider, and once the source is closed.
    pub(super) provider: Option<Exclusive<HeaderProvider>>,
    /// `None` once the source is closed.
    transport: Option<Exclusive<Box<dyn Transport>>>,
    /// The request that the next attempt starts from. A redirect may change it, see
    /// [`ReconnectTo`].
    base_request: RequestTemplate,
    io: Exclusive<Io>,
    /// The timer for the core's deadline. There is one at a time.
    timer: LazyTimer,
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
            transport: Some(Exclusive::new(transport)),
            base_request,
            io: Exclusive::new(Io::None),
            timer: LazyTimer::default(),
        }
    }

    /// Closes the connection in any state. Drops the service and the header provider too.
    pub(super) fn close(&mut self) {
        // The core is closed first: a drop of the application's code may panic.
        self.core.handle_close();
        *self.io.get_mut() = Io::None;
        self.transport = None;
        self.provider = None;
    }

    /// Drops the connection and begins the next attempt at the next poll.
    pub(super) fn reconnect(&mut self) {
        self.core.handle_reconnect();
        *self.io.get_mut() = Io::None;
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
                    if update.is_some() {
                        return Poll::Ready(update);
                    }
                    ready!(self.poll_body(cx))
                }
                Action::PollAttempt => ready!(self.poll_attempt(cx)),
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
                Some(Err(_)) => return Poll::Ready(update),
                Some(_) if filter == UpdateFilter::All => return Poll::Ready(update),
                _ => {}
            }
        }
    }

    /// Begins an attempt. Returns an update if its request cannot carry the last event ID.
    fn begin(&mut self) -> Option<UpdateResult> {
        let number = self.core.handle_attempt(Instant::now());
        let mut request = self.base_request.clone();
        let last_event_id = self.core.parser.last_event_id().cloned();
        let is_sent = request.set_last_event_id(last_event_id.as_ref());
        let headers = self.provider.as_mut().map(|provider| {
            let last_event_id = last_event_id.clone().filter(|_| is_sent);
            provider.get_mut()(Attempt { number, last_event_id })
        });
        let attempt = PendingAttempt::new(request, headers, self.reconnect_to);
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
        match self.core.handle_response(&head, Instant::now(), SystemTime::now()) {
            ResponseAction::Open => Some(Ok(Update::Opened(self.open(head, body)))),
            ResponseAction::Redirect => self.redirect(&head),
            ResponseAction::Drop(next) => self.follow(next),
        }
    }

    fn open(&mut self, head: response::Parts, body: BoxChunks) -> Opened {
        if let Io::Attempt(attempt) = self.io.get_mut() {
            if let Some(request) = attempt.take_next_request() {
                self.base_request = request;
            }
        }
        self.core.handle_open(Instant::now());
        *self.io.get_mut() = Io::Body(body);
        Opened { status: head.status, headers: head.headers, attempt: self.core.attempts() }
    }

    fn redirect(&mut self, head: &response::Parts) -> Option<UpdateResult> {
        let Io::Attempt(attempt) = self.io.get_mut() else { return self.follow(Next::End) };
        let error = attempt.redirect(head).err()?;
        self.lose(Loss::fatal(SourceErrorKind::Redirect(error)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<UpdateResult>> {
        let Io::Body(body) = self.io.get_mut() else {
            return Poll::Ready(self.follow(Next::End));
        };
        match body.as_mut().poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {
                self.core.handle_silence(Instant::now);
                // The body is ready and will be polled again, so a pending timer is progress too.
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
            Poll::Ready(None) => Poll::Ready(self.lose(Loss::retryable(SourceErrorKind::Ended))),
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

    /// Does what the core has decided after a loss. Drops the connection before the loss is
    /// reported, so that an application that reacts to it finds the old connection closed.
    fn follow(&mut self, next: Next) -> Option<UpdateResult> {
        *self.io.get_mut() = Io::None;
        match next {
            Next::Reconnect(reconnecting) => Some(Ok(Update::Reconnecting(reconnecting))),
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
