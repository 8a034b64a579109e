//! The public parser.

use std::time::Duration;

use bytes::Bytes;

use super::{
    decode::{Decoded, Decoder},
    error::EventTooLarge,
    input::Input,
    item::{FoundItem, ItemFilter, Parsed},
    lines::Lines,
};
use crate::event::{Event, EventId, IntoEventId};

/// Parses an event stream chunk by chunk, without I/O.
///
/// The [module docs](crate::parse) say how it follows the standard, and which bytes it copies.
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
/// # Ok::<(), tower_sse::parse::EventTooLarge>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventParser {
    input: Input,
    decoder: Decoder,
    lines: Lines,
}

impl EventParser {
    /// Creates a parser at the start of a stream, without a last event ID, and with limits of 16
    /// MiB.
    #[must_use]
    pub fn new() -> Self {
        Self { input: Input::default(), decoder: Decoder::default(), lines: Lines::new() }
    }

    /// Sets the maximum size of an event, in bytes. Defaults to 16 MiB.
    ///
    /// The size of an event is that of its lines, without line ends and without comments before its
    /// first field.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.lines.limits.event = bytes;
        self
    }

    /// Sets the maximum length of a line without its line end, in bytes. Defaults to 16 MiB.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.lines.limits.line = bytes;
        self
    }

    /// Sets the initial last event ID. By default there is no ID. An empty ID counts as no ID too.
    ///
    /// # Panics
    ///
    /// Panics if given a literal that contains a control character.
    #[must_use]
    #[track_caller]
    pub fn with_last_event_id(mut self, id: impl IntoEventId) -> Self {
        self.lines.set_last_event_id(id.into_event_id());
        self
    }

    /// Returns the last event ID.
    ///
    /// It is the ID of the last complete block that had one. An empty ID resets it to `None`; a
    /// block without an ID does not change it.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&EventId> {
        self.lines.last_event_id.as_ref()
    }

    /// Returns the last reconnection time that the stream has set.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.lines.reconnection_time.map(Duration::from_millis)
    }

    /// Adds the next chunk, of any size.
    ///
    /// Read all its events before you push the next one. Unread chunks are queued without a limit.
    pub fn push(&mut self, chunk: impl Into<Bytes>) {
        self.push_bytes(chunk.into());
    }

    /// Adds a chunk. If it continues a line of data, its printable ASCII is read at once. So a
    /// chunk within a long line is copied only once and never stored.
    fn push_bytes(&mut self, chunk: Bytes) {
        let is_next = self.decoder.is_drained(&self.input);
        let read = if is_next { self.lines.read_plain_data(&chunk) } else { 0 };
        self.decoder.push(&mut self.input, chunk, read);
    }

    /// Returns the next event, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Returns [`EventTooLarge`] in place of an event that exceeds a limit. The next call continues
    /// with the event after it.
    pub fn next_event(&mut self) -> Option<Result<Event, EventTooLarge>> {
        match self.find(ItemFilter::Events)? {
            FoundItem::TooLarge(error) => Some(Err(error)),
            // The filter lets only events through.
            FoundItem::Event | FoundItem::Block | FoundItem::Other(_) => Some(Ok(self.take())),
        }
    }

    /// Returns the next item, or `None` if more bytes are needed.
    ///
    /// Items are events, comments, unknown fields, and blocks that only set an ID or a reconnection
    /// time.
    ///
    /// ```
    /// use tower_sse::{EventParser, parse::Parsed};
    ///
    /// let mut parser = EventParser::new();
    /// parser.push(": hi\nid: 7\n\ndata: x\n\n");
    /// assert_eq!(parser.next_item().unwrap()?, Parsed::Comment(" hi".into()));
    /// let Parsed::Block(block) = parser.next_item().unwrap()? else { panic!() };
    /// assert_eq!(block.id().unwrap(), &"7");
    /// assert!(matches!(parser.next_item().unwrap()?, Parsed::Event(_)));
    /// # Ok::<(), tower_sse::parse::EventTooLarge>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`next_event`](Self::next_event).
    pub fn next_item(&mut self) -> Option<Result<Parsed, EventTooLarge>> {
        Some(match self.find(ItemFilter::All)? {
            FoundItem::Event => Ok(Parsed::Event(self.take())),
            FoundItem::Block => Ok(Parsed::Block(self.take())),
            FoundItem::Other(item) => Ok(*item),
            FoundItem::TooLarge(error) => Err(error),
        })
    }

    /// Returns the unfinished event at the end of a stream, if it has data. The standard discards
    /// it.
    ///
    /// An event is unfinished until its empty line. A last line without a line end counts as a
    /// line. Call this after [`next_event`](Self::next_event) has returned `None`: unread bytes are
    /// not included. It does not change the parser or its last event ID.
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
        if self.decoder.has_partial_char() {
            lines.push_char(char::REPLACEMENT_CHARACTER, 0).ok()?;
        }
        lines.unfinished(&self.input.chunk)
    }

    /// Starts a new stream, for example after a reconnect.
    ///
    /// Unread bytes and the unfinished event are discarded. A byte order mark may follow again, and
    /// offsets count from 0. The last event ID, the reconnection time and the limits stay.
    pub fn reset(&mut self) {
        self.input = Input::default();
        self.decoder = Decoder::default();
        self.lines.reset();
    }

    #[inline]
    fn take(&mut self) -> Event {
        let mut event = Event::default();
        self.lines.take(&mut event, &self.input.chunk);
        event
    }

    #[inline]
    fn find(&mut self, filter: ItemFilter) -> Option<FoundItem> {
        loop {
            if self.input.has_text() {
                if let Some(found) = self.lines.read(&mut self.input, filter) {
                    return Some(found);
                }
            }
            match self.decoder.decode(&mut self.input)? {
                Decoded::Text => self.lines.start_text(&mut self.input),
                Decoded::Character(character, offset) => {
                    if let Err(error) = self.lines.push_char(character, offset) {
                        return Some(FoundItem::TooLarge(error));
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
