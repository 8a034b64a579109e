//! The parser as its users see it.

use std::time::Duration;

use bytes::Bytes;

use super::{
    decode::{Decoded, Decoder},
    error::EventTooLarge,
    input::Input,
    lines::{Found, Lines, Wanted},
    parsed::Parsed,
};
use crate::event::{Event, EventId, IntoEventId};

/// Parses an event stream, fed chunk by chunk, without I/O.
///
/// See the [module docs](crate::parse) for what it does by the letter, and for what it copies.
///
/// ```
/// use bytes::Bytes;
/// use tower_sse::EventParser;
///
/// let mut parser = EventParser::new().max_event_bytes(1 << 20);
/// parser.push(Bytes::from_static(b"event: price\ndata: 42\n\n"));
/// let event = parser.next_event().unwrap()?;
/// assert_eq!((event.event_type().as_str(), event.data()), ("price", "42"));
/// assert!(parser.next_event().is_none()); // more bytes are needed
/// # Ok::<(), tower_sse::EventTooLarge>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventParser {
    input: Input,
    decoder: Decoder,
    lines: Lines,
}

impl EventParser {
    /// Creates a parser at the start of a stream, without a last event ID, with limits of 16 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self { input: Input::default(), decoder: Decoder::default(), lines: Lines::new() }
    }

    /// Sets how many bytes the lines of one event may have together, their ends not counted, nor
    /// comments before the first field. Default is 16 MiB.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.lines.limits.event = bytes;
        self
    }

    /// Sets how many bytes one line may have, its end not counted. Default is 16 MiB.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.lines.limits.line = bytes;
        self
    }

    /// Sets the last event ID to start with. An empty one is none.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that holds a control character.
    #[must_use]
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        self.lines.set_last_event_id(id.into_event_id());
        self
    }

    /// Returns the last event ID: the id of the last block that had one and has ended, if it was
    /// not empty. An event without an id does not clear it.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.lines.last_event_id.as_ref()
    }

    /// Returns the reconnection time, if the stream has told one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.lines.reconnection_time.map(Duration::from_millis)
    }

    /// Takes the next chunk, of any size. Read all events of it before the next is pushed: unread
    /// chunks wait in a queue, as many as there are.
    pub fn push(&mut self, chunk: impl Into<Bytes>) {
        self.push_bytes(chunk.into());
    }

    /// Takes a chunk. What of it goes on with a line of data is read here, so that a chunk within a
    /// long line is never put anywhere.
    fn push_bytes(&mut self, chunk: Bytes) {
        let is_next = self.decoder.is_done(&self.input);
        let read = if is_next { self.lines.more_plain_data(&chunk) } else { 0 };
        self.decoder.push(&mut self.input, chunk, read);
    }

    /// Returns the next event; `None` if more bytes are needed for one.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] in place of an event that is over a limit. The next call goes on
    /// with the event after it.
    pub fn next_event(&mut self) -> Option<Result<Event, EventTooLarge>> {
        match self.find(Wanted::Events)? {
            Found::TooLarge(error) => Some(Err(error)),
            // Nothing else is asked for.
            Found::Event | Found::Block | Found::Item(_) => Some(Ok(self.taken())),
        }
    }

    /// Returns the next of everything: events, comments, blocks that only set an id or a
    /// reconnection time, and unknown fields; `None` if more bytes are needed.
    ///
    /// ```
    /// use tower_sse::{EventParser, Parsed};
    ///
    /// let mut parser = EventParser::new();
    /// parser.push(": hi\nid: 7\n\ndata: x\n\n");
    /// assert_eq!(parser.next_item().unwrap()?, Parsed::Comment(" hi".into()));
    /// let Parsed::Block(block) = parser.next_item().unwrap()? else { panic!() };
    /// assert_eq!(block.id().unwrap(), &"7");
    /// assert!(matches!(parser.next_item().unwrap()?, Parsed::Event(_)));
    /// # Ok::<(), tower_sse::EventTooLarge>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    pub fn next_item(&mut self) -> Option<Result<Parsed, EventTooLarge>> {
        Some(match self.find(Wanted::All)? {
            Found::Event => Ok(Parsed::Event(self.taken())),
            Found::Block => Ok(Parsed::Block(self.taken())),
            Found::Item(item) => Ok(*item),
            Found::TooLarge(error) => Err(error),
        })
    }

    /// Returns what the standard discards at the end of a stream: the event whose empty line has
    /// not come, if it has data. A last line without an end is taken as a line.
    ///
    /// It looks at what was read, so call it after [`next_event`](Self::next_event) has returned
    /// `None`. Nothing changes by it, the last event ID neither.
    ///
    /// ```
    /// use tower_sse::EventParser;
    ///
    /// let mut parser = EventParser::new();
    /// parser.push("data: an end is miss");
    /// assert!(parser.next_event().is_none());
    /// assert_eq!(parser.unfinished().unwrap().data(), "an end is miss");
    /// ```
    #[must_use]
    pub fn unfinished(&self) -> Option<Event> {
        let mut lines = self.lines.clone();
        if self.decoder.is_cut() {
            lines.character(char::REPLACEMENT_CHARACTER, 0).ok()?;
        }
        lines.unfinished(&self.input.chunk)
    }

    /// Begins a new stream, as after a reconnect: what was not read and what has not ended is
    /// discarded, a byte order mark may come again, offsets count from 0. The last event ID, the
    /// reconnection time and the limits stay.
    pub fn reset(&mut self) {
        self.input = Input::default();
        self.decoder = Decoder::default();
        self.lines.reset();
    }

    #[inline]
    fn taken(&mut self) -> Event {
        let mut event = Event::default();
        self.lines.take(&mut event, &self.input.chunk);
        event
    }

    #[inline]
    fn find(&mut self, wanted: Wanted) -> Option<Found> {
        loop {
            if self.input.has_piece() {
                if let Some(found) = self.lines.read(&mut self.input, wanted) {
                    return Some(found);
                }
            }
            match self.decoder.decode(&mut self.input)? {
                Decoded::Piece => self.lines.begin(&mut self.input),
                Decoded::Character(character, offset) => {
                    if let Err(error) = self.lines.character(character, offset) {
                        return Some(Found::TooLarge(error));
                    }
                }
            }
        }
    }
}

impl Default for EventParser {
    fn default() -> Self {
        Self::new()
    }
}
