//! A stream whose response head waits for the first event.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::{
    account::Outcome,
    active::ActiveStream,
    timers::{Timer, TimerSchedule},
};
use crate::{
    channel::{ChannelEnd, Interest, Polled},
    lifecycle::EndReason,
};

impl ActiveStream {
    /// Waits until the head of the response can go out: there is a first event, or the stream ends. An
    /// error is how the stream ends instead.
    pub(super) fn poll_commit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        self.start();
        while self.outgoing.is_none() {
            let interest = Interest { handler: false, hold: false, new_turn: true };
            match self.source.poll(interest, &self.account.span, self.account.shutdown(), cx) {
                Polled::Segment(segment) => {
                    self.source_ended = segment.is_last;
                    self.outgoing = Some(Box::new(segment));
                }
                Polled::Stop(request) => self.request_stop(request),
                Polled::HandlerYielded => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Polled::HandlerWoken => {}
                Polled::Empty => ready!(self.poll_stop(cx)),
                // It ends as it would have ended without a wait.
                Polled::End(ChannelEnd::Closed | ChannelEnd::NoSenders) => break,
                Polled::End(ChannelEnd::Failed(error)) => {
                    return Poll::Ready(Err(Outcome::Failed(EndReason::Failed, error)));
                }
                Polled::End(ChannelEnd::Aborted(reason)) => {
                    let error: Arc<dyn Error + Send + Sync> = Arc::new(reason);
                    return Poll::Ready(Err(Outcome::Failed(reason.into(), error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the stop schedule has something to do, and does it.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let schedule = TimerSchedule { window: None, keep_alive: None, ..self.timer_schedule() };
        let (fired, now): (Timer, Instant) = ready!(self.timers.poll(&schedule, false, cx));
        debug_assert_eq!(fired, Timer::Stop);
        if let Some(stop) = &mut self.stop {
            stop.advance(now, &mut self.source);
        }
        Poll::Ready(())
    }
}
