//! What is published, and what becomes of it.

use std::{error::Error, fmt, sync::Arc};

use super::topic::{InvalidTopic, Topic};
use crate::event::{Event, EventId};

/// An event for a topic, with a key perhaps: what [`Hub::publish_all`](super::Hub::publish_all)
/// takes.
///
/// ```
/// use tower_sse::hub::Publication;
///
/// let publication = Publication::new("prices", "42").key("ACME");
/// # let _ = publication;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is published by `Hub::publish_all`"]
pub struct Publication {
    pub(super) topic: Result<Topic, InvalidTopic>,
    pub(super) event: Event,
    pub(super) key: Option<Arc<str>>,
    pub(super) is_tombstone: bool,
}

impl Publication {
    /// Creates a publication. If the topic is none, publishing says so.
    pub fn new<T>(topic: T, event: impl Into<Event>) -> Self
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into);
        Self { topic, event: event.into(), key: None, is_tombstone: false }
    }

    /// Sets the key. What was published before with the same key on the same topic is superseded:
    /// whoever has not read it yet will not get it any more.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says that what the key names is gone: readers get this event, as any other, and the
    /// [state](super::Selection::with_state) of new ones has no entry of the key. Without a key it has no
    /// effect.
    pub fn tombstone(mut self) -> Self {
        self.is_tombstone = true;
        self
    }

    /// Returns the event.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.event
    }
}

/// What became of an event that was published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// The id that it was given: where a reader goes on that has it.
    pub id: EventId,
    /// How many subscriptions it woke, of those that had read everything before it. Those that are
    /// busy get it when they come to it.
    pub woken: usize,
}

/// What became of several events that were published together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedAll {
    /// The ids that they were given, in order.
    pub ids: Vec<EventId>,
    /// How many subscriptions they woke.
    pub woken: usize,
}

/// The error of what cannot be published. Nothing of it was, and it can be taken back.
pub struct PublishError(Box<Refused>);

struct Refused {
    fault: Fault,
    /// Which one of several it was.
    at: usize,
    publications: Vec<Publication>,
}

#[derive(Clone, Debug)]
pub(super) enum Fault {
    Topic(InvalidTopic),
    HasId(EventId),
    TooLarge { bytes: usize, most: usize },
}

impl PublishError {
    pub(super) fn new(fault: Fault, at: usize, publications: Vec<Publication>) -> Self {
        Self(Box::new(Refused { fault, at, publications }))
    }

    /// Returns whether the topic was none.
    #[must_use]
    pub fn is_invalid_topic(&self) -> bool {
        matches!(self.0.fault, Fault::Topic(_))
    }

    /// Returns whether the event had an id already.
    #[must_use]
    pub fn has_id(&self) -> bool {
        matches!(self.0.fault, Fault::HasId(_))
    }

    /// Returns whether the event is larger than a history may be.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.fault, Fault::TooLarge { .. })
    }

    /// Returns which of several publications was wrong, counted from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.0.at
    }

    /// Takes back what was to be published, all of it.
    #[must_use]
    pub fn into_publications(self) -> Vec<Publication> {
        self.0.publications
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.publications.len() > 1 {
            write!(f, "publication {}: ", self.0.at)?;
        }
        match &self.0.fault {
            Fault::Topic(error) => error.fmt(f),
            Fault::HasId(id) => {
                write!(f, "the event has the id {:?}, and ids are given by the hub", id.as_str())
            }
            Fault::TooLarge { bytes, most } => {
                write!(f, "the event takes {bytes} bytes, and the history keeps {most} at the most")
            }
        }
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { fault, at, publications } = &*self.0;
        f.debug_struct("PublishError")
            .field("fault", fault)
            .field("index", at)
            .field("publications", &publications.len())
            .finish()
    }
}

impl Error for PublishError {}
