//! What a stream says before the server ends it, and how much time it has.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{channel::Ask, delay_range::DelayRange, event::Event, timer::saturating_add};

/// How streams end that the server ends: what they say, and how much time they have.
///
/// One value for a [`Shutdown`](super::Shutdown) and for the
/// [lifetime](crate::EventBody::max_lifetime) of a stream. The default is to say nothing, and to
/// end at once.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Event, Farewell};
///
/// let farewell = Farewell::new()
///     .event(Event::new("").with_type("bye"))
///     .retry(Duration::from_secs(1)..Duration::from_secs(9))
///     .grace_period(Duration::from_secs(30));
/// # let _ = farewell;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Farewell {
    event: Option<Event>,
    retry: Option<DelayRange>,
    grace: Duration,
    pace: Duration,
    cut_after: Duration,
}

impl Farewell {
    /// Creates a farewell that says nothing, and ends at once.
    pub fn new() -> Self {
        Self {
            event: None,
            retry: None,
            grace: Duration::ZERO,
            pace: Duration::ZERO,
            cut_after: Duration::from_secs(5),
        }
    }

    /// Says this event, the last of the stream. It is written by the body, past its buffer.
    pub fn event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }

    /// Says how long the client is to wait before it comes back: in whole milliseconds, drawn for
    /// each stream.
    pub fn retry(mut self, reconnection_time: impl Into<DelayRange>) -> Self {
        self.retry = Some(reconnection_time.into());
        self
    }

    /// Lets handlers go on for so long after they were told by
    /// [`EventSender::ending`](crate::EventSender::ending). Default is none.
    ///
    /// At a shutdown they are told when it begins; of a lifetime, so long before its end, but not
    /// before half of it is over.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Spreads the ends of a shutdown over so long: each stream begins its own at a time that is
    /// drawn for it. Default is all at once. Lifetimes are spread anyway.
    pub fn stagger_over(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Sets how long after the last stream had to end a shutdown leaves those alone that still are
    /// open, because their clients read slowly or not at all: then their connections are cut, if
    /// they are wrapped in [`Shutdown::cut_io`](super::Shutdown::cut_io). Default is 5 seconds.
    pub fn cut_after(mut self, patience: Duration) -> Self {
        self.cut_after = patience;
        self
    }

    /// Returns what is said, and the id in it, if anything is.
    pub(crate) fn encode(&self) -> Option<(Bytes, Option<Bytes>)> {
        if self.event.is_none() && self.retry.is_none() {
            return None;
        }
        let mut event = self.event.clone().unwrap_or_default();
        if let Some(retry) = &self.retry {
            event = event.with_retry(retry.draw());
        }
        let id = event.id().map(|id| Bytes::copy_from_slice(id.as_bytes()));
        Some((event.encode().to_bytes(), id))
    }

    /// Returns how long those are sent away that come meanwhile, if it is said.
    pub(crate) fn reconnection_time(&self) -> Option<DelayRange> {
        self.retry
    }

    /// Returns when a stream begins to end that starts now and is to end at this time: not before
    /// half of its life is over, or those with a long grace and a short life would come and go.
    pub(crate) fn begin_before(&self, now: Instant, end: Instant) -> Instant {
        let life = end.saturating_duration_since(now);
        end - self.grace.min(life / 2)
    }

    /// Returns when a stream ends that has come after the shutdown began: at once, or with the others
    /// if these have time to finish.
    pub(super) fn ask_late(&self, now: Instant, started: Instant) -> Ask {
        let end = saturating_add(saturating_add(started, self.pace), self.grace);
        let end = if self.grace.is_zero() { now } else { end.max(now) };
        Ask { begin: now, end, silent: false }
    }

    /// Draws when a stream begins to end and ends, at a shutdown that starts now.
    pub(super) fn draw(&self, now: Instant) -> Ask {
        let begin = saturating_add(now, DelayRange::from(Duration::ZERO..=self.pace).draw());
        Ask { begin, end: saturating_add(begin, self.grace), silent: false }
    }

    /// Returns when the streams of a shutdown that has started then must all have ended.
    pub(super) fn cut_at(&self, started: Instant) -> Instant {
        [self.pace, self.grace, self.cut_after].into_iter().fold(started, saturating_add)
    }

    /// Returns when the streams of a shutdown without a grace must all have ended.
    pub(super) fn cut_at_once(&self, started: Instant) -> Instant {
        saturating_add(started, self.cut_after)
    }
}

impl Default for Farewell {
    fn default() -> Self {
        Self::new()
    }
}
