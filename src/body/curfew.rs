//! When a stream is to end that does not end by itself: its lifetime, its deadline, a shutdown.

use tokio::time::Instant;

use super::{
    end::{EndReason, Record},
    options::StreamOptions,
};
use crate::{
    channel::{Ask, EventReceiver, Segment},
    shutdown::Shutdown,
};

/// The due end of a stream, and how far it has come.
#[derive(Debug)]
pub(super) struct Curfew {
    /// When the handler is told.
    begin: Instant,
    end: Instant,
    /// Who ends it at `end`.
    by: EndReason,
    phase: Phase,
    /// The stream ended because of this, and not by itself.
    has_ended_it: bool,
    farewell: Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// The handler was told.
    Begun,
    /// The channel was closed, what is queued goes out. The stream may have ended before.
    Closed,
}

/// What is still to be said before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// The farewell of the settings, once the end has begun.
    OfLifetime,
    /// The shutdown's, whoever ends the stream: its client will come back meanwhile.
    OfShutdown,
    /// It was said, or is not to be.
    None,
}

impl Curfew {
    /// Draws the lifetime of a stream that starts now, if it has one. What has nothing to finish has
    /// no grace.
    pub(super) fn of(
        options: &StreamOptions,
        deadline: Option<Instant>,
        has_grace: bool,
    ) -> Option<Self> {
        let now = Instant::now();
        let lifetime = options.max_lifetime.map(|lifetime| lifetime.ends_from(now));
        let end = lifetime.into_iter().chain(deadline).min()?;
        let farewell = options.farewell.as_ref();
        Some(Self {
            begin: farewell
                .filter(|_| has_grace)
                .map_or(end, |farewell| farewell.begin_before(now, end)),
            end,
            by: EndReason::Expired,
            phase: Phase::Open,
            has_ended_it: false,
            farewell: Words::OfLifetime,
        })
    }

    /// Takes what a shutdown asks into account: the earlier end counts. Why a stream has ended does
    /// not change any more, what it says may.
    pub(super) fn ask(this: &mut Option<Box<Self>>, ask: Ask, has_grace: bool) {
        let Ask { begin, end, silent } = ask;
        let end = if has_grace { end } else { begin };
        let this = this.get_or_insert_with(|| {
            Box::new(Self {
                begin,
                end,
                by: EndReason::ShutDown,
                phase: Phase::Open,
                has_ended_it: false,
                farewell: Words::OfShutdown,
            })
        });
        if this.farewell != Words::None {
            this.farewell = if silent { Words::None } else { Words::OfShutdown };
        }
        if !this.is_over() {
            this.begin = this.begin.min(begin);
            if end <= this.end {
                (this.end, this.by) = (end, EndReason::ShutDown);
            }
        }
    }

    /// Does what is due, and returns whether anything was.
    pub(super) fn advance(&mut self, now: Instant, receiver: &EventReceiver) -> bool {
        let before = self.phase;
        if self.phase == Phase::Open && self.begin.min(self.end) <= now {
            self.phase = Phase::Begun;
            receiver.begin_ending();
        }
        if self.phase == Phase::Begun && self.end <= now {
            self.phase = Phase::Closed;
            self.has_ended_it = receiver.close();
        }
        self.phase != before
    }

    /// Returns whether the channel is closed.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Returns when the next thing is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => Some(self.begin.min(self.end)),
            Phase::Begun => Some(self.end),
            Phase::Closed => None,
        }
    }

    /// Returns the farewell, once, if the stream ends cleanly while or since it was to end.
    pub(super) fn farewell(&mut self, record: &Record) -> Option<Segment> {
        if !self.owes_farewell() {
            return None;
        }
        let farewell = match std::mem::replace(&mut self.farewell, Words::None) {
            Words::OfLifetime => record.options.farewell.as_ref(),
            Words::OfShutdown => record.shutdown().map(Shutdown::farewell),
            Words::None => None,
        };
        let (bytes, last_id) = farewell?.encode()?;
        Some(Segment { bytes, last_id, ..Segment::default() })
    }

    /// Returns whether the farewell is still to be asked for.
    pub(super) fn owes_farewell(&self) -> bool {
        match self.farewell {
            Words::OfLifetime => self.phase > Phase::Open,
            Words::OfShutdown => true,
            Words::None => false,
        }
    }

    /// Returns why the stream ended, if this has ended it.
    pub(super) fn reason(&self) -> Option<EndReason> {
        self.has_ended_it.then_some(self.by)
    }

    /// Returns why a stream ends that nobody polls any more, if its end was due.
    pub(super) fn overdue(&self, now: Instant) -> Option<EndReason> {
        if self.is_over() { self.reason() } else { (self.end <= now).then_some(self.by) }
    }
}
