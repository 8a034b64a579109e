//! An event that a reader receives.

use std::{fmt, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    topic::Topic,
    window::{Record, Segment},
};
use crate::{
    encode::{
        Encode, Layout,
        sealed::{self, Encode as _},
    },
    event::{Event, EventId, FieldName},
    parse::{EventParser, Parsed},
};

/// An event that a hub gives to a reader. It can be sent as it is, without encoding it again.
///
/// Cloning it is cheap. An entry that is kept may keep its neighbors in memory as well, at most 64 KiB;
/// to keep one for long, keep its [bytes](Self::to_bytes) or its [event](Self::event).
#[derive(Clone)]
pub struct Entry {
    /// The event in the window, shared with all other readers.
    record: EntryRecord,
    /// Which bytes are given.
    form: EntryForm,
}

/// The record of an entry.
#[derive(Clone)]
enum EntryRecord {
    /// The record alone.
    Own(Arc<Record>),
    /// A record of a segment, by its slot.
    OfLook(Arc<Look>, u32),
}

/// A segment that a reader reads. Its entries count the reader's reference to the segment, which no
/// other reader counts, and not their own.
pub(super) struct Look {
    /// The segment.
    pub(super) segment: Arc<Segment>,
}

/// Which bytes of an entry are given.
#[derive(Clone)]
enum EntryForm {
    /// Those of the record.
    Whole,
    /// Those of the record after the ID line: an entry of the state has no ID.
    State,
    /// Those of another event, made by [`Subscription::map`](super::Subscription::map).
    Mapped(Arc<MappedEvent>),
}

impl EntryForm {
    fn of(is_state: bool) -> Self {
        if is_state { Self::State } else { Self::Whole }
    }
}

/// An event in the place of that of a record.
struct MappedEvent {
    /// The encoded event.
    bytes: Bytes,
    /// The range of the ID in `bytes`. `None` for an entry of the state.
    id: Option<Range<usize>>,
}

impl Entry {
    /// Creates an entry. One of the state has no ID.
    pub(super) fn new(record: Arc<Record>, is_state: bool) -> Self {
        Self { record: EntryRecord::Own(record), form: EntryForm::of(is_state) }
    }

    /// Creates an entry of the record in a slot of a segment.
    #[inline]
    pub(super) fn of_look(look: Arc<Look>, slot: usize, is_state: bool) -> Self {
        let record = EntryRecord::OfLook(look, slot as u32);
        Self { record, form: EntryForm::of(is_state) }
    }

    fn record(&self) -> &Record {
        match &self.record {
            EntryRecord::Own(record) => record,
            EntryRecord::OfLook(look, slot) => {
                look.segment.get(*slot as usize).expect("the slot of an entry is written")
            }
        }
    }

    /// Returns the entry with another event. It keeps its ID, or has none if it is an entry of the
    /// state.
    pub(super) fn with_event(&self, event: Event) -> Self {
        let event = match self.id() {
            Some(id) => event.with_id(id),
            None => event.without_id(),
        };
        let layout = event.layout();
        let mut bytes = BytesMut::with_capacity(layout.len);
        event.write(&layout, &mut bytes);
        let mapped = MappedEvent { bytes: bytes.freeze(), id: layout.id };
        Self { record: self.record.clone(), form: EntryForm::Mapped(Arc::new(mapped)) }
    }

    fn bytes(&self) -> Bytes {
        match &self.form {
            EntryForm::Whole => self.record().bytes.clone(),
            EntryForm::State => self.record().bytes_without_id(),
            EntryForm::Mapped(mapped) => mapped.bytes.clone(),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.form {
            EntryForm::Whole => &self.record().bytes,
            EntryForm::State => self.record().without_id(),
            EntryForm::Mapped(mapped) => &mapped.bytes,
        }
    }

    fn id_range(&self) -> Option<Range<usize>> {
        match &self.form {
            EntryForm::Whole => Some(self.record().id.clone()),
            EntryForm::State => None,
            EntryForm::Mapped(mapped) => mapped.id.clone(),
        }
    }

    /// Returns the topic that the event was published on.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.record().topic
    }

    /// Returns the key that the event was published with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.record().key.as_deref()
    }

    /// Returns the event's ID, from which a reader that has the event can resume.
    ///
    /// An entry of the [state](super::Selection::with_state) has no ID, because a reader that has
    /// received it may not have received the other entries.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.id_range().is_some().then(|| self.record().event_id())
    }

    /// Decodes the event from its bytes, as a client does, together with its comments and custom
    /// fields. Line ends in its data are LF.
    #[must_use]
    pub fn event(&self) -> Event {
        let mut parser = EventParser::new().max_event_bytes(usize::MAX).max_line_bytes(usize::MAX);
        parser.push(self.bytes());
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
        self.bytes()
    }
}

impl Encode for Entry {}

impl sealed::Encode for Entry {
    fn layout(&self) -> Layout {
        Layout::new(self.as_bytes().len(), self.id_range())
    }

    fn write(&self, _: &Layout, buffer: &mut BytesMut) {
        buffer.extend_from_slice(self.as_bytes());
    }

    fn shared(&self) -> Option<&Bytes> {
        match &self.form {
            EntryForm::Whole => Some(&self.record().bytes),
            // Only a part of the record's bytes, which is copied.
            EntryForm::State => None,
            EntryForm::Mapped(mapped) => Some(&mapped.bytes),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("topic", self.topic())
            .field("key", &self.key())
            .field("bytes", &self.bytes())
            .finish()
    }
}
