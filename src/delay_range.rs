//! A duration drawn at random, so that clients which left together do not come back together.

use std::{
    ops::{Range, RangeInclusive},
    time::Duration,
};

/// A span of time, or a range from which one is drawn for each stream: `Duration::from_secs(3)`, or
/// `Duration::from_secs(1)..Duration::from_secs(5)`.
///
/// Drawn evenly, and both ends may be drawn. A range whose end is before its start is read from the
/// other side.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::DelayRange;
///
/// let spread = DelayRange::from(Duration::from_secs(1)..Duration::from_secs(5));
/// assert!((1..=5).contains(&spread.draw().as_secs()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayRange {
    least: Duration,
    most: Duration,
}

impl DelayRange {
    /// Draws one.
    #[must_use]
    pub fn draw(&self) -> Duration {
        let width = u64::try_from((self.most - self.least).as_nanos()).unwrap_or(u64::MAX);
        self.least + Duration::from_nanos(fastrand::u64(0..=width))
    }

    fn between(one: Duration, other: Duration) -> Self {
        Self { least: one.min(other), most: one.max(other) }
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
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(30));
        let backwards = most..least;
        for spread in
            [DelayRange::from(least..most), DelayRange::from(least..=most), backwards.into()]
        {
            let draws: Vec<_> = (0..1000).map(|_| spread.draw()).collect();
            assert!(draws.iter().all(|draw| (least..=most).contains(draw)));
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
