//! Pieces of text as lines, and lines as events: the standard's interpretation of an event stream.
//!
//! A line that stands in one piece is looked at where it stands. Of a line that is cut, the
//! beginning is kept: data goes right where it will be handed out from, anything else to a buffer.
//! The search for the line's end goes on with the next piece and never goes back over what was cut,
//! which is what makes the parser linear in its input, whatever the chunks.
//!
//! Whoever changes this: nothing here may depend on where pieces end. `tests/conformance` cuts
//! everything everywhere, and holds it against the algorithm as the standard has it.

use std::ops::Range;

use bytes::Bytes;

use super::{
    block::Block,
    cut::{Cut, State},
    error::EventTooLarge,
    field::{Field, field_of, line_end, milliseconds},
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
    /// The piece that is being read, and how much of it was.
    pub(super) piece: Bytes,
    pub(super) position: usize,
    /// The offset of the piece in the stream.
    pub(super) offset: u64,
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
            piece: Bytes::new(),
            position: 0,
            offset: 0,
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

    /// Goes on with the next piece, once the one before is read.
    pub(super) fn begin(&mut self, piece: Bytes, offset: u64) {
        self.piece = piece;
        self.offset = offset;
        self.position = 0;
        if self.after_cr {
            self.after_cr = false;
            self.position = usize::from(self.piece.starts_with(b"\n"));
            if self.cut.state == State::None && self.block_offset == offset {
                self.block_offset += self.position as u64;
            }
        }
    }

    /// Whether there is a piece that is not read to its end.
    #[inline]
    pub(super) fn has_piece(&self) -> bool {
        !self.piece.is_empty()
    }

    /// Reads on to the next item; none at the end of the piece, which is given up then.
    #[inline]
    pub(super) fn read(&mut self, wanted: Wanted) -> Option<Found> {
        while let Some(length) = line_end(&self.piece[self.position..]) {
            let start = self.position;
            let end = start + length;
            self.pass_line_end(end);
            if let Some(item) = self.line(start, end, wanted) {
                return Some(item);
            }
        }
        let piece = std::mem::take(&mut self.piece);
        self.block.keep(&piece, self.limits);
        let start = std::mem::take(&mut self.position);
        let rest = &piece[start..];
        if rest.is_empty() {
            return None;
        }
        self.cut_line(rest, self.offset + start as u64).err().map(Found::TooLarge)
    }

    /// Appends one character, which ends no line, from between pieces.
    pub(super) fn character(&mut self, character: char, offset: u64) -> Result<(), EventTooLarge> {
        self.after_cr = false;
        self.cut_line(character.encode_utf8(&mut [0; 4]).as_bytes(), offset)
    }

    /// Returns the event of the block that has not ended, if it has data; its last line is taken as
    /// one.
    pub(super) fn unfinished(mut self) -> Option<Event> {
        if self.cut.state != State::None {
            self.end_cut_line(Wanted::Events);
        }
        let mut event = Event::default();
        self.take(&mut event);
        Some(event).filter(Event::has_data)
    }

    #[inline]
    fn pass_line_end(&mut self, end: usize) {
        self.position = end + 1;
        if self.piece[end] == b'\r' {
            match self.piece.get(end + 1) {
                Some(b'\n') => self.position = end + 2,
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
    }

    #[inline]
    fn line(&mut self, start: usize, end: usize, wanted: Wanted) -> Option<Found> {
        if self.cut.state != State::None || self.passing_over {
            return self.line_goes_on(start, end, wanted);
        }
        if start == end {
            return self.end_block(wanted);
        }
        let length = end - start;
        if length > self.limits.room(self.block.bytes) {
            return Some(Found::TooLarge(self.too_large(self.offset + start as u64)));
        }
        self.block.bytes += length;
        let (field, value) = field_of(&self.piece[start..end]);
        let value = start + value..end;
        match field {
            Field::Data => self.block.data_here(&self.piece, value, self.limits),
            Field::Event => self.block.type_here(value),
            Field::Id => {
                if !self.piece[value.clone()].contains(&0) {
                    self.block.id_here(value);
                }
            }
            Field::Retry | Field::Comment | Field::Unknown(_) => {
                let piece = self.piece.clone();
                let line = &piece[start..end];
                let text = |part: Range<usize>| EventData::copy_of(&line[part]);
                return self.other_field(field, line, value.start - start, wanted, &text);
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
    fn end_block(&mut self, wanted: Wanted) -> Option<Found> {
        self.block_offset = self.offset + self.position as u64;
        if self.block.has_data() {
            return Some(Found::Event);
        }
        self.end_block_without_data(wanted)
    }

    #[cold]
    fn end_block_without_data(&mut self, wanted: Wanted) -> Option<Found> {
        if !self.block.sets_something() {
            self.block.clear();
            return None;
        }
        if wanted == Wanted::All {
            return Some(Found::Block);
        }
        self.take(&mut Event::default());
        None
    }

    /// Takes the event of the block that was found. Its id, if it has one, is the last event ID from
    /// now on: the block has ended.
    ///
    /// Each field is written into the event, which takes less than to make it and move it there.
    #[inline]
    pub(super) fn take(&mut self, event: &mut Event) {
        self.block.tell_id(&self.piece, &mut self.last_event_id);
        self.block.give_to(event, &self.piece);
    }
}
