//! The hub itself.

use std::sync::Arc;

use bytes::BytesMut;
use http::Extensions;
use tokio::time::Instant;

use super::{
    builder::HubBuilder,
    entry::Record,
    log::Prepared,
    position::ROOM,
    publish::{Fault, Publication, PublishError, Published, PublishedAll},
    shared::Shared,
    stats::Stats,
    subscription::Subscription,
    topic::{InvalidTopic, Topic},
    topics::Selection,
};
use crate::{
    encode::{Layout, sealed::Encode as _},
    event::Event,
};

/// Fans events out to many readers, and replays what a reader has missed.
///
/// See the [module docs](crate::hub). Cloning it is cheap, and gives another handle of the same hub.
/// When the last is gone, its readers get what is published, and end. A [`HubHandler`](super::HubHandler) has a handle, and
/// so has a hook that the hub is moved into.
#[derive(Clone, Debug)]
pub struct Hub {
    handle: Arc<Handle>,
}

/// Dropped with the last handle.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Hub {
    pub(super) fn of(shared: Shared) -> Self {
        Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
    }

    /// Creates a hub that keeps 1,024 events and 16 MiB of each topic, 1 GiB of all, and evicts readers
    /// that lag.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins to set up a hub.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// Publishes an event on a topic, to whoever reads it and to whoever resumes later.
    ///
    /// Ids are the hub's: they are positions in its log, and where a reader goes on. The memory
    /// backend never waits, and so lets no other task run.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// use tower_sse::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let published = hub.publish("orders", Event::new("paid").with_type("order")).await?;
    /// assert_eq!(published.woken, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`PublishError`] if the topic is none, the event has an id already, or is larger than
    /// the history. Nothing is published then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the event may have been published or not.
    pub async fn publish<T>(
        &self,
        topic: T,
        event: impl Into<Event>,
    ) -> Result<Published, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let publication = Publication::new(topic, event);
        self.publish_one(publication)
    }

    /// Publishes an event with a key, the new state of what the key names: see
    /// [`Publication::key`].
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_keyed<T>(
        &self,
        topic: T,
        key: impl Into<Arc<str>>,
        event: impl Into<Event>,
    ) -> Result<Published, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let publication = Publication::new(topic, event).key(key);
        self.publish_one(publication)
    }

    /// Publishes several events in one step: all or, if one is wrong, none; in this order, with
    /// nothing of anyone else between them; and each reader is woken once.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); the error tells which one was wrong, and gives all back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, either all were published or none.
    pub async fn publish_all(
        &self,
        publications: impl IntoIterator<Item = Publication>,
    ) -> Result<PublishedAll, PublishError> {
        let publications: Vec<Publication> = publications.into_iter().collect();
        let mut prepared = Vec::with_capacity(publications.len());
        for (at, publication) in publications.iter().enumerate() {
            match self.prepare(publication) {
                Ok(ready) => prepared.push(ready),
                Err(fault) => return Err(PublishError::new(fault, at, publications)),
            }
        }
        let (records, woken) = self
            .append(prepared.len(), |append| prepared.into_iter().map(append).collect::<Vec<_>>());
        Ok(PublishedAll { ids: records.iter().map(|record| record.event_id()).collect(), woken })
    }

    fn publish_one(&self, publication: Publication) -> Result<Published, PublishError> {
        let prepared = match self.prepare(&publication) {
            Ok(prepared) => prepared,
            Err(fault) => return Err(PublishError::new(fault, 0, vec![publication])),
        };
        let (record, woken) = self.append(1, |append| append(prepared));
        Ok(Published { id: record.event_id(), woken })
    }

    /// Checks and encodes what is to be published.
    fn prepare(&self, publication: &Publication) -> Result<Prepared, Fault> {
        let Publication { topic, event, key, is_tombstone } = publication;
        let topic = topic.clone().map_err(Fault::Topic)?;
        if let Some(id) = event.id() {
            return Err(Fault::HasId(id.clone()));
        }
        let layout: Layout = event.layout();
        let bytes = Record::cost(ROOM + layout.len, key.as_ref());
        let most = self.shared().max_event;
        if bytes > most {
            return Err(Fault::TooLarge { bytes, most });
        }
        let mut encoded = BytesMut::with_capacity(ROOM + layout.len);
        encoded.resize(ROOM, 0);
        event.write(&layout, &mut encoded);
        let is_state = key.is_some() && !is_tombstone;
        Ok(Prepared { topic, key: key.clone(), is_state, event: encoded })
    }

    /// Appends so many events in one step, as the closure appends them, wakes who waits for them, and
    /// returns how many.
    fn append<T>(
        &self,
        events: usize,
        appending: impl FnOnce(&mut dyn FnMut(Prepared) -> Arc<Record>) -> T,
    ) -> (T, usize) {
        let shared = self.shared();
        let now = Instant::now();
        let (appended, mut wakers) = {
            let mut log = shared.lock();
            let mut wakers = log.take_room();
            let mut append = |prepared| log.append(prepared, now, &mut wakers);
            (appending(&mut append), wakers)
        };
        shared.metrics.published(events);
        let woken = wakers.len();
        Shared::wake(&mut wakers);
        if woken > 0 {
            shared.lock().give_back(wakers);
        }
        (appended, woken)
    }

    /// Subscribes to what is published from now on.
    pub fn subscribe(&self, topics: Selection) -> Subscription {
        Subscription::new(self.shared().clone(), topics, None)
    }

    /// Subscribes to what was published after the event that a reader had last, and to what will be.
    /// What is known of its completeness, [`Subscription::resumption`] tells.
    ///
    /// The id is what a client says ([`LastEventId`](crate::LastEventId)), or what was kept of
    /// [`Published::id`], [`Entry::id`](super::Entry::id) or [`Subscription::position`]. It gives no
    /// right: only what is of these topics is read.
    pub fn resume(&self, topics: Selection, last: impl AsRef<str>) -> Subscription {
        Subscription::new(self.shared().clone(), topics, Some(last.as_ref()))
    }

    /// Cuts the readers whose session is one that the predicate names, and returns how many: their
    /// streams end, for the reason [`Revoked`](crate::EndReason::Revoked), whatever they have yet to
    /// read.
    ///
    /// The session is the request's extensions as `on_connect` left them, or what
    /// [`Subscription::extensions`] was given. Who has no stream yet is not among them: see to it first
    /// that `on_connect` refuses, and that it looks last, behind whatever it waits for; or disconnect
    /// once more when those that it had let in have come.
    pub fn disconnect(&self, predicate: impl Fn(&Extensions) -> bool) -> usize {
        let sessions: Vec<_> = {
            let log = self.shared().lock();
            let session = |reader: &super::log::Reader| reader.session.clone();
            log.readers.iter().filter_map(|(key, it)| Some((key, session(it)?))).collect()
        };
        let mut cut = 0;
        for (key, session) in sessions {
            if !predicate(&session.extensions) {
                continue;
            }
            let waker = {
                let mut log = self.shared().lock();
                // It may have gone, and the number be another's.
                let same = log.readers.get(key).is_some_and(|reader| {
                    !reader.is_cut
                        && reader.session.as_ref().is_some_and(|it| Arc::ptr_eq(it, &session))
                });
                if !same {
                    continue;
                }
                log.cut(key)
            };
            cut += 1;
            match &session.control {
                Some(control) => drop(control.revoke()),
                None => waker.into_iter().for_each(std::task::Waker::wake),
            }
        }
        cut
    }

    /// Returns how many readers a topic has, by its name or by a pattern.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if it is none.
    pub fn readers<T>(&self, topic: T) -> Result<usize, InvalidTopic>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into)?;
        Ok(self.shared().lock().readers_of(&topic))
    }

    /// Returns what the hub is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut log = self.shared().lock();
        log.trim_aged(Instant::now());
        let (topics, events, bytes) = log.kept();
        Stats {
            topics,
            readers: log.readers.len(),
            events,
            bytes,
            published: log.head,
            lagged: log.lagged,
            gaps: log.gaps,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut wakers = self.shared.lock().close();
        Shared::wake(&mut wakers);
    }
}
