//! `Update`: the reports of an event source, and the values in them.

use std::{fmt, time::Duration};

use http::{HeaderMap, StatusCode};

use super::error::EventSourceError;
use crate::event::{Event, EventData, EventId};

/// An item of [`EventSource::updates`](super::EventSource::updates): an event, or a change of the
/// connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Update {
    /// A connection was opened.
    Opened(Opened),
    /// An event was received.
    Event(Event),
    /// A block without data was received. It is not an event, but sets the last event ID, the
    /// reconnection time, or both: see [`Event::id`] and [`Event::retry`]. A proxy should forward
    /// it unchanged.
    Block(Event),
    /// A comment was received: one line, without its colon.
    Comment(EventData),
    /// The connection was lost or could not be opened. The next attempt is made after a delay.
    Reconnecting(Reconnecting),
    /// This attempt is made without the last event ID, because a header cannot carry it. The ID has
    /// a control character, or is longer than 8 KiB: servers refuse such heads.
    LastEventIdOmitted(EventId),
}

pub(super) type UpdateResult = Result<Update, EventSourceError>;

/// A connection that was opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The status of the response, which is 200.
    pub status: StatusCode,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// The number of the attempt, counted from 1 over the life of the source.
    pub attempt: u64,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of headers are omitted: they may be cookies.
        f.debug_struct("Opened")
            .field("status", &self.status)
            .field("header_names", &self.headers.keys().collect::<Vec<_>>())
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// A connection that was lost or could not be opened, and the attempt that follows.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reconnecting {
    /// The number of the next attempt, counted from 1 over the life of the source.
    pub attempt: u64,
    /// How long the source waits before the attempt.
    pub delay: Duration,
    /// Why there is no connection.
    pub cause: EventSourceError,
}

/// An attempt that is about to be made, for the [header provider](super::EventSource::headers) and
/// for [`reconnect_with`](super::EventSource::reconnect_with).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of the attempt, counted from 1 over the life of the source.
    pub number: u64,
    /// The last event ID. For the header provider it is missing if the request cannot carry it.
    pub last_event_id: Option<EventId>,
}

/// The state of a source, with the names of the
/// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#dom-eventsource-readystate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// There is no connection yet, or it was lost and is made again.
    Connecting,
    /// The connection is open, and events are read.
    Open,
    /// The source has ended, or reads the rest of the body after its last event. It makes no further
    /// attempt.
    Closed,
}
