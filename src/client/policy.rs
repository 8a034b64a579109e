//! `Reconnection`: when a request is sent again, and when it is not.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use http::Method;

use super::refused::RefusedResponse;
use crate::delay_range::DelayRange;

/// The delay after the second failure, if the first failure has no delay.
pub(super) const GROWS_FROM: Duration = Duration::from_millis(100);

/// The default of the shortest delay.
const FLOOR: Duration = Duration::from_millis(100);

/// The longest delay that a server can ask for, if the caller sets no limit.
const MAX_SERVER_DELAY: Duration = Duration::from_secs(60 * 60);

/// How long the presets for a single answer try to connect.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// How many attempts without an event the presets for a single answer make.
const ATTEMPTS: u32 = 5;

/// How an [`EventSource`](super::EventSource) reconnects.
///
/// The presets differ in the failures after which the request is sent again:
///
/// | preset | sends the request again | default for |
/// |---|---|---|
/// | [`resilient`](Self::resilient) | after every temporary failure | safe methods, for example GET |
/// | [`standard`](Self::standard) | as the standard says | |
/// | [`until_event`](Self::until_event) | until an event has been received | |
/// | [`until_opened`](Self::until_opened) | until a response has been opened | other methods, for example POST |
/// | [`never`](Self::never) | never | |
///
/// The [table of failures](super#failures) shows each preset for each kind of failure. Each part of
/// a preset can be changed:
///
/// ```
/// use std::time::Duration;
/// use tower_sse::Reconnection;
///
/// let patient = Reconnection::resilient()
///     .base(Duration::from_millis(500))
///     .cap(Duration::from_secs(30))
///     .stop_on(|refused| !refused.is_temporary() && refused.status() != 401)
///     .give_up_after(Duration::from_secs(600));
/// # let _ = patient;
/// ```
///
/// # The delay
///
/// The delay after the first failure is the base. Each further failure in a row multiplies it by
/// the factor, up to the cap. Then jitter is subtracted at random: with a jitter of 1, the delay is
/// anything between the floor and the full delay.
///
/// A server can set a minimum: its reconnection time (`retry`), which also replaces the base, and
/// its `Retry-After` or `retry-after-ms`, which is not multiplied. Jitter is then added to the
/// minimum, so that clients that got the same minimum do not come back together. The added jitter is
/// at most the cap. No delay is below the floor.
///
/// The delay starts from the base again after a connection that did one of the following:
///
/// - It lasted longer than the delay before it (and longer than 100 ms), with events or without. If
///   a proxy cuts each connection after 30 s, a source waits only the base delay each time.
/// - It ended without an error after at least one event. The delay does not grow either then.
///
/// If a server sends one event and then resets the connection at once, the delay grows, as after an
/// attempt without an answer.
#[derive(Clone)]
pub struct Reconnection {
    base: Duration,
    /// At least 1.
    factor: f64,
    cap: Duration,
    /// From 0 to 1.
    jitter: f64,
    /// `None` is the default, which depends on the base.
    floor: Option<Duration>,
    /// The limit of the reconnection time and of `Retry-After`.
    max_server_delay: Duration,
    /// Whether a `Retry-After` above its limit ends the source. Otherwise the delay is cut to the
    /// limit.
    gives_up_on_long_delay: bool,
    /// `None` is no limit.
    attempts: Option<u32>,
    /// `None` is no limit.
    pub(super) give_up_after: Option<Duration>,
    pub(super) retries: Retries,
    /// Whether a refused certificate ends the source.
    pub(super) stops_on_certificate: bool,
    stop_on: StopOn,
}

type StopOn = Arc<dyn Fn(&RefusedResponse) -> bool + Send + Sync>;

/// The point after which a source no longer sends its request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retries {
    Never,
    /// Not after a response has been opened, nor if the server may have done its work.
    UntilOpened,
    /// Not after an event has been received, nor if the server may have done its work.
    UntilEvent,
    Always,
}

impl Reconnection {
    /// Reconnects after every temporary failure. This is the default for requests whose method is
    /// [safe](https://www.rfc-editor.org/rfc/rfc9110#name-safe-methods), for example GET.
    ///
    /// | failure | then |
    /// |---|---|
    /// | no connection, no response head, or the header provider failed | the request is sent again |
    /// | status 408, 429 or 5xx | the request is sent again |
    /// | the connection is lost or silent, or the stream ends | the request is sent again, with the last event ID |
    /// | a certificate that was refused | an error |
    /// | any other status, a content type or encoding that is not accepted, an invalid redirect | an error |
    /// | status 204 | the end |
    ///
    /// The delay starts at 1 s and doubles up to 60 s, with full jitter and a floor of 100 ms. A
    /// server's reconnection time and `Retry-After` are cut to an hour. The number of attempts is
    /// not limited.
    #[must_use]
    pub fn resilient() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(60),
            jitter: 1.0,
            floor: None,
            max_server_delay: MAX_SERVER_DELAY,
            gives_up_on_long_delay: false,
            attempts: None,
            give_up_after: None,
            retries: Retries::Always,
            stops_on_certificate: true,
            stop_on: Arc::new(|refused| !refused.is_temporary()),
        }
    }

    /// Reconnects exactly as the
    /// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model)
    /// says.
    ///
    /// | failure | then |
    /// |---|---|
    /// | no connection, also because of a certificate; no response head; the header provider failed | the request is sent again |
    /// | the connection is lost or silent, or the stream ends | the request is sent again, with the last event ID |
    /// | any status but 200, a content type or encoding that is not accepted, an invalid redirect | an error |
    /// | status 204 | the end |
    ///
    /// The delay is 3 s, or the server's reconnection time, and never grows. It is at least 100 ms,
    /// which the standard allows. The number of attempts is not limited.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            base: Duration::from_secs(3),
            factor: 1.0,
            cap: Duration::MAX,
            jitter: 0.0,
            max_server_delay: Duration::MAX,
            stops_on_certificate: false,
            stop_on: Arc::new(|_| true),
            ..Self::resilient()
        }
    }

    /// Sends the request again until an event has been received.
    ///
    /// Use it for an answer that cannot be resumed, but may be requested again as long as none of it
    /// has been read: for example, that of a language model. A server that charges for an answer may
    /// charge for one that was lost before its first event.
    ///
    /// | failure | then |
    /// |---|---|
    /// | no connection, a reset before the response head, or the header provider failed | the request is sent again |
    /// | status 408, 429 or 5xx | the request is sent again |
    /// | a timeout, a response that cannot be parsed, or a failure after a redirect that makes the request a GET: the server may have done its work | an error |
    /// | before the first event: the connection is lost, or the stream ends | the request is sent again |
    /// | after the first event: the connection is lost | an error |
    /// | after the first event: the stream ends | the end |
    /// | a certificate that was refused | an error |
    /// | any other status, a content type or encoding that is not accepted, an invalid redirect | an error |
    /// | status 204 | the end |
    ///
    /// The delays are those of [`resilient`](Self::resilient).
    /// [`attempts`](Self::attempts) is 5, and [`give_up_after`](Self::give_up_after) is two minutes.
    #[must_use]
    pub fn until_event() -> Self {
        Self {
            retries: Retries::UntilEvent,
            attempts: Some(ATTEMPTS),
            give_up_after: Some(GIVE_UP_AFTER),
            ..Self::resilient()
        }
    }

    /// Sends the request again until a response has been opened. This is the default for requests whose
    /// method is not [safe](https://www.rfc-editor.org/rfc/rfc9110#name-safe-methods), for example
    /// POST: once the server has begun to answer, the request might have its effect twice.
    ///
    /// | failure | then |
    /// |---|---|
    /// | no connection, a reset before the response head (also of a pooled connection, or `REFUSED_STREAM`), or the header provider failed | the request is sent again |
    /// | status 408, 429 or 5xx | the request is sent again |
    /// | a timeout, a response that cannot be parsed, or a failure after a redirect that makes the request a GET: the server may have done its work | an error |
    /// | the open connection is lost | an error |
    /// | the stream ends | the end |
    /// | a certificate that was refused | an error |
    /// | any other status, a content type or encoding that is not accepted, an invalid redirect | an error |
    /// | status 204 | the end |
    ///
    /// The delays are those of [`resilient`](Self::resilient).
    /// [`attempts`](Self::attempts) is 5, and [`give_up_after`](Self::give_up_after) is two minutes.
    #[must_use]
    pub fn until_opened() -> Self {
        Self { retries: Retries::UntilOpened, ..Self::until_event() }
    }

    /// Sends the request once.
    ///
    /// | failure | then |
    /// |---|---|
    /// | every failure before the stream is open | an error |
    /// | the connection is lost or silent | an error |
    /// | the stream ends | the end |
    /// | status 204 | the end |
    #[must_use]
    pub fn never() -> Self {
        Self { retries: Retries::Never, ..Self::resilient() }
    }

    /// Returns the default for a method.
    pub(super) fn default_for(method: &Method) -> Self {
        if method.is_safe() { Self::resilient() } else { Self::until_opened() }
    }

    /// Sets the delay after the first failure. A server's reconnection time replaces it.
    ///
    /// Defaults to 1 s, and to 3 s for [`standard`](Self::standard).
    ///
    /// With a base of zero, the first reconnect is made at once, and the delay grows from 100 ms, unless
    /// the factor is 1.
    /// There is no [`floor`](Self::floor) then, unless one is set. Note that the
    /// delay does not grow after a stream that ends without an error after an event: if a server ends
    /// each stream after one event, the source reconnects without a pause.
    #[must_use]
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the factor that the delay is multiplied by after each failure. Smaller values than 1 count
    /// as 1. Defaults to 2, and to 1 for [`standard`](Self::standard).
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        // `f64::max` ignores NaN.
        self.factor = factor.max(1.0);
        self
    }

    /// Limits how far the delay grows. A larger base, or a server's delay, is not cut. Defaults to 60
    /// s, and to no limit for [`standard`](Self::standard).
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the random part of the delay: from 0 (no randomness) to 1 (all of it is random). Defaults to
    /// 1, and to 0 for [`standard`](Self::standard).
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = if part.is_nan() { 1.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Sets the shortest delay. A server cannot set a shorter one. Defaults to 100 ms, or to zero
    /// if the base is zero.
    #[must_use]
    pub fn floor(mut self, floor: Duration) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Sets the longest delay that a server can ask for.
    ///
    /// A longer reconnection time is cut to this limit. If you set a limit, the source gives up at once
    /// after a longer `Retry-After`: the server would refuse an earlier attempt. The default is an hour,
    /// and cuts both. [`standard`](Self::standard) has no limit.
    #[must_use]
    pub fn max_server_delay(mut self, max: Duration) -> Self {
        self.max_server_delay = max;
        self.gives_up_on_long_delay = true;
        self
    }

    /// Gives up after this number of attempts in a row that gave no event: they failed, or their
    /// connection was lost before its first event. Zero counts as 1. Defaults to no limit, and to 5 for
    /// [`until_opened`](Self::until_opened) and [`until_event`](Self::until_event).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Gives up once the source has had no connection for this long, all in all, since the last event,
    /// or since the first attempt. The time of attempts counts. The time with an open connection does
    /// not, and an event resets the count. Defaults to no limit, and to two minutes for
    /// [`until_opened`](Self::until_opened) and [`until_event`](Self::until_event).
    ///
    /// An attempt is not cut short. An attempt that would begin after the limit is not made: if the
    /// server asks for a longer delay, the source gives up at once.
    #[must_use]
    pub fn give_up_after(mut self, duration: Duration) -> Self {
        self.give_up_after = Some(duration);
        self
    }

    /// Sets which refused responses end the source. Replaces the rule of the preset.
    ///
    /// The function is called for each status except 200, 204, 301, 302, 303, 307 and 308. It sees
    /// status, headers and the start of the body. For example, to stop if a quota is used up:
    ///
    /// ```
    /// use tower_sse::Reconnection;
    ///
    /// let policy = Reconnection::until_event().stop_on(|refused| {
    ///     let body = String::from_utf8_lossy(refused.body());
    ///     !refused.is_temporary() || body.contains("insufficient_quota")
    /// });
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn stop_on(
        mut self,
        stop_on: impl Fn(&RefusedResponse) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stop_on = Arc::new(stop_on);
        self
    }

    /// Draws the delay after this number of failures in a row, for a retry loop of your own. Zero counts
    /// as 1. `retry_after` is the delay that the server has asked for: see
    /// [`retry_after`](super::retry_after()).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::Reconnection;
    ///
    /// let policy = Reconnection::resilient().jitter(0.0);
    /// assert_eq!(policy.delay(3, None), Duration::from_secs(4));
    /// assert_eq!(policy.delay(3, Some(Duration::from_secs(9))), Duration::from_secs(9));
    /// ```
    #[must_use]
    pub fn delay(&self, failures: u32, retry_after: Option<Duration>) -> Duration {
        let range = self.delay_range(failures.saturating_sub(1), None, retry_after);
        DelayRange::from(range).draw()
    }

    pub(super) fn stops_on(&self, refused: &RefusedResponse) -> bool {
        (self.stop_on)(refused)
    }

    /// Returns whether to give up, after this number of attempts in a row without an event. `waited` is
    /// the time without a connection, including the next delay.
    pub(super) fn gives_up(
        &self,
        failures: u32,
        waited: Duration,
        retry_after: Option<Duration>,
    ) -> bool {
        let asks_for_too_much = retry_after.is_some_and(|delay| {
            self.gives_up_on_long_delay && delay > self.max_server_delay
                || self.give_up_after.is_some_and(|max| delay > max)
        });
        asks_for_too_much
            || self.attempts.is_some_and(|max| failures >= max.max(1))
            || self.give_up_after.is_some_and(|max| waited > max)
    }

    /// Returns the shortest and the longest delay after this number of failures in a row, with the
    /// reconnection time and the `Retry-After` that the server has sent.
    pub(super) fn delay_range(
        &self,
        failures: u32,
        reconnection_time: Option<Duration>,
        retry_after: Option<Duration>,
    ) -> RangeInclusive<Duration> {
        let reconnection_time = reconnection_time.map(|time| time.min(self.max_server_delay));
        let retry_after = retry_after.map(|time| time.min(self.max_server_delay));
        let floor = self.effective_floor();
        let grown = self.grow(reconnection_time.unwrap_or(self.base).max(floor), failures);
        // `None` is less than any time.
        let server_min = reconnection_time.max(retry_after);
        let minimum = server_min.unwrap_or_default().max(floor);
        let with_jitter = minimum.saturating_add(scale(minimum, self.jitter).min(self.cap));
        if retry_after.is_some_and(|delay| !delay.is_zero()) {
            // The server knows when it can be asked again.
            return minimum..=with_jitter;
        }
        let min = minimum.max(scale(grown, 1.0 - self.jitter));
        // Without a server's minimum, the floor never extends the range.
        if server_min.is_none() {
            let max = grown.max(floor);
            return min.min(max)..=max;
        }
        min..=grown.max(with_jitter)
    }

    /// Returns the floor, or its default.
    fn effective_floor(&self) -> Duration {
        self.floor.unwrap_or(if self.base.is_zero() { Duration::ZERO } else { FLOOR })
    }

    /// Returns the base as it has grown after this number of failures in a row.
    fn grow(&self, base: Duration, failures: u32) -> Duration {
        if base.is_zero() && failures > 0 && self.factor > 1.0 {
            // A delay of zero cannot grow, and a server that is down must not be asked without a
            // pause.
            return self.grow(GROWS_FROM, failures - 1);
        }
        let power = self.factor.powi(i32::try_from(failures).unwrap_or(i32::MAX));
        // The cap limits growth only; a larger base is kept.
        scale(base, power).min(self.cap.max(base))
    }
}

fn scale(duration: Duration, by: f64) -> Duration {
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
            .field("floor", &self.effective_floor())
            .field("retries", &self.retries)
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
        for (failures, max) in [(0, 1000), (1, 2000), (5, 32_000), (6, 60_000), (u32::MAX, 60_000)]
        {
            assert_eq!(policy.delay_range(failures, None, None), 100 * MS..=max * MS, "{failures}");
        }
    }

    #[test]
    fn a_delay_of_the_server_is_a_minimum_with_jitter_above_it() {
        let policy = Reconnection::resilient();
        let server_delay = Some(5000 * MS);
        assert_eq!(policy.delay_range(0, server_delay, None), 5000 * MS..=10_000 * MS);
        assert_eq!(policy.delay_range(2, server_delay, None), 5000 * MS..=20_000 * MS);
        assert_eq!(policy.delay_range(0, None, server_delay), 5000 * MS..=10_000 * MS);
        assert_eq!(policy.delay_range(0, server_delay, Some(8000 * MS)), 8000 * MS..=16_000 * MS);
        // Jitter is at most the cap.
        assert_eq!(policy.delay_range(3, Some(90_000 * MS), None), 90_000 * MS..=150_000 * MS);
        let hour = 3_600_000 * MS;
        assert_eq!(policy.delay_range(0, Some(Duration::MAX), None), hour..=hour + 60_000 * MS);
        assert_eq!(policy.delay_range(0, None, Some(hour)), hour..=hour + 60_000 * MS);
        // After a `Retry-After` the delay does not grow, unless it is no time at all.
        assert_eq!(policy.delay_range(4, None, Some(1000 * MS)), 1000 * MS..=2000 * MS);
        assert_eq!(policy.delay_range(4, None, Some(Duration::ZERO)), 100 * MS..=16_000 * MS);
        // Half of the delay is random.
        let half = policy.jitter(0.5);
        assert_eq!(half.delay_range(0, None, None), 500 * MS..=1000 * MS);
        assert_eq!(half.delay_range(0, server_delay, None), 5000 * MS..=7500 * MS);
    }

    #[test]
    fn zero_has_a_floor_unless_the_caller_set_zero() {
        let policy = Reconnection::resilient();
        assert_eq!(policy.delay_range(0, Some(Duration::ZERO), None), 100 * MS..=200 * MS);
        let zero = policy.clone().base(Duration::ZERO);
        assert_eq!(zero.delay_range(0, None, None), Duration::ZERO..=Duration::ZERO);
        assert_eq!(zero.delay_range(1, None, None), Duration::ZERO..=100 * MS);
        assert_eq!(zero.delay_range(3, None, None), Duration::ZERO..=400 * MS);
        let always = zero.clone().factor(1.0);
        assert_eq!(always.delay_range(9, None, None), Duration::ZERO..=Duration::ZERO);
        assert_eq!(
            zero.delay_range(0, Some(Duration::ZERO), None),
            Duration::ZERO..=Duration::ZERO
        );
        // Only a base of zero removes the default floor.
        let again = zero.clone().base(1000 * MS);
        assert_eq!(again.delay_range(0, Some(Duration::ZERO), None), 100 * MS..=200 * MS);
        for floored in
            [zero.clone().floor(50 * MS), policy.clone().floor(50 * MS).base(Duration::ZERO)]
        {
            assert_eq!(floored.delay_range(0, None, None), 50 * MS..=50 * MS);
        }
        let floor = policy.floor(Duration::ZERO);
        assert_eq!(*floor.delay_range(0, Some(Duration::ZERO), None).start(), Duration::ZERO);
    }

    #[test]
    fn standard_is_always_the_same() {
        let policy = Reconnection::standard();
        let (three, server_delay) = (3000 * MS, 700 * MS);
        assert_eq!(policy.delay_range(100, None, None), three..=three);
        assert_eq!(policy.delay_range(100, Some(server_delay), None), server_delay..=server_delay);
        assert_eq!(policy.delay_range(9, Some(Duration::ZERO), None), 100 * MS..=100 * MS);
        assert_eq!(policy.delay_range(0, Some(Duration::MAX), None), Duration::MAX..=Duration::MAX);
    }

    #[test]
    fn no_setting_is_a_panic() {
        let policies = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1e300]
            .map(|x| Reconnection::resilient().factor(x).jitter(x).cap(Duration::MAX));
        for policy in policies {
            for failures in [0, 1, 1000, u32::MAX] {
                for server_delay in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
                    let range = policy.delay_range(failures, server_delay, server_delay);
                    assert!(range.start() <= range.end());
                }
            }
        }
    }
}
