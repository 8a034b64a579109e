//! Text to lines, and lines to events: the interpretation of an event stream, [WHATWG 9.2.6].
//!
//! A line within one text is read where it is. The start of a line that continues in the next text
//! is kept as a [`PartialLine`]. The search for its end continues with the next text and never
//! repeats, so the parser takes linear time however the stream is split.
//!
//! Nothing here may depend on where texts end. `tests/parser` splits streams at every position and
//! compares the result with the algorithm of the standard.
//!
//! [WHATWG 9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    block::Block,
    buffer::MAX_COPIED,
    error::{EventTooLarge, LimitKind, Limits},
    field::{Field, field_of, line_end, milliseconds},
    input::Input,
    item::{FoundItem, ItemFilter, Parsed},
    partial_line::PartialLine,
};
use crate::event::{Event, EventData, EventId, EventType};

/// Reads lines, and collects them in the block of the current event.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    /// The limits of a line and of an event.
    pub(super) limits: Limits,
    /// Whether the last line ended with a CR at the end of its text. A LF at the start of the next
    /// text belongs to it.
    after_cr: bool,
    /// The line that the last chunk has cut.
    partial_line: PartialLine,
    /// The event that the lines belong to.
    block: Block,
    /// Whether the current event exceeds a limit. Its lines are skipped up to its empty line.
    skipping_event: bool,
    /// The offset in the stream of the block's first byte.
    block_offset: u64,
    /// The last event ID. It outlives the stream.
    pub(super) last_event_id: Option<EventId>,
    /// The reconnection time, in milliseconds. It outlives the stream.
    pub(super) reconnection_time: Option<u64>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            limits: Limits::DEFAULT,
            after_cr: false,
            partial_line: PartialLine::default(),
            block: Block::default(),
            skipping_event: false,
            block_offset: 0,
            last_event_id: None,
            reconnection_time: None,
        }
    }

    /// Prepares for a new stream. Limits, last event ID and reconnection time stay.
    pub(super) fn reset(&mut self) {
        *self = Self {
            limits: self.limits,
            last_event_id: self.last_event_id.take(),
            reconnection_time: self.reconnection_time,
            ..Self::new()
        };
    }

    pub(super) fn set_last_event_id(&mut self, id: EventId) {
        self.last_event_id = Some(id).filter(|id| !id.as_bytes().is_empty());
    }

    /// Starts the next text. All earlier text must have been read.
    #[inline]
    pub(super) fn start_text(&mut self, input: &mut Input) {
        // WHATWG 9.2.5: CRLF is one line end, also if it is split.
        if mem::take(&mut self.after_cr) && input.text().starts_with(b"\n") {
            let offset = input.offset_of(input.position);
            input.position += 1;
            // The LF may belong to the empty line that ended the last block.
            if !self.partial_line.exists() && self.block_offset == offset {
                self.block_offset += 1;
            }
        }
    }

    /// Reads up to the next item. Returns `None` when all text is read; the chunk may then be
    /// released.
    #[inline]
    pub(super) fn read(&mut self, input: &mut Input, filter: ItemFilter) -> Option<FoundItem> {
        while let Some(length) = line_end(input.text()) {
            let start = input.position;
            let end = start + length;
            self.skip_line_end(input, end);
            if let Some(item) = self.read_line(input, start..end, filter) {
                return Some(item);
            }
        }
        self.block.detach(&input.chunk, self.limits);
        let start = mem::replace(&mut input.position, input.text_end);
        let bytes = &input.chunk[start..input.text_end];
        if bytes.is_empty() {
            return None;
        }
        self.push_partial(bytes, input.offset_of(start)).err().map(FoundItem::TooLarge)
    }

    /// Reads the start of a chunk that continues a partial line of data. Returns how many bytes
    /// were read.
    #[inline]
    pub(super) fn read_plain_data(&mut self, chunk: &[u8]) -> usize {
        if self.skipping_event {
            return 0;
        }
        self.partial_line.push_plain_data(chunk, &mut self.block, self.limits)
    }

    /// Reads one character between two texts. It does not end a line.
    pub(super) fn push_char(&mut self, character: char, offset: u64) -> Result<(), EventTooLarge> {
        self.after_cr = false;
        self.push_partial(character.encode_utf8(&mut [0; 4]).as_bytes(), offset)
    }

    /// Returns the event of the unfinished block, if it has data. A partial line counts as a line.
    pub(super) fn unfinished(mut self, chunk: &Bytes) -> Option<Event> {
        if self.partial_line.exists() {
            self.finish_partial_line(ItemFilter::Events);
        }
        let mut event = Event::default();
        self.take(&mut event, chunk);
        Some(event).filter(Event::has_data)
    }

    #[inline]
    fn skip_line_end(&mut self, input: &mut Input, end: usize) {
        input.position = end + 1;
        if input.chunk[end] == b'\r' {
            match input.text().first() {
                Some(b'\n') => input.position = end + 2,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
    }

    /// Reads a line that ends in the chunk. The input is at the start of the next line.
    #[inline]
    fn read_line(
        &mut self,
        input: &Input,
        range: Range<usize>,
        filter: ItemFilter,
    ) -> Option<FoundItem> {
        let line = &input.chunk[range.clone()];
        if self.partial_line.exists() || self.skipping_event {
            return self.continue_line(line, input.offset_of(input.position), filter);
        }
        if line.is_empty() {
            return self.end_block(input, filter);
        }
        if line.len() > self.limits.max_line(self.block.bytes) {
            return Some(FoundItem::TooLarge(self.skip_event(input.offset_of(range.start))));
        }
        self.block.bytes += line.len();
        let (field, start) = field_of(line);
        let value = range.start + start..range.end;
        match field {
            Field::Data => self.block.add_data(&input.chunk, value, self.limits),
            Field::Event => self.block.set_type_range(value),
            Field::Id => {
                // WHATWG 9.2.6: an ID that contains NUL is ignored.
                if !line[start..].contains(&0) {
                    self.block.set_id_range(value);
                }
            }
            Field::Retry | Field::Comment | Field::Unknown(_) => {
                let text = |range: Range<usize>| EventData::from_parser_copy(&line[range]);
                return self.read_rare_field(field, (line, start), filter, &text);
            }
        }
        None
    }

    /// Reads the last bytes of a line that started earlier, or a line of an event that is skipped.
    /// `next` is the offset of the next line.
    fn continue_line(&mut self, bytes: &[u8], next: u64, filter: ItemFilter) -> Option<FoundItem> {
        if self.skipping_event {
            let is_partial = self.partial_line.discard();
            if bytes.is_empty() && !is_partial {
                self.skipping_event = false;
                self.block_offset = next;
            }
            return None;
        }
        // The line has started, so the offset is not used.
        if let Err(error) = self.push_partial(bytes, 0) {
            self.partial_line.discard();
            return Some(FoundItem::TooLarge(error));
        }
        self.finish_partial_line(filter)
    }

    /// Appends bytes to the partial line. A new one starts at this offset.
    fn push_partial(&mut self, bytes: &[u8], offset: u64) -> Result<(), EventTooLarge> {
        self.partial_line.start(offset);
        // The line is remembered also while its event is skipped: its end is not an empty line.
        if self.skipping_event {
            return Ok(());
        }
        let pushed = self.partial_line.push(bytes, &mut self.block, self.limits);
        pushed.map_err(|_| self.skip_event(self.partial_line.offset()))
    }

    /// Reads the partial line, which is complete now.
    fn finish_partial_line(&mut self, filter: ItemFilter) -> Option<FoundItem> {
        let line = self.partial_line.finish(&mut self.block)?;
        let (field, start) = field_of(&line);
        let value = start..line.len();
        match field {
            Field::Data => self.block.start_data_line(&[], &line[value], self.limits),
            Field::Id if line[start..].contains(&0) => {}
            // A long type or ID takes the buffer, because a copy could exceed the memory limit.
            Field::Event if line.len() > MAX_COPIED => {
                self.block.set_type(EventType::from_parser(line, start));
                return None;
            }
            Field::Id if line.len() > MAX_COPIED => {
                self.block.set_id(EventId::from_parser(line, start));
                return None;
            }
            Field::Event => self.block.set_type_copy(&line, value),
            Field::Id => self.block.set_id_copy(&line, value),
            Field::Retry | Field::Comment | Field::Unknown(_) if line.len() > MAX_COPIED => {
                let line = Bytes::from(line);
                let text = |range: Range<usize>| EventData::from_parser_slice(&line, range);
                return self.read_rare_field(field, (&line, start), filter, &text);
            }
            Field::Retry | Field::Comment | Field::Unknown(_) => {
                let text = |range: Range<usize>| EventData::from_parser_copy(&line[range]);
                let item = self.read_rare_field(field, (&line, start), filter, &text);
                self.partial_line.reuse(line);
                return item;
            }
        }
        self.partial_line.reuse(line);
        None
    }

    /// Reads a field that few events have. `line` comes with the position of its value, and `text`
    /// creates the data of a range of it.
    #[cold]
    fn read_rare_field(
        &mut self,
        field: Field,
        (line, start): (&[u8], usize),
        filter: ItemFilter,
        text: &dyn Fn(Range<usize>) -> EventData,
    ) -> Option<FoundItem> {
        if let (Field::Retry, Some(milliseconds)) = (field, milliseconds(&line[start..])) {
            self.block.set_retry(milliseconds);
            // WHATWG 9.2.6: `retry` applies at once, before its block ends.
            self.reconnection_time = Some(milliseconds);
        }
        if self.block.is_empty() {
            // A stream may consist of comments without an empty line: they do not add up.
            self.block.bytes = 0;
        }
        if filter == ItemFilter::Events {
            return None;
        }
        let item = match field {
            Field::Comment => Parsed::Comment(text(start..line.len())),
            Field::Unknown(name) => {
                Parsed::Field { name: text(0..name), value: text(start..line.len()) }
            }
            Field::Data | Field::Event | Field::Id | Field::Retry => return None,
        };
        Some(FoundItem::Other(Box::new(item)))
    }

    /// Ends the block at an empty line. A block that is found must be taken.
    #[inline]
    fn end_block(&mut self, input: &Input, filter: ItemFilter) -> Option<FoundItem> {
        self.block_offset = input.offset_of(input.position);
        if self.block.has_data() {
            return Some(FoundItem::Event);
        }
        self.end_block_without_data(&input.chunk, filter)
    }

    /// WHATWG 9.2.6: without data nothing is dispatched, but the ID becomes the last event ID.
    #[cold]
    fn end_block_without_data(&mut self, chunk: &Bytes, filter: ItemFilter) -> Option<FoundItem> {
        if !self.block.has_id_or_retry() {
            self.block.clear();
            return None;
        }
        if filter == ItemFilter::All {
            return Some(FoundItem::Block);
        }
        self.take(&mut Event::default(), chunk);
        None
    }

    /// Takes the event of the block that was found, and sets the last event ID.
    ///
    /// The fields are written directly to the event: see [`Event::fields_mut`].
    #[inline]
    pub(super) fn take(&mut self, event: &mut Event, chunk: &Bytes) {
        self.block.commit_id(chunk, &mut self.last_event_id);
        self.block.write_to(event, chunk);
    }

    /// Discards the block and skips its other lines. Returns the error for the line at this offset.
    #[cold]
    fn skip_event(&mut self, line_offset: u64) -> EventTooLarge {
        let (kind, limit) = self.limits.exceeded(self.block.bytes);
        let offset = if kind == LimitKind::Line { line_offset } else { self.block_offset };
        self.skipping_event = true;
        self.block.clear();
        self.partial_line.clear();
        EventTooLarge { kind, limit, offset }
    }
}
