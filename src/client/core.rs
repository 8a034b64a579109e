//! What an event source decides, without I/O: whether a response is to be read, and when the next
//! attempt is made, if there is one.

use std::time::{Duration, SystemTime};

use http::{StatusCode, response};
use tokio::time::Instant;

use super::{
    error::{EventSourceError, Kind},
    policy::{After, GROWS_FROM, Reconnection},
    redirect,
    retry_after::retry_after,
    update::ReadyState,
};
use crate::stream::{Unexpected, check};

/// The state between attempts.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) policy: Reconnection,
    pub(super) ready_state: ReadyState,
    /// How many attempts were begun.
    pub(super) attempts: u64,
    /// How many times the delay has grown.
    growth: u32,
    /// The delay before the last attempt.
    delay: Duration,
    /// How many attempts have failed since a connection was open.
    failures: u32,
    /// When the connection was opened that is open or was last.
    opened: Option<Instant>,
    /// Whether that connection has given an event.
    has_dispatched: bool,
    /// Since when there is no connection.
    lost: Option<Instant>,
    random: fastrand::Rng,
}

/// What to do with a response.
#[derive(Debug)]
pub(super) enum Answer {
    Open,
    /// The server wants no further request.
    End,
    Redirect,
    /// It is no event stream, and is to be handled as a loss.
    Lost(Loss),
}

/// A connection that was lost or not opened, and whether it is worth another attempt.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) cause: EventSourceError,
    pub(super) retry_after: Option<Duration>,
    pub(super) is_final: bool,
}

/// What to do after a loss.
#[derive(Debug)]
pub(super) enum Next {
    Reconnect(Duration, EventSourceError),
    Fail(EventSourceError),
    End,
}

impl Loss {
    pub(super) fn of(kind: Kind) -> Self {
        Self { cause: kind.into(), retry_after: None, is_final: false }
    }

    pub(super) fn for_good(kind: Kind) -> Self {
        Self { is_final: true, ..Self::of(kind) }
    }
}

impl Core {
    pub(super) fn new() -> Self {
        Self {
            policy: Reconnection::resilient(),
            ready_state: ReadyState::Connecting,
            attempts: 0,
            growth: 0,
            delay: Duration::ZERO,
            failures: 0,
            opened: None,
            has_dispatched: false,
            lost: None,
            random: fastrand::Rng::new(),
        }
    }

    /// An attempt begins. Returns its number.
    pub(super) fn handle_attempt(&mut self, now: Instant) -> u64 {
        self.attempts += 1;
        self.lost.get_or_insert(now);
        self.attempts
    }

    /// A response has come, after so many redirects.
    pub(super) fn handle_response(
        &self,
        head: &response::Parts,
        redirects: u32,
        now: SystemTime,
    ) -> Answer {
        if redirect::is_redirect(head.status) {
            if redirects >= redirect::LIMIT {
                return Answer::Lost(Loss::for_good(Kind::Redirect(
                    redirect::RedirectError::TooMany,
                )));
            }
            return Answer::Redirect;
        }
        if head.status == StatusCode::NO_CONTENT {
            return Answer::End;
        }
        let Err(reason) = check(head.status, &head.headers) else { return Answer::Open };
        let is_final = match reason {
            Unexpected::Status(status) => self.policy.stops_on(status),
            Unexpected::ContentType(_) | Unexpected::Encoding(_) => true,
        };
        Answer::Lost(Loss {
            cause: Kind::Response(reason, head.headers.clone()).into(),
            retry_after: retry_after(&head.headers, now),
            is_final,
        })
    }

    /// The connection is open.
    pub(super) fn handle_open(&mut self, now: Instant) {
        self.ready_state = ReadyState::Open;
        self.failures = 0;
        self.opened = Some(now);
        self.has_dispatched = false;
        self.lost = None;
    }

    /// An event has come.
    pub(super) fn handle_event(&mut self) {
        self.has_dispatched = true;
    }

    /// The connection was lost, or not opened; the server has told this reconnection time.
    pub(super) fn handle_loss(
        &mut self,
        loss: Loss,
        reconnection_time: Option<Duration>,
        now: Instant,
    ) -> Next {
        let was_open = self.ready_state == ReadyState::Open;
        self.ready_state = ReadyState::Connecting;
        if loss.is_final {
            return Next::Fail(loss.cause.fatal());
        }
        let ended_well = was_open && loss.cause.is_end();
        if self.policy.after == After::Nothing {
            return if ended_well { Next::End } else { Next::Fail(loss.cause.fatal()) };
        }
        let lost = *self.lost.get_or_insert(now);
        if was_open && self.was_healthy(ended_well, now) {
            self.growth = 0;
        }
        self.failures += u32::from(!was_open);
        let (least, most) = self.policy.envelope(self.growth, reconnection_time, loss.retry_after);
        let delay = self.draw(least, most);
        self.delay = delay;
        if !(ended_well && self.has_dispatched) {
            self.growth = self.growth.saturating_add(1);
        }
        let too_many = self.policy.attempts.is_some_and(|most| self.failures >= most.max(1));
        let waited = now.duration_since(lost).saturating_add(delay);
        if too_many || self.policy.give_up_after.is_some_and(|deadline| waited > deadline) {
            return Next::Fail(
                EventSourceError::from(Kind::GaveUp(self.failures, loss.cause)).fatal(),
            );
        }
        Next::Reconnect(delay, loss.cause)
    }

    /// Whether the connection that is lost did what it was for, so that the delay starts again.
    fn was_healthy(&self, ended_well: bool, now: Instant) -> bool {
        let lasted = self.opened.map_or(Duration::ZERO, |opened| now.duration_since(opened));
        // After no delay it takes some time all the same: a server that gives an event and breaks
        // must not be asked without a pause.
        let pays_off = lasted > self.delay.max(GROWS_FROM);
        lasted >= self.policy.reset_after || self.has_dispatched && (ended_well || pays_off)
    }

    /// The connection is made again because someone wants so, not because it was lost.
    pub(super) fn handle_reconnect(&mut self) {
        self.ready_state = ReadyState::Connecting;
        self.growth = 0;
        self.delay = Duration::ZERO;
    }

    pub(super) fn handle_close(&mut self) {
        self.ready_state = ReadyState::Closed;
    }

    fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        let width = u64::try_from((most - least).as_nanos()).unwrap_or(u64::MAX);
        least.saturating_add(Duration::from_nanos(self.random.u64(0..=width)))
    }
}
