//! The poll loop of a body.
//!
//! ```text
//! poll ─▶ 64 KiB yielded? let the server write ─▶ rest of a segment? ─▶ out
//!                                              └▶ source ─▶ segment ─▶ out
//!                                                       ├▶ stop request ─▶ stop schedule
//!                                                       ├▶ empty ─▶ greeting | timer: keep-alive, window, stop
//!                                                       └▶ end ─▶ greeting | farewell | error after a delay | outcome
//! ```

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::{
    account::Outcome,
    active::{ActiveStream, PendingError},
    timers::Timer,
};
use crate::{
    channel::{ChannelEnd, Interest, Polled, Segment},
    lifecycle::EndReason,
};

impl ActiveStream {
    /// Returns the next bytes, or how the stream ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Outcome>> {
        if self.pacing.is_exhausted() {
            return self.pacing.yield_now(cx);
        }
        if self.outgoing.is_none() {
            let mut segment = match self.poll_segment(cx) {
                Poll::Ready(Ok(segment)) => segment,
                Poll::Ready(Err(outcome)) => return Poll::Ready(Err(outcome)),
                Poll::Pending => {
                    self.pacing.reset();
                    return Poll::Pending;
                }
            };
            if self.prelude.is_sent() && segment.bytes.len() <= self.pacing.remaining() {
                let bytes = std::mem::take(&mut segment.bytes);
                self.record(bytes.len(), Some(segment));
                return Poll::Ready(Ok(bytes));
            }
            self.outgoing = Some(Box::new(segment));
        }
        if self.prelude.is_held() {
            return Poll::Ready(Ok(Bytes::new()));
        }
        if self.outgoing.as_ref().is_some_and(|segment| self.pacing.must_wait(segment)) {
            return self.pacing.yield_now(cx);
        }
        Poll::Ready(Ok(self.give()))
    }

    fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<Result<Segment, Outcome>> {
        self.start();
        if let (Some(stop), Some(last_yield)) = (&mut self.stop, self.timers.last_yield()) {
            // A stream that is never idle never polls its timer. So the schedule is checked here,
            // by the clock that was read at the last yield.
            stop.advance(last_yield, &mut self.source);
        }
        loop {
            if let Some(pending) = &self.error {
                // A stream with a pending error waits for nothing else.
                ready!(self.timers.poll_error_delay(pending.at, cx));
                let error = pending.error.clone();
                return Poll::Ready(Err(Outcome::Failed(pending.reason, error)));
            }
            let interest = Interest {
                handler: false,
                hold: self.pacing.is_held(&self.timers),
                new_turn: !self.pacing.has_yielded(),
            };
            match self.source.poll(interest, &self.account.span, self.account.shutdown(), cx) {
                Polled::Segment(segment) => {
                    self.source_ended = segment.is_last;
                    return Poll::Ready(Ok(segment));
                }
                Polled::Stop(request) => self.request_stop(request),
                Polled::HandlerYielded if self.pacing.has_yielded() => {
                    return self.pacing.yield_now(cx);
                }
                // The server has written everything already.
                Polled::HandlerYielded | Polled::HandlerWoken => {}
                // The head of the response waits no longer.
                Polled::End(ChannelEnd::Closed | ChannelEnd::NoSenders)
                    if self.prelude.is_held() =>
                {
                    return Poll::Ready(Ok(Segment::default()));
                }
                // The prelude goes out alone.
                Polled::Empty | Polled::End(_) if self.prelude.is_due() => {
                    return Poll::Ready(Ok(Segment::default()));
                }
                Polled::Empty => {
                    if let Some(segment) = ready!(self.poll_timers(cx)) {
                        return Poll::Ready(Ok(segment));
                    }
                }
                Polled::End(ChannelEnd::Closed | ChannelEnd::NoSenders) => {
                    let stop = self.stop.as_mut().filter(|_| self.source.is_between_events());
                    let farewell = stop.and_then(|stop| {
                        let lifetime = self.account.options.farewell.as_ref();
                        stop.take_farewell(lifetime, self.account.shutdown())
                    });
                    return Poll::Ready(farewell.ok_or_else(|| self.clean_outcome()));
                }
                // There are no events before the error.
                Polled::End(ChannelEnd::Failed(error)) if self.prelude.is_held() => {
                    return Poll::Ready(Err(Outcome::Failed(EndReason::Failed, error)));
                }
                Polled::End(ChannelEnd::Failed(error)) => {
                    self.error = Some(PendingError::new(EndReason::Failed, error));
                }
                Polled::End(ChannelEnd::Aborted(reason)) => {
                    self.error = Some(PendingError::new(reason.into(), Arc::new(reason)));
                }
            }
        }
    }

    /// Waits for the first timer. Returns a keep-alive, or `None` if the source must be polled again.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Segment>> {
        let schedule = self.timer_schedule();
        let (fired, now) = ready!(self.timers.poll(&schedule, self.pacing.has_yielded(), cx));
        Poll::Ready(match fired {
            Timer::Stop => {
                if let Some(stop) = &mut self.stop {
                    stop.advance(now, &mut self.source);
                }
                None
            }
            Timer::Window => {
                self.pacing.release();
                None
            }
            // A block would be inside of an event, or come before the head of the response.
            Timer::KeepAlive if self.prelude.is_held() || !self.source.is_between_events() => {
                self.timers.postpone(now);
                None
            }
            Timer::KeepAlive => {
                let keep_alive = self.account.options.keep_alive.as_ref();
                keep_alive.map(|keep_alive| keep_alive.segment(self.source.refresh()))
            }
        })
    }
}
