//! Times as a server writes them.

/// Returns the nanoseconds since 1970 of a time in UTC, as RFC 3339 writes it, for example
/// `2026-11-29T19:21:03.493825134Z`.
pub(super) fn parse_nanos(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_valid = (1970..2262).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && fraction.len() <= 9
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_valid {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Counts the days of the Gregorian calendar. The year starts in March, so that the leap day is its
/// last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (months_since_march * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("2000-02-29T12:30:45.5Z", 951_827_445_500_000_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000_000),
            ("2024-12-31T23:59:59.999999999Z", 1_735_689_599_999_999_999),
            // A server wrote this time in both forms.
            ("2026-11-29T19:21:03.493825134Z", 1_795_980_063_493_825_134),
        ] {
            assert_eq!(parse_nanos(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_time() {
        for wrong in
            ["", "Z", "2026-11-29T19:21:03", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z"]
        {
            assert_eq!(parse_nanos(wrong), None, "{wrong}");
        }
    }
}
