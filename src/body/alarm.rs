//! The one timer of a stream, made when it is first needed and never touched on the way of an
//! event.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
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
        let mut slot = self.project().sleep;
        if slot.is_none() {
            Handle::try_current().ok()?;
            // In a runtime whose timer is not enabled this panics, and there is no way to ask.
            slot.set(Some(caught("the timer", || sleep_until(deadline)).ok()?));
        }
        let mut sleep = slot.as_mut().as_pin_mut()?;
        loop {
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Some(Poll::Pending);
            }
            if deadline <= sleep.deadline() {
                return Some(Poll::Ready(()));
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
