//! The event in the making: the standard's data, event type and last event ID buffers.
//!
//! While a block stands in one piece, a value is where it stands, and nothing is copied. Of what a
//! piece's end cuts, types and ids are made at once, and data is kept in a buffer, which is used
//! again for the next event unless it is handed out.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::limits::Limits;
use crate::event::{Event, EventData, EventId, EventType};

/// How much a buffer may keep for the next event, in bytes.
const KEPT: usize = 128 << 10;

/// How long a text is at most that is copied once more, in bytes: of larger ones there would be twice
/// as much as there may be.
pub(super) const LONG: usize = 4 << 10;

/// Where the value of a field is.
#[derive(Clone, Debug, Default)]
enum Value {
    #[default]
    Absent,
    /// In the current chunk.
    Here(Range<usize>),
    /// Kept beside it.
    Kept,
}

/// A value, and what is kept of it beyond its chunk.
#[derive(Clone, Debug, Default)]
struct Slot<K> {
    value: Value,
    kept: K,
}

/// The block that is being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    data: Slot<Vec<u8>>,
    event_type: Slot<Option<EventType>>,
    id: Slot<Option<EventId>>,
    retry: Option<u64>,
    /// Whether any value is kept.
    is_kept: bool,
    /// How many bytes its lines have, from the first that is of the event.
    pub(super) bytes: usize,
    /// How long the last data was that was handed out in a buffer.
    expected: usize,
}

impl Block {
    /// Whether no line of the standard's fields was read.
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_absent()
            && self.event_type.is_absent()
            && self.id.is_absent()
            && self.retry.is_none()
    }

    #[inline]
    pub(super) fn has_data(&self) -> bool {
        !self.data.is_absent()
    }

    /// Whether the block sets the last event ID or the reconnection time.
    pub(super) fn sets_something(&self) -> bool {
        !self.id.is_absent() || self.retry.is_some()
    }

    /// Appends a line of data that stands in the chunk.
    #[inline]
    pub(super) fn data_here(&mut self, chunk: &[u8], value: Range<usize>, limits: Limits) {
        if self.data.is_absent() {
            self.data.value = Value::Here(value);
            return;
        }
        self.begin_data(chunk, &chunk[value], limits);
    }

    /// Appends the beginning of a line of data, or all of it, to what is kept of data; with the
    /// line feed that ends the line before it.
    pub(super) fn begin_data(&mut self, chunk: &[u8], value: &[u8], limits: Limits) {
        let first = self.data.is_absent();
        self.keep_data(chunk, value.len() + 1, limits);
        if !first {
            self.data.kept.push(b'\n');
        }
        self.data.kept.extend_from_slice(value);
    }

    /// Appends more of the line of data that was begun.
    pub(super) fn more_data(&mut self, more: &[u8], limits: Limits) {
        reserve(&mut self.data.kept, more.len(), limits.event);
        self.data.kept.extend_from_slice(more);
    }

    #[inline]
    pub(super) fn type_here(&mut self, value: Range<usize>) {
        self.event_type.value = Value::Here(value);
    }

    pub(super) fn keep_type(&mut self, line: &[u8], value: Range<usize>) {
        self.is_kept = true;
        self.event_type.value = Value::Kept;
        EventType::receive(&mut self.event_type.kept, line, value);
    }

    /// The same, of a line that is too long for a copy.
    pub(super) fn keep_long_type(&mut self, event_type: EventType) {
        self.is_kept = true;
        self.event_type = Slot { value: Value::Kept, kept: Some(event_type) };
    }

    #[inline]
    pub(super) fn id_here(&mut self, value: Range<usize>) {
        self.id.value = Value::Here(value);
    }

    pub(super) fn keep_id(&mut self, line: &[u8], value: Range<usize>) {
        self.is_kept = true;
        self.id.value = Value::Kept;
        EventId::receive(&mut self.id.kept, line, value);
    }

    /// The same, of a line that is too long for a copy.
    pub(super) fn keep_long_id(&mut self, id: EventId) {
        self.is_kept = true;
        self.id = Slot { value: Value::Kept, kept: Some(id) };
    }

    pub(super) fn set_retry(&mut self, milliseconds: u64) {
        self.retry = Some(milliseconds);
    }

    /// Keeps what stands in a piece that is given up.
    pub(super) fn keep(&mut self, chunk: &[u8], limits: Limits) {
        if let Some(part) = self.event_type.here() {
            self.keep_type(chunk, part);
        }
        if let Some(part) = self.id.here() {
            self.keep_id(chunk, part);
        }
        if let Value::Here(_) = &self.data.value {
            self.keep_data(chunk, 0, limits);
        }
    }

    /// Makes data a kept one, with room for so much more.
    fn keep_data(&mut self, chunk: &[u8], more: usize, limits: Limits) {
        self.is_kept = true;
        let here = match &self.data.value {
            Value::Here(range) => &chunk[range.clone()],
            Value::Absent | Value::Kept => &[],
        };
        let kept = &mut self.data.kept;
        if kept.capacity() == 0 {
            kept.reserve_exact(self.expected.min(KEPT));
        }
        reserve(kept, here.len() + more, limits.event);
        kept.extend_from_slice(here);
        self.data.value = Value::Kept;
    }

    /// Makes the id of the block, if it has one, the last event ID. An empty one is none.
    #[inline]
    pub(super) fn tell_id(&mut self, chunk: &[u8], last_event_id: &mut Option<EventId>) {
        if let Value::Here(part) = &self.id.value {
            if part.len() > LONG {
                let id = chunk[part.clone()].to_vec();
                self.keep_long_id(EventId::rest_of_line(id, 0));
            }
        }
        match &self.id.value {
            Value::Absent => {}
            Value::Here(part) if part.is_empty() => *last_event_id = None,
            Value::Here(part) => EventId::receive(last_event_id, chunk, part.clone()),
            Value::Kept => match &self.id.kept {
                Some(id) if !id.as_bytes().is_empty() => EventId::receive_clone(last_event_id, id),
                _ => *last_event_id = None,
            },
        }
    }

    /// Gives what the block has to an event that has nothing yet, and makes ready for the next.
    #[inline]
    pub(super) fn give_to(&mut self, event: &mut Event, chunk: &Bytes) {
        if self.is_kept {
            self.give_kept_to(event);
        }
        let slots = event.slots();
        if let Some(part) = self.id.take_here() {
            EventId::receive(slots.id, chunk, part);
        }
        if let Some(part) = self.event_type.take_here().filter(|part| !part.is_empty()) {
            EventType::receive(slots.event_type, chunk, part);
        }
        if let Some(part) = self.data.take_here() {
            EventData::receive(slots.data, chunk, part);
        }
        if let Some(milliseconds) = self.retry.take() {
            event.receive_retry(milliseconds);
        }
        self.bytes = 0;
    }

    /// Gives what is kept of a block that a piece's end has cut.
    fn give_kept_to(&mut self, event: &mut Event) {
        self.is_kept = false;
        let slots = event.slots();
        if self.data.is_kept() {
            self.give_kept_data_to(slots.data);
        }
        if let (true, Some(kept)) = (self.event_type.is_kept(), &mut self.event_type.kept) {
            if !kept.as_bytes().is_empty() {
                EventType::receive_kept(slots.event_type, kept);
            }
        }
        if let (true, Some(kept)) = (self.id.is_kept(), &mut self.id.kept) {
            EventId::receive_kept(slots.id, kept);
        }
        // What a later line of the same field has replaced goes too.
        (self.event_type.kept, self.id.kept) = (None, None);
    }

    /// Forgets the block.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.event_type.clear();
        self.id.clear();
        self.retry = None;
        self.is_kept = false;
        self.bytes = 0;
    }

    /// Hands out the buffer itself if the data fills most of it, so that large data is copied no
    /// second time.
    fn give_kept_data_to(&mut self, slot: &mut Option<EventData>) {
        self.data.value = Value::Absent;
        let kept = &mut self.data.kept;
        if EventData::is_short(kept) || kept.capacity() / 2 > kept.len() {
            EventData::receive_copy(slot, kept);
            empty(kept);
        } else {
            self.expected = kept.len();
            EventData::receive_kept(slot, kept);
        }
    }
}

impl<K> Slot<K> {
    #[inline]
    fn is_absent(&self) -> bool {
        matches!(self.value, Value::Absent)
    }

    #[inline]
    fn is_kept(&self) -> bool {
        matches!(self.value, Value::Kept)
    }

    /// Where the value is, if it is in the current piece.
    fn here(&self) -> Option<Range<usize>> {
        match &self.value {
            Value::Here(part) => Some(part.clone()),
            Value::Absent | Value::Kept => None,
        }
    }

    /// The same, of a value that is given up.
    #[inline]
    fn take_here(&mut self) -> Option<Range<usize>> {
        match mem::take(&mut self.value) {
            Value::Here(part) => Some(part),
            Value::Absent | Value::Kept => None,
        }
    }
}

impl<T> Slot<Option<T>> {
    fn clear(&mut self) {
        *self = Self { value: Value::Absent, kept: None };
    }
}

impl Slot<Vec<u8>> {
    fn clear(&mut self) {
        if self.is_kept() {
            empty(&mut self.kept);
        }
        self.value = Value::Absent;
    }
}

/// Makes room for more, by doubling up to the most that there can be, so that a buffer is never
/// larger than what it is allowed to hold.
pub(super) fn reserve(buffer: &mut Vec<u8>, more: usize, most: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let doubled = (buffer.capacity().saturating_mul(2)).min(most);
        buffer.reserve_exact(doubled.max(needed) - buffer.len());
    }
}

/// Empties a buffer, which keeps a moderate capacity.
pub(super) fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
