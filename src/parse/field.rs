//! Lines and fields: the end of a line, its field, and the start of its value.

use memchr::memchr2;

/// The field of a line: one of the standard's four fields, a comment, or another field. The name is
/// the text before the first colon, or the whole line if it has no colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Comment,
    Data,
    Event,
    Id,
    Retry,
    /// A field that the standard tells clients to ignore, with a name of this length.
    Unknown(usize),
}

/// Returns the field of a line that is not empty, and the position of its value, which starts after
/// the colon and one optional space.
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
    rare_field_of(line)
}

/// Handles the other lines: names without a colon, `retry`, comments and unknown fields.
fn rare_field_of(line: &[u8]) -> (Field, usize) {
    let (field, name) = match line {
        [b'd', b'a', b't', b'a', ..] => (Field::Data, 4),
        [b'e', b'v', b'e', b'n', b't', ..] => (Field::Event, 5),
        [b'i', b'd', ..] => (Field::Id, 2),
        [b'r', b'e', b't', b'r', b'y', ..] => (Field::Retry, 5),
        // WHATWG 9.2.6: a line that starts with a colon is ignored.
        [b':', ..] => return (Field::Comment, 1),
        _ => return unknown_field_of(line),
    };
    match line.get(name) {
        Some(b':') => (field, after_colon(line, name)),
        // WHATWG 9.2.6: without a colon the whole line is the name, and the value is empty.
        None => (field, name),
        Some(_) => unknown_field_of(line),
    }
}

/// Returns the position of the first line end: a CR or a LF.
///
/// Lines other than `data` are short, and `memchr` takes longer to start than to find their end. So
/// this checks the first two words itself.
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

/// Returns the position of the first line end in eight bytes.
///
/// `equal` sets the high bit of each byte that equals the given one. Higher bytes may be set
/// wrongly, by a borrow from a lower one, but the lowest set bit is exact.
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

/// Returns the first bytes of the value of a partial line that is certainly `data`, or `None` if
/// the field is not certain yet, or is another one.
#[inline]
pub(super) fn partial_data_value(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    // Without a byte after the colon it is not known whether there is a space to remove.
    if value.is_empty() { None } else { Some(value.strip_prefix(b" ").unwrap_or(value)) }
}

#[cold]
fn unknown_field_of(line: &[u8]) -> (Field, usize) {
    match memchr::memchr(b':', line) {
        Some(name) => (Field::Unknown(name), after_colon(line, name)),
        None => (Field::Unknown(line.len()), line.len()),
    }
}

/// Returns the position after the colon and one optional space.
///
/// WHATWG 9.2.6: "If value starts with a U+0020 SPACE character, remove it".
#[inline]
fn after_colon(line: &[u8], colon: usize) -> usize {
    colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '))
}

/// Returns the reconnection time in milliseconds, or `None` if the value is not a number. A number
/// of more than 64 bits becomes `u64::MAX`.
pub(super) fn milliseconds(value: &[u8]) -> Option<u64> {
    // WHATWG 9.2.6: the field is ignored unless the value consists of ASCII digits only.
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
    fn a_line_end_is_found_at_every_position_and_no_other_byte_is() {
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
    fn a_partial_line_is_data_when_a_byte_of_its_value_is_there() {
        assert_eq!(partial_data_value(b"data:"), None);
        assert_eq!(partial_data_value(b"data"), None);
        assert_eq!(partial_data_value(b"data: "), Some(&b""[..]));
        assert_eq!(partial_data_value(b"data:  x"), Some(&b" x"[..]));
        assert_eq!(partial_data_value(b"data:x"), Some(&b"x"[..]));
        assert_eq!(partial_data_value(b"datax"), None);
    }
}
