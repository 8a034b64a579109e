//! Ends a stream from outside: maximum lifetime, deadline, or shutdown.

use tokio::time::Instant;

use super::{options::BodyOptions, source::Source};
use crate::{
    channel::Segment,
    lifecycle::{EndReason, StopRequest},
    shutdown::{Farewell, Shutdown},
};

/// When a stream must end, and how far its end has progressed.
#[derive(Debug)]
pub(super) struct StopSchedule {
    /// When `EventSender::ending` completes.
    begin: Instant,
    /// When the source is closed.
    end: Instant,
    /// The reason of an end at `end`.
    reason: EndReason,
    /// How far the end has come.
    phase: StopPhase,
    /// Whether this schedule closed the source. Otherwise the stream has ended by itself.
    has_ended_it: bool,
    /// What the stream still has to say.
    farewell: FarewellState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StopPhase {
    Running,
    /// `EventSender::ending` has completed.
    Begun,
    /// The source is closed. Queued events still go out.
    Closed,
}

/// The farewell that the stream still has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FarewellState {
    /// The farewell of the settings, once the end has begun.
    OfLifetime,
    /// The farewell of the shutdown, also if the stream ends by itself: its client will reconnect
    /// during the shutdown.
    OfShutdown,
    /// There is no farewell, or it was sent.
    Done,
}

impl StopSchedule {
    /// Draws the lifetime of a stream that starts now. Returns `None` if nothing limits it. A
    /// stream without a handler has nothing to finish, so it gets no grace period.
    pub(super) fn new(
        options: &BodyOptions,
        deadline: Option<Instant>,
        has_grace: bool,
    ) -> Option<Self> {
        let now = Instant::now();
        let lifetime = options.max_lifetime.map(|lifetime| lifetime.draw_end(now));
        let end = lifetime.into_iter().chain(deadline).min()?;
        let farewell = options.farewell.as_ref().filter(|_| has_grace);
        Some(Self {
            begin: farewell.map_or(end, |farewell| farewell.begin_before(now, end)),
            end,
            reason: EndReason::Expired,
            phase: StopPhase::Running,
            has_ended_it: false,
            farewell: FarewellState::OfLifetime,
        })
    }

    /// Merges a shutdown's request: the earlier end applies. The reason of a stream that is closed
    /// stays, its farewell may change.
    pub(super) fn merge(this: &mut Option<Box<Self>>, request: StopRequest, has_grace: bool) {
        let StopRequest { begin, end, silent } = request;
        let end = if has_grace { end } else { begin };
        let this = this.get_or_insert_with(|| {
            Box::new(Self {
                begin,
                end,
                reason: EndReason::ShutDown,
                phase: StopPhase::Running,
                has_ended_it: false,
                farewell: FarewellState::OfShutdown,
            })
        });
        if this.farewell != FarewellState::Done {
            this.farewell = if silent { FarewellState::Done } else { FarewellState::OfShutdown };
        }
        if !this.is_over() {
            this.begin = this.begin.min(begin);
            if end <= this.end {
                (this.end, this.reason) = (end, EndReason::ShutDown);
            }
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Instant, source: &mut Source) {
        if self.phase == StopPhase::Running && self.begin.min(self.end) <= now {
            self.phase = StopPhase::Begun;
            source.begin_ending();
        }
        if self.phase == StopPhase::Begun && self.end <= now {
            self.phase = StopPhase::Closed;
            self.has_ended_it = source.close();
        }
    }

    /// Returns whether the source was closed.
    pub(super) fn is_over(&self) -> bool {
        self.phase == StopPhase::Closed
    }

    /// Returns when the next step is due.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.phase {
            StopPhase::Running => Some(self.begin.min(self.end)),
            StopPhase::Begun => Some(self.end),
            StopPhase::Closed => None,
        }
    }

    /// Takes the farewell, if the stream owes one.
    pub(super) fn take_farewell(
        &mut self,
        of_lifetime: Option<&Farewell>,
        shutdown: Option<&Shutdown>,
    ) -> Option<Segment> {
        if !self.owes_farewell() {
            return None;
        }
        let farewell = match std::mem::replace(&mut self.farewell, FarewellState::Done) {
            FarewellState::OfLifetime => of_lifetime,
            FarewellState::OfShutdown => shutdown.map(Shutdown::farewell),
            FarewellState::Done => None,
        };
        let (bytes, last_id) = farewell?.encode()?;
        Some(Segment::uncounted(bytes, last_id))
    }

    /// Returns whether a stream that ends cleanly now has a farewell to send.
    pub(super) fn owes_farewell(&self) -> bool {
        match self.farewell {
            FarewellState::OfLifetime => self.phase > StopPhase::Running,
            FarewellState::OfShutdown => true,
            FarewellState::Done => false,
        }
    }

    /// Returns the reason, if this schedule ended the stream.
    pub(super) fn reason(&self) -> Option<EndReason> {
        self.has_ended_it.then_some(self.reason)
    }

    /// Returns the reason of a stream that was due to end but is no longer polled.
    pub(super) fn overdue(&self, now: Instant) -> Option<EndReason> {
        if self.is_over() { self.reason() } else { (self.end <= now).then_some(self.reason) }
    }
}
