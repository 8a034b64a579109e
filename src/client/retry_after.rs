//! The delay that a server asks for in its headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header::RETRY_AFTER};

/// The header in which servers of language models ask for a delay in milliseconds.
pub(super) const RETRY_AFTER_MS: &str = "retry-after-ms";

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Returns the delay that the headers of a response ask for.
///
/// `retry-after-ms` is a number of milliseconds; servers of language models send it. Without it,
/// `Retry-After` is a number of seconds or a date
/// ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)). A date in the past
/// is a delay of zero. An invalid header is ignored.
///
/// An [`EventSource`](super::EventSource) applies it by itself. The function is for retry loops of
/// your own, together with [`Reconnection::delay`](super::Reconnection::delay).
///
/// ```
/// use std::time::Duration;
/// use http::Response;
/// use tower_sse::client::retry_after;
///
/// let response = Response::builder().header("retry-after", "30").body(())?;
/// assert_eq!(retry_after(response.headers()), Some(Duration::from_secs(30)));
/// # Ok::<(), http::Error>(())
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after_at(headers, SystemTime::now())
}

/// Like [`retry_after`], with the time that a date is compared with.
pub(super) fn retry_after_at(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(delay) = text(RETRY_AFTER_MS).and_then(milliseconds) {
        return Some(delay);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = UNIX_EPOCH.checked_add(Duration::from_secs(http_date(value)?))?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Parses a number of milliseconds, which may have a fraction.
fn milliseconds(value: &str) -> Option<Duration> {
    let number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let milliseconds: f64 = value.parse().ok().filter(|_| number)?;
    Some(Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(Duration::MAX))
}

/// Parses a date in one of the three formats of HTTP, as seconds since 1970:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
fn http_date(value: &str) -> Option<u64> {
    let (mut day, mut month, mut year, mut time) = (None, None, None, None);
    for part in value.split([' ', ',', '-']).filter(|part| !part.is_empty()) {
        if part.contains(':') {
            time = Some(time_of_day(part)?);
        } else if let Ok(number) = part.parse::<u64>() {
            let slot = if day.is_none() { &mut day } else { &mut year };
            *slot = Some(number);
        } else if month.is_none() {
            let name = part.to_ascii_lowercase();
            month = MONTHS.iter().position(|month| name == *month);
        }
    }
    let (day, month, year) = (day?, month? as u64 + 1, full_year(year?)?);
    (1..=31).contains(&day).then_some(())?;
    days_since_1970(year, month, day)?.checked_mul(86_400)?.checked_add(time?)
}

/// Parses `hh:mm:ss` as seconds. A leap second (`60`) is valid.
fn time_of_day(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = parts.next().is_none() && hours < 24 && minutes < 60 && seconds <= 60;
    valid.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Completes a year of two digits: 00 to 69 are 2000 to 2069, 70 to 99 are 1970 to 1999.
fn full_year(year: u64) -> Option<u64> {
    match year {
        0..70 => Some(2000 + year),
        70..100 => Some(1900 + year),
        1970..10_000 => Some(year),
        _ => None,
    }
}

/// Counts the days since 1970 in the Gregorian calendar: whole years, then whole months, then days.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_days(year) > leap_days(year - 1);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let months = before.get(usize::try_from(month - 1).ok()?)? + u64::from(is_leap && month > 2);
    Some((year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + months + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_three_forms() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(date), Some(784_111_777), "{date}");
        }
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
        assert_eq!(http_date("Wed, 25 Nov 2026 04:00:00 GMT"), Some(1_795_579_200));
    }

    #[test]
    fn an_invalid_date_is_ignored() {
        for wrong in [
            "",
            "soon",
            "Sun, 06 Nov 1994",
            "06 Nov 1994 25:00:00 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "-5",
            "1.5",
            "Nov 06 999999999999999999 00:00:00",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_is_seconds_and_a_date_that_has_passed_is_now() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_700);
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after_at(&headers, now).map(|time| time.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(77));
        assert_eq!(read("Sun, 06 Nov 1993 08:49:37 GMT"), Some(0));
        assert_eq!(read("-1"), None);
        assert_eq!(read("later"), None);
        assert_eq!(retry_after_at(&HeaderMap::new(), now), None);
    }

    #[test]
    fn milliseconds_come_first_if_they_are_valid() {
        for (milliseconds, expected) in [
            ("250", 250),
            ("0", 0),
            ("1500.5", 1500),
            ("-1", 3000),
            ("1e3", 3000),
            ("inf", 3000),
            ("", 3000),
            ("soon", 3000),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, "3".parse().unwrap())]);
            headers.insert(RETRY_AFTER_MS, milliseconds.parse().unwrap());
            let delay = retry_after(&headers).unwrap();
            assert_eq!(delay.as_millis(), expected, "{milliseconds}");
        }
        let huge = HeaderMap::from_iter([(
            http::HeaderName::from_static(RETRY_AFTER_MS),
            "9".repeat(400).parse().unwrap(),
        )]);
        assert_eq!(retry_after(&huge), Some(Duration::MAX));
    }
}
