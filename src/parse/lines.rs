//! Pieces of text as lines, and lines as events: the standard's interpretation of an event stream.
//!
//! A line that stands in one piece is looked at where it stands. Of a line that is cut, the
//! beginning is kept: data goes right where it will be handed out from, anything else to a buffer.
//! The search for the line's end goes on with the next piece and never goes back over what was cut,
//! which is what makes the parser linear in its input, whatever the chunks.
//!
//! Whoever changes this: nothing here may depend on where pieces end. `tests/conformance` cuts
//! everything everywhere, and holds it against the algorithm as the standard has it.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    block::Block,
    cut::{Cut, State},
    error::EventTooLarge,
    field::{Field, field_of, line_end, milliseconds},
    input::Input,
    limits::Limits,
    parsed::Parsed,
};
use crate::event::{Event, EventData, EventId};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Events,
    All,
}

/// What was found, and where it is: it is not moved before it goes to whoever asked for it.
#[derive(Debug)]
pub(super) enum Found {
    /// The block is an event that is dispatched, to be taken.
    Event,
    /// The block has no data, and is to be taken.
    Block,
    /// A comment or an unknown field.
    Item(Box<Parsed>),
    TooLarge(EventTooLarge),
}

/// The lines of an event stream, the current one among them.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) limits: Limits,
    /// Whether the last line ended with a CR at the end of its piece: a LF that follows belongs to
    /// it.
    pub(super) after_cr: bool,
    pub(super) cut: Cut,
    pub(super) block: Block,
    /// Whether the block is over a limit, and passed over up to its empty line.
    pub(super) passing_over: bool,
    /// The offset of the block's first byte.
    pub(super) block_offset: u64,
    pub(super) last_event_id: Option<EventId>,
    pub(super) reconnection_time: Option<u64>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            limits: Limits::DEFAULT,
            after_cr: false,
            cut: Cut::default(),
            block: Block::default(),
            passing_over: false,
            block_offset: 0,
            last_event_id: None,
            reconnection_time: None,
        }
    }

    /// Forgets the stream, and keeps what outlives one.
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

    /// Begins with the next piece, once the one before is read.
    #[inline]
    pub(super) fn begin(&mut self, input: &mut Input) {
        if mem::take(&mut self.after_cr) && input.text().starts_with(b"\n") {
            let at = input.offset_of(input.position);
            input.position += 1;
            if self.cut.state == State::None && self.block_offset == at {
                self.block_offset += 1;
            }
        }
    }

    /// Reads on to the next item; none at the end of the piece, of which nothing is needed then.
    #[inline]
    pub(super) fn read(&mut self, input: &mut Input, wanted: Wanted) -> Option<Found> {
        while let Some(length) = line_end(input.text()) {
            let start = input.position;
            let end = start + length;
            self.pass_line_end(input, end);
            if let Some(item) = self.line(input, start..end, wanted) {
                return Some(item);
            }
        }
        self.block.keep(&input.chunk, self.limits);
        let start = mem::replace(&mut input.position, input.text_end);
        let rest = &input.chunk[start..input.text_end];
        if rest.is_empty() {
            return None;
        }
        self.cut_line(rest, input.offset_of(start)).err().map(Found::TooLarge)
    }

    /// Appends one character, which ends no line, from between pieces.
    pub(super) fn character(&mut self, character: char, offset: u64) -> Result<(), EventTooLarge> {
        self.after_cr = false;
        self.cut_line(character.encode_utf8(&mut [0; 4]).as_bytes(), offset)
    }

    /// Returns the event of the block that has not ended, if it has data; its last line is taken as
    /// one.
    pub(super) fn unfinished(mut self, chunk: &Bytes) -> Option<Event> {
        if self.cut.state != State::None {
            self.end_cut_line(Wanted::Events);
        }
        let mut event = Event::default();
        self.take(&mut event, chunk);
        Some(event).filter(Event::has_data)
    }

    #[inline]
    fn pass_line_end(&mut self, input: &mut Input, end: usize) {
        input.position = end + 1;
        if input.chunk[end] == b'\r' {
            match input.text().first() {
                Some(b'\n') => input.position = end + 2,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
    }

    /// A line of the chunk, whose end is passed.
    #[inline]
    fn line(&mut self, input: &Input, place: Range<usize>, wanted: Wanted) -> Option<Found> {
        let line = &input.chunk[place.clone()];
        if self.cut.state != State::None || self.passing_over {
            return self.line_goes_on(line, input.offset_of(input.position), wanted);
        }
        if line.is_empty() {
            return self.end_block(input, wanted);
        }
        if line.len() > self.limits.room(self.block.bytes) {
            return Some(Found::TooLarge(self.too_large(input.offset_of(place.start))));
        }
        self.block.bytes += line.len();
        let (field, start) = field_of(line);
        let value = place.start + start..place.end;
        match field {
            Field::Data => self.block.data_here(&input.chunk, value, self.limits),
            Field::Event => self.block.type_here(value),
            Field::Id => {
                if !line[start..].contains(&0) {
                    self.block.id_here(value);
                }
            }
            Field::Retry | Field::Comment | Field::Unknown(_) => {
                let text = |part: Range<usize>| EventData::copy_of(&line[part]);
                return self.other_field(field, line, start, wanted, &text);
            }
        }
        None
    }

    /// A line of a field other than those that most events have, whose value starts where it is
    /// said; `text` makes of a part of it what is handed out.
    #[cold]
    pub(super) fn other_field(
        &mut self,
        field: Field,
        line: &[u8],
        start: usize,
        wanted: Wanted,
        text: &dyn Fn(Range<usize>) -> EventData,
    ) -> Option<Found> {
        if let (Field::Retry, Some(milliseconds)) = (field, milliseconds(&line[start..])) {
            self.block.set_retry(milliseconds);
            self.reconnection_time = Some(milliseconds);
        }
        if self.block.is_empty() {
            // Comments may come for ever, with nothing between them.
            self.block.bytes = 0;
        }
        if wanted == Wanted::Events {
            return None;
        }
        let item = match field {
            Field::Comment => Parsed::Comment(text(start..line.len())),
            Field::Unknown(name) => {
                Parsed::Field { name: text(0..name), value: text(start..line.len()) }
            }
            Field::Data | Field::Event | Field::Id | Field::Retry => return None,
        };
        Some(Found::Item(Box::new(item)))
    }

    /// An empty line: the block is an event, if it has data. It is to be taken, or is cleared.
    #[inline]
    fn end_block(&mut self, input: &Input, wanted: Wanted) -> Option<Found> {
        self.block_offset = input.offset_of(input.position);
        if self.block.has_data() {
            return Some(Found::Event);
        }
        self.end_block_without_data(&input.chunk, wanted)
    }

    #[cold]
    fn end_block_without_data(&mut self, chunk: &Bytes, wanted: Wanted) -> Option<Found> {
        if !self.block.sets_something() {
            self.block.clear();
            return None;
        }
        if wanted == Wanted::All {
            return Some(Found::Block);
        }
        self.take(&mut Event::default(), chunk);
        None
    }

    /// Takes the event of the block that was found. Its id, if it has one, is the last event ID from
    /// now on: the block has ended.
    ///
    /// Each field is written into the event, which takes less than to make it and move it there.
    #[inline]
    pub(super) fn take(&mut self, event: &mut Event, chunk: &Bytes) {
        self.block.tell_id(chunk, &mut self.last_event_id);
        self.block.give_to(event, chunk);
    }
}
