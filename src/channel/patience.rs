//! How long a sender waits for room.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ending::{Cut, Status},
    state::Shared,
};
use crate::{
    metrics::WaitTimer,
    timer::{LazyTimer, saturating_add},
    trace,
};

/// How long one send has waited, and may wait. It costs nothing until it waits.
#[derive(Debug, Default)]
pub(super) struct Patience {
    wait_timer: WaitTimer,
    timer: Option<Box<Timer>>,
}

#[derive(Debug)]
struct Timer {
    since: Instant,
    deadline: Instant,
    /// None where there is no runtime to keep the time, or a thread does. Whether a sender may be
    /// used after a panic does not depend on it.
    sleep: Option<AssertUnwindSafe<Pin<Box<LazyTimer>>>>,
}

impl Patience {
    /// Is ready when the send has waited for as long as it may, and evicts the stream then. Returns
    /// whether that was what ended it.
    pub(super) fn poll(
        &mut self,
        limit: Option<Duration>,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        self.wait(limit, shared, true, |timer| {
            let sleep = timer.sleep.as_mut()?;
            let fired = sleep.as_mut().poll_at(timer.deadline, cx);
            if fired.is_none() {
                trace::no_runtime("send_timeout");
                timer.sleep = None;
            }
            fired
        })
    }

    /// As [`poll`](Self::poll), for a thread that keeps the time by itself.
    pub(super) fn check(&mut self, limit: Option<Duration>, shared: &Shared) -> Poll<bool> {
        self.wait(limit, shared, false, |timer| {
            let is_due = timer.deadline <= Instant::now();
            Some(if is_due { Poll::Ready(()) } else { Poll::Pending })
        })
    }

    /// Returns how much longer a thread waits at the most.
    pub(super) fn left(&self) -> Option<Duration> {
        let timer = self.timer.as_ref()?;
        Some(timer.deadline.saturating_duration_since(Instant::now()))
    }

    /// Ends the waiting, and returns how long it was.
    pub(super) fn take_wait_timer(&mut self) -> WaitTimer {
        std::mem::take(self).wait_timer
    }

    fn wait(
        &mut self,
        limit: Option<Duration>,
        shared: &Shared,
        with_timer: bool,
        mut rings: impl FnMut(&mut Timer) -> Option<Poll<()>>,
    ) -> Poll<bool> {
        self.wait_timer.start();
        let Some(limit) = limit else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| {
            let since = Instant::now();
            let sleep = with_timer.then(|| AssertUnwindSafe(Box::pin(LazyTimer::default())));
            Box::new(Timer { since, deadline: saturating_add(since, limit), sleep })
        });
        while let Some(Poll::Ready(())) = rings(timer) {
            // The sleep's clock counts milliseconds, and may be a little ahead.
            let now = Instant::now().max(timer.deadline);
            let deadline = shared.lock().too_slow_at(timer.since, limit);
            if deadline <= now {
                return Poll::Ready(shared.end(Status::Cut(Cut::Evicted)));
            }
            timer.deadline = deadline;
        }
        Poll::Pending
    }
}
