//! The state machine of an event source, without I/O.
//!
//! The [driver](super::driver) calls a `handle_…` method for each thing that happens. The core
//! changes its state, and [`Core::next_action`] returns the next action of the driver. Deadlines
//! follow from the state and the settings: [`Core::poll_timeout`] returns the one that applies now,
//! if any.
//!
//! ```text
//! Due ──handle_attempt──▶ Attempting ──handle_open──▶ Open ──last event──▶ Draining ──▶ Closed
//!  ▲                       │    │                      │
//!  │         handle_refusal     │                      │
//!  │                       ▼    │                      │
//!  │                   Refused  │                      │
//!  │                       └────┴──────┬───────────────┘
//!  │               handle_refused, handle_loss, handle_timeout
//!  │                                   ▼
//!  └─────────handle_timeout───────── Waiting
//! ```
//!
//! `handle_reconnect` leads from each of these states to `Due`, except from `Draining` and `Closed`.
//! `handle_close` leads to `Closed`. A loss that is fatal leads to `Closed` as well. `Closed` is never left.

mod action;
mod backoff;

use std::{
    mem,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, response};
use tokio::time::Instant;

pub(super) use self::action::{Action, Loss, Next, ResponseAction};
use self::backoff::{Backoff, LostConnection};
use super::{
    error::{EventSourceError, GaveUp, SourceErrorKind},
    policy::Retries,
    redirect::{self, RedirectError},
    refused::RefusedResponse,
    update::{ReadyState, Reconnecting, Update, UpdateResult},
};
use crate::{
    event::Event,
    parse::{EventParser, EventTooLarge, Parsed},
    stream::{Drain, EndMatch, EndRule, check},
    timer::saturating_add,
};

/// How long an attempt may take until its response head has arrived, by default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the body of a refused response is read, if the header timeout is not earlier.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Decides about a content type other than `text/event-stream`.
type AcceptContentType = Box<dyn Fn(Option<&HeaderValue>) -> bool + Send + Sync>;

/// The life of an event source, over all of its connections.
pub(super) struct Core {
    /// The policy, and the failures that it applies to.
    pub(super) backoff: Backoff,
    /// How long an attempt may take until its response head has arrived.
    pub(super) header_timeout: Option<Duration>,
    /// How long an open connection may be silent.
    pub(super) idle_timeout: Option<Duration>,
    /// The parser outlives connections, because the last event ID and the reconnection time do.
    pub(super) parser: EventParser,
    /// `None` if no other content type is accepted.
    pub(super) accept_content_type: Option<AcceptContentType>,
    pub(super) end_rule: EndRule,
    /// Whether the unfinished event at the end of a body is returned.
    pub(super) with_unfinished: bool,
    /// Whether the application has another request for attempts after a connection was open.
    pub(super) resumes: bool,
    state: ConnectionState,
    /// The number of attempts that were begun.
    attempts: u64,
    progress: Progress,
    /// Whether the server has answered the request of this attempt by a redirect to a page about its
    /// result: the next request is a GET.
    is_accepted: bool,
}

/// How far the source has come, over all of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// No connection was open.
    None,
    /// A connection was open.
    Opened,
    /// An event was received.
    Event,
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
    /// The response is not an event stream, and the start of its body is read until this time.
    Refused(Instant),
    /// The response is an event stream, and its body is read.
    Open(OpenConnection),
    /// The last event was received, and the rest of the body is read within these limits.
    Draining(Drain),
    /// The source was closed or has failed.
    Closed,
}

/// The state of an open connection.
#[derive(Clone, Copy, Debug)]
struct OpenConnection {
    /// When the connection was opened.
    opened: Instant,
    /// Whether an event was received. One that was too large does not count.
    has_dispatched: bool,
    /// When the current silence began: the first poll that found no bytes.
    /// `None` if bytes have arrived since then.
    silent_since: Option<Instant>,
}

impl Core {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(),
            header_timeout: Some(HEADER_TIMEOUT),
            idle_timeout: None,
            parser: EventParser::new(),
            accept_content_type: None,
            end_rule: EndRule::default(),
            with_unfinished: false,
            resumes: false,
            state: ConnectionState::Due,
            attempts: 0,
            progress: Progress::None,
            is_accepted: false,
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
            ConnectionState::Draining(_) | ConnectionState::Closed => ReadyState::Closed,
            ConnectionState::Invalid(_)
            | ConnectionState::Due
            | ConnectionState::Waiting(_)
            | ConnectionState::Attempting { .. }
            | ConnectionState::Refused(_) => ReadyState::Connecting,
        }
    }

    /// Returns whether a connection was open before.
    pub(super) fn has_opened(&self) -> bool {
        self.progress >= Progress::Opened
    }

    /// Returns the number of redirects that the attempt has followed.
    pub(super) fn redirects(&self) -> u32 {
        match self.state {
            ConnectionState::Attempting { redirects, .. } => redirects,
            _ => 0,
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
            ConnectionState::Refused(_) => Action::PollRefusal,
            ConnectionState::Draining(_) => Action::Drain,
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
    /// happens first. A deadline too far away to represent never comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            ConnectionState::Waiting(until) | ConnectionState::Refused(until) => Some(until),
            ConnectionState::Draining(drain) => Some(drain.deadline),
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
            ConnectionState::Waiting(_) => {
                self.state = ConnectionState::Due;
                return None;
            }
            // The driver ends the other states with a deadline.
            _ => return None,
        };
        Some(self.handle_loss(Loss::retryable(kind), now))
    }

    /// Handles a timer that cannot be created. No deadline could be kept, so the source fails.
    pub(super) fn handle_missing_timer(&mut self) -> Next {
        self.fail(SourceErrorKind::NoRuntime.into())
    }

    /// Handles the start of an attempt, and returns its number.
    pub(super) fn handle_attempt(&mut self, now: Instant) -> u64 {
        self.attempts += 1;
        self.backoff.handle_attempt(now);
        self.is_accepted = false;
        self.parser.reset();
        self.state = ConnectionState::Attempting { began: now, redirects: 0 };
        self.attempts
    }

    /// Handles a response head.
    pub(super) fn handle_response(
        &mut self,
        head: &response::Parts,
        now: Instant,
    ) -> ResponseAction {
        if redirect::is_redirect(head.status) {
            return self.handle_redirect(now);
        }
        if head.status == StatusCode::NO_CONTENT {
            return ResponseAction::Drop(self.end());
        }
        let accepts = |content_type: Option<&HeaderValue>| {
            self.accept_content_type.as_ref().is_some_and(|accepts| accepts(content_type))
        };
        match check(head.status, &head.headers, accepts) {
            Ok(()) => ResponseAction::Open,
            Err(reason) => ResponseAction::Refuse(reason),
        }
    }

    /// Handles the start of the body of a refused response, which is read until the deadline.
    pub(super) fn handle_refusal(&mut self, now: Instant) {
        let limit = saturating_add(now, REFUSAL_TIMEOUT);
        let deadline = self.poll_timeout().map_or(limit, |deadline| deadline.min(limit));
        self.state = ConnectionState::Refused(deadline);
    }

    /// Handles a refused response whose body was read. `date` is the time that a date in
    /// `Retry-After` is compared with.
    pub(super) fn handle_refused(
        &mut self,
        refused: RefusedResponse,
        now: Instant,
        date: SystemTime,
    ) -> Next {
        // A content type or an encoding that is not accepted would not be accepted next time.
        let is_fatal = !refused.has_unexpected_status() || self.backoff.policy.stops_on(&refused);
        let retry_after = refused.retry_after_at(date);
        let cause = SourceErrorKind::Refused(Box::new(refused)).into();
        self.handle_loss(Loss { cause, retry_after, is_fatal }, now)
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

    /// Handles a redirect after which a request with another method is sent: the server has taken the
    /// first one.
    pub(super) fn handle_accepted(&mut self) {
        self.is_accepted = true;
    }

    /// Handles a connection that is open.
    pub(super) fn handle_open(&mut self, now: Instant) {
        self.backoff.handle_open(now);
        self.progress = self.progress.max(Progress::Opened);
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

    /// Returns the next event of the bytes that were handled. `None` if more bytes are needed, and
    /// after a last event that is not returned.
    #[inline]
    pub(super) fn next_event(&mut self) -> Option<UpdateResult> {
        let event = self.parser.next_event()?;
        self.handle_event(event)
    }

    /// Returns the next update of the bytes that were handled. `None` if more bytes are needed, and
    /// after a last event that is not returned.
    pub(super) fn next_update(&mut self) -> Option<UpdateResult> {
        loop {
            match self.parser.next_item()? {
                Ok(Parsed::Event(event)) => return self.handle_event(Ok(event)),
                Ok(Parsed::Comment(text)) => return Some(Ok(Update::Comment(text))),
                Ok(Parsed::Block(block)) => return Some(Ok(Update::Block(block))),
                Ok(Parsed::Field { .. }) => {}
                Err(error) => return self.handle_event(Err(error)),
            }
        }
    }

    /// Handles the end of a body. Returns the unfinished event, if the application wants it. A last
    /// event is returned only if the source is inclusive.
    pub(super) fn handle_body_end(&mut self) -> Option<UpdateResult> {
        if !self.with_unfinished {
            return None;
        }
        let event = self.parser.unfinished()?;
        self.parser.reset();
        self.handle_event(Ok(event))
    }

    #[inline]
    fn handle_event(&mut self, event: Result<Event, EventTooLarge>) -> Option<UpdateResult> {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                // The server has answered, but the limits of the policy go on.
                self.progress = Progress::Event;
                return Some(Err(SourceErrorKind::TooLarge(error).into()));
            }
        };
        if let ConnectionState::Open(open) = &mut self.state {
            if !open.has_dispatched {
                open.has_dispatched = true;
                self.progress = Progress::Event;
                self.backoff.handle_event();
            }
        }
        let end = self.end_rule.check(&event);
        if end != EndMatch::NotLast {
            self.state = ConnectionState::Draining(Drain::new(Instant::now()));
        }
        (end != EndMatch::Omitted).then_some(Ok(Update::Event(event)))
    }

    /// Handles a chunk of the body after the last event. Returns whether more may be read.
    pub(super) fn handle_rest(&mut self, chunk: &Bytes, now: Instant) -> bool {
        match &mut self.state {
            ConnectionState::Draining(drain) => drain.handle_chunk(chunk) && now < drain.deadline,
            _ => false,
        }
    }

    /// Handles a connection that was lost or could not be opened.
    pub(super) fn handle_loss(&mut self, loss: Loss, now: Instant) -> Next {
        let open = match self.state {
            ConnectionState::Open(open) => Some(open),
            _ => None,
        };
        let is_certificate =
            self.backoff.policy.stops_on_certificate && loss.cause.is_certificate();
        if loss.is_fatal || is_certificate {
            return self.fail(loss.cause);
        }
        let ended_well = open.is_some() && loss.cause.is_end();
        if !self.is_retried(&loss.cause) {
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
            let gave_up = GaveUp { failures, retry_after: loss.retry_after, last: loss.cause };
            return self.fail(SourceErrorKind::GaveUp(gave_up).into());
        };
        self.state = ConnectionState::Waiting(saturating_add(now, delay));
        Next::Reconnect(Reconnecting { attempt: self.attempts + 1, delay, cause: loss.cause })
    }

    /// Returns whether the policy allows another attempt after this loss.
    fn is_retried(&self, cause: &EventSourceError) -> bool {
        // A request of `reconnect_with` is not bound by the limits of the first one.
        let resumes = self.resumes && self.has_opened();
        match self.backoff.policy.retries {
            Retries::Never => false,
            _ if resumes => true,
            Retries::UntilOpened => !self.has_opened() && !self.may_be_done(cause),
            Retries::UntilEvent => self.progress < Progress::Event && !self.may_be_done(cause),
            Retries::Always => true,
        }
    }

    /// Returns whether the server may have done the work of the request.
    fn may_be_done(&self, cause: &EventSourceError) -> bool {
        self.is_accepted || cause.may_be_answered()
    }

    /// Handles a request of the application to connect again at once. A source that has ended, or
    /// whose request is invalid, stays as it is.
    pub(super) fn handle_reconnect(&mut self) {
        if matches!(
            self.state,
            ConnectionState::Invalid(_) | ConnectionState::Draining(_) | ConnectionState::Closed
        ) {
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

    pub(super) fn fail(&mut self, error: EventSourceError) -> Next {
        self.handle_close();
        Next::Fail(error.fatal())
    }

    /// Ends the source without a failure. It is an error if the last event is missing.
    pub(super) fn end(&mut self) -> Next {
        if self.end_rule.is_missing() {
            return self.fail(SourceErrorKind::Incomplete.into());
        }
        self.handle_close();
        Next::End
    }
}

#[cfg(test)]
mod tests;
