//! The event in the making: the standard's data, event type and last event ID buffers.
//!
//! While a block stands in one piece, a value is where it stands, and nothing is copied. What a
//! piece's end cuts is kept in buffers of the parser's own, which are used again for the next
//! event.

use std::ops::Range;

use bytes::Bytes;

use super::limits::Limits;
use crate::event::{Event, EventData, EventId, EventType};

/// How much a buffer may keep for the next event, in bytes.
const KEPT: usize = 128 << 10;

/// Where the value of a field is.
#[derive(Clone, Debug, Default)]
enum Value {
    #[default]
    Absent,
    /// In the current piece.
    Here(Range<usize>),
    /// In the buffer of this field.
    Kept,
}

/// A value, and the buffer that it is kept in beyond its piece.
#[derive(Clone, Debug, Default)]
struct Slot {
    value: Value,
    kept: Vec<u8>,
}

/// The block that is being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    data: Slot,
    event_type: Slot,
    id: Slot,
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

    #[inline]
    pub(super) fn id<'a>(&'a self, piece: &'a [u8]) -> Option<(&'a [u8], Range<usize>)> {
        self.id.place(piece)
    }

    /// Appends a line of data that stands in the piece.
    #[inline]
    pub(super) fn data_here(&mut self, piece: &[u8], value: Range<usize>, limits: Limits) {
        if self.data.is_absent() {
            self.data.value = Value::Here(value);
            return;
        }
        self.begin_data(piece, &piece[value], limits);
    }

    /// Appends the beginning of a line of data, or all of it, to what is kept of data; with the
    /// line feed that ends the line before it.
    pub(super) fn begin_data(&mut self, piece: &[u8], value: &[u8], limits: Limits) {
        let first = self.data.is_absent();
        self.keep_data(piece, value.len() + 1, limits);
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

    pub(super) fn keep_type(&mut self, value: &[u8]) {
        self.is_kept = true;
        self.event_type.keep(value);
    }

    #[inline]
    pub(super) fn id_here(&mut self, value: Range<usize>) {
        self.id.value = Value::Here(value);
    }

    pub(super) fn keep_id(&mut self, value: &[u8]) {
        self.is_kept = true;
        self.id.keep(value);
    }

    pub(super) fn set_retry(&mut self, milliseconds: u64) {
        self.retry = Some(milliseconds);
    }

    /// Keeps what stands in a piece that is given up.
    pub(super) fn keep(&mut self, piece: &[u8], limits: Limits) {
        for slot in [&mut self.event_type, &mut self.id] {
            if let Value::Here(range) = slot.value.clone() {
                self.is_kept = true;
                slot.keep(&piece[range]);
            }
        }
        if let Value::Here(_) = &self.data.value {
            self.keep_data(piece, 0, limits);
        }
    }

    /// Makes data a kept one, with room for so much more.
    fn keep_data(&mut self, piece: &[u8], more: usize, limits: Limits) {
        self.is_kept = true;
        let here = match &self.data.value {
            Value::Here(range) => &piece[range.clone()],
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

    /// Takes the event of the block, which has ended, and makes ready for the next.
    ///
    /// An event without data is none that is dispatched. It is returned as what the parser returns,
    /// so that it is written where it goes and not moved there: a third of the time of a small one.
    #[inline]
    pub(super) fn take<E>(&mut self, piece: &Bytes) -> Option<Result<Event, E>> {
        if self.is_kept {
            return self.take_kept(piece);
        }
        let event_type = self.event_type.take_here().filter(|part| !part.is_empty());
        let (data, id) = (self.data.take_here(), self.id.take_here());
        let retry = self.retry.take();
        self.bytes = 0;
        Some(Ok(Event::received(
            event_type.map(|part| EventType::of_line(piece, part)),
            data.map(|part| EventData::part_of(piece, part)),
            id.map(|part| EventId::of_line(piece, part)),
            retry,
        )))
    }

    /// The same for a block that a piece's end has cut.
    fn take_kept<E>(&mut self, piece: &Bytes) -> Option<Result<Event, E>> {
        let event_type = self.event_type.place(piece).filter(|(_, part)| !part.is_empty());
        let event_type = event_type.map(|(whole, part)| EventType::of_line(whole, part));
        let id = self.id(piece).map(|(whole, part)| EventId::of_line(whole, part));
        let data = match &self.data.value {
            Value::Absent => None,
            Value::Here(range) => Some(EventData::part_of(piece, range.clone())),
            Value::Kept => Some(self.take_kept_data()),
        };
        let event = Some(Ok(Event::received(event_type, data, id, self.retry.take())));
        self.clear();
        event
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
    fn take_kept_data(&mut self) -> EventData {
        let kept = &mut self.data.kept;
        if EventData::is_short(kept) || kept.capacity() / 2 > kept.len() {
            return EventData::copy_of(kept);
        }
        self.expected = kept.len();
        EventData::checked(std::mem::take(kept))
    }
}

impl Slot {
    #[inline]
    fn is_absent(&self) -> bool {
        matches!(self.value, Value::Absent)
    }

    #[inline]
    fn place<'a>(&'a self, piece: &'a [u8]) -> Option<(&'a [u8], Range<usize>)> {
        match &self.value {
            Value::Absent => None,
            Value::Here(range) => Some((piece, range.clone())),
            Value::Kept => Some((&self.kept, 0..self.kept.len())),
        }
    }

    /// Takes a value that is not kept.
    #[inline]
    fn take_here(&mut self) -> Option<Range<usize>> {
        match std::mem::take(&mut self.value) {
            Value::Here(range) => Some(range),
            Value::Absent | Value::Kept => None,
        }
    }

    fn keep(&mut self, value: &[u8]) {
        self.kept.clear();
        self.kept.extend_from_slice(value);
        self.value = Value::Kept;
    }

    #[inline]
    fn clear(&mut self) {
        if let Value::Kept = self.value {
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
