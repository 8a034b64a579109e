//! The timers of a stream: one table of deadlines, and one timer for the earliest of them.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::stop::StopSchedule;
use crate::{timer::LazyTimer, trace};

/// How long the body waits before it yields an error, so that the server writes earlier frames before
/// it resets the connection.
pub(super) const ERROR_DELAY: Duration = Duration::from_millis(10);

/// What a timer is for, in the order of precedence: of two that are due the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The handler is told that the stream ends soon.
    StopBegin,
    /// The stream ends.
    StopEnd,
    /// Events that a batch window holds back go out.
    Window,
    /// Nothing has gone out for a while.
    KeepAlive,
}

/// The deadlines of a stream that has nothing to send.
#[derive(Debug)]
pub(super) struct TimerSchedule {
    deadlines: [(Timer, Option<Instant>); 3],
    /// When the timer fired.
    now: Option<Instant>,
}

/// The timer of a stream, and when it last sent something.
#[derive(Debug, Default)]
pub(super) struct Timers {
    clock: Clock,
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
    /// Starts the clock, unless it runs or there is none.
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

    /// Collects the deadlines.
    pub(super) fn schedule(
        &self,
        stop: Option<&StopSchedule>,
        held_until: Option<Instant>,
        keep_alive: Option<Duration>,
    ) -> TimerSchedule {
        let stop = stop.and_then(StopSchedule::next);
        // An idle time that the clock cannot represent never ends.
        let idle = self.last_yield().zip(keep_alive);
        let keep_alive = idle.and_then(|(last, idle)| last.checked_add(idle));
        let stop = match stop {
            Some((timer, at)) => (timer, Some(at)),
            None => (Timer::StopEnd, None),
        };
        let deadlines = [stop, (Timer::Window, held_until), (Timer::KeepAlive, keep_alive)];
        TimerSchedule { deadlines, now: None }
    }

    /// Waits for the first deadline. `just_yielded` says that bytes were yielded in this turn, so that
    /// the clock was just read.
    pub(super) fn poll(
        &mut self,
        schedule: &mut TimerSchedule,
        just_yielded: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Timer> {
        let (Some(last_yield), Some((first, at))) = (self.last_yield(), schedule.next_deadline())
        else {
            return Poll::Pending;
        };
        // Reading the clock again costs less than touching the timer, which is not in the cache.
        let now = if just_yielded { last_yield } else { Instant::now() };
        if self.timer.is_set(at, now, cx) {
            return Poll::Pending;
        }
        let Some(fired) = self.timer.poll_at(at, cx) else {
            trace::no_runtime(first.setting());
            self.clock = Clock::Unavailable;
            return Poll::Pending;
        };
        ready!(fired);
        // The timer counts milliseconds, and may fire a little early.
        let now = Instant::now().max(at);
        schedule.now = Some(now);
        Poll::Ready(schedule.due(now).unwrap_or(first))
    }

    /// Waits until a time, or not at all without a runtime.
    pub(super) fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_at(at, cx).unwrap_or(Poll::Ready(()))
    }
}

impl TimerSchedule {
    /// Returns the earliest deadline.
    fn next_deadline(&self) -> Option<(Timer, Instant)> {
        let deadlines = self.deadlines.iter().filter_map(|(timer, at)| Some((*timer, (*at)?)));
        deadlines.min_by_key(|(_, at)| *at)
    }

    /// Returns the timer that is due and has precedence.
    fn due(&self, now: Instant) -> Option<Timer> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.deadlines.iter().find(|(_, at)| is_due(*at)).map(|(timer, _)| *timer)
    }

    /// Returns when the timer fired.
    pub(super) fn fired_at(&self) -> Instant {
        self.now.unwrap_or_else(Instant::now)
    }
}

impl Timer {
    /// The setting that is off without a runtime, as a warning names it.
    fn setting(self) -> &'static str {
        match self {
            Self::StopBegin | Self::StopEnd => "max_lifetime, deadline or shutdown",
            Self::Window => "batch_window",
            Self::KeepAlive => "keep_alive",
        }
    }
}
