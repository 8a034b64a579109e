//! When a lost connection comes back, and when it never does.

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;

/// The delay after the second failure, if there is none after the first.
pub(super) const GROWS_FROM: Duration = Duration::from_millis(100);

/// The least delay by default.
const FLOOR: Duration = Duration::from_millis(100);

/// How an [`EventSource`](super::EventSource) reconnects.
///
/// [`resilient`](Self::resilient) is the default, [`standard`](Self::standard) the letter of the
/// standard, [`never`](Self::never) reads one connection; each part can be set on its own.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::Reconnection;
///
/// let patient = Reconnection::resilient()
///     .base(Duration::from_millis(500))
///     .cap(Duration::from_secs(30))
///     .stop_on(|status| status == 401 || status == 404)
///     .give_up_after(Duration::from_secs(600));
/// # let _ = patient;
/// ```
///
/// # The delay
///
/// After the *n*th failure in a row it is the base times the factor to the power of *n*, at most the
/// cap, minus up to the jitter's part of it, at random: with a jitter of 1, anything from zero. What
/// a server tells is a minimum: its reconnection time (`retry`), which takes the place of the base,
/// and `Retry-After`. Above a minimum jitter goes upward only, so that clients that were told the
/// same do not come back together. Nothing is below the floor.
///
/// The delay starts again, so that the loss counts as the first failure, after a connection that
///
/// - ended well after at least one event: that is no failure, and the delay does not grow by it;
/// - or gave an event and was cut, but lasted longer than the delay before it (and 100 ms): behind a
///   proxy that cuts everything after 30 s, a source waits no longer than the base each time;
/// - or lasted as long as [`reset_after`](Self::reset_after), with events or without.
///
/// What gives one event and breaks at once is waited for longer and longer, as what never answers.
#[derive(Clone)]
pub struct Reconnection {
    pub(super) base: Duration,
    pub(super) factor: f64,
    pub(super) cap: Duration,
    pub(super) jitter: f64,
    /// None is the default, which depends on the base.
    pub(super) floor: Option<Duration>,
    pub(super) max_server_delay: Duration,
    pub(super) reset_after: Duration,
    pub(super) attempts: Option<u32>,
    pub(super) give_up_after: Option<Duration>,
    pub(super) after: After,
    stop_on: StopOn,
}

/// What is reconnected after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Everything,
    Nothing,
}

type StopOn = Arc<dyn Fn(StatusCode) -> bool + Send + Sync>;

impl Reconnection {
    /// Survives what can be survived: 1 s, doubled up to 60 s, with full jitter and a floor of 100
    /// ms; from the start again after a connection that was healthy, or lasted 60 s. Goes on for
    /// ever, but for a status of 4xx other than 408 and 429, and every other status that is neither
    /// 200 nor 5xx. A server's reconnection time or `Retry-After` counts up to an hour.
    #[must_use]
    pub fn resilient() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(60),
            jitter: 1.0,
            floor: None,
            max_server_delay: Duration::from_secs(60 * 60),
            reset_after: Duration::from_secs(60),
            attempts: None,
            give_up_after: None,
            after: After::Everything,
            stop_on: Arc::new(|status| !is_worth_another_try(status)),
        }
    }

    /// Does what the standard says and no more: 3 s or what the server has told, always the same, and
    /// 100 ms at least (the standard allows to wait some more).
    /// Any status but 200 ends it for good; a network error, or an end, does not.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            base: Duration::from_secs(3),
            factor: 1.0,
            cap: Duration::MAX,
            jitter: 0.0,
            max_server_delay: Duration::MAX,
            stop_on: Arc::new(|_| true),
            ..Self::resilient()
        }
    }

    /// Reads one connection to its end and makes no other.
    #[must_use]
    pub fn never() -> Self {
        Self { after: After::Nothing, ..Self::resilient() }
    }

    /// Sets the delay after the first failure, until a server tells another.
    ///
    /// With zero the first reconnect is at once, and the delay grows from 100 ms; there is no
    /// [`floor`](Self::floor) then unless one is set. Mind that a stream that ends well after an
    /// event is no failure: from a server that ends each after one, they come without a pause.
    #[must_use]
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets what the delay is multiplied by after each failure; below 1 is as 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        // A maximum with a number that is none is the other one.
        self.factor = factor.max(1.0);
        self
    }

    /// Sets the longest delay, but for what a server tells.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets which part of the delay is drawn at random: from 0, always the same, to 1, all of it.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = if part.is_nan() { 1.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Sets the shortest delay, whatever a server tells. Default is 100 ms, or none with a base of
    /// zero.
    #[must_use]
    pub fn floor(mut self, floor: Duration) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Sets the longest delay that a server may tell. What is longer counts as this.
    #[must_use]
    pub fn max_server_delay(mut self, longest: Duration) -> Self {
        self.max_server_delay = longest;
        self
    }

    /// Sets how long a connection must last for its loss to be the first failure again, if it gave no
    /// event or not for longer than the delay before it.
    #[must_use]
    pub fn reset_after(mut self, health: Duration) -> Self {
        self.reset_after = health;
        self
    }

    /// Gives up after so many failed attempts in a row. Default is never.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Gives up when no connection could be opened for so long since one was lost, or since the
    /// first attempt. Default is never. An attempt is not cut short, nor is one made that would come
    /// later.
    #[must_use]
    pub fn give_up_after(mut self, deadline: Duration) -> Self {
        self.give_up_after = Some(deadline);
        self
    }

    /// Sets which statuses end it for good, in place of those by default. It is asked about all but
    /// 200, redirects that are followed, and 204, which always ends.
    #[must_use]
    pub fn stop_on(mut self, stop_on: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.stop_on = Arc::new(stop_on);
        self
    }

    pub(super) fn stops_on(&self, status: StatusCode) -> bool {
        (self.stop_on)(status)
    }

    /// The least and the most that the delay may be, after so many failures in a row, when the
    /// server has told a reconnection time, or when to come again.
    pub(super) fn envelope(
        &self,
        failures: u32,
        reconnection_time: Option<Duration>,
        retry_after: Option<Duration>,
    ) -> (Duration, Duration) {
        let told = reconnection_time.map(|time| time.min(self.max_server_delay));
        let floor = self.least();
        let base = told.unwrap_or(self.base).max(floor);
        let grown = self.grown(base, failures);
        let after = retry_after.unwrap_or_default().min(self.max_server_delay);
        let minimum = told.unwrap_or_default().max(after).max(floor);
        let least = minimum.max(scaled(grown, 1.0 - self.jitter));
        let most = grown.max(scaled(minimum, 1.0 + self.jitter));
        // A minimum of nothing but the floor does not reach beyond the delay.
        if told.is_none() && retry_after.is_none() {
            return (least.min(grown.max(floor)), grown.max(floor));
        }
        (least, most)
    }

    fn least(&self) -> Duration {
        self.floor.unwrap_or(if self.base.is_zero() { Duration::ZERO } else { FLOOR })
    }

    fn grown(&self, base: Duration, failures: u32) -> Duration {
        if base.is_zero() && failures > 0 && self.factor > 1.0 {
            // Nothing grows from zero, and a server that is down must not be asked without a pause.
            return self.grown(GROWS_FROM, failures - 1);
        }
        let power = self.factor.powi(i32::try_from(failures).unwrap_or(i32::MAX));
        // What the cap holds back is growth alone: a base above it stays.
        scaled(base, power).min(self.cap.max(base))
    }
}

/// 5xx, "too many requests" and "request timeout": it may be better another time.
fn is_worth_another_try(status: StatusCode) -> bool {
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || again.contains(&status)
}

fn scaled(duration: Duration, by: f64) -> Duration {
    if by == 1.0 {
        return duration;
    }
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

impl Default for Reconnection {
    fn default() -> Self {
        Self::resilient()
    }
}

impl fmt::Debug for Reconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnection")
            .field("base", &self.base)
            .field("factor", &self.factor)
            .field("cap", &self.cap)
            .field("jitter", &self.jitter)
            .field("floor", &self.least())
            .field("reset_after", &self.reset_after)
            .field("attempts", &self.attempts)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn resilient_doubles_to_its_cap_with_full_jitter() {
        let policy = Reconnection::resilient();
        for (failures, most) in [(0, 1000), (1, 2000), (5, 32_000), (6, 60_000), (u32::MAX, 60_000)]
        {
            assert_eq!(policy.envelope(failures, None, None), (100 * MS, most * MS), "{failures}");
        }
    }

    #[test]
    fn what_a_server_tells_is_a_minimum_with_jitter_above_it() {
        let policy = Reconnection::resilient();
        let told = Some(5000 * MS);
        assert_eq!(policy.envelope(0, told, None), (5000 * MS, 10_000 * MS));
        assert_eq!(policy.envelope(2, told, None), (5000 * MS, 20_000 * MS));
        assert_eq!(policy.envelope(0, None, told), (5000 * MS, 10_000 * MS));
        assert_eq!(policy.envelope(0, told, Some(8000 * MS)), (8000 * MS, 16_000 * MS));
        // Beyond the cap too.
        assert_eq!(policy.envelope(3, Some(90_000 * MS), None), (90_000 * MS, 180_000 * MS));
        let hour = 3_600_000 * MS;
        assert_eq!(policy.envelope(0, Some(Duration::MAX), None), (hour, hour * 2));
        // Half of it may be drawn.
        let half = policy.jitter(0.5);
        assert_eq!(half.envelope(0, None, None), (500 * MS, 1000 * MS));
        assert_eq!(half.envelope(0, told, None), (5000 * MS, 7500 * MS));
    }

    #[test]
    fn zero_has_a_floor_unless_the_caller_set_zero() {
        let policy = Reconnection::resilient();
        assert_eq!(policy.envelope(0, Some(Duration::ZERO), None), (100 * MS, 200 * MS));
        let zero = policy.clone().base(Duration::ZERO);
        assert_eq!(zero.envelope(0, None, None), (Duration::ZERO, Duration::ZERO));
        assert_eq!(zero.envelope(1, None, None), (Duration::ZERO, 100 * MS));
        assert_eq!(zero.envelope(3, None, None), (Duration::ZERO, 400 * MS));
        let always = zero.clone().factor(1.0);
        assert_eq!(always.envelope(9, None, None), (Duration::ZERO, Duration::ZERO));
        assert_eq!(zero.envelope(0, Some(Duration::ZERO), None), (Duration::ZERO, Duration::ZERO));
        // It is the base that takes the floor away, and only as long as it is zero.
        let again = zero.clone().base(1000 * MS);
        assert_eq!(again.envelope(0, Some(Duration::ZERO), None), (100 * MS, 200 * MS));
        for floored in
            [zero.clone().floor(50 * MS), policy.clone().floor(50 * MS).base(Duration::ZERO)]
        {
            assert_eq!(floored.envelope(0, None, None), (50 * MS, 50 * MS));
        }
        let floor = policy.floor(Duration::ZERO);
        assert_eq!(floor.envelope(0, Some(Duration::ZERO), None).0, Duration::ZERO);
    }

    #[test]
    fn standard_is_always_the_same() {
        let policy = Reconnection::standard();
        let (three, told) = (3000 * MS, 700 * MS);
        assert_eq!(policy.envelope(100, None, None), (three, three));
        assert_eq!(policy.envelope(100, Some(told), None), (told, told));
        assert_eq!(policy.envelope(9, Some(Duration::ZERO), None), (100 * MS, 100 * MS));
        assert_eq!(policy.envelope(0, Some(Duration::MAX), None), (Duration::MAX, Duration::MAX));
    }

    #[test]
    fn no_setting_is_a_panic() {
        let policies = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e300]
            .map(|x| Reconnection::resilient().factor(x).jitter(x).cap(Duration::MAX));
        for policy in policies {
            for failures in [0, 1, 1000, u32::MAX] {
                for told in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
                    let (least, most) = policy.envelope(failures, told, told);
                    assert!(least <= most);
                }
            }
        }
    }
}
