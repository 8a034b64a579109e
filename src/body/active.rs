//! A stream while it lasts: the poll loop of the body.
//!
//! ```text
//! poll ─▶ 64 KiB yielded? let the server write ─▶ rest of a segment? ─▶ out
//!                                              └▶ source ─▶ segment ─▶ out
//!                                                       ├▶ stop request ─▶ stop schedule
//!                                                       ├▶ empty ─▶ greeting | timer: keep-alive, window, stop
//!                                                       └▶ end ─▶ greeting | farewell | error after a delay | outcome
//! ```
//!
//! Lifetime, deadline and shutdown are one [`StopSchedule`]. When it is due it closes the source.
//! From then on the stream ends as if the application had closed it, with a farewell and another
//! reason.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    account::{AcceptedStream, Outcome, StreamAccount},
    options::BodyOptions,
    pacing::Pacing,
    prelude::{MAX_JOINED, Prelude},
    source::Source,
    stop::StopSchedule,
    timers::{ERROR_DELAY, Timer, TimerSchedule, Timers},
};
use crate::{
    channel::{ChannelEnd, Polled, Segment},
    lifecycle::{EndReason, StopRequest},
    shutdown::Shutdown,
};

/// A stream that has not ended.
///
/// `repr(C)` keeps the fields in the order of their use: a server of ten thousand streams has none
/// of them in its cache, so the fields that every event touches stand together, first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ActiveStream {
    source: Source,
    pacing: Pacing,
    timers: Timers,
    prelude: Prelude,
    /// The part of a segment that has not gone out yet.
    outgoing: Option<Box<Segment>>,
    /// When the stream ends although its source has not ended. Boxed, since most streams have none.
    stop: Option<Box<StopSchedule>>,
    /// The error that the stream ends with, once everything else is out.
    error: Option<Box<PendingError>>,
    account: StreamAccount,
    /// When the stream must have ended. It is part of the stop schedule from the first poll on.
    deadline: Option<Instant>,
}

/// An error that is held back for a moment, so that the server first writes the events before it.
#[derive(Debug)]
struct PendingError {
    reason: EndReason,
    error: Arc<dyn Error + Send + Sync>,
    /// When the body yields it.
    at: Instant,
}

impl ActiveStream {
    pub(super) fn new(source: Source, options: Arc<BodyOptions>, accepted: AcceptedStream) -> Self {
        let deadline = accepted.deadline;
        let mut stream = Self {
            source,
            pacing: Pacing::default(),
            timers: Timers::default(),
            prelude: Prelude::NotStarted,
            outgoing: None,
            stop: None,
            error: None,
            account: StreamAccount::new(options, accepted),
            deadline,
        };
        stream.register();
        stream
    }

    /// Changes the settings. They apply until the first poll.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut BodyOptions)) {
        let before = self.account.options.shutdown.clone();
        change(Arc::make_mut(&mut self.account.options));
        if self.account.options.shutdown != before {
            self.unregister();
            self.register();
        }
    }

    /// Replaces the shutdown of the settings by another one.
    pub(super) fn set_shutdown(&mut self, shutdown: &Shutdown) {
        if self.account.shutdown() != Some(shutdown) {
            self.unregister();
            let stream = self.source.handle();
            self.account.registration = stream.map(|stream| shutdown.register(&stream));
        }
    }

    /// Registers the stream with the shutdown of the settings, if there is one.
    fn register(&mut self) {
        if let Some(shutdown) = self.account.options.shutdown.clone() {
            self.set_shutdown(&shutdown);
        }
    }

    fn unregister(&mut self) {
        if self.account.registration.take().is_some() {
            // The stream no longer belongs to the shutdown that made this request.
            if let Some(stream) = self.source.handle() {
                stream.cancel_stop();
            }
        }
    }

    /// Sets when the stream must have ended.
    pub(super) fn set_deadline(&mut self, at: Instant) {
        self.deadline = Some(at);
    }

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
        if self.outgoing.as_ref().is_some_and(|segment| self.pacing.must_wait(segment)) {
            return self.pacing.yield_now(cx);
        }
        Poll::Ready(Ok(self.give()))
    }

    /// Returns the outcome if nothing can follow, so that `is_end_stream` is true without another
    /// poll.
    pub(super) fn finished(&self) -> Option<Outcome> {
        let finished = self.outgoing.is_none()
            && self.prelude.is_sent()
            && self.source.is_finished()
            && !self.stop.as_ref().is_some_and(|stop| stop.owes_farewell());
        finished.then(|| self.clean_outcome())
    }

    /// Sets how the stream ended.
    pub(super) fn set_outcome(&mut self, outcome: &Outcome) {
        self.account.set_outcome(outcome);
    }

    fn clean_outcome(&self) -> Outcome {
        let reason = self.stop.as_ref().and_then(|stop| stop.reason());
        Outcome::Clean(reason.unwrap_or(EndReason::Finished))
    }

    /// Takes bytes out of the outgoing segment, as many as the budget allows. The prelude goes out
    /// with it, or before it.
    fn give(&mut self) -> Bytes {
        let Some(mut segment) = self.outgoing.take() else { return Bytes::new() };
        if let Some(prelude) = self.prelude.take(&self.account.options) {
            if segment.bytes.len() > MAX_JOINED {
                self.outgoing = Some(segment);
                self.record(prelude.len(), None);
                return prelude;
            }
            segment.bytes = [&prelude[..], &segment.bytes].concat().into();
        }
        let remaining = self.pacing.remaining();
        if segment.bytes.len() > remaining {
            let bytes = segment.bytes.split_to(remaining);
            self.outgoing = Some(segment);
            self.record(bytes.len(), None);
            return bytes;
        }
        let bytes = std::mem::take(&mut segment.bytes);
        self.record(bytes.len(), Some(*segment));
        bytes
    }

    /// Records bytes that go out now, and the segment that they complete.
    #[inline]
    fn record(&mut self, len: usize, completed: Option<Segment>) {
        let window = self.account.options.batch_window;
        let has_events = completed.as_ref().is_some_and(|segment| segment.events > 0);
        let now = self.timers.yielded();
        self.pacing.yielded(len, window.filter(|_| has_events).zip(now));
        self.account.count(len, completed);
    }

    fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<Result<Segment, Outcome>> {
        self.start();
        if let (Some(stop), Some(last_yield)) = (&mut self.stop, self.timers.last_yield()) {
            // A stream that is never idle never polls its timer. So the schedule is checked here,
            // by the clock that was read at the last yield.
            stop.advance(last_yield, &mut self.source);
        }
        loop {
            if self.error.is_some() {
                return self.poll_error(cx).map(Err);
            }
            let hold = self.pacing.is_held(&self.timers);
            match self.source.poll(hold, &self.account.span, self.account.shutdown(), cx) {
                Polled::Segment(segment) => return Poll::Ready(Ok(segment)),
                Polled::Stop(request) => self.request_stop(request),
                Polled::HandlerYielded if self.pacing.has_yielded() => {
                    return self.pacing.yield_now(cx);
                }
                Polled::HandlerYielded | Polled::HandlerWoken => {}
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
                    let farewell = self.stop.as_mut().and_then(|stop| {
                        let lifetime = self.account.options.farewell.as_ref();
                        stop.take_farewell(lifetime, self.account.shutdown())
                    });
                    return Poll::Ready(farewell.ok_or_else(|| self.clean_outcome()));
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

    /// Waits for the first timer. Returns a keep-alive, or `None` if the source must be polled
    /// again.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Segment>> {
        let keep_alive = self.account.options.keep_alive.as_ref();
        let schedule = TimerSchedule {
            stop: self.stop.as_ref().and_then(|stop| stop.next()),
            window: self.pacing.held_until(),
            keep_alive: keep_alive
                .and_then(|keep_alive| keep_alive.idle())
                .and_then(|idle| self.timers.idle_at(idle)),
        };
        let (fired, now) = ready!(self.timers.poll(&schedule, self.pacing.has_yielded(), cx));
        Poll::Ready(match fired {
            Timer::StopBegin | Timer::StopEnd => {
                if let Some(stop) = &mut self.stop {
                    stop.advance(now, &mut self.source);
                }
                None
            }
            Timer::Window => {
                self.pacing.release();
                None
            }
            Timer::KeepAlive => {
                self.account.options.keep_alive.as_ref().map(|it| it.segment(self.source.refresh()))
            }
        })
    }

    fn poll_error(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(pending) = &self.error else { return Poll::Pending };
        ready!(self.timers.poll_at(pending.at, cx));
        Poll::Ready(Outcome::Failed(pending.reason, pending.error.clone()))
    }

    /// Starts the stream at its first poll, when the settings are final.
    fn start(&mut self) {
        if !matches!(self.prelude, Prelude::NotStarted) {
            return;
        }
        let options = &self.account.options;
        self.prelude = Prelude::for_options(options);
        let has_grace = self.source.has_grace();
        let mut stop = StopSchedule::new(options, self.deadline, has_grace).map(Box::new);
        if let Some(request) = self.source.take_stop_request() {
            StopSchedule::merge(&mut stop, request, has_grace);
        }
        let is_kept_alive = options.keep_alive.as_ref().is_some_and(|it| it.idle().is_some());
        if is_kept_alive || stop.is_some() || options.batch_window.is_some() {
            self.timers.start();
        }
        // A stream that is already past its end starts no handler.
        if let Some(stop) = &mut stop {
            stop.advance(Instant::now(), &mut self.source);
        }
        if !stop.as_ref().is_some_and(|stop| stop.is_over()) {
            self.source.start(&self.account.span);
        }
        self.stop = stop;
    }

    fn request_stop(&mut self, request: StopRequest) {
        StopSchedule::merge(&mut self.stop, request, self.source.has_grace());
        self.timers.start();
        if let Some(stop) = &mut self.stop {
            stop.advance(Instant::now(), &mut self.source);
        }
    }

    /// Decides the reason of a stream whose body is dropped before its end: the reason for which it
    /// had ended or should have ended, if there is one.
    fn abandoned_outcome(&mut self) -> Option<Outcome> {
        let all_sent = self.prelude.is_sent() && self.outgoing.is_none();
        match self.source.abandon() {
            Some(ChannelEnd::Failed(error)) => Some(Outcome::Failed(EndReason::Failed, error)),
            Some(ChannelEnd::Aborted(reason)) => Some(Outcome::Clean(reason.into())),
            Some(ChannelEnd::Closed | ChannelEnd::NoSenders) if all_sent => {
                Some(self.clean_outcome())
            }
            Some(ChannelEnd::Closed | ChannelEnd::NoSenders) | None => self.overdue_outcome(),
        }
    }

    /// Returns the outcome of a stream whose end was due, but that was not polled.
    fn overdue_outcome(&mut self) -> Option<Outcome> {
        if matches!(self.prelude, Prelude::NotStarted) && self.deadline.is_some() {
            let options = &self.account.options;
            self.stop = StopSchedule::new(options, self.deadline, true).map(Box::new);
        }
        if let Some(request) = self.source.take_stop_request() {
            StopSchedule::merge(&mut self.stop, request, self.source.has_grace());
        }
        self.stop.as_ref()?.overdue(Instant::now()).map(Outcome::Clean)
    }
}

/// The teardown of a stream, in this order:
///
/// 1. Senders are told that the stream is not read any more. So a handler cannot wait for room
///    while it is dropped.
/// 2. The source is dropped, and with it the handler. Its panic is caught.
/// 3. The account is dropped after this function, and reports the end.
impl Drop for ActiveStream {
    fn drop(&mut self) {
        self.account.dropped = self.source.dropped();
        if self.account.has_outcome() {
            self.source.abandon();
        } else if let Some(outcome) = self.abandoned_outcome() {
            self.account.set_outcome(&outcome);
        }
        self.source = Source::Ended;
    }
}

impl PendingError {
    fn new(reason: EndReason, error: Arc<dyn Error + Send + Sync>) -> Box<Self> {
        Box::new(Self { reason, error, at: Instant::now() + ERROR_DELAY })
    }
}
