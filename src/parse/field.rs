//! A line, found and taken apart: where it ends, which field it is, and where its value starts.

use memchr::memchr2;

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
    if line.starts_with(b"data:") {
        return (Field::Data, after_colon(line, 4));
    }
    if line.starts_with(b"id:") {
        return (Field::Id, after_colon(line, 2));
    }
    if line.starts_with(b"event:") {
        return (Field::Event, after_colon(line, 5));
    }
    other_field_of(line)
}

fn other_field_of(line: &[u8]) -> (Field, usize) {
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

/// Finds the first line end: a CR or a LF.
///
/// Most lines but data are short. The first two words are looked at here, for `memchr` takes longer
/// to begin than to find.
#[inline]
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'd') {
        if let Some(word) = bytes.first_chunk() {
            if let Some(at) = line_end_in(u64::from_le_bytes(*word)) {
                return Some(at);
            }
        }
        if let Some(word) = bytes.get(8..).and_then(<[u8]>::first_chunk) {
            if let Some(at) = line_end_in(u64::from_le_bytes(*word)) {
                return Some(8 + at);
            }
        }
    }
    memchr2(b'\n', b'\r', bytes)
}

/// Finds the first line end among eight bytes, all of which are looked at together: the high bit of
/// a byte is set where it is equal, and of the lowest one that is exact.
#[inline]
fn line_end_in(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let equal = |byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference & (ONES << 7)
    };
    let found = equal(b'\n') | equal(b'\r');
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// The value of a line that was cut, if it is sure already that it is data, and where the value
/// starts.
#[inline]
pub(super) fn cut_data(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    // Whether there is a space to be left out is not known before there is a byte.
    if value.is_empty() { None } else { Some(value.strip_prefix(b" ").unwrap_or(value)) }
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
    fn a_line_end_is_found_wherever_it_is_and_nothing_else_is() {
        for length in 0..40 {
            for byte in 0..=255 {
                let mut bytes = vec![byte; length];
                let is_end = matches!(byte, b'\r' | b'\n');
                assert_eq!(line_end(&bytes), (is_end && length > 0).then_some(0));
                for at in 0..if is_end { 0 } else { length } {
                    for end in [b'\r', b'\n'] {
                        bytes[at] = end;
                        assert_eq!(line_end(&bytes), Some(at), "{byte} {length}");
                        bytes[at] = byte;
                    }
                }
            }
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
        assert_eq!(cut_data(b"data:"), None);
        assert_eq!(cut_data(b"data"), None);
        assert_eq!(cut_data(b"data: "), Some(&b""[..]));
        assert_eq!(cut_data(b"data:  x"), Some(&b" x"[..]));
        assert_eq!(cut_data(b"data:x"), Some(&b"x"[..]));
        assert_eq!(cut_data(b"datax"), None);
    }
}
