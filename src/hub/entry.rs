//! An event that a reader receives.

use std::{fmt, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{log::Record, topic::Topic};
use crate::{
    encode::{Encode, Layout, sealed},
    event::{Event, EventId, FieldName},
    parse::{EventParser, Parsed},
};

/// An event that a hub gives to a reader. It can be sent as it is, without encoding it again.
///
/// Cloning it is cheap.
#[derive(Clone)]
pub struct Entry {
    /// The event in the log, shared with all other readers.
    record: Arc<Record>,
    /// The encoded event: that of the record, or a part of it that starts after the ID line.
    bytes: Bytes,
    /// The range of the ID in `bytes`. `None` for an entry of the state, which has no ID.
    id: Option<Range<usize>>,
}

impl Entry {
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self { bytes: record.bytes.clone(), id: Some(record.id.clone()), record }
    }

    /// Creates an entry of the state, without an ID.
    pub(super) fn of_state(record: Arc<Record>) -> Self {
        Self { bytes: record.bytes_without_id(), id: None, record }
    }

    /// Returns the topic that the event was published on.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.record.topic
    }

    /// Returns the key that the event was published with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.record.key.as_deref()
    }

    /// Returns the event's ID, from which a reader that has the event can resume.
    ///
    /// An entry of the [state](super::Selection::with_state) has no ID, because a reader that has
    /// received it may not have received the other entries.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.id.is_some().then(|| self.record.event_id())
    }

    /// Decodes the event from its bytes, as a client does, together with its comments and custom
    /// fields. Line ends in its data are LF.
    #[must_use]
    pub fn event(&self) -> Event {
        let mut parser = EventParser::new().max_event_bytes(usize::MAX).max_line_bytes(usize::MAX);
        parser.push(self.bytes.clone());
        let mut comments = Vec::new();
        let mut fields = Vec::new();
        let mut event = Event::default();
        while let Some(Ok(item)) = parser.next_item() {
            match item {
                Parsed::Event(found) | Parsed::Block(found) => event = found,
                Parsed::Comment(text) => comments.push(text),
                Parsed::Field { name, value } => fields.push((name, value)),
            }
        }
        for comment in comments {
            // The encoder writes a space after the colon, which the parser does not remove.
            let text = comment.as_str();
            event = event.with_comment(text.strip_prefix(' ').unwrap_or(text));
        }
        for (name, value) in fields {
            if let Ok(name) = FieldName::try_from(name.as_str()) {
                event = event.with_field(name, value);
            }
        }
        event
    }

    /// Returns the encoded event, shared with all other readers.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Encode for Entry {}

impl sealed::Encode for Entry {
    fn layout(&self) -> Layout {
        Layout::new(self.bytes.len(), self.id.clone())
    }

    fn write(&self, _: &Layout, buffer: &mut BytesMut) {
        buffer.extend_from_slice(&self.bytes);
    }

    fn shared(&self) -> Option<&Bytes> {
        Some(&self.bytes)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("topic", self.topic())
            .field("key", &self.key())
            .field("bytes", &self.bytes)
            .finish()
    }
}
