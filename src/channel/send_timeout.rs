//! How long a sender waits for room.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::shared::Shared;
use crate::{
    lifecycle::{AbortReason, StreamStatus},
    metrics::WaitTimer,
    timer::{LazyTimer, saturating_add},
    trace,
};

/// How long one send has waited, and how long it may wait. It costs nothing until the send waits.
#[derive(Debug, Default)]
pub(super) struct SendTimeout {
    /// Measures the wait for the metrics.
    wait_timer: WaitTimer,
    /// `Some` once the send waits and has a limit.
    limit: Option<Box<Limit>>,
}

#[derive(Debug)]
struct Limit {
    /// When the send began to wait.
    since: Instant,
    /// When the client counts as too slow, unless it takes something before.
    deadline: Instant,
    /// `None` without a runtime, or when a blocked thread keeps the time. It does not affect unwind
    /// safety.
    timer: Option<AssertUnwindSafe<Pin<Box<LazyTimer>>>>,
}

impl SendTimeout {
    /// Completes when the send has waited for as long as it may, and evicts the stream. Returns
    /// whether that ended the stream.
    pub(super) fn poll(
        &mut self,
        limit: Option<Duration>,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        self.wait(limit, shared, true, |limit| {
            let timer = limit.timer.as_mut()?;
            let fired = timer.as_mut().poll_at(limit.deadline, cx);
            if fired.is_none() {
                trace::no_runtime("send_timeout");
                limit.timer = None;
            }
            fired
        })
    }

    /// Like [`poll`](Self::poll), for a thread that keeps the time itself.
    pub(super) fn check(&mut self, limit: Option<Duration>, shared: &Shared) -> Poll<bool> {
        self.wait(limit, shared, false, |limit| {
            let is_due = limit.deadline <= Instant::now();
            Some(if is_due { Poll::Ready(()) } else { Poll::Pending })
        })
    }

    /// Returns how much longer a thread may wait, or `None` if there is no limit.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let limit = self.limit.as_ref()?;
        Some(limit.deadline.saturating_duration_since(Instant::now()))
    }

    /// Ends the wait, and returns how long it was.
    pub(super) fn take_wait_timer(&mut self) -> WaitTimer {
        std::mem::take(self).wait_timer
    }

    fn wait(
        &mut self,
        limit: Option<Duration>,
        shared: &Shared,
        with_timer: bool,
        mut fires: impl FnMut(&mut Limit) -> Option<Poll<()>>,
    ) -> Poll<bool> {
        self.wait_timer.start();
        let Some(duration) = limit else { return Poll::Pending };
        let limit = self.limit.get_or_insert_with(|| {
            let since = Instant::now();
            let timer = with_timer.then(|| AssertUnwindSafe(Box::pin(LazyTimer::default())));
            Box::new(Limit { since, deadline: saturating_add(since, duration), timer })
        });
        // The client may have taken something since the timer was set, which moves the deadline.
        while let Some(Poll::Ready(())) = fires(limit) {
            // The timer counts milliseconds, and may fire a little early.
            let now = Instant::now().max(limit.deadline);
            let deadline = shared.lock().too_slow_at(limit.since, duration);
            if deadline <= now {
                return Poll::Ready(shared.end(StreamStatus::Aborted(AbortReason::Evicted)));
            }
            limit.deadline = deadline;
        }
        Poll::Pending
    }
}
