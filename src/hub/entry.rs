//! An event in the log, and what a reader gets of it.

use std::{fmt, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{position::Position, slab::Key, topic::Topic};
use crate::{
    encode::{Encode, Layout, sealed},
    event::{Event, EventId},
    parse::{EventParser, Parsed},
};

/// An event as the log keeps it, for all readers.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) position: Position,
    pub(super) topic: Topic,
    pub(super) topic_key: Key,
    pub(super) key: Option<Arc<str>>,
    /// It is the current entry of its key, and no tombstone.
    pub(super) is_state: bool,
    /// The whole event, its id line first.
    pub(super) bytes: Bytes,
    /// Where the id stands in `bytes`.
    pub(super) id: Range<usize>,
    /// When it was published.
    pub(super) at: Instant,
}

impl Record {
    /// About how much memory it takes, in bytes.
    pub(super) fn cost(bytes: usize, key: Option<&Arc<str>>) -> usize {
        // This, its reference counts, those of its bytes and key, and its places in three maps.
        const KEPT: usize = 256;
        // A key stands in the map of keys as well, with its place.
        bytes + KEPT + key.map_or(0, |key| key.len() + 96)
    }

    pub(super) fn own_cost(&self) -> usize {
        Self::cost(self.bytes.len(), self.key.as_ref())
    }

    /// Returns the event without its id line.
    pub(super) fn without_id(&self) -> Bytes {
        self.bytes.slice(self.id.end + 1..)
    }

    pub(super) fn event_id(&self) -> EventId {
        EventId::from_line(&self.bytes, self.id.clone())
    }

    pub(super) fn id_bytes(&self) -> Bytes {
        self.bytes.slice(self.id.clone())
    }
}

/// An event that a hub gives to a reader: it can be sent on as it is, and is not encoded again.
///
/// Cloning it is cheap.
#[derive(Clone)]
pub struct Entry {
    record: Arc<Record>,
    bytes: Bytes,
    /// Where the id stands in `bytes`; none for an entry of the state, which has no id.
    id: Option<Range<usize>>,
}

impl Entry {
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self { bytes: record.bytes.clone(), id: Some(record.id.clone()), record }
    }

    pub(super) fn of_state(record: Arc<Record>) -> Self {
        Self { bytes: record.without_id(), id: None, record }
    }

    /// Returns the topic that it was published on.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.record.topic
    }

    /// Returns the key that it was published with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.record.key.as_deref()
    }

    /// Returns the id: where a reader goes on that has this. Entries of the
    /// [state](super::Selection::with_state) have none, for who has one of them may not have the others.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.id.is_some().then(|| self.record.event_id())
    }

    /// Reads the event out of its bytes, as a client would, with its comments and custom fields. Line
    /// ends in its data are LF.
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
            let text = comment.as_str();
            event = event.with_comment(text.strip_prefix(' ').unwrap_or(text));
        }
        for (name, value) in fields {
            if let Ok(name) = crate::event::FieldName::try_from(name.as_str()) {
                event = event.with_field(name, value);
            }
        }
        event
    }

    /// Returns the bytes as they go out, shared with all other readers.
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
