//! Bytes that were encoded elsewhere: the check that they are complete events, and the search for
//! IDs.

use std::{error::Error, fmt, ops::Range, str};

use bytes::{Bytes, BytesMut};

use super::split::split_line;

/// The error of bytes that are not complete events in the event stream format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEncoding(InvalidEncodingKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum InvalidEncodingKind {
    Empty,
    ByteOrderMark,
    NotUtf8(str::Utf8Error),
    /// The last event starts at this byte and does not end with an empty line.
    Unfinished {
        start: usize,
    },
}

impl fmt::Display for InvalidEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid encoded event: ")?;
        match &self.0 {
            InvalidEncodingKind::Empty => {
                f.write_str("it is empty; pass at least one event or comment")
            }
            InvalidEncodingKind::ByteOrderMark => {
                f.write_str("byte order mark at byte 0; remove it")
            }
            InvalidEncodingKind::NotUtf8(error) => {
                write!(f, "invalid UTF-8 at byte {}; encode text as UTF-8", error.valid_up_to())
            }
            InvalidEncodingKind::Unfinished { start } => {
                write!(
                    f,
                    "the event that starts at byte {start} does not end; append an empty line"
                )
            }
        }
    }
}

impl Error for InvalidEncoding {}

/// Checks that bytes are complete events, and returns the position of their last ID.
pub(super) fn check(bytes: &[u8]) -> Result<Option<Range<usize>>, InvalidEncoding> {
    if bytes.is_empty() {
        return Err(InvalidEncoding(InvalidEncodingKind::Empty));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Err(InvalidEncoding(InvalidEncodingKind::ByteOrderMark));
    }
    str::from_utf8(bytes).map_err(|error| InvalidEncoding(InvalidEncodingKind::NotUtf8(error)))?;
    let mut block_start = 0;
    for line in lines(bytes) {
        // WHATWG 9.2.6: an empty line ends an event.
        if line.range.is_empty() && line.has_end {
            block_start = line.next;
        }
    }
    if block_start < bytes.len() {
        return Err(InvalidEncoding(InvalidEncodingKind::Unfinished { start: block_start }));
    }
    Ok(last_id(bytes))
}

/// Returns the position of the last ID that a client would use: an ID that contains NUL is ignored.
pub(super) fn last_id(bytes: &[u8]) -> Option<Range<usize>> {
    lines(bytes).filter_map(|line| id_of(bytes, &line)).last()
}

/// Returns the bytes without the `id` fields of the first event. Blocks that contain only comments
/// do not count as events.
pub(super) fn without_first_id(bytes: &[u8]) -> Bytes {
    let mut kept = BytesMut::with_capacity(bytes.len());
    let mut in_first_event = true;
    let mut has_field = false;
    for line in lines(bytes) {
        let text = &bytes[line.range];
        in_first_event &= !(has_field && text.is_empty());
        has_field |= !matches!(text, [] | [b':', ..]);
        if !(in_first_event && is_id(text)) {
            // Every line end becomes LF. If a line is removed between a CR and a LF, those two
            // would otherwise join to one line end.
            kept.extend_from_slice(text);
            kept.extend_from_slice(b"\n");
        }
    }
    kept.freeze()
}

/// Returns whether a line is an `id` field.
fn is_id(line: &[u8]) -> bool {
    line == b"id" || line.starts_with(b"id:")
}

/// Returns the position of the ID of a line, if it is an `id` field without NUL.
fn id_of(bytes: &[u8], line: &RawLine) -> Option<Range<usize>> {
    let text = &bytes[line.range.clone()];
    if !is_id(text) || text.contains(&0) {
        return None;
    }
    // WHATWG 9.2.6: one space after the colon is removed; the colon may be missing.
    let value = if text.starts_with(b"id: ") { 4 } else { text.len().min(3) };
    Some(line.range.start + value..line.range.end)
}

/// A line of encoded bytes.
struct RawLine {
    /// Its position, without its line end.
    range: Range<usize>,
    /// Whether it has a line end.
    has_end: bool,
    /// The position of the next line.
    next: usize,
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = RawLine> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let line = match split_line(&bytes[start..]) {
            None => RawLine { range: start..bytes.len(), has_end: false, next: bytes.len() },
            Some((line, rest)) => RawLine {
                range: start..start + line.len(),
                has_end: true,
                next: bytes.len() - rest.len(),
            },
        };
        start = line.next;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_events_end_with_an_empty_line() {
        for complete in
            ["\n", "data: a\n\n", "data: a\r\r", "data: a\r\n\r\n", ": c\n\n\n", "a\n\r\n", "\r"]
        {
            assert!(check(complete.as_bytes()).is_ok(), "{complete:?}");
        }
        for (unfinished, start) in [("a", 0), ("a\n", 0), ("a\r\n", 0), ("a\n\nb\n", 3), ("\na", 1)]
        {
            let error = check(unfinished.as_bytes()).unwrap_err();
            let expected = InvalidEncoding(InvalidEncodingKind::Unfinished { start });
            assert_eq!(error, expected, "{unfinished:?}");
        }
        assert!(check(b"").is_err());
        assert!(check("\u{feff}data: a\n\n".as_bytes()).is_err());
        assert_eq!(
            check(b"data: \xff\n\n").unwrap_err().to_string(),
            "invalid encoded event: invalid UTF-8 at byte 6; encode text as UTF-8"
        );
    }

    #[test]
    fn the_last_id_is_the_one_that_a_client_uses() {
        for (bytes, id) in [
            ("data: id\n\n", None),
            ("id: 1\nid:2\n\n", Some("2")),
            ("id:  1\n\n", Some(" 1")),
            ("id\n\n", Some("")),
            ("id: 1\n\nid\n\n", Some("")),
            ("id: 1\nid: a\0\n\n", Some("1")),
            ("ids: 1\n\n", None),
        ] {
            let found = last_id(bytes.as_bytes()).map(|range| &bytes[range]);
            assert_eq!(found, id, "{bytes:?}");
        }
    }
}
