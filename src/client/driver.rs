//! The thin part around the [core](super::core): it polls the service, the body and the timer, and
//! does what the core decides.
//!
//! ```text
//! Waiting ─▶ Attempting ─▶ Open ─▶ (lost) ─▶ core: Waiting | Closed
//!                 └──────────────▶ (lost)
//! ```

use std::{
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Response};
use tokio::time::Instant;

use super::{
    attempt::{self, Attempt},
    core::{Answer, Core, Loss, Next},
    error::{EventSourceError, Kind},
    request::Request,
    source::ReconnectTo,
    transport::{BoxFuture, Transport},
    update::{self, Opened, ReadyState, Reconnecting, Update},
};
use crate::{
    event::Event,
    exclusive::Exclusive,
    parse::{EventParser, EventTooLarge, Parsed},
    stream::BoxChunks,
    timer::{LazyTimer, saturating_add},
};

/// How many chunks without an event are read before others get their turn.
const CHUNKS_AT_ONCE: usize = 32;

/// The header provider, of any type.
pub(super) type Provider = Box<dyn FnMut(update::Attempt) -> BoxFuture<HeaderMap> + Send>;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Events,
    Updates,
}

/// Where the connection is.
enum State {
    /// There was never anything to connect to.
    Invalid(EventSourceError),
    /// The next attempt begins at this time; at once if there is none.
    Waiting(Option<Instant>),
    Attempting(Box<Attempt>, Option<Instant>),
    Open(BoxChunks),
    Closed,
}

pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) parser: EventParser,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) header_timeout: Option<Duration>,
    pub(super) reconnect_to: ReconnectTo,
    pub(super) provider: Option<Exclusive<Provider>>,
    /// None once it is closed.
    transport: Option<Exclusive<Box<dyn Transport>>>,
    /// What an attempt begins with.
    request: Request,
    state: Exclusive<State>,
    timer: LazyTimer,
    /// Since when the open connection is waited for without a byte.
    silent_since: Option<Instant>,
    /// Set while it is polled: whoever finds it set comes after a panic of the application's code.
    is_polled: bool,
}

type Item = Result<Update, EventSourceError>;

impl Driver {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        request: Result<Request, EventSourceError>,
    ) -> Self {
        let (request, state) = match request {
            Ok(request) => (request, State::Waiting(None)),
            Err(error) => (Request::default(), State::Invalid(error)),
        };
        Self {
            core: Core::new(),
            parser: EventParser::new(),
            idle_timeout: None,
            header_timeout: None,
            reconnect_to: ReconnectTo::Original,
            provider: None,
            transport: Some(Exclusive::new(transport)),
            request,
            state: Exclusive::new(state),
            timer: LazyTimer::default(),
            silent_since: None,
            is_polled: false,
        }
    }

    /// Closes the connection, whatever it is doing, and drops all of it.
    pub(super) fn close(&mut self) {
        self.core.handle_close();
        *self.state.get_mut() = State::Closed;
        self.transport = None;
        self.provider = None;
    }

    /// Drops the connection, and begins the next attempt at once.
    pub(super) fn reconnect(&mut self) {
        if let State::Waiting(_) | State::Attempting(..) | State::Open(_) = self.state.get_mut() {
            self.core.handle_reconnect();
            // What was read and not told yet is of the connection that is given up.
            self.parser.reset();
            *self.state.get_mut() = State::Waiting(None);
        }
    }

    pub(super) fn ready_state(&self) -> ReadyState {
        if self.is_polled { ReadyState::Closed } else { self.core.ready_state }
    }

    /// Returns the next update. Without interest in any but events, nothing else is made.
    ///
    /// It runs code of the application: service, bodies, header provider. A panic of theirs is the
    /// caller's, once; nothing that has panicked is used again.
    pub(super) fn poll(&mut self, wanted: Wanted, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if std::mem::replace(&mut self.is_polled, true) {
            self.close();
        }
        let polled = self.poll_unguarded(wanted, cx);
        self.is_polled = false;
        polled
    }

    fn poll_unguarded(&mut self, wanted: Wanted, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        for _ in 0..CHUNKS_AT_ONCE {
            let item = match self.state.get_mut() {
                State::Closed => return Poll::Ready(None),
                State::Invalid(_) => Some(Err(self.invalid())),
                &mut State::Waiting(until) => {
                    if ready!(self.poll_alarm(until, cx)) {
                        self.begin()
                    } else {
                        self.fail_without_runtime()
                    }
                }
                State::Attempting(..) => ready!(self.poll_attempt(cx)),
                State::Open(_) => ready!(self.poll_open(wanted, cx)),
            };
            match item {
                Some(Ok(Update::Event(_)) | Err(_)) => return Poll::Ready(item),
                Some(_) if wanted == Wanted::Updates => return Poll::Ready(item),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn invalid(&mut self) -> EventSourceError {
        let state = std::mem::replace(self.state.get_mut(), State::Closed);
        self.close();
        match state {
            State::Invalid(error) => error.fatal(),
            _ => EventSourceError::from(Kind::Ended).fatal(),
        }
    }

    /// Begins an attempt.
    fn begin(&mut self) -> Option<Item> {
        let now = Instant::now();
        let number = self.core.handle_attempt(now);
        self.parser.reset();
        let mut request = self.request.clone();
        let last_event_id = self.parser.last_event_id().cloned();
        let carried = request.set_last_event_id(last_event_id.as_ref());
        let headers = self.provider.as_mut().map(|provider| {
            let last_event_id = last_event_id.clone().filter(|_| carried);
            provider.get_mut()(update::Attempt { number, last_event_id })
        });
        let deadline = self.header_timeout.and_then(|timeout| now.checked_add(timeout));
        let attempt = Box::new(Attempt::new(request, headers, self.reconnect_to));
        *self.state.get_mut() = State::Attempting(attempt, deadline);
        last_event_id.filter(|_| !carried).map(|id| Ok(Update::LastEventIdOmitted(id)))
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let (State::Attempting(attempt, deadline), Some(transport)) =
            (self.state.get_mut(), &mut self.transport)
        else {
            return Poll::Ready(None);
        };
        let deadline = *deadline;
        match attempt.poll(&mut **transport.get_mut(), cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(self.answered(response)),
            Poll::Ready(Err(attempt::Failed::Headers(error))) => {
                Poll::Ready(self.lost(Loss::of(Kind::Headers(error))))
            }
            Poll::Ready(Err(attempt::Failed::Connect(error))) => {
                Poll::Ready(self.lost(Loss::of(Kind::Connect(error))))
            }
            Poll::Pending => {
                self.poll_timeout(deadline, self.header_timeout, Kind::HeaderTimeout, cx)
            }
        }
    }

    fn answered(&mut self, response: Response<BoxChunks>) -> Option<Item> {
        let State::Attempting(attempt, _) = self.state.get_mut() else { return None };
        let (head, body) = response.into_parts();
        match self.core.handle_response(&head, attempt.redirects, SystemTime::now()) {
            Answer::Redirect => {
                // The response is dropped with its body, whatever that may be.
                let followed = attempt.redirect(&head);
                followed.err().and_then(|error| self.lost(Loss::for_good(Kind::Redirect(error))))
            }
            Answer::End => {
                self.close();
                None
            }
            Answer::Lost(loss) => self.lost(loss),
            Answer::Open => {
                if let Some(next) = attempt.take_next() {
                    self.request = next;
                }
                self.silent_since = None;
                self.core.handle_open(Instant::now());
                *self.state.get_mut() = State::Open(body);
                let attempt = self.core.attempts;
                Some(Ok(Update::Opened(Opened {
                    status: head.status,
                    headers: head.headers,
                    attempt,
                })))
            }
        }
    }

    fn poll_open(&mut self, wanted: Wanted, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(item) = self.parsed(wanted) {
            return Poll::Ready(Some(item));
        }
        let State::Open(body) = self.state.get_mut() else { return Poll::Ready(None) };
        match body.as_mut().poll_chunk(cx) {
            // Nothing has come: only the time is looked at, for the body will be polled again.
            Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => match self.poll_silence(cx) {
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(lost) => Poll::Ready(lost),
            },
            Poll::Ready(Some(Ok(chunk))) => {
                self.silent_since = None;
                self.parser.push(chunk);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(self.lost(Loss::of(Kind::Body(error)))),
            Poll::Ready(None) => Poll::Ready(self.lost(Loss::of(Kind::Ended))),
            Poll::Pending => self.poll_silence(cx),
        }
    }

    /// Waits for the idle timeout, while there is no byte.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let deadline = self.idle_timeout.and_then(|time| {
            // Not since the last byte: whoever reads may have been busy for long, while bytes came
            // that have not been handed over yet.
            self.silent_since.get_or_insert_with(Instant::now).checked_add(time)
        });
        self.poll_timeout(deadline, self.idle_timeout, Kind::IdleTimeout, cx)
    }

    /// Returns what has come and was not told yet.
    fn parsed(&mut self, wanted: Wanted) -> Option<Item> {
        if wanted == Wanted::Events {
            let event = self.parser.next_event()?;
            return Some(self.dispatched(event));
        }
        loop {
            match self.parser.next_item()? {
                Ok(Parsed::Event(event)) => return Some(self.dispatched(Ok(event))),
                Ok(Parsed::Comment(text)) => return Some(Ok(Update::Comment(text))),
                Ok(Parsed::Block(block)) => return Some(Ok(Update::Block(block))),
                Ok(Parsed::Field { .. }) => {}
                Err(error) => return Some(self.dispatched(Err(error))),
            }
        }
    }

    fn dispatched(&mut self, event: Result<Event, EventTooLarge>) -> Item {
        self.core.handle_event();
        event.map(Update::Event).map_err(|error| Kind::TooLarge(error).into())
    }

    /// Asks the core what to do after a loss. The connection, or what is left of it, is dropped
    /// before anything is told.
    fn lost(&mut self, loss: Loss) -> Option<Item> {
        let now = Instant::now();
        let item = match self.core.handle_loss(loss, self.parser.reconnection_time(), now) {
            Next::Reconnect(delay, cause) => {
                // A time so far away that it cannot be told is never.
                let until = saturating_add(now, delay);
                *self.state.get_mut() = State::Waiting(Some(until));
                let attempt = self.core.attempts + 1;
                return Some(Ok(Update::Reconnecting(Reconnecting { attempt, delay, cause })));
            }
            Next::Fail(error) => Some(Err(error)),
            Next::End => None,
        };
        self.close();
        item
    }

    /// Waits for a deadline that turns what is going on into a loss.
    fn poll_timeout(
        &mut self,
        deadline: Option<Instant>,
        timeout: Option<Duration>,
        kind: fn(Duration) -> Kind,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Item>> {
        let Some(timeout) = timeout.filter(|_| deadline.is_some()) else { return Poll::Pending };
        if ready!(self.poll_alarm(deadline, cx)) {
            return Poll::Ready(self.lost(Loss::of(kind(timeout))));
        }
        Poll::Ready(self.fail_without_runtime())
    }

    /// Is ready when it is time; with `false` if there is nothing to tell the time.
    fn poll_alarm(&mut self, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(until) = until else { return Poll::Ready(true) };
        match self.timer.poll_at(until, cx) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) => Poll::Ready(true),
            None => Poll::Ready(false),
        }
    }

    fn fail_without_runtime(&mut self) -> Option<Item> {
        self.close();
        Some(Err(EventSourceError::from(Kind::NoRuntime).fatal()))
    }
}
