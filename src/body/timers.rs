//! The timers of a stream: one table of deadlines, and one timer for the earliest of them.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::{timer::LazyTimer, trace};

/// How long the body waits before it yields an error, so that the server writes earlier frames
/// before it resets the connection.
pub(super) const ERROR_DELAY: Duration = Duration::from_millis(10);

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The stop schedule has something to do.
    Stop,
    /// Events that a batch window holds back go out.
    Window,
    /// Nothing has gone out for a while.
    KeepAlive,
}

/// The deadlines of a stream that has nothing to send, in the order of their precedence: of two
/// that are due the first one counts.
#[derive(Debug)]
pub(super) struct TimerSchedule {
    /// What the stop schedule does next.
    pub(super) stop: Option<Instant>,
    /// The end of the batch window.
    pub(super) window: Option<Instant>,
    /// When a keep-alive is due.
    pub(super) keep_alive: Option<Instant>,
}

/// The timer of a stream, and when it last sent something.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// When bytes were last yielded.
    clock: Clock,
    /// The timer for the earliest deadline.
    timer: LazyTimer,
}

#[derive(Clone, Copy, Debug, Default)]
enum Clock {
    /// No setting needs the time.
    #[default]
    Unused,
    /// When bytes were last yielded, or when the stream started.
    Since(Instant),
    /// The stream is polled outside of a tokio runtime.
    Unavailable,
}

impl Timers {
    /// Starts the clock, unless it runs or is unavailable.
    pub(super) fn start(&mut self) {
        if let Clock::Unused = self.clock {
            self.clock = Clock::Since(Instant::now());
        }
    }

    /// Returns when bytes were last yielded. `None` if no setting needs it or there is no runtime.
    pub(super) fn last_yield(&self) -> Option<Instant> {
        match self.clock {
            Clock::Since(at) => Some(at),
            Clock::Unused | Clock::Unavailable => None,
        }
    }

    /// Records that bytes are yielded now, and returns the time if the clock runs.
    pub(super) fn yielded(&mut self) -> Option<Instant> {
        let Clock::Since(at) = &mut self.clock else { return None };
        *at = Instant::now();
        Some(*at)
    }

    /// Puts the next keep-alive off, as if bytes were yielded now.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.clock = Clock::Since(now);
    }

    /// Returns when a stream that sends nothing more has been idle for this long.
    pub(super) fn idle_at(&self, idle: Duration) -> Option<Instant> {
        // A time that the clock cannot represent never comes.
        self.last_yield()?.checked_add(idle)
    }

    /// Waits for the first deadline. Returns what is due, and the time. `just_yielded` says that
    /// bytes were yielded in this turn, so that the clock was just read.
    #[inline]
    pub(super) fn poll(
        &mut self,
        schedule: &TimerSchedule,
        just_yielded: bool,
        cx: &mut Context<'_>,
    ) -> Poll<(Timer, Instant)> {
        let Some(last_yield) = self.last_yield() else { return Poll::Pending };
        let Some(at) = schedule.next_deadline() else { return Poll::Pending };
        // Reading the clock again costs less than touching the timer, which is not in the cache.
        let now = if just_yielded { last_yield } else { Instant::now() };
        if self.timer.is_set(at, now, cx) {
            return Poll::Pending;
        }
        self.poll_timer(schedule, at, cx)
    }

    /// Waits for the only deadline of a stream with a pending error. Without a runtime the error is
    /// not held back.
    pub(super) fn poll_error_delay(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_at(at, cx).unwrap_or(Poll::Ready(()))
    }

    fn poll_timer(
        &mut self,
        schedule: &TimerSchedule,
        at: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<(Timer, Instant)> {
        let Some(fired) = self.timer.poll_at(at, cx) else {
            trace::no_runtime(schedule.first(|_| true).setting());
            self.clock = Clock::Unavailable;
            return Poll::Pending;
        };
        ready!(fired);
        // The timer counts milliseconds, and may fire a little early.
        let now = Instant::now().max(at);
        Poll::Ready((schedule.first(|at| at <= now), now))
    }
}

impl TimerSchedule {
    /// Returns the earliest deadline.
    #[inline]
    fn next_deadline(&self) -> Option<Instant> {
        [self.stop, self.window, self.keep_alive].into_iter().flatten().min()
    }

    /// Returns the first timer, in the order of precedence, whose deadline is one of these.
    fn first(&self, is_one: impl Fn(Instant) -> bool) -> Timer {
        if self.stop.is_some_and(&is_one) {
            Timer::Stop
        } else if self.window.is_some_and(&is_one) {
            Timer::Window
        } else {
            Timer::KeepAlive
        }
    }
}

impl Timer {
    /// The setting that is off without a runtime, as a warning names it.
    fn setting(self) -> &'static str {
        match self {
            Self::Stop => "max_lifetime, deadline or shutdown",
            Self::Window => "batch_window",
            Self::KeepAlive => "keep_alive",
        }
    }
}
