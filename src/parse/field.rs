//! A line, taken apart: which field it is, and where its value starts.

/// What a line is. The standard's four fields, by the name before the first colon, or all of the
/// line if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Comment,
    Data,
    Event,
    Id,
    Retry,
    /// A field that the standard tells to ignore, with a name of this length.
    Unknown(usize),
}

/// Takes a line apart that is not empty: its field, and where its value starts, after the colon and
/// one space, if there is one.
#[inline]
pub(super) fn field_of(line: &[u8]) -> (Field, usize) {
    let (field, name) = match line {
        [b'd', b'a', b't', b'a', ..] => (Field::Data, 4),
        [b'e', b'v', b'e', b'n', b't', ..] => (Field::Event, 5),
        [b'i', b'd', ..] => (Field::Id, 2),
        [b'r', b'e', b't', b'r', b'y', ..] => (Field::Retry, 5),
        [b':', ..] => return (Field::Comment, 1),
        _ => return unknown(line),
    };
    match line.get(name) {
        Some(b':') => (field, after_colon(line, name)),
        None => (field, name),
        Some(_) => unknown(line),
    }
}

/// The value of a line that was cut, if it is sure already that it is data, and where the value
/// starts.
#[inline]
pub(super) fn cut_data(line: &str) -> Option<&str> {
    let value = line.strip_prefix("data:")?;
    // Whether there is a space to be left out is not known before there is a byte.
    if value.is_empty() { None } else { Some(value.strip_prefix(' ').unwrap_or(value)) }
}

#[cold]
fn unknown(line: &[u8]) -> (Field, usize) {
    match memchr::memchr(b':', line) {
        Some(name) => (Field::Unknown(name), after_colon(line, name)),
        None => (Field::Unknown(line.len()), line.len()),
    }
}

#[inline]
fn after_colon(line: &[u8], colon: usize) -> usize {
    colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '))
}

/// The reconnection time, in milliseconds, if the value is digits and nothing else. What is more
/// than 64 bits saturates.
pub(super) fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    Some(digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_its_name_to_the_first_colon_and_nothing_longer_or_shorter() {
        for (line, field, value) in [
            ("data", Field::Data, ""),
            ("data:", Field::Data, ""),
            ("data: ", Field::Data, ""),
            ("data:  x", Field::Data, " x"),
            ("data:x:y", Field::Data, "x:y"),
            ("dat", Field::Unknown(3), ""),
            ("datas: x", Field::Unknown(5), "x"),
            ("data : x", Field::Unknown(5), "x"),
            ("Data: x", Field::Unknown(4), "x"),
            ("event:x", Field::Event, "x"),
            ("events:x", Field::Unknown(6), "x"),
            ("id", Field::Id, ""),
            ("idx", Field::Unknown(3), ""),
            ("retry:\t1", Field::Retry, "\t1"),
            (":", Field::Comment, ""),
            (": x", Field::Comment, " x"),
            ("ä:ö", Field::Unknown(2), "ö"),
        ] {
            let (found, start) = field_of(line.as_bytes());
            assert_eq!((found, &line[start..]), (field, value), "{line}");
        }
    }

    #[test]
    fn a_reconnection_time_is_digits_and_saturates() {
        assert_eq!(milliseconds(b"0015"), Some(15));
        assert_eq!(milliseconds(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(milliseconds(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(milliseconds(&[b'9'; 1000]), Some(u64::MAX));
        for wrong in ["", "+5", "-5", " 5", "5 ", "5s", "1e3", "٣"] {
            assert_eq!(milliseconds(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_cut_line_is_data_once_a_byte_of_its_value_is_there() {
        assert_eq!(cut_data("data:"), None);
        assert_eq!(cut_data("data"), None);
        assert_eq!(cut_data("data: "), Some(""));
        assert_eq!(cut_data("data:  x"), Some(" x"));
        assert_eq!(cut_data("data:x"), Some("x"));
        assert_eq!(cut_data("datax"), None);
    }
}
