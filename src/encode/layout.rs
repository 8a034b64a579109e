//! What an encoded event will look like, measured before it is written.
//!
//! Everything that needs a look at the text is found here, once: where its first line end is and, only if there is
//! one, how many lines it has. So the exact length is known before anything is locked or allocated, and the bytes of an
//! event of one line, the common case, are looked at a single time.

use std::ops::Range;

use bytes::BytesMut;
use memchr::memchr2;

use super::{Bytes, sealed};
use crate::event::Event;

/// The measures of one encoded event.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The length of the whole, in bytes.
    pub(crate) len: usize,
    /// Where the id stands in it.
    pub(crate) id: Option<Range<usize>>,
    /// Where the first line of the data ends, if it has more than one.
    first_line: Option<usize>,
}

impl Layout {
    pub(crate) fn new(len: usize, id: Option<Range<usize>>) -> Self {
        Self { len, id, first_line: None }
    }

    pub(crate) fn of(event: &Event) -> Self {
        let mut len = 1; // the empty line
        for comment in event.comment_lines() {
            len += field_len("", comment.as_bytes());
        }
        if let Some(event_type) = event.type_field() {
            len += line_len("event", event_type.as_bytes());
        }
        let id = event.id().map(|id| {
            let start = len - 1 + "id: ".len();
            len += line_len("id", id.as_bytes());
            start..start + id.as_bytes().len()
        });
        if let Some(retry) = event.retry_millis() {
            len += line_len("retry", itoa::Buffer::new().format(retry).as_bytes());
        }
        let mut first_line = None;
        if let Some(data) = event.data_field() {
            let data = data.as_bytes();
            first_line = memchr2(b'\r', b'\n', data);
            len +=
                if first_line.is_none() { line_len("data", data) } else { field_len("data", data) };
        }
        for (name, value) in event.custom_fields() {
            len += field_len(name.as_str(), value.as_bytes());
        }
        Self { len, id, first_line }
    }

    /// Writes the event that was measured.
    pub(crate) fn write(&self, event: &Event, buffer: &mut BytesMut) {
        for comment in event.comment_lines() {
            write_field("", comment.as_bytes(), buffer);
        }
        if let Some(event_type) = event.type_field() {
            write_line("event", event_type.as_bytes(), buffer);
        }
        if let Some(id) = event.id() {
            write_line("id", id.as_bytes(), buffer);
        }
        if let Some(retry) = event.retry_millis() {
            write_line("retry", itoa::Buffer::new().format(retry).as_bytes(), buffer);
        }
        match (event.data_field(), self.first_line) {
            (None, _) => {}
            (Some(data), None) => write_line("data", data.as_bytes(), buffer),
            (Some(data), first @ Some(_)) => write_lines("data", data.as_bytes(), first, buffer),
        }
        for (name, value) in event.custom_fields() {
            write_field(name.as_str(), value.as_bytes(), buffer);
        }
        buffer.extend_from_slice(b"\n");
    }
}

impl sealed::Encode for Event {
    fn layout(&self) -> Layout {
        Layout::of(self)
    }

    fn write(&self, layout: &Layout, buffer: &mut BytesMut) {
        layout.write(self, buffer);
    }

    fn shared(&self) -> Option<&Bytes> {
        None
    }
}

/// The length of `name: value` and its line end. A comment is a field without a name.
fn line_len(name: &str, value: &[u8]) -> usize {
    name.len() + 2 + value.len() + 1
}

/// The length of a field that may have several lines: its line ends are of one byte each when written.
fn field_len(name: &str, value: &[u8]) -> usize {
    let mut len = 0;
    each_line(value, memchr2(b'\r', b'\n', value), |line| len += line_len(name, line));
    len
}

fn write_line(name: &str, value: &[u8], buffer: &mut BytesMut) {
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b": ");
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(b"\n");
}

fn write_field(name: &str, value: &[u8], buffer: &mut BytesMut) {
    write_lines(name, value, memchr2(b'\r', b'\n', value), buffer);
}

fn write_lines(name: &str, value: &[u8], first_line: Option<usize>, buffer: &mut BytesMut) {
    each_line(value, first_line, |line| write_line(name, line, buffer));
}

/// Calls `f` with each line of a text: CR, LF and CRLF end one each, and the last line ends with the text.
fn each_line(mut text: &[u8], first_line: Option<usize>, mut f: impl FnMut(&[u8])) {
    let mut next = first_line;
    while let Some(end) = next {
        f(&text[..end]);
        let line_end = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        text = &text[end + line_end..];
        next = memchr2(b'\r', b'\n', text);
    }
    f(text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_length_is_exact_and_the_id_is_where_it_says() {
        let events = [
            Event::default(),
            Event::new(""),
            Event::new("a"),
            Event::new("a\r\nb\rc\nd\n"),
            Event::comment("a\nb").with_id(7).with_comment(""),
            Event::new("x").with_type("t").with_id("some-id").with_retry(Duration::from_secs(9)),
            Event::new("x").with_type("").with_id("").with_field("f", "1\n2"),
        ];
        for event in events {
            let layout = Layout::of(&event);
            let mut buffer = BytesMut::new();
            layout.write(&event, &mut buffer);
            assert_eq!(buffer.len(), layout.len, "{event:?}");
            let id = layout.id.map(|range| buffer[range].to_vec());
            assert_eq!(id.as_deref(), event.id().map(|id| id.as_bytes()), "{event:?}");
        }
    }

    #[test]
    fn every_kind_of_line_end_ends_one_line() {
        for (data, wire) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            ("\n", "data: \ndata: \n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb", "data: a\ndata: b\n\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
            ("a\r\r\nb\n", "data: a\ndata: \ndata: b\ndata: \n\n"),
            (" a", "data:  a\n\n"),
            ("a\u{85}\u{2028}b", "data: a\u{85}\u{2028}b\n\n"),
        ] {
            assert_eq!(Event::new(data).encode().to_bytes(), wire, "{data:?}");
        }
    }

    #[test]
    fn an_event_with_nothing_in_it_is_an_empty_line() {
        assert_eq!(Event::default().encode().to_bytes(), "\n");
    }
}
