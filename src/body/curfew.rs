//! When a stream is to end that does not end by itself: its lifetime, its deadline, a shutdown.

use tokio::time::Instant;

use super::{
    end::{EndReason, Record},
    options::StreamOptions,
};
use crate::{
    channel::{Ask, EventReceiver, Segment},
    shutdown::{Farewell, Shutdown},
};

/// The due end of a stream, and how far it has come.
#[derive(Debug)]
pub(super) struct Curfew {
    /// When the handler is told.
    begin: Instant,
    end: Instant,
    /// Who ends it at `end`.
    by: By,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Lifetime,
    Shutdown,
    /// Without a farewell.
    ShutdownNow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// The handler was told.
    Begun,
    /// The channel was closed, what is queued goes out. The stream may have ended before.
    Closed {
        by_curfew: bool,
    },
    /// The farewell is out.
    Said {
        by_curfew: bool,
    },
}

impl Curfew {
    /// Draws the lifetime of a stream that starts now, if it has one.
    pub(super) fn of(options: &StreamOptions, deadline: Option<Instant>) -> Option<Self> {
        let lifetime = options.max_lifetime.map(|lifetime| lifetime.ends_from(Instant::now()));
        let end = lifetime.into_iter().chain(deadline).min()?;
        let begin = options.farewell.as_ref().map_or(end, |farewell| farewell.begin_before(end));
        Some(Self { begin, end, by: By::Lifetime, phase: Phase::Open })
    }

    /// Takes what a shutdown asks into account: the earlier end counts.
    pub(super) fn ask(this: &mut Option<Box<Self>>, ask: Ask) {
        let by = if ask.silent { By::ShutdownNow } else { By::Shutdown };
        match this {
            None => {
                let Ask { begin, end, .. } = ask;
                *this = Some(Box::new(Self { begin, end, by, phase: Phase::Open }));
            }
            // Why it ended is decided. What it says is not, until it is said.
            Some(this) if this.is_over() => {
                if let (Phase::Closed { by_curfew }, true) = (this.phase, ask.silent) {
                    this.phase = Phase::Said { by_curfew };
                }
            }
            Some(this) => {
                this.begin = this.begin.min(ask.begin);
                if ask.end <= this.end || ask.silent {
                    (this.end, this.by) = (this.end.min(ask.end), by);
                }
            }
        }
    }

    /// Does what is due, and returns whether anything was.
    pub(super) fn advance(&mut self, now: Instant, receiver: &EventReceiver) -> bool {
        let before = self.phase;
        if self.phase == Phase::Open && self.begin <= now {
            self.phase = Phase::Begun;
            receiver.begin_ending();
        }
        if self.phase <= Phase::Begun && self.end <= now {
            self.phase = Phase::Closed { by_curfew: receiver.close() };
        }
        self.phase != before
    }

    /// Returns whether the channel is closed.
    pub(super) fn is_over(&self) -> bool {
        self.phase > Phase::Begun
    }

    /// Returns when the next thing is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => Some(self.begin.min(self.end)),
            Phase::Begun => Some(self.end),
            Phase::Closed { .. } | Phase::Said { .. } => None,
        }
    }

    /// Returns the farewell, once, if the stream ends cleanly while or since it was to end.
    pub(super) fn farewell(&mut self, record: &Record) -> Option<Segment> {
        let by_curfew = match self.phase {
            Phase::Open | Phase::Said { .. } => return None,
            Phase::Begun => false,
            Phase::Closed { by_curfew } => by_curfew,
        };
        self.phase = Phase::Said { by_curfew };
        let (bytes, last_id) = self.said_by(record)?.encode()?;
        Some(Segment { bytes, last_id, ..Segment::default() })
    }

    /// Returns whether the farewell is still to be asked for.
    pub(super) fn owes_farewell(&self) -> bool {
        matches!(self.phase, Phase::Begun | Phase::Closed { .. })
    }

    /// Returns why the stream ended, if this has ended it.
    pub(super) fn reason(&self) -> Option<EndReason> {
        match self.phase {
            Phase::Closed { by_curfew: true } | Phase::Said { by_curfew: true } => {
                Some(self.by.reason())
            }
            _ => None,
        }
    }

    /// Returns why a stream ends that nobody polls any more, if its end was due.
    pub(super) fn overdue(&self, now: Instant) -> Option<EndReason> {
        match self.phase {
            Phase::Open | Phase::Begun => (self.end <= now).then(|| self.by.reason()),
            Phase::Closed { .. } | Phase::Said { .. } => self.reason(),
        }
    }

    fn said_by<'a>(&self, record: &'a Record) -> Option<&'a Farewell> {
        match self.by {
            By::Lifetime => record.options.farewell.as_ref(),
            By::Shutdown => record.shutdown().map(Shutdown::farewell),
            By::ShutdownNow => None,
        }
    }
}

impl By {
    fn reason(self) -> EndReason {
        match self {
            Self::Lifetime => EndReason::Expired,
            Self::Shutdown | Self::ShutdownNow => EndReason::ShutDown,
        }
    }
}
