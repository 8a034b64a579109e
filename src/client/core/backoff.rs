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
    /// The number of attempts that failed since a connection was last open.
    failures: u32,
    /// The number of times the delay has grown since it last started from the base.
    growth: u32,
    /// The delay before the last attempt.
    delay: Duration,
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
            disconnected_since: None,
        }
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn handle_attempt(&mut self, now: Instant) {
        self.disconnected_since.get_or_insert(now);
    }

    pub(super) fn handle_open(&mut self) {
        self.failures = 0;
        self.disconnected_since = None;
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
        self.draw_delay(server_delays);
        self.growth = self.growth.saturating_add(1);
        self.delay_unless_given_up(now)
    }

    /// Handles the loss of an open connection. Returns the delay before the next attempt, or `None`
    /// to give up.
    pub(super) fn handle_loss(
        &mut self,
        lost: LostConnection,
        server_delays: ServerDelays,
        now: Instant,
    ) -> Option<Duration> {
        if self.was_healthy(lost) {
            self.growth = 0;
        }
        self.draw_delay(server_delays);
        // A stream that ends well after an event is no failure, so the delay does not grow.
        if !(lost.ended_well && lost.has_dispatched) {
            self.growth = self.growth.saturating_add(1);
        }
        self.delay_unless_given_up(now)
    }

    /// Returns whether the lost connection was worth the delay before it, so that the delay starts
    /// from the base again.
    fn was_healthy(&self, lost: LostConnection) -> bool {
        // Without a delay a connection still has to last for a while: a server that sends one event
        // and disconnects must not be asked again without a pause.
        let outlasted_delay = lost.lasted > self.delay.max(GROWS_FROM);
        lost.lasted >= self.policy.reset_after
            || lost.has_dispatched && (lost.ended_well || outlasted_delay)
    }

    fn draw_delay(&mut self, (reconnection_time, retry_after): ServerDelays) {
        let range = self.policy.delay_range(self.growth, reconnection_time, retry_after);
        self.delay = DelayRange::from(range).draw();
    }

    fn delay_unless_given_up(&mut self, now: Instant) -> Option<Duration> {
        let disconnected_since = *self.disconnected_since.get_or_insert(now);
        let waited = now.duration_since(disconnected_since).saturating_add(self.delay);
        (!self.policy.gives_up(self.failures, waited)).then_some(self.delay)
    }
}
