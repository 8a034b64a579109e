//! Measures an encoded event before it is written.
//!
//! So the exact length is known before anything is locked or allocated. Data of one line, the
//! common case, is searched for line ends only once: the layout remembers the result.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::{id_line, split::split_line};
use crate::event::Event;

const COMMENT: &[u8] = b": ";
const EVENT: &[u8] = b"event: ";
const RETRY: &[u8] = b"retry: ";
const DATA: &[u8] = b"data: ";
const COLON: &[u8] = b": ";

/// The length of an encoded event, and the position of its ID.
///
/// Invariant: `write` appends exactly `len` bytes. The channel reserves room by it.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The length of the encoded event, in bytes.
    pub(crate) len: usize,
    /// The position of the value of its ID.
    pub(crate) id: Option<Range<usize>>,
    /// Whether the data contains no line end. Also true without data.
    one_line: bool,
}

impl Layout {
    /// Creates the layout of bytes that are encoded already.
    pub(crate) fn new(len: usize, id: Option<Range<usize>>) -> Self {
        Self { len, id, one_line: true }
    }

    /// Measures an event. Inlined for the common case: an event with nothing but data of one line.
    #[inline]
    pub(crate) fn of(event: &Event) -> Self {
        if let Some(data) = event.only_data() {
            let data = data.as_bytes();
            if memchr2(b'\r', b'\n', data).is_none() {
                return Self::new(line_len(DATA, data) + 1, None);
            }
        }
        Self::of_any(event)
    }

    fn of_any(event: &Event) -> Self {
        let mut len = 1; // the empty line
        for comment in event.comment_lines() {
            len += field_len(COMMENT, comment.as_bytes());
        }
        if let Some(event_type) = event.type_field() {
            len += line_len(EVENT, event_type.as_bytes());
        }
        let id = event.id().map(|id| {
            let (start, value_len) = (len - 1, id.as_bytes().len());
            len += id_line::len(value_len);
            id_line::value_range(start, value_len)
        });
        if let Some(retry) = event.retry_millis() {
            len += line_len(RETRY, itoa::Buffer::new().format(retry).as_bytes());
        }
        let mut one_line = true;
        if let Some(data) = event.data_field() {
            let data = data.as_bytes();
            let first_line = memchr2(b'\r', b'\n', data);
            one_line = first_line.is_none();
            len += if one_line { line_len(DATA, data) } else { field_len(DATA, data) };
        }
        for (name, value) in event.custom_fields() {
            let name = name.as_bytes().len() + COLON.len();
            each_line(value.as_bytes(), |line| len += name + line.len() + 1);
        }
        Self { len, id, one_line }
    }

    /// Appends the event that was measured.
    #[inline]
    pub(crate) fn write(&self, event: &Event, buffer: &mut BytesMut) {
        if let (true, Some(data)) = (self.one_line, event.only_data()) {
            // The common case, in three copies.
            buffer.extend_from_slice(DATA);
            buffer.extend_from_slice(data.as_bytes());
            buffer.extend_from_slice(b"\n\n");
            return;
        }
        self.write_any(event, buffer);
    }

    /// Inlined: one call less for an event with other fields.
    #[inline]
    fn write_any(&self, event: &Event, buffer: &mut BytesMut) {
        for comment in event.comment_lines() {
            write_lines(COMMENT, comment.as_bytes(), buffer);
        }
        if let Some(event_type) = event.type_field() {
            write_line(EVENT, event_type.as_bytes(), buffer);
        }
        if let Some(id) = event.id() {
            id_line::write(id.as_bytes(), buffer);
        }
        if let Some(retry) = event.retry_millis() {
            write_line(RETRY, itoa::Buffer::new().format(retry).as_bytes(), buffer);
        }
        if let Some(data) = event.data_field() {
            if self.one_line {
                write_line(DATA, data.as_bytes(), buffer);
            } else {
                write_lines(DATA, data.as_bytes(), buffer);
            }
        }
        for (name, value) in event.custom_fields() {
            each_line(value.as_bytes(), |line| {
                buffer.extend_from_slice(name.as_bytes());
                write_line(COLON, line, buffer);
            });
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

/// Returns the length of one line of a field.
fn line_len(prefix: &[u8], value: &[u8]) -> usize {
    prefix.len() + value.len() + 1
}

/// Returns the length of a field that may have several lines. Each line end is written as LF.
fn field_len(prefix: &[u8], value: &[u8]) -> usize {
    let mut len = 0;
    each_line(value, |line| len += line_len(prefix, line));
    len
}

/// Appends one line. Inlined, so that a constant prefix is stored by one instruction instead of a
/// call that copies it.
#[inline(always)]
fn write_line(prefix: &[u8], value: &[u8], buffer: &mut BytesMut) {
    buffer.extend_from_slice(prefix);
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(b"\n");
}

fn write_lines(prefix: &[u8], value: &[u8], buffer: &mut BytesMut) {
    each_line(value, |line| write_line(prefix, line, buffer));
}

/// Calls `f` with each line of a text. The last line is the text after the last line end, which may
/// be empty.
fn each_line(mut text: &[u8], mut f: impl FnMut(&[u8])) {
    while let Some((line, rest)) = split_line(text) {
        f(line);
        text = rest;
    }
    f(text);
}

pub(crate) mod sealed {
    use super::{Bytes, BytesMut, Layout};

    /// How the channel puts an event into its buffer.
    pub trait Encode: Send + Sync + 'static {
        /// Measures the encoded event.
        fn layout(&self) -> Layout;

        /// Appends the encoded event. `layout` must be the one that this event returned.
        fn write(&self, layout: &Layout, buffer: &mut BytesMut);

        /// Returns the encoded bytes if they exist already, so that they can be shared.
        fn shared(&self) -> Option<&Bytes>;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_length_is_exact_and_the_id_is_at_its_position() {
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
