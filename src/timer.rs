//! A timer that is made when it is first needed, and never touched on the way of an event.

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

/// How much earlier than by the clock it may ring, and more.
const EARLY_MARGIN: Duration = Duration::from_millis(10);

/// A timer that may be armed too early, and then re-arms itself for the rest.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer {
    /// What it was set for when it was left to ring.
    set: Option<Set>,
    /// Boxed, since most of what has an timer does something else most of the time.
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Set {
    at: Instant,
    waker: Waker,
}

impl LazyTimer {
    /// Returns whether there is no need to poll: it wakes whom it is to wake, and not too late, and has
    /// not fired if it is now not earlier than this.
    pub(crate) fn is_set(&self, deadline: Instant, now: Instant, cx: &Context<'_>) -> bool {
        self.set.as_ref().is_some_and(|set| {
            let is_ahead = now + EARLY_MARGIN < set.at;
            is_ahead && set.at <= deadline && set.waker.will_wake(cx.waker())
        })
    }

    /// Is ready when the deadline has come; none if there is no runtime to keep the time.
    ///
    /// Deadlines may move; one that moves away costs nothing until the timer fires for the earlier
    /// one.
    pub(crate) fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Option<Poll<()>> {
        if self.sleep.is_none() {
            Handle::try_current().ok()?;
            // In a runtime whose timer is not enabled this panics, and there is no way to ask.
            let sleep = catch_panic("the timer", || Box::pin(sleep_until(deadline))).ok()?;
            self.sleep = Some(sleep);
        }
        let sleep = self.sleep.as_mut()?;
        loop {
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                let at = sleep.deadline();
                match &mut self.set {
                    Some(set) if set.waker.will_wake(cx.waker()) => set.at = at,
                    set => *set = Some(Set { at, waker: cx.waker().clone() }),
                }
                return Some(Poll::Pending);
            }
            if deadline <= sleep.deadline() {
                return Some(Poll::Ready(()));
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Returns the instant so much later, or one that is as good as never, where the clock does not
/// reach.
pub(crate) fn saturating_add(from: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    from.checked_add(by).unwrap_or_else(|| from + NEVER)
}
