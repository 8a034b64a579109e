//! What a parser finds in an event stream besides events.

use crate::event::{Event, EventData};

/// What [`EventParser::next_item`](super::EventParser::next_item) finds: events, and what the
/// standard does not tell an application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parsed {
    /// An event, as it is dispatched.
    Event(Event),
    /// A block without data, which dispatches nothing and sets the last event ID, the reconnection
    /// time, or both: what [`Event::id`] and [`Event::retry`] of it tell.
    Block(Event),
    /// A comment: one line, all of it behind the colon. It comes when its line has ended, before
    /// the event that it may stand in.
    Comment(EventData),
    /// A line of a field that the standard tells to ignore. It comes when its line has ended,
    /// before the event that it stands in.
    Field {
        /// What stands before the colon.
        name: EventData,
        /// What stands behind the colon and one space.
        value: EventData,
    },
}
