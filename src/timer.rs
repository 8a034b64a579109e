//! A timer that is created when a stream first waits, so that an event never touches it.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use crate::catch_panic::catch_panic;

/// A timer never fires as much as this before the clock reaches its deadline. Closer to the
/// deadline than this, the timer is always polled.
const EARLY_MARGIN: Duration = Duration::from_millis(10);

/// A timer that is created at its first use, and set again only for an earlier deadline.
///
/// If the deadline has moved away since it was set, it fires too early, and is then set for the
/// rest of the time.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer {
    /// The deadline and the waker that the timer was set for when `poll_at` last returned pending.
    armed: Option<Armed>,
    /// Boxed, because it is large and most streams are not waiting for time. `None` until the first
    /// use.
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Armed {
    /// When the timer fires.
    at: Instant,
    /// The waker that the timer wakes.
    waker: Waker,
}

impl LazyTimer {
    /// Returns whether the timer is already set for this deadline or an earlier one, with this
    /// waker, and has not fired by `now`. Then there is no need to poll it.
    pub(crate) fn is_set(&self, deadline: Instant, now: Instant, cx: &Context<'_>) -> bool {
        self.armed.as_ref().is_some_and(|armed| {
            let is_ahead = now + EARLY_MARGIN < armed.at;
            is_ahead && armed.at <= deadline && armed.waker.will_wake(cx.waker())
        })
    }

    /// Polls for a deadline. Returns `None` if there is no tokio runtime with a timer.
    ///
    /// The deadline may change between polls. A later one costs nothing until the timer fires for
    /// the earlier one.
    pub(crate) fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let mut is_second = false;
        loop {
            let sleep = match &mut self.sleep {
                Some(sleep) => sleep,
                none => {
                    Handle::try_current().ok()?;
                    // It panics in a runtime whose timer is not enabled, and tokio has no way to
                    // ask first.
                    let sleep =
                        catch_panic("the timer", || Box::pin(sleep_until(deadline))).ok()?;
                    none.insert(sleep)
                }
            };
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            // It panics if the runtime that it was made in has ended, and tokio has no way to ask
            // first. Then another one is made, in the present runtime.
            let Ok(polled) = catch_panic("the timer", || sleep.as_mut().poll(cx)) else {
                (self.armed, self.sleep) = (None, None);
                if std::mem::replace(&mut is_second, true) {
                    // The present runtime is ending as well.
                    return None;
                }
                continue;
            };
            if polled.is_pending() {
                let at = sleep.deadline();
                match &mut self.armed {
                    Some(armed) if armed.waker.will_wake(cx.waker()) => armed.at = at,
                    armed => *armed = Some(Armed { at, waker: cx.waker().clone() }),
                }
                return Some(Poll::Pending);
            }
            if deadline <= sleep.deadline() {
                return Some(Poll::Ready(()));
            }
            // It fired for an earlier deadline.
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Adds a duration to an instant. Returns an instant in 30 years if the clock cannot represent the
/// sum.
pub(crate) fn saturating_add(from: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    from.checked_add(by).unwrap_or_else(|| from + NEVER)
}
