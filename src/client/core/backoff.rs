//! How long to wait after a loss, and when to give up.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    client::policy::{GROWS_FROM, Reconnection},
    delay_range::DelayRange,
};

/// Counts failures over connections, and applies the policy to them.
#[derive(Debug)]
pub(in crate::client) struct Backoff {
    pub(in crate::client) policy: Reconnection,
    /// The number of attempts in a row that gave no event.
    failures: u32,
    /// The number of times the delay has grown since it last started from the base.
    growth: u32,
    /// The delay before the last attempt.
    delay: Duration,
    /// How long there was no connection since the last event, without the time since
    /// `disconnected_since`.
    disconnected: Duration,
    /// When the last connection was lost, or when the first attempt began. `None` while a
    /// connection is open.
    disconnected_since: Option<Instant>,
}

/// A connection that was open and is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostConnection {
    /// How long it was open.
    pub(super) lasted: Duration,
    /// Whether an event was received.
    pub(super) has_dispatched: bool,
    /// Whether the body ended without an error.
    pub(super) ended_well: bool,
}

/// The reconnection time and the `Retry-After` that the server has sent.
pub(super) type ServerDelays = (Option<Duration>, Option<Duration>);

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            policy: Reconnection::resilient(),
            failures: 0,
            growth: 0,
            delay: Duration::ZERO,
            disconnected: Duration::ZERO,
            disconnected_since: None,
        }
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn handle_attempt(&mut self, now: Instant) {
        self.disconnected_since.get_or_insert(now);
    }

    pub(super) fn handle_open(&mut self, now: Instant) {
        self.disconnected = self.disconnected_by(now);
        self.disconnected_since = None;
    }

    /// Handles the first event of a connection: from here on, the limits of the policy count anew.
    pub(super) fn handle_event(&mut self) {
        self.failures = 0;
        self.disconnected = Duration::ZERO;
    }

    /// Handles a request of the application to connect again: the delay starts from the base.
    pub(super) fn handle_reconnect(&mut self) {
        self.growth = 0;
        self.delay = Duration::ZERO;
    }

    /// Handles an attempt that failed. Returns the delay before the next one, or `None` to give up.
    pub(super) fn handle_failure(
        &mut self,
        server_delays: ServerDelays,
        now: Instant,
    ) -> Option<Duration> {
        self.failures += 1;
        self.draw_delay(server_delays, now);
        self.growth = self.growth.saturating_add(1);
        self.delay_unless_given_up(server_delays, now)
    }

    /// Handles the loss of an open connection. Returns the delay before the next attempt, or `None`
    /// to give up.
    pub(super) fn handle_loss(
        &mut self,
        lost: LostConnection,
        server_delays: ServerDelays,
        now: Instant,
    ) -> Option<Duration> {
        if !lost.has_dispatched {
            self.failures += 1;
        }
        // A stream that ends well after an event is no failure, so the delay does not grow.
        let is_answer = lost.ended_well && lost.has_dispatched;
        // Without a delay a connection still has to last for a while: a server that disconnects at
        // once must not be asked again without a pause. A connection that has lasted longer than
        // its delay bounds the rate of attempts by itself.
        if is_answer || lost.lasted > self.delay.max(GROWS_FROM) {
            self.growth = 0;
        }
        self.draw_delay(server_delays, now);
        if !is_answer {
            self.growth = self.growth.saturating_add(1);
        }
        self.delay_unless_given_up(server_delays, now)
    }

    fn draw_delay(&mut self, (reconnection_time, retry_after): ServerDelays, now: Instant) {
        let range = self.policy.delay_range(self.growth, reconnection_time, retry_after);
        let min = *range.start();
        // Jitter alone must not be a reason to give up.
        let left = self.policy.give_up_after.unwrap_or(Duration::MAX);
        let left = left.saturating_sub(self.disconnected_by(now));
        self.delay = DelayRange::from(range).draw().min(left.max(min));
    }

    fn delay_unless_given_up(
        &mut self,
        (_, retry_after): ServerDelays,
        now: Instant,
    ) -> Option<Duration> {
        self.disconnected_since.get_or_insert(now);
        let waited = self.disconnected_by(now).saturating_add(self.delay);
        (!self.policy.gives_up(self.failures, waited, retry_after)).then_some(self.delay)
    }

    /// Returns how long there was no connection since the last event.
    fn disconnected_by(&self, now: Instant) -> Duration {
        let current = self.disconnected_since.map(|since| now.duration_since(since));
        self.disconnected.saturating_add(current.unwrap_or_default())
    }
}
