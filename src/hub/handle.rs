//! The handle of a hub: publish, subscribe, disconnect.

use std::{sync::Arc, task::Waker};

use http::Extensions;
use tokio::time::Instant;

use super::{
    invalid_topic::InvalidTopic,
    log::{Draft, HistorySize, Record},
    node::Node,
    position::MAX_EVENT_ID_BYTES,
    publication::{Publication, PublishError, PublishFault, Published, PublishedAll},
    selection::Selection,
    subscription::Subscription,
    topic::Topic,
};
use crate::{
    encode::{Layout, id_line, sealed::Encode as _},
    event::Event,
};

/// Fans events out to many readers, and replays what a reader has missed.
///
/// See the [module docs](crate::hub) for how it works.
///
/// Cloning a hub is cheap, and returns another handle of the same hub. When the last handle is
/// dropped, readers receive what was published and then end. A [`HubHandler`](super::HubHandler)
/// holds a handle, and so does a hook into which the hub was moved.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Shared by all handles, and so dropped with the last one.
    last_handle: Arc<CloseOnDrop>,
}

/// Closes the log when it is dropped. Readers hold the node as well, which therefore lives longer.
#[derive(Debug)]
struct CloseOnDrop {
    node: Arc<Node>,
}

/// A snapshot of a hub's state, returned by [`Hub::stats`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Topics that have events in the history, or that a reader names.
    pub topics: usize,
    /// Subscriptions.
    pub readers: usize,
    /// Events in the history.
    pub events: usize,
    /// The bytes that these events take, as the bounds of a [`History`](super::History) count them.
    pub bytes: usize,
    /// Events published since the hub was created.
    pub published: u64,
    /// How many times a reader was found to lag.
    pub lagged: u64,
    /// How many subscriptions were resumed with a gap.
    pub gaps: u64,
}

impl Hub {
    pub(super) fn of(node: Node) -> Self {
        Self { last_handle: Arc::new(CloseOnDrop { node: Arc::new(node) }) }
    }

    /// Publishes an event on a topic, to its readers and to those that resume later.
    ///
    /// The hub sets the event's ID. It is a position in the hub's log, from which a reader can
    /// resume.
    ///
    /// This method is async so that a log elsewhere can take the place of the memory of this
    /// process. At present it never waits, and so never yields to another task.
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
    /// Returns [`PublishError`] if the topic is invalid, the event already has an ID, or it exceeds
    /// the history's size. Nothing is published in that case.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the event may or may not have been published.
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

    /// Publishes an event with a key. It becomes the key's entry in the
    /// [state](Selection::with_state). See [`Publication::key`].
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

    /// Publishes several events in one step: all of them or, if one is rejected, none.
    ///
    /// They are published in this order, with no other event between them. Each reader is woken
    /// once.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). The error has the index of the rejected publication, and
    /// returns all publications.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, either all events were published or none.
    pub async fn publish_all(
        &self,
        publications: impl IntoIterator<Item = Publication>,
    ) -> Result<PublishedAll, PublishError> {
        let publications: Vec<Publication> = publications.into_iter().collect();
        let mut drafts = Vec::with_capacity(publications.len());
        for (index, publication) in publications.iter().enumerate() {
            match self.draft(publication) {
                Ok(draft) => drafts.push(draft),
                Err(fault) => return Err(PublishError::new(fault, index, publications)),
            }
        }
        let (records, woken) =
            self.append(drafts.len(), |append| drafts.into_iter().map(append).collect::<Vec<_>>());
        Ok(PublishedAll { ids: records.iter().map(|record| record.event_id()).collect(), woken })
    }

    fn publish_one(&self, publication: Publication) -> Result<Published, PublishError> {
        let draft = match self.draft(&publication) {
            Ok(draft) => draft,
            Err(fault) => return Err(PublishError::new(fault, 0, vec![publication])),
        };
        let (record, woken) = self.append(1, |append| append(draft));
        Ok(Published { id: record.event_id(), woken })
    }

    /// Checks and encodes a publication. The lock is not needed for that.
    fn draft(&self, publication: &Publication) -> Result<Draft, PublishFault> {
        let Publication { topic, event, key, is_tombstone } = publication;
        let topic = topic.clone().map_err(PublishFault::Topic)?;
        if let Some(id) = event.id() {
            return Err(PublishFault::HasId(id.clone()));
        }
        let layout: Layout = event.layout();
        let encoded_len = id_line::len(MAX_EVENT_ID_BYTES) + layout.len;
        let bytes = Record::cost(encoded_len, key.as_ref());
        let max = self.node().max_event_cost;
        if bytes > max {
            return Err(PublishFault::TooLarge { bytes, max });
        }
        let mut encoded = id_line::with_room(MAX_EVENT_ID_BYTES, layout.len);
        event.write(&layout, &mut encoded);
        let is_state = key.is_some() && !is_tombstone;
        Ok(Draft { topic, key: key.clone(), is_state, event: encoded })
    }

    /// Lets a closure append `events` events in one step, and wakes the readers that wait for them.
    /// Returns what the closure does, and how many readers were woken.
    fn append<T>(
        &self,
        events: usize,
        append_all: impl FnOnce(&mut dyn FnMut(Draft) -> Arc<Record>) -> T,
    ) -> (T, usize) {
        let node = self.node();
        let now = Instant::now();
        let (appended, mut wakers) = {
            let mut log = node.lock();
            let mut wakers = log.take_spare_wakers();
            let mut append = |draft| log.append(draft, now, &mut wakers);
            (append_all(&mut append), wakers)
        };
        // A recorder of metrics and a waker are foreign code, so they run without the lock.
        node.metrics.published(events);
        let woken = wakers.len();
        Node::wake(&mut wakers);
        if woken > 0 {
            node.lock().put_spare_wakers(wakers);
        }
        (appended, woken)
    }

    /// Subscribes to the events that are published from now on.
    pub fn subscribe(&self, selection: Selection) -> Subscription {
        Subscription::new(self.node().clone(), selection, None)
    }

    /// Subscribes to the events after an event ID: those published already, and those to come.
    ///
    /// [`Subscription::resumption`] returns whether events may be missing.
    ///
    /// The ID is the one that a client has sent ([`LastEventId`](crate::LastEventId)), or one that
    /// was stored: [`Published::id`], [`Entry::id`](super::Entry::id) or
    /// [`Subscription::position`]. It grants no access: only events of the selection are read.
    pub fn resume(&self, selection: Selection, last: impl AsRef<str>) -> Subscription {
        Subscription::new(self.node().clone(), selection, Some(last.as_ref()))
    }

    /// Disconnects the readers whose extensions match the predicate, and returns their number.
    /// Unread events are discarded; the end reason is [`Revoked`](crate::EndReason::Revoked).
    ///
    /// The extensions are those of the request as `on_connect` has left them, or those set by
    /// [`Subscription::extensions`]. The predicate is called without the hub's lock.
    ///
    /// Requests still in `on_connect` are not affected: make `on_connect` refuse them first, as its
    /// last check, or call this again later.
    pub fn disconnect(&self, predicate: impl Fn(&Extensions) -> bool) -> usize {
        let sessions: Vec<_> = {
            let log = self.node().lock();
            let readers = log.readers.by_key.iter();
            readers.filter_map(|(key, reader)| Some((key, reader.session.clone()?))).collect()
        };
        let mut disconnected = 0;
        for (key, session) in sessions {
            if !predicate(&session) {
                continue;
            }
            let waker = {
                let mut log = self.node().lock();
                // The reader may have left meanwhile, and its key may be another reader's. Its
                // extensions are held here, so no others have their address.
                let is_same = log.readers.by_key.get(key).is_some_and(|reader| {
                    !reader.is_cut
                        && reader.session.as_ref().is_some_and(|it| Arc::ptr_eq(it, &session))
                });
                if !is_same {
                    continue;
                }
                log.cut(key)
            };
            disconnected += 1;
            waker.into_iter().for_each(Waker::wake);
        }
        disconnected
    }

    /// Returns how many readers a topic has, by its name or by a pattern.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if the topic is invalid.
    pub fn readers<T>(&self, topic: T) -> Result<usize, InvalidTopic>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into)?;
        Ok(self.node().lock().readers_of(&topic))
    }

    /// Returns a snapshot of the hub's state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut log = self.node().lock();
        log.trim_aged(Instant::now());
        let HistorySize { topics, records, bytes } = log.size();
        Stats {
            topics,
            readers: log.readers.by_key.len(),
            events: records,
            bytes,
            published: log.head(),
            lagged: log.readers.lagged,
            gaps: log.readers.gaps,
        }
    }

    fn node(&self) -> &Arc<Node> {
        &self.last_handle.node
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut wakers = self.node.lock().close();
        Node::wake(&mut wakers);
    }
}
