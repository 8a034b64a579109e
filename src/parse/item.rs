//! The items that a parser finds in an event stream: events, comments and ignored fields.

use super::error::EventTooLarge;
use crate::event::{Event, EventData};

/// An item of an event stream, returned by
/// [`EventParser::next_item`](super::EventParser::next_item): an event, or content that a client
/// does not pass on to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parsed {
    /// An event that a client dispatches.
    Event(Event),
    /// A block without data. It dispatches no event, but sets the last event ID, the reconnection
    /// time or both: see [`Event::id`] and [`Event::retry`].
    Block(Event),
    /// A comment: one line without its colon. It is returned when its line has ended, before the
    /// event whose lines surround it.
    Comment(EventData),
    /// A field that the standard tells clients to ignore. It is returned when its line has ended,
    /// before the event whose lines surround it.
    Field {
        /// The text before the colon.
        name: EventData,
        /// The text after the colon and one optional space.
        value: EventData,
    },
}

/// The items that the caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemFilter {
    Events,
    All,
}

/// The result of a read. An event stays in the [`Block`](super::block::Block) until it is taken, so
/// that it is written directly to its place.
#[derive(Debug)]
pub(super) enum FoundItem {
    /// The block is an event to dispatch. Take it.
    Event,
    /// The block has no data, but an ID or a reconnection time. Take it.
    Block,
    /// A comment or an unknown field.
    Other(Box<Parsed>),
    TooLarge(EventTooLarge),
}
