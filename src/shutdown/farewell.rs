//! What a stream sends before the server ends it, and how much time it has.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{delay_range::DelayRange, event::Event, lifecycle::StopRequest, timer::saturating_add};

/// What streams send before the server ends them, and how much time they have.
///
/// A [`Shutdown`](super::Shutdown) has one, and so has the
/// [lifetime](crate::EventBody::max_lifetime) of a stream. By default streams send no farewell and
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
    /// The last event of the stream.
    event: Option<Event>,
    /// The reconnection time that the stream ends with.
    retry: Option<DelayRange>,
    /// How long handlers may go on after `EventSender::ending` has completed.
    grace: Duration,
    /// Over how long the ends of a shutdown are spread.
    stagger: Duration,
    /// The time from when the last stream should have ended until connections are cut.
    cut_after: Duration,
}

impl Farewell {
    /// Creates a farewell that sends nothing and gives no time.
    pub fn new() -> Self {
        Self {
            event: None,
            retry: None,
            grace: Duration::ZERO,
            stagger: Duration::ZERO,
            cut_after: Duration::from_secs(5),
        }
    }

    /// Sets the last event of the stream. The body writes it itself, so the buffer cannot drop it.
    /// By default there is no event.
    pub fn event(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }

    /// Sets how long clients wait before they reconnect. The stream sends it as `retry`, in whole
    /// milliseconds, drawn from the range for each stream. Not sent by default.
    pub fn retry(mut self, reconnection_time: impl Into<DelayRange>) -> Self {
        self.retry = Some(reconnection_time.into());
        self
    }

    /// Sets the grace period: how long handlers may go on after
    /// [`EventSender::ending`](crate::EventSender::ending) has completed. Defaults to zero.
    ///
    /// At a shutdown, `ending` completes when the end of the stream begins: at once, or at the time
    /// that [`stagger_over`](Self::stagger_over) has drawn. Before the end of a lifetime, it
    /// completes this long before, but not before half of the lifetime has passed. Streams without
    /// a handler, such as those of a hub, have no grace period: their clients resume. The upstream of a
    /// [relay](crate::layer::relay) has one.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Spreads the ends of a shutdown over this time: each stream begins to end at a time that is
    /// drawn for it. Defaults to zero: all streams begin at once. Lifetimes are always spread.
    pub fn stagger_over(mut self, stagger: Duration) -> Self {
        self.stagger = stagger;
        self
    }

    /// Sets when the connections that [`Shutdown::cut_io`](super::Shutdown::cut_io) has wrapped are
    /// cut: this long after the last stream should have ended. Their clients read slowly or not at
    /// all. Defaults to 5 seconds.
    pub fn cut_after(mut self, delay: Duration) -> Self {
        self.cut_after = delay;
        self
    }

    /// Encodes the farewell and returns it with its event ID, or `None` if it is empty.
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

    /// Returns the delay that is announced to requests that are refused during the shutdown.
    pub(crate) fn reconnection_time(&self) -> Option<DelayRange> {
        self.retry
    }

    /// Returns when a stream that starts now and ends at `end` begins to end. That is never before
    /// half of its lifetime: otherwise, with a long grace period and a short lifetime, its handler
    /// would have to end as soon as it starts.
    pub(crate) fn begin_before(&self, now: Instant, end: Instant) -> Instant {
        let life = end.saturating_duration_since(now);
        end - self.grace.min(life / 2)
    }

    /// Returns the request for a stream that was opened after the shutdown began. It ends at once,
    /// or with the other streams if they have a grace period.
    pub(super) fn request_late(&self, now: Instant, started: Instant) -> StopRequest {
        let end = saturating_add(saturating_add(started, self.stagger), self.grace);
        let end = if self.grace.is_zero() { now } else { end.max(now) };
        StopRequest { begin: now, end, silent: false }
    }

    /// Draws when a stream begins to end, for a shutdown that starts now.
    pub(super) fn draw(&self, now: Instant) -> StopRequest {
        let begin = saturating_add(now, DelayRange::from(Duration::ZERO..=self.stagger).draw());
        StopRequest { begin, end: saturating_add(begin, self.grace), silent: false }
    }

    /// Returns when all streams of a shutdown that started at this time must have ended.
    pub(super) fn cut_at(&self, started: Instant) -> Instant {
        [self.stagger, self.grace, self.cut_after].into_iter().fold(started, saturating_add)
    }

    /// Returns when all streams of a shutdown without a grace period must have ended.
    pub(super) fn cut_at_once(&self, started: Instant) -> Instant {
        saturating_add(started, self.cut_after)
    }
}

impl Default for Farewell {
    fn default() -> Self {
        Self::new()
    }
}
