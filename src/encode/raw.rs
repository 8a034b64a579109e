//! Bytes that somebody else encoded: checked to be whole events, and looked through for ids.

use std::{error::Error, fmt, ops::Range, str};

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The error of bytes that are not whole events in the event stream format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEncoding(Fault);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Empty,
    ByteOrderMark,
    NotUtf8(str::Utf8Error),
    /// The last event starts here, and does not end.
    Unfinished {
        start: usize,
    },
}

impl fmt::Display for InvalidEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not whole events: ")?;
        match &self.0 {
            Fault::Empty => f.write_str("there is not a byte"),
            Fault::ByteOrderMark => f.write_str("they start with a byte order mark"),
            Fault::NotUtf8(error) => write!(f, "not UTF-8 at byte {}", error.valid_up_to()),
            Fault::Unfinished { start } => {
                write!(f, "the last event, from byte {start}, is not ended by an empty line")
            }
        }
    }
}

impl Error for InvalidEncoding {}

/// Checks bytes to be whole events, and returns where their last id stands.
pub(super) fn check(bytes: &[u8]) -> Result<Option<Range<usize>>, InvalidEncoding> {
    if bytes.is_empty() {
        return Err(InvalidEncoding(Fault::Empty));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return Err(InvalidEncoding(Fault::ByteOrderMark));
    }
    str::from_utf8(bytes).map_err(|error| InvalidEncoding(Fault::NotUtf8(error)))?;
    let mut block_start = 0;
    for line in lines(bytes) {
        if line.text.is_empty() && line.ended {
            block_start = line.next;
        }
    }
    if block_start < bytes.len() {
        return Err(InvalidEncoding(Fault::Unfinished { start: block_start }));
    }
    Ok(last_id(bytes))
}

/// Returns where the value of the last `id` field stands that a client would take: one without NUL.
pub(super) fn last_id(bytes: &[u8]) -> Option<Range<usize>> {
    lines(bytes).filter_map(|line| id_of(bytes, &line)).last()
}

/// Returns the bytes without the `id` fields of the first block that has a field.
pub(super) fn without_first_id(bytes: &[u8]) -> Bytes {
    let mut kept = BytesMut::with_capacity(bytes.len());
    let mut within_first = true;
    let mut seen = false;
    for line in lines(bytes) {
        within_first &= !(seen && line.text.is_empty());
        seen |= !matches!(bytes[line.text.clone()], [] | [b':', ..]);
        if !(within_first && is_id(&bytes[line.text.clone()])) {
            // With LF, since a CR and the LF behind a line that is left out would become one.
            kept.extend_from_slice(&bytes[line.text.clone()]);
            kept.extend_from_slice(b"\n");
        }
    }
    kept.freeze()
}

fn is_id(line: &[u8]) -> bool {
    line == b"id" || line.starts_with(b"id:")
}

fn id_of(bytes: &[u8], line: &Line) -> Option<Range<usize>> {
    let text = &bytes[line.text.clone()];
    if !is_id(text) || text.contains(&0) {
        return None;
    }
    let name = if text.starts_with(b"id: ") { 4 } else { text.len().min(3) };
    Some(line.text.start + name..line.text.end)
}

struct Line {
    /// Without its line end.
    text: Range<usize>,
    ended: bool,
    /// Where the next line starts.
    next: usize,
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Line> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let line = match memchr2(b'\r', b'\n', &bytes[start..]) {
            None => Line { text: start..bytes.len(), ended: false, next: bytes.len() },
            Some(len) => {
                let end = start + len;
                let line_end = if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
                Line { text: start..end, ended: true, next: end + line_end }
            }
        };
        start = line.next;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_events_end_with_an_empty_line() {
        for whole in
            ["\n", "data: a\n\n", "data: a\r\r", "data: a\r\n\r\n", ": c\n\n\n", "a\n\r\n", "\r"]
        {
            assert!(check(whole.as_bytes()).is_ok(), "{whole:?}");
        }
        for (unfinished, start) in [("a", 0), ("a\n", 0), ("a\r\n", 0), ("a\n\nb\n", 3), ("\na", 1)]
        {
            let error = check(unfinished.as_bytes()).unwrap_err();
            assert_eq!(error, InvalidEncoding(Fault::Unfinished { start }), "{unfinished:?}");
        }
        assert!(check(b"").is_err());
        assert!(check("\u{feff}data: a\n\n".as_bytes()).is_err());
        assert_eq!(
            check(b"data: \xff\n\n").unwrap_err().to_string(),
            "not whole events: not UTF-8 at byte 6"
        );
    }

    #[test]
    fn the_last_id_is_the_one_a_client_takes() {
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
