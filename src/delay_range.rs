//! A random delay, so that clients that left together do not reconnect together.

use std::{
    ops::{Range, RangeInclusive},
    time::Duration,
};

/// A delay, or a range from which a delay is drawn for each stream.
///
/// It is made from a `Duration`, for example `Duration::from_secs(3)`, or from a range of them, for
/// example `Duration::from_secs(1)..Duration::from_secs(5)`. Delays are uniformly distributed, both
/// ends included. A reversed range is swapped.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::DelayRange;
///
/// let delay = DelayRange::from(Duration::from_secs(1)..Duration::from_secs(5));
/// assert!((1..=5).contains(&delay.draw().as_secs()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayRange {
    min: Duration,
    /// Never below `min`.
    max: Duration,
}

impl DelayRange {
    /// Draws a delay from the range.
    #[must_use]
    pub fn draw(&self) -> Duration {
        let width = u64::try_from((self.max - self.min).as_nanos()).unwrap_or(u64::MAX);
        self.min + Duration::from_nanos(fastrand::u64(0..=width))
    }

    fn between(one: Duration, other: Duration) -> Self {
        Self { min: one.min(other), max: one.max(other) }
    }
}

impl From<Duration> for DelayRange {
    fn from(duration: Duration) -> Self {
        Self::between(duration, duration)
    }
}

impl From<Range<Duration>> for DelayRange {
    fn from(range: Range<Duration>) -> Self {
        Self::between(range.start, range.end)
    }
}

impl From<RangeInclusive<Duration>> for DelayRange {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self::between(*range.start(), *range.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_and_fill_the_range() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(30));
        let reversed = max..min;
        for range in [DelayRange::from(min..max), DelayRange::from(min..=max), reversed.into()] {
            let draws: Vec<_> = (0..1000).map(|_| range.draw()).collect();
            assert!(draws.iter().all(|draw| (min..=max).contains(draw)));
            assert!(draws.iter().any(|draw| *draw < Duration::from_millis(14)));
            assert!(draws.iter().any(|draw| *draw > Duration::from_millis(26)));
        }
    }

    #[test]
    fn one_duration_is_drawn_as_it_is_and_the_widest_range_is_no_panic() {
        assert_eq!(DelayRange::from(Duration::from_secs(3)).draw(), Duration::from_secs(3));
        let _ = DelayRange::from(Duration::ZERO..Duration::MAX).draw();
        assert_eq!(DelayRange::from(Duration::MAX).draw(), Duration::MAX);
    }
}
