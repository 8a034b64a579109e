//! What an event source tells besides events.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::error::EventSourceError;
use crate::event::{Event, EventData, EventId};

/// What [`EventSource::updates`](super::EventSource::updates) yields: events, and what happens to
/// the connection between them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Update {
    /// A connection was opened.
    Opened(Opened),
    /// An event has come.
    Event(Event),
    /// A block without data has come, which is no event, but sets the last event ID, the reconnection
    /// time, or both: what [`Event::id`] and [`Event::retry`] of it tell. Whoever hands a stream on
    /// sends it as it is.
    Block(Event),
    /// A comment has come: one line, all of it behind the colon.
    Comment(EventData),
    /// The connection was lost, or not opened, and is tried again after a delay.
    Reconnecting(Reconnecting),
    /// The last event ID is one that a header cannot carry, so this attempt is made without it: it
    /// holds a control character, or is longer than 8 KiB, which servers refuse.
    LastEventIdOmitted(EventId),
}

/// A connection that was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The status, which is 200.
    pub status: StatusCode,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// Which attempt it is, counted from 1 over the life of the source.
    pub attempt: u64,
}

/// A connection that is about to be made again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reconnecting {
    /// Which attempt will be next, counted from 1 over the life of the source.
    pub attempt: u64,
    /// How long it waits.
    pub delay: Duration,
    /// What has happened.
    pub cause: EventSourceError,
}

/// An attempt that is about to be made, as the header provider is told of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Which it is, counted from 1 over the life of the source.
    pub number: u64,
    /// The last event ID that goes along.
    pub last_event_id: Option<EventId>,
}

/// What the connection of a source is doing, as the
/// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#dom-eventsource-readystate)
/// names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// It has not been opened yet, or was lost and is made again.
    Connecting,
    /// It is open, and events are read.
    Open,
    /// It was closed, or failed for good.
    Closed,
}
