//! How much goes out at a time: the byte budget of a turn, and the batch window.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::timers::Timers;
use crate::{
    channel::{MAX_SEGMENT, Segment},
    timer::saturating_add,
};

/// How many bytes are yielded before the body returns `Pending` once. Servers gather all ready
/// frames before they write, and larger batches no longer fit the CPU cache.
const BUDGET: usize = MAX_SEGMENT;

/// Limits the bytes that a body yields before it is pending again, and holds events back within a
/// batch window.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// The bytes that were yielded since the body was last pending.
    since_pending: usize,
    /// Until when events are held back, so that they go out together with later ones.
    held_until: Option<Instant>,
}

impl Pacing {
    /// Returns whether the server must write before anything else goes out.
    pub(super) fn is_exhausted(&self) -> bool {
        self.since_pending >= BUDGET
    }

    /// Returns whether bytes were yielded since the body was last pending.
    pub(super) fn has_yielded(&self) -> bool {
        self.since_pending > 0
    }

    /// Returns how many bytes may go out before the server must write.
    pub(super) fn remaining(&self) -> usize {
        BUDGET.saturating_sub(self.since_pending)
    }

    /// Returns whether a segment waits for the next turn. Events that are joined are counted
    /// together, so only a single large event is ever cut.
    pub(super) fn must_wait(&self, segment: &Segment) -> bool {
        segment.bytes.len() > self.remaining() && segment.events > 1 && self.has_yielded()
    }

    /// Records that bytes were yielded, and opens the batch window that they begin, if any.
    pub(super) fn yielded(&mut self, len: usize, window: Option<(Duration, Instant)>) {
        self.since_pending += len;
        if let Some((window, now)) = window {
            self.held_until = Some(saturating_add(now, window));
        }
    }

    /// Returns whether events are held back now. Without a timer nothing would release them.
    pub(super) fn is_held(&mut self, timers: &Timers) -> bool {
        let Some(until) = self.held_until else { return false };
        let is_held = timers.last_yield().is_some() && Instant::now() < until;
        if !is_held {
            self.held_until = None;
        }
        is_held
    }

    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Ends the batch window.
    pub(super) fn release(&mut self) {
        self.held_until = None;
    }

    /// Starts a new turn.
    pub(super) fn reset(&mut self) {
        self.since_pending = 0;
    }

    /// Is pending once and wakes the task, so that the server writes before the next poll.
    pub(super) fn yield_now<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.reset();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
