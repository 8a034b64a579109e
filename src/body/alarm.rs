//! The one timer of a stream, made when it is first needed and never touched on the way of an event.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

pin_project! {
    /// A timer that may be armed too early, and then re-arms itself for the rest.
    #[derive(Debug, Default)]
    pub(super) struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Alarm {
    /// Returns whether there is a runtime to keep the time.
    pub(super) fn can_be_set() -> bool {
        Handle::try_current().is_ok()
    }

    /// Is ready when the deadline has come. Deadlines may move; one that moves away costs nothing until the timer fires
    /// for the earlier one.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, see [`can_be_set`](Self::can_be_set), and in one without a timer.
    pub(super) fn poll_at(
        self: Pin<&mut Self>,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut slot = self.project().sleep;
        if slot.is_none() {
            slot.set(Some(sleep_until(deadline)));
        }
        let Some(mut sleep) = slot.as_mut().as_pin_mut() else { return Poll::Pending };
        loop {
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(cx));
            if deadline <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
