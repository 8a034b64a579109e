//! A timer that is made when it is first needed, and never touched on the way of an event.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use crate::caught::caught;

pin_project! {
    /// A timer that may be armed too early, and then re-arms itself for the rest.
    #[derive(Debug, Default)]
    pub(crate) struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
        // What the timer has, if it was set and not heard of since.
        waker: Option<Waker>,
    }
}

impl Alarm {
    /// Is ready when the deadline has come; none if there is no runtime to keep the time.
    ///
    /// Deadlines may move; one that moves away costs nothing until the timer fires for the earlier
    /// one.
    pub(crate) fn poll_at(
        self: Pin<&mut Self>,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Option<Poll<()>> {
        let this = self.project();
        let (mut slot, waker) = (this.sleep, this.waker);
        if slot.is_none() {
            Handle::try_current().ok()?;
            // In a runtime whose timer is not enabled this panics, and there is no way to ask.
            slot.set(Some(caught("the timer", || sleep_until(deadline)).ok()?));
        }
        let mut sleep = slot.as_mut().as_pin_mut()?;
        let is_set = waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_set && deadline >= sleep.deadline() && !sleep.is_elapsed() {
            // It has this waker. If it rings now, that is woken.
            return Some(Poll::Pending);
        }
        loop {
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                if !is_set {
                    *waker = Some(cx.waker().clone());
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
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    from.checked_add(by).unwrap_or_else(|| from + NEVER)
}
