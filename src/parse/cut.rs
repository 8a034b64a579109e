//! Lines that are cut by the end of a piece, and what is over a limit.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    block,
    error::{EventTooLarge, What},
    field::{Field, cut_data, field_of},
    lines::{Found, Lines, Wanted},
    plain::plain_length,
};
use crate::event::{EventData, EventId, EventType};

/// How many bytes a processor still has near after a look at them.
const NEAR: usize = 4 << 10;

/// What is known of a line whose end was not found yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut {
    pub(super) state: State,
    /// How long it is so far, in bytes.
    length: usize,
    /// The offset of its first byte.
    offset: u64,
    /// Its text, if that is what the state says.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// No line is cut: what comes next starts one.
    #[default]
    None,
    /// The text is kept.
    Kept,
    /// It is data, whose value is with the block.
    Data,
}

impl Lines {
    /// The end of a line that began in an earlier piece, or that is passed over; its end is passed,
    /// and what comes next is at this offset.
    pub(super) fn line_goes_on(&mut self, rest: &[u8], next: u64, wanted: Wanted) -> Option<Found> {
        if self.passing_over {
            let is_empty = rest.is_empty() && self.cut.state == State::None;
            self.cut.state = State::None;
            if is_empty {
                self.passing_over = false;
                self.block_offset = next;
            }
            return None;
        }
        // It has begun, so where it begins does not matter.
        if let Err(error) = self.cut_line(rest, 0) {
            self.cut.state = State::None;
            return Some(Found::TooLarge(error));
        }
        self.end_cut_line(wanted)
    }

    /// Goes on with a line whose end is not in sight. If none was cut, it starts here, at this
    /// offset.
    pub(super) fn cut_line(&mut self, text: &[u8], offset: u64) -> Result<(), EventTooLarge> {
        if self.cut.state == State::None {
            self.cut.state = State::Kept;
            self.cut.offset = offset;
            self.cut.length = 0;
        }
        if self.passing_over {
            return Ok(());
        }
        self.cut.length += text.len();
        if self.cut.length > self.limits.room(self.block.bytes) {
            return Err(self.too_large(self.cut.offset));
        }
        if self.cut.state == State::Data {
            self.block.more_data(text, self.limits);
        } else if let (true, Some(value)) = (self.cut.text.is_empty(), cut_data(text)) {
            self.cut.state = State::Data;
            self.block.begin_data(&[], value, self.limits);
        } else {
            self.keep_cut_text(text);
        }
        Ok(())
    }

    /// Goes on with a line of data that is cut, if there is one, with the start of a chunk, as far as
    /// it is surely of it; returns how far. What is left is to be looked at in the usual way.
    ///
    /// Each part is copied while it is still near.
    #[inline]
    pub(super) fn more_plain_data(&mut self, chunk: &[u8]) -> usize {
        let is_cut = self.cut.state == State::Data && !self.passing_over;
        let room = self.limits.room(self.block.bytes);
        if !is_cut || self.cut.length + chunk.len() > room {
            return 0;
        }
        let mut read = 0;
        for part in chunk.chunks(NEAR) {
            let plain = plain_length(part);
            self.block.more_data(&part[..plain], self.limits);
            read += plain;
            if plain < part.len() {
                break;
            }
        }
        self.cut.length += read;
        read
    }

    fn keep_cut_text(&mut self, text: &[u8]) {
        block::reserve(&mut self.cut.text, text.len(), self.limits.line);
        self.cut.text.extend_from_slice(text);
        if let Some(value) = cut_data(&self.cut.text) {
            self.cut.state = State::Data;
            self.block.begin_data(&[], value, self.limits);
            block::empty(&mut self.cut.text);
        }
    }

    /// Takes the line that was cut as what it is, now that all of it is there.
    pub(super) fn end_cut_line(&mut self, wanted: Wanted) -> Option<Found> {
        self.block.bytes += self.cut.length;
        if mem::take(&mut self.cut.state) == State::Data {
            return None;
        }
        let mut line = mem::take(&mut self.cut.text);
        let (field, start) = field_of(&line);
        let item = if line.len() > block::LONG {
            self.end_long_line(field, mem::take(&mut line), start, wanted)
        } else {
            self.end_short_line(field, &line, start, wanted)
        };
        block::empty(&mut line);
        self.cut.text = line;
        item
    }

    fn end_short_line(
        &mut self,
        field: Field,
        line: &[u8],
        start: usize,
        wanted: Wanted,
    ) -> Option<Found> {
        match field {
            Field::Data => self.block.begin_data(&[], &line[start..], self.limits),
            Field::Event => self.block.keep_type(line, start..line.len()),
            Field::Id if line[start..].contains(&0) => {}
            Field::Id => self.block.keep_id(line, start..line.len()),
            other => {
                let text = |part: Range<usize>| EventData::copy_of(&line[part]);
                return self.other_field(other, line, start, wanted, &text);
            }
        }
        None
    }

    /// The same for a line that is not copied, for there would be twice as much of it then as it may
    /// have.
    fn end_long_line(
        &mut self,
        field: Field,
        line: Vec<u8>,
        start: usize,
        wanted: Wanted,
    ) -> Option<Found> {
        match field {
            Field::Data => self.block.begin_data(&[], &line[start..], self.limits),
            Field::Event => self.block.keep_long_type(EventType::rest_of_line(line, start)),
            Field::Id if line[start..].contains(&0) => {}
            Field::Id => self.block.keep_long_id(EventId::rest_of_line(line, start)),
            other => {
                let line = Bytes::from(line);
                let text = |part: Range<usize>| EventData::part_of(&line, part);
                return self.other_field(other, &line, start, wanted, &text);
            }
        }
        None
    }

    /// Gives the block up, and tells why.
    #[cold]
    pub(super) fn too_large(&mut self, line_offset: u64) -> EventTooLarge {
        let (what, limit) = self.limits.exceeded(self.block.bytes);
        let offset = if what == What::Line { line_offset } else { self.block_offset };
        self.passing_over = true;
        self.block.clear();
        block::empty(&mut self.cut.text);
        EventTooLarge { what, limit, offset }
    }
}
