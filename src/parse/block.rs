//! The block of lines that is being read: the standard's data, event type and last event ID
//! buffers.
//!
//! While a block lies within one chunk, its values are ranges of the chunk and nothing is copied.
//! At the end of a chunk, types and IDs are copied out, and data moves to a buffer. The buffer is
//! reused for the next event, unless it is handed out with its event.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    buffer::{self, MAX_COPIED, MAX_KEPT_CAPACITY},
    error::Limits,
};
use crate::event::{Event, EventData, EventId, EventType};

/// Where the value of a field is.
#[derive(Clone, Debug, Default)]
enum Location {
    #[default]
    Absent,
    /// In this range of the current chunk.
    Chunk(Range<usize>),
    /// In [`FieldValue::owned`].
    Owned,
}

/// The value of a field, in the chunk or copied out of it.
#[derive(Clone, Debug, Default)]
struct FieldValue<V> {
    location: Location,
    /// The copied value. It is only valid if the location is `Owned`. For data it is otherwise
    /// empty, with the capacity kept for the next event.
    owned: V,
}

/// The block that is being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The data buffer of the standard.
    data: FieldValue<Vec<u8>>,
    /// The event type buffer of the standard.
    event_type: FieldValue<Option<EventType>>,
    /// The ID of this block, if it has one.
    id: FieldValue<Option<EventId>>,
    /// The reconnection time, in milliseconds.
    retry: Option<u64>,
    /// Whether any `owned` value may be in use. If not, `write_to` skips them.
    has_owned: bool,
    /// The length of the block's lines, without line ends and without comments before the first
    /// field.
    pub(super) bytes: usize,
    /// The length of the last data that was handed out with its buffer: the first capacity of the
    /// next buffer.
    expected_data: usize,
}

impl Block {
    /// Returns whether no field of the standard has been read.
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

    /// Returns whether the block sets the last event ID or the reconnection time.
    pub(super) fn has_id_or_retry(&self) -> bool {
        !self.id.is_absent() || self.retry.is_some()
    }

    /// Appends a whole line of data that lies in the chunk.
    #[inline]
    pub(super) fn add_data(&mut self, chunk: &[u8], value: Range<usize>, limits: Limits) {
        if self.data.is_absent() {
            self.data.location = Location::Chunk(value);
            return;
        }
        self.start_data_line(chunk, &chunk[value], limits);
    }

    /// Appends a line of data, or its first bytes, to the data buffer.
    ///
    /// The standard appends a LF after each line and removes the last one. This adds it before each
    /// line but the first, with the same result.
    pub(super) fn start_data_line(&mut self, chunk: &[u8], value: &[u8], limits: Limits) {
        let is_first = self.data.is_absent();
        self.own_data(chunk, value.len() + 1, limits);
        if !is_first {
            self.data.owned.push(b'\n');
        }
        self.data.owned.extend_from_slice(value);
    }

    /// Appends more bytes to the line of data that was started last.
    pub(super) fn continue_data_line(&mut self, bytes: &[u8], limits: Limits) {
        buffer::reserve(&mut self.data.owned, bytes.len(), limits.event);
        self.data.owned.extend_from_slice(bytes);
    }

    /// Sets the type to a range of the chunk.
    #[inline]
    pub(super) fn set_type_range(&mut self, range: Range<usize>) {
        self.event_type.location = Location::Chunk(range);
    }

    /// Sets the type to a copy of a range of a line.
    pub(super) fn set_type_copy(&mut self, line: &[u8], range: Range<usize>) {
        self.has_owned = true;
        self.event_type.location = Location::Owned;
        EventType::assign_copy(&mut self.event_type.owned, line, range);
    }

    /// Sets the type.
    pub(super) fn set_type(&mut self, event_type: EventType) {
        self.has_owned = true;
        self.event_type = FieldValue { location: Location::Owned, owned: Some(event_type) };
    }

    /// Sets the ID to a range of the chunk.
    #[inline]
    pub(super) fn set_id_range(&mut self, range: Range<usize>) {
        self.id.location = Location::Chunk(range);
    }

    /// Sets the ID to a copy of a range of a line.
    pub(super) fn set_id_copy(&mut self, line: &[u8], range: Range<usize>) {
        self.has_owned = true;
        self.id.location = Location::Owned;
        EventId::assign_copy(&mut self.id.owned, line, range);
    }

    /// Sets the ID.
    pub(super) fn set_id(&mut self, id: EventId) {
        self.has_owned = true;
        self.id = FieldValue { location: Location::Owned, owned: Some(id) };
    }

    /// Sets the reconnection time.
    pub(super) fn set_retry(&mut self, milliseconds: u64) {
        self.retry = Some(milliseconds);
    }

    /// Copies all values out of a chunk that is released next.
    pub(super) fn detach(&mut self, chunk: &[u8], limits: Limits) {
        if let Some(range) = self.event_type.range() {
            self.set_type_copy(chunk, range);
        }
        if let Some(range) = self.id.range() {
            self.set_id_copy(chunk, range);
        }
        if let Location::Chunk(_) = &self.data.location {
            self.own_data(chunk, 0, limits);
        }
    }

    /// Moves data to its buffer, and reserves room for `more` bytes.
    fn own_data(&mut self, chunk: &[u8], more: usize, limits: Limits) {
        self.has_owned = true;
        let in_chunk = match &self.data.location {
            Location::Chunk(range) => &chunk[range.clone()],
            Location::Absent | Location::Owned => &[],
        };
        let data = &mut self.data.owned;
        if data.capacity() == 0 {
            data.reserve_exact(self.expected_data.min(MAX_KEPT_CAPACITY));
        }
        buffer::reserve(data, in_chunk.len() + more, limits.event);
        data.extend_from_slice(in_chunk);
        self.data.location = Location::Owned;
    }

    /// Sets the last event ID to the ID of the block, if it has one. An empty ID resets it.
    #[inline]
    pub(super) fn commit_id(&mut self, chunk: &[u8], last_event_id: &mut Option<EventId>) {
        if let Location::Chunk(range) = &self.id.location {
            // One buffer for a long ID, which the event and the last event ID share.
            if range.len() > MAX_COPIED {
                let id = chunk[range.clone()].to_vec();
                self.set_id(EventId::from_parser(id, 0));
            }
        }
        match &self.id.location {
            Location::Absent => {}
            Location::Chunk(range) if range.is_empty() => *last_event_id = None,
            Location::Chunk(range) => EventId::assign_copy(last_event_id, chunk, range.clone()),
            Location::Owned => match &self.id.owned {
                Some(id) if !id.as_bytes().is_empty() => EventId::assign_clone(last_event_id, id),
                _ => *last_event_id = None,
            },
        }
    }

    /// Writes the fields of the block to an event that has none, and clears the block.
    #[inline]
    pub(super) fn write_to(&mut self, event: &mut Event, chunk: &Bytes) {
        if self.has_owned {
            self.write_owned_to(event);
        }
        let fields = event.fields_mut();
        if let Some(range) = self.id.take_range() {
            EventId::assign_copy(fields.id, chunk, range);
        }
        // WHATWG 9.2.6: an empty event type buffer leaves the type `message`.
        if let Some(range) = self.event_type.take_range().filter(|range| !range.is_empty()) {
            EventType::assign_copy(fields.event_type, chunk, range);
        }
        if let Some(range) = self.data.take_range() {
            EventData::assign_slice(fields.data, chunk, range);
        }
        if let Some(milliseconds) = self.retry.take() {
            event.set_parsed_retry(milliseconds);
        }
        self.bytes = 0;
    }

    /// Writes the values that were copied out of earlier chunks.
    fn write_owned_to(&mut self, event: &mut Event) {
        self.has_owned = false;
        let fields = event.fields_mut();
        if self.data.is_owned() {
            self.write_owned_data_to(fields.data);
        }
        if let (true, Some(event_type)) = (self.event_type.is_owned(), &mut self.event_type.owned) {
            if !event_type.as_bytes().is_empty() {
                EventType::assign_take(fields.event_type, event_type);
            }
        }
        if let (true, Some(id)) = (self.id.is_owned(), &mut self.id.owned) {
            EventId::assign_take(fields.id, id);
        }
        // Also drops a value that a later line in the current chunk has replaced.
        (self.event_type.owned, self.id.owned) = (None, None);
    }

    /// Writes the data buffer. If the data fills most of it, the buffer itself is handed out, so
    /// that large data is not copied again.
    fn write_owned_data_to(&mut self, field: &mut Option<EventData>) {
        self.data.location = Location::Absent;
        let data = &mut self.data.owned;
        if EventData::fits_inline(data) || data.capacity() / 2 > data.len() {
            EventData::assign_copy(field, data);
            buffer::clear(data);
        } else {
            self.expected_data = data.len();
            EventData::assign_take(field, data);
        }
    }

    /// Discards the block.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.event_type.clear();
        self.id.clear();
        self.retry = None;
        self.has_owned = false;
        self.bytes = 0;
    }
}

impl<V> FieldValue<V> {
    #[inline]
    fn is_absent(&self) -> bool {
        matches!(self.location, Location::Absent)
    }

    #[inline]
    fn is_owned(&self) -> bool {
        matches!(self.location, Location::Owned)
    }

    /// Returns the range of a value in the chunk.
    fn range(&self) -> Option<Range<usize>> {
        match &self.location {
            Location::Chunk(range) => Some(range.clone()),
            Location::Absent | Location::Owned => None,
        }
    }

    /// Returns the range of a value in the chunk, and makes the value absent.
    #[inline]
    fn take_range(&mut self) -> Option<Range<usize>> {
        match mem::take(&mut self.location) {
            Location::Chunk(range) => Some(range),
            Location::Absent | Location::Owned => None,
        }
    }
}

impl<T> FieldValue<Option<T>> {
    fn clear(&mut self) {
        *self = Self { location: Location::Absent, owned: None };
    }
}

impl FieldValue<Vec<u8>> {
    fn clear(&mut self) {
        if self.is_owned() {
            buffer::clear(&mut self.owned);
        }
        self.location = Location::Absent;
    }
}
