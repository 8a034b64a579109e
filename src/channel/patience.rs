//! How long a sender waits for room.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    alarm::{Alarm, later},
    metrics::Stopwatch,
    trace,
};

/// How long one send has waited, and may wait. It costs nothing until it waits.
#[derive(Debug, Default)]
pub(super) struct Patience {
    stopwatch: Stopwatch,
    timer: Option<Box<Timer>>,
}

#[derive(Debug)]
struct Timer {
    deadline: Instant,
    /// None where there is no runtime to keep the time, or a thread does. Whether a sender may be
    /// used after a panic does not depend on it.
    alarm: Option<AssertUnwindSafe<Pin<Box<Alarm>>>>,
}

impl Patience {
    /// Is ready when the send has waited for as long as it may.
    pub(super) fn poll(&mut self, limit: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = self.start(limit, true) else { return Poll::Pending };
        let Some(alarm) = &mut timer.alarm else { return Poll::Pending };
        alarm.as_mut().poll_at(timer.deadline, cx).unwrap_or_else(|| {
            trace::no_runtime("send_timeout");
            timer.alarm = None;
            Poll::Pending
        })
    }

    /// As [`poll`](Self::poll), for a thread that keeps the time by itself.
    pub(super) fn check(&mut self, limit: Option<Duration>) -> Poll<()> {
        match self.start(limit, false) {
            Some(timer) if timer.deadline <= Instant::now() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// Returns how much longer a thread waits at the most.
    pub(super) fn left(&self) -> Option<Duration> {
        let timer = self.timer.as_ref()?;
        Some(timer.deadline.saturating_duration_since(Instant::now()))
    }

    /// Ends the waiting, and returns how long it was.
    pub(super) fn take_stopwatch(&mut self) -> Stopwatch {
        std::mem::take(self).stopwatch
    }

    fn start(&mut self, limit: Option<Duration>, with_alarm: bool) -> Option<&mut Timer> {
        self.stopwatch.start();
        let limit = limit?;
        Some(self.timer.get_or_insert_with(|| {
            let alarm = with_alarm.then(|| AssertUnwindSafe(Box::pin(Alarm::default())));
            Box::new(Timer { deadline: later(Instant::now(), limit), alarm })
        }))
    }
}
