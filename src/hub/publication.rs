//! What is published, and the result of publishing it.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{
    backend::{BackendError, Fault},
    topic::Topic,
};
use crate::event::{Event, EventId};
use crate::invalid_topic::InvalidTopic;

/// An event for a topic, optionally with a key. Published by
/// [`Hub::publish_all`](super::Hub::publish_all).
///
/// ```
/// use tower_sse::hub::Publication;
///
/// let publication = Publication::new("prices", "42").key("ACME");
/// # let _ = publication;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a publication does nothing unless `Hub::publish_all` publishes it"]
pub struct Publication {
    /// The topic, or why it is invalid, which is reported when it is published.
    pub(super) topic: Result<Topic, InvalidTopic>,
    /// The event, which must not have an ID.
    pub(super) event: Event,
    /// The key, if it has one.
    pub(super) key: Option<Arc<str>>,
    /// It removes the key from the state. Without a key it has no effect.
    pub(super) is_tombstone: bool,
    /// How long it is given to readers. `None` if that is not limited.
    pub(super) ttl: Option<Duration>,
}

impl Publication {
    /// Creates a publication. An invalid topic is reported when it is published.
    pub fn new<T>(topic: T, event: impl Into<Event>) -> Self
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into);
        Self { topic, event: event.into(), key: None, is_tombstone: false, ttl: None }
    }

    /// Sets the key. By default there is no key.
    ///
    /// The event supersedes the one that was published before with the same key on the same topic:
    /// readers that have not read the older event skip it.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Makes the event a tombstone, which removes the key from the state.
    ///
    /// Readers receive this event like any other. After it, the
    /// [state](super::Selection::with_state) has no entry for the key. Without a key this has no
    /// effect.
    pub fn tombstone(mut self) -> Self {
        self.is_tombstone = true;
        self
    }

    /// Sets how long the event is given to readers, for example for a typing indicator. By default
    /// that is not limited.
    ///
    /// After this time it is neither replayed nor part of the
    /// [state](super::Selection::with_state), and a reader that has not read it is not told of a
    /// gap. Readers that have received it are not told that it has expired.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Returns the event.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.event
    }
}

/// The result of publishing an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// The ID that the event was given. A reader that has received the event can resume from it.
    pub id: EventId,
    /// How many waiting subscriptions were woken. Subscriptions that have older events to read are
    /// not counted; they reach this event later.
    pub woken: usize,
}

/// The result of publishing several events together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedAll {
    /// The IDs that the events were given, in order.
    pub ids: Vec<EventId>,
    /// How many waiting subscriptions were woken.
    pub woken: usize,
}

/// The error of a rejected publication. Nothing was published.
///
/// [`into_publications`](Self::into_publications) gives the publications back.
pub struct PublishError(Box<Rejected>);

/// The fields of a [`PublishError`], boxed so that a result of publishing is small.
struct Rejected {
    /// Why it was rejected.
    fault: PublishFault,
    /// The index of the rejected publication.
    index: usize,
    /// All publications of the call.
    publications: Vec<Publication>,
}

/// Why a publication is rejected.
#[derive(Clone, Debug)]
pub(super) enum PublishFault {
    /// The topic is invalid.
    Topic(InvalidTopic),
    /// The event has this ID already.
    HasId(EventId),
    /// The event costs more bytes than the history may hold.
    TooLarge { bytes: usize, max: usize },
    /// The topic has ended.
    Finished,
    /// The backend has not accepted it.
    Backend(Arc<BackendError>),
    /// The queue of `Hub::try_publish` is full.
    QueueFull,
}

impl PublishError {
    pub(super) fn new(fault: PublishFault, index: usize, publications: Vec<Publication>) -> Self {
        Self(Box::new(Rejected { fault, index, publications }))
    }

    /// Returns whether the topic is invalid.
    #[must_use]
    pub fn is_invalid_topic(&self) -> bool {
        matches!(self.0.fault, PublishFault::Topic(_))
    }

    /// Returns whether the event already has an ID.
    #[must_use]
    pub fn has_id(&self) -> bool {
        matches!(self.0.fault, PublishFault::HasId(_))
    }

    /// Returns whether the event is larger than the history.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.fault, PublishFault::TooLarge { .. })
    }

    /// Returns whether the topic has [ended](super::Hub::finish).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.0.fault, PublishFault::Finished)
    }

    /// Returns whether the backend could not be reached in time. Nothing was published.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.backend_fault() == Some(Fault::Unavailable)
    }

    /// Returns whether the backend has not answered in time, so that the events may have been
    /// published.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.backend_fault() == Some(Fault::Unknown)
    }

    /// Returns whether the queue of [`Hub::try_publish`](super::Hub::try_publish) is full.
    #[must_use]
    pub fn is_queue_full(&self) -> bool {
        matches!(self.0.fault, PublishFault::QueueFull)
    }

    fn backend_fault(&self) -> Option<Fault> {
        match &self.0.fault {
            PublishFault::Backend(error) => Some(error.fault()),
            _ => None,
        }
    }

    /// Returns the index of the rejected publication among those of the call.
    #[must_use]
    pub fn index(&self) -> usize {
        self.0.index
    }

    /// Returns all publications of the call.
    #[must_use]
    pub fn into_publications(self) -> Vec<Publication> {
        self.0.publications
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.publications.len() > 1 {
            write!(f, "publication {}: ", self.0.index)?;
        }
        match &self.0.fault {
            PublishFault::Topic(error) => error.fmt(f),
            PublishFault::HasId(id) => {
                let id = id.as_str();
                write!(f, "the event has the ID {id:?}: publish it without one, the hub sets IDs")
            }
            PublishFault::TooLarge { bytes, max } => {
                write!(f, "the event takes {bytes} bytes, but the history holds at most {max}")
            }
            PublishFault::Backend(error) => error.fmt(f),
            PublishFault::QueueFull => f.write_str("the queue of the backend is full"),
            PublishFault::Finished => {
                let topic = self.0.publications.get(self.0.index);
                match topic.map(|publication| &publication.topic) {
                    Some(Ok(topic)) => write!(f, "the topic {topic:?} has ended"),
                    _ => f.write_str("the topic has ended"),
                }
            }
        }
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rejected { fault, index, publications } = &*self.0;
        f.debug_struct("PublishError")
            .field("fault", fault)
            .field("index", index)
            .field("publications", &publications.len())
            .finish()
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.fault {
            PublishFault::Backend(error) => error.source(),
            _ => None,
        }
    }
}
