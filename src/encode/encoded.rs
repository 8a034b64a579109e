//! An event that is encoded once and sent to many streams.

use std::{fmt, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    id_line,
    layout::{Layout, sealed},
    raw::{self, InvalidEncoding},
};
use crate::event::{Event, EventId, IntoEventId};

/// An event in the event stream format. Encode it once, and send clones of it to any number of
/// streams.
///
/// A clone shares the bytes: it costs a reference count. An ID can be set later, for example by a
/// store that assigns IDs:
///
/// ```
/// use tower_sse::{EncodedEvent, Event};
///
/// let event: EncodedEvent = Event::new("to all").with_type("news").encode();
/// let stored = event.clone().with_id(7);
/// assert_eq!(stored.to_bytes(), "id: 7\nevent: news\ndata: to all\n\n");
/// ```
#[derive(Clone)]
pub struct EncodedEvent {
    bytes: Bytes,
    /// The position of the last ID in `bytes`.
    id: Option<Range<usize>>,
    /// An ID that was set after encoding. It is written before `bytes`, whose first event then has
    /// no ID of its own.
    late_id: Option<EventId>,
}

impl EncodedEvent {
    /// Encodes an event, with one allocation of the exact size.
    #[must_use]
    pub fn new(event: &Event) -> Self {
        let layout = Layout::of(event);
        let mut buffer = BytesMut::with_capacity(layout.len);
        layout.write(event, &mut buffer);
        Self { bytes: buffer.freeze(), id: layout.id, late_id: None }
    }

    /// Wraps bytes that are already encoded, for example from a store or another server.
    ///
    /// The bytes are one or more complete events or comments in UTF-8. They must end with an empty
    /// line, so that an event sent afterwards cannot become part of them. A stream counts and drops
    /// them as one event.
    ///
    /// ```
    /// use tower_sse::EncodedEvent;
    ///
    /// assert!(EncodedEvent::from_bytes("id: 7\ndata: a\n\ndata: b\n\n").is_ok());
    ///
    /// let error = EncodedEvent::from_bytes("data: a\n").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid encoded event: the event that starts at byte 0 does not end; \
    ///      append an empty line",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEncoding`] if the bytes are empty, are not UTF-8, start with a byte order
    /// mark, or do not end with an empty line.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, InvalidEncoding> {
        let bytes = bytes.into();
        let id = raw::check(&bytes)?;
        Ok(Self { bytes, id, late_id: None })
    }

    /// Sets the ID. Replaces any ID set before. Of several events, it becomes the ID of the first.
    ///
    /// The bytes stay shared, unless they already contain an ID: then they are copied without it.
    /// When the event is sent, the bytes are copied after the ID into the buffer of the stream.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that contains a control character.
    #[must_use]
    #[track_caller]
    pub fn with_id(mut self, id: impl IntoEventId) -> Self {
        self.late_id = Some(id.into_event_id());
        if self.id.is_some() {
            self.bytes = raw::without_first_id(&self.bytes);
            self.id = raw::last_id(&self.bytes);
        }
        self
    }

    /// Returns the encoded bytes. They are shared, unless an ID was set after encoding: then they
    /// are copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.late_id.is_none() {
            return self.bytes.clone();
        }
        let layout = sealed::Encode::layout(self);
        let mut buffer = BytesMut::with_capacity(layout.len);
        sealed::Encode::write(self, &layout, &mut buffer);
        buffer.freeze()
    }
}

impl From<&Event> for EncodedEvent {
    fn from(event: &Event) -> Self {
        Self::new(event)
    }
}

impl From<Event> for EncodedEvent {
    fn from(event: Event) -> Self {
        Self::new(&event)
    }
}

/// Events are equal if their encoded bytes are.
impl PartialEq for EncodedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for EncodedEvent {}

impl fmt::Debug for EncodedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedEvent").field(&self.to_bytes()).finish()
    }
}

impl sealed::Encode for EncodedEvent {
    fn layout(&self) -> Layout {
        let Some(late_id) = &self.late_id else {
            return Layout::new(self.bytes.len(), self.id.clone());
        };
        let late = late_id.as_bytes().len();
        let line_len = id_line::len(late);
        let id = match &self.id {
            Some(id) => line_len + id.start..line_len + id.end,
            None => id_line::value_range(0, late),
        };
        Layout::new(line_len + self.bytes.len(), Some(id))
    }

    fn write(&self, _: &Layout, buffer: &mut BytesMut) {
        if let Some(late_id) = &self.late_id {
            id_line::write(late_id.as_bytes(), buffer);
        }
        buffer.extend_from_slice(&self.bytes);
    }

    fn shared(&self) -> Option<&Bytes> {
        self.late_id.is_none().then_some(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_id_replaces_the_id_of_the_event() {
        let encoded = Event::new("x").with_id(1).encode().with_id(2);
        assert_eq!(encoded.to_bytes(), "id: 2\ndata: x\n\n");
        assert_eq!(encoded.with_id(3).to_bytes(), "id: 3\ndata: x\n\n");
    }

    #[test]
    fn a_late_id_is_the_id_of_the_first_of_several_events() {
        let encoded = EncodedEvent::from_bytes("id:1\nid\ndata: a\n\nid: 9\ndata: b\n\n").unwrap();
        let encoded = encoded.with_id(2);
        assert_eq!(encoded.to_bytes(), "id: 2\ndata: a\n\nid: 9\ndata: b\n\n");
        let layout = sealed::Encode::layout(&encoded);
        assert_eq!(&encoded.to_bytes()[layout.id.unwrap()], b"9");
    }

    #[test]
    fn a_late_id_skips_comments_before_the_first_event() {
        let encoded = EncodedEvent::from_bytes(": hi\n\n\n:\nid: 1\ndata: a\n\nid: 2\n\n").unwrap();
        assert_eq!(encoded.with_id(7).to_bytes(), "id: 7\n: hi\n\n\n:\ndata: a\n\nid: 2\n\n");
    }

    #[test]
    fn a_removed_line_does_not_join_two_line_ends() {
        let encoded = EncodedEvent::from_bytes("data: a\rid: 1\n\n").unwrap();
        assert_eq!(encoded.with_id(7).to_bytes(), "id: 7\ndata: a\n\n");
    }

    #[test]
    fn encoding_is_one_allocation_of_the_exact_size_and_clones_share_it() {
        let encoded = Event::new("x".repeat(100)).encode();
        assert_eq!(encoded.bytes.as_ptr(), encoded.clone().with_id(1).bytes.as_ptr());
        assert_eq!(encoded.to_bytes().as_ptr(), encoded.bytes.as_ptr());
    }
}
