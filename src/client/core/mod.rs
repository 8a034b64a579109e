//! The state machine of an event source, without I/O.
//!
//! The [driver](super::driver) calls a `handle_…` method for each thing that happens. The core
//! changes its state, and [`Core::next_action`] returns the next action of the driver. Deadlines
//! follow from the state and the settings: [`Core::poll_timeout`] returns the one that applies now,
//! if any.
//!
//! ```text
//! Due ──handle_attempt──▶ Attempting ──handle_open──▶ Open
//!  ▲                          │                        │
//!  │                          └──────────┬─────────────┘
//!  │                           handle_loss, handle_timeout
//!  │                                     ▼
//!  └──────────handle_timeout────────── Waiting
//! ```
//!
//! `handle_reconnect` leads from each of these states to `Due`, `handle_close` to `Closed`. A loss
//! that is fatal leads to `Closed` as well. `Closed` is never left.

mod action;
mod backoff;

use std::{
    mem,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{StatusCode, response};
use tokio::time::Instant;

pub(super) use self::action::{Action, Loss, Next, ResponseAction};
use self::backoff::{Backoff, LostConnection};
use super::{
    error::{EventSourceError, SourceErrorKind},
    redirect::{self, RedirectError},
    retry_after::retry_after,
    update::{ReadyState, Reconnecting, Update, UpdateResult},
};
use crate::{
    event::Event,
    parse::{EventParser, EventTooLarge, Parsed},
    stream::{Unexpected, check},
    timer::saturating_add,
};

/// The life of an event source, over all of its connections.
#[derive(Debug)]
pub(super) struct Core {
    /// The policy, and the failures that it applies to.
    pub(super) backoff: Backoff,
    /// How long an attempt may take until its response head has arrived.
    pub(super) header_timeout: Option<Duration>,
    /// How long an open connection may be silent.
    pub(super) idle_timeout: Option<Duration>,
    /// The parser outlives connections, because the last event ID and the reconnection time do.
    pub(super) parser: EventParser,
    state: ConnectionState,
    /// The number of attempts that were begun.
    attempts: u64,
}

/// The state of the connection.
#[derive(Debug)]
enum ConnectionState {
    /// The request is invalid. The first poll reports this error.
    Invalid(EventSourceError),
    /// The next attempt begins at the next poll.
    Due,
    /// The next attempt begins at this time.
    Waiting(Instant),
    /// The response head has not arrived yet.
    Attempting {
        /// When the attempt began. The header timeout counts from here.
        began: Instant,
        /// The number of redirects that this attempt has followed.
        redirects: u32,
    },
    /// The response is an event stream, and its body is read.
    Open(OpenConnection),
    /// The source was closed or has failed.
    Closed,
}

/// The state of an open connection.
#[derive(Clone, Copy, Debug)]
struct OpenConnection {
    /// When the connection was opened.
    opened: Instant,
    /// Whether an event was received, including one that was too large.
    has_dispatched: bool,
    /// When the current silence began: the first poll after the last bytes that found no bytes.
    /// `None` if the body was not silent since then.
    silent_since: Option<Instant>,
}

impl Core {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(),
            header_timeout: None,
            idle_timeout: None,
            parser: EventParser::new(),
            state: ConnectionState::Due,
            attempts: 0,
        }
    }

    /// Creates a core that only reports why the request is invalid.
    pub(super) fn invalid(error: EventSourceError) -> Self {
        Self { state: ConnectionState::Invalid(error), ..Self::new() }
    }

    pub(super) fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(super) fn ready_state(&self) -> ReadyState {
        match self.state {
            ConnectionState::Open(_) => ReadyState::Open,
            ConnectionState::Closed => ReadyState::Closed,
            ConnectionState::Invalid(_)
            | ConnectionState::Due
            | ConnectionState::Waiting(_)
            | ConnectionState::Attempting { .. } => ReadyState::Connecting,
        }
    }

    /// Returns the next action of the driver. An invalid request is reported once.
    #[inline]
    pub(super) fn next_action(&mut self) -> Action {
        match self.state {
            ConnectionState::Open(_) => Action::Read,
            ConnectionState::Due => Action::Connect,
            ConnectionState::Waiting(_) => Action::Wait,
            ConnectionState::Attempting { .. } => Action::PollAttempt,
            ConnectionState::Closed => Action::End,
            ConnectionState::Invalid(_) => {
                match mem::replace(&mut self.state, ConnectionState::Closed) {
                    ConnectionState::Invalid(error) => Action::Fail(error.fatal()),
                    _ => Action::End,
                }
            }
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has to be called, if nothing else
    /// happens before. A deadline too far away to represent never comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            ConnectionState::Waiting(until) => Some(until),
            ConnectionState::Attempting { began, .. } => began.checked_add(self.header_timeout?),
            ConnectionState::Open(open) => open.silent_since?.checked_add(self.idle_timeout?),
            ConnectionState::Invalid(_) | ConnectionState::Due | ConnectionState::Closed => None,
        }
    }

    /// Handles the deadline, if it has passed. Returns `None` if the connection is not lost by it.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Next> {
        self.poll_timeout().filter(|deadline| *deadline <= now)?;
        let kind = match self.state {
            ConnectionState::Attempting { .. } => {
                SourceErrorKind::HeaderTimeout(self.header_timeout?)
            }
            ConnectionState::Open(_) => SourceErrorKind::IdleTimeout(self.idle_timeout?),
            // No other state but `Waiting` has a deadline.
            _ => {
                self.state = ConnectionState::Due;
                return None;
            }
        };
        Some(self.handle_loss(Loss::retryable(kind), now))
    }

    /// Handles a timer that cannot be created. No deadline could be kept, so the source fails.
    pub(super) fn handle_missing_timer(&mut self) -> Next {
        self.fail(SourceErrorKind::NoRuntime.into())
    }

    /// Handles the begin of an attempt, and returns its number.
    pub(super) fn handle_attempt(&mut self, now: Instant) -> u64 {
        self.attempts += 1;
        self.backoff.handle_attempt(now);
        self.parser.reset();
        self.state = ConnectionState::Attempting { began: now, redirects: 0 };
        self.attempts
    }

    /// Handles a response head. `date` is the time that a date in `Retry-After` is compared with.
    pub(super) fn handle_response(
        &mut self,
        head: &response::Parts,
        now: Instant,
        date: SystemTime,
    ) -> ResponseAction {
        if redirect::is_redirect(head.status) {
            return self.handle_redirect(now);
        }
        if head.status == StatusCode::NO_CONTENT {
            return ResponseAction::Drop(self.end());
        }
        let Err(reason) = check(head.status, &head.headers) else { return ResponseAction::Open };
        let is_fatal = match reason {
            Unexpected::Status(status) => self.backoff.policy.stops_on(status),
            Unexpected::ContentType(_) | Unexpected::Encoding(_) => true,
        };
        let loss = Loss {
            cause: SourceErrorKind::Response(reason, head.headers.clone()).into(),
            retry_after: retry_after(&head.headers, date),
            is_fatal,
        };
        ResponseAction::Drop(self.handle_loss(loss, now))
    }

    fn handle_redirect(&mut self, now: Instant) -> ResponseAction {
        match &mut self.state {
            ConnectionState::Attempting { redirects, .. } if *redirects < redirect::LIMIT => {
                *redirects += 1;
                ResponseAction::Redirect
            }
            _ => {
                let loss = Loss::fatal(SourceErrorKind::Redirect(RedirectError::TooMany));
                ResponseAction::Drop(self.handle_loss(loss, now))
            }
        }
    }

    /// Handles a connection that is open.
    pub(super) fn handle_open(&mut self, now: Instant) {
        self.backoff.handle_open();
        self.state = ConnectionState::Open(OpenConnection {
            opened: now,
            has_dispatched: false,
            silent_since: None,
        });
    }

    /// Handles bytes of the body. The chunk must not be empty.
    pub(super) fn handle_bytes(&mut self, chunk: Bytes) {
        if let ConnectionState::Open(open) = &mut self.state {
            open.silent_since = None;
        }
        self.parser.push(chunk);
    }

    /// Handles a body that was polled and has no bytes.
    ///
    /// Silence is counted from here, not from the last bytes. A reader that was busy for long may
    /// find bytes that arrived meanwhile, and must not take the connection for dead. The clock is
    /// read only if there is an idle timeout.
    pub(super) fn handle_silence(&mut self, now: impl FnOnce() -> Instant) {
        if self.idle_timeout.is_none() {
            return;
        }
        if let ConnectionState::Open(open) = &mut self.state {
            open.silent_since.get_or_insert_with(now);
        }
    }

    /// Returns the next event of the bytes that were handled, or `None` if more are needed.
    #[inline]
    pub(super) fn next_event(&mut self) -> Option<UpdateResult> {
        let event = self.parser.next_event()?;
        Some(self.handle_event(event))
    }

    /// Returns the next update of the bytes that were handled, or `None` if more are needed.
    pub(super) fn next_update(&mut self) -> Option<UpdateResult> {
        loop {
            match self.parser.next_item()? {
                Ok(Parsed::Event(event)) => return Some(self.handle_event(Ok(event))),
                Ok(Parsed::Comment(text)) => return Some(Ok(Update::Comment(text))),
                Ok(Parsed::Block(block)) => return Some(Ok(Update::Block(block))),
                Ok(Parsed::Field { .. }) => {}
                Err(error) => return Some(self.handle_event(Err(error))),
            }
        }
    }

    #[inline]
    fn handle_event(&mut self, event: Result<Event, EventTooLarge>) -> UpdateResult {
        if let ConnectionState::Open(open) = &mut self.state {
            open.has_dispatched = true;
        }
        event.map(Update::Event).map_err(|error| SourceErrorKind::TooLarge(error).into())
    }

    /// Handles a connection that was lost or could not be opened.
    pub(super) fn handle_loss(&mut self, loss: Loss, now: Instant) -> Next {
        let open = match self.state {
            ConnectionState::Open(open) => Some(open),
            _ => None,
        };
        if loss.is_fatal {
            return self.fail(loss.cause);
        }
        let ended_well = open.is_some() && loss.cause.is_end();
        if !self.backoff.policy.reconnects {
            return if ended_well { self.end() } else { self.fail(loss.cause) };
        }
        let reconnection_time = self.parser.reconnection_time();
        let server_delays = (reconnection_time, loss.retry_after);
        let delay = match open {
            Some(OpenConnection { opened, has_dispatched, .. }) => {
                let lasted = now.duration_since(opened);
                let lost = LostConnection { lasted, has_dispatched, ended_well };
                self.backoff.handle_loss(lost, server_delays, now)
            }
            None => self.backoff.handle_failure(server_delays, now),
        };
        let Some(delay) = delay else {
            let failures = self.backoff.failures();
            return self.fail(SourceErrorKind::GaveUp(failures, loss.cause).into());
        };
        self.state = ConnectionState::Waiting(saturating_add(now, delay));
        Next::Reconnect(Reconnecting { attempt: self.attempts + 1, delay, cause: loss.cause })
    }

    /// Handles a request of the application to connect again at once. A source that has ended, or
    /// whose request is invalid, stays as it is.
    pub(super) fn handle_reconnect(&mut self) {
        if matches!(self.state, ConnectionState::Invalid(_) | ConnectionState::Closed) {
            return;
        }
        self.state = ConnectionState::Due;
        self.backoff.handle_reconnect();
        // Bytes that were received and not returned as events belong to the old connection. The
        // last event ID is from before them, so the server sends them again.
        self.parser.reset();
    }

    pub(super) fn handle_close(&mut self) {
        self.state = ConnectionState::Closed;
    }

    fn fail(&mut self, error: EventSourceError) -> Next {
        self.handle_close();
        Next::Fail(error.fatal())
    }

    fn end(&mut self) -> Next {
        self.handle_close();
        Next::End
    }
}

#[cfg(test)]
mod tests;
