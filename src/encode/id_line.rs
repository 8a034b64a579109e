//! The `id` line of an encoded event: the only code that measures and writes one.
//!
//! A line is `id: `, the value and LF. The value must not contain a line end. An
//! [`EventId`](crate::event::EventId) never does.

use std::ops::{Range, RangeFrom};

use bytes::BytesMut;
#[cfg(feature = "hub")]
use bytes::{Buf, Bytes};

const PREFIX: &[u8] = b"id: ";
const END: &[u8] = b"\n";

/// Returns the length of the line of a value of this length, in bytes.
pub(crate) const fn len(value_len: usize) -> usize {
    PREFIX.len() + value_len + END.len()
}

/// Returns the position of the value in a line that starts at byte `start`.
pub(crate) const fn value_range(start: usize, value_len: usize) -> Range<usize> {
    let value_start = start + PREFIX.len();
    value_start..value_start + value_len
}

/// Returns the position of everything after the line whose value is at `value`.
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only the hub splits events"))]
pub(crate) const fn rest_range(value: &Range<usize>) -> RangeFrom<usize> {
    value.end + END.len()..
}

/// Appends the line.
///
/// Inlined, so that the prefix is stored by one instruction instead of a call that copies it.
#[inline(always)]
pub(crate) fn write(value: &[u8], buffer: &mut BytesMut) {
    buffer.extend_from_slice(PREFIX);
    buffer.extend_from_slice(value);
    buffer.extend_from_slice(END);
}

/// Creates a buffer with room for an `id` line at its front, and capacity for an event after it.
///
/// Append the encoded event, then call [`write_in_room`] when its ID is known. The event is not
/// copied again.
#[cfg(feature = "hub")]
pub(crate) fn with_room(max_value_len: usize, event_len: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(len(max_value_len) + event_len);
    buffer.resize(len(max_value_len), 0);
    buffer
}

/// Writes the line directly before an event that was encoded after [`with_room`], and returns the
/// line with the event, and the position of the value in it.
///
/// The value is given in parts, so that they need not be joined first. `max_value_len` must be the
/// number that [`with_room`] was called with.
///
/// # Panics
///
/// Panics if the value is longer than `max_value_len`.
#[cfg(feature = "hub")]
#[inline]
pub(crate) fn write_in_room<const N: usize>(
    value: [&[u8]; N],
    max_value_len: usize,
    mut buffer: BytesMut,
) -> (Bytes, Range<usize>) {
    let value_len = value.iter().map(|part| part.len()).sum();
    let unused = max_value_len.checked_sub(value_len).expect("the room fits the longest value");
    buffer.advance(unused);
    let range = value_range(0, value_len);
    buffer[..range.start].copy_from_slice(PREFIX);
    let mut at = range.start;
    for part in value {
        buffer[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    buffer[at..at + END.len()].copy_from_slice(END);
    (buffer.freeze(), range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_measured_and_its_value_is_where_it_says() {
        for value in ["", "7", "a long id with spaces"] {
            let mut buffer = BytesMut::from(": comment\n");
            let start = buffer.len();
            write(value.as_bytes(), &mut buffer);
            assert_eq!(buffer.len(), start + len(value.len()));
            buffer.extend_from_slice(b"data: x\n\n");
            let range = value_range(start, value.len());
            assert_eq!(&buffer[rest_range(&range)], b"data: x\n\n");
            assert_eq!(&buffer[range], value.as_bytes());
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    fn a_line_is_written_directly_before_the_event() {
        for parts in [["", ""], ["1", ""], ["ab", "-12"], ["1234", "5678"]] {
            let mut buffer = with_room(8, 9);
            let event = buffer.as_ptr().wrapping_add(len(8));
            buffer.extend_from_slice(b"data: x\n\n");
            let (bytes, range) = write_in_room(parts.map(str::as_bytes), 8, buffer);
            let value = parts.concat();
            assert_eq!(bytes, format!("id: {value}\ndata: x\n\n"));
            assert_eq!(bytes[rest_range(&range)].as_ptr(), event, "the event was copied");
            assert_eq!(&bytes[range], value.as_bytes());
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    #[should_panic(expected = "the room fits the longest value")]
    fn a_value_that_is_too_long_panics() {
        write_in_room([b"123", b"4"], 3, with_room(3, 0));
    }
}
