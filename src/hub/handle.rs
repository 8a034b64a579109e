//! The handle of a hub: publish, subscribe, disconnect.

use std::{collections::BTreeSet, fmt, sync::Arc};

use http::Extensions;
use tokio::time::Instant;

use super::{
    backend::{BackendError, EntryKind, EventParts, Fault, Outgoing},
    disconnect::{disconnect, disconnect_label, for_each_group},
    engine::{append, control::CONTROL_TOPIC, shared::Engine},
    health::Health,
    ids::{MAX_EVENT_ID_BYTES, MEMORY_EVENT_ID_BYTES},
    node::{Node, TopicFinished},
    publication::{Publication, PublishError, PublishFault, Published, PublishedAll},
    selection::Selection,
    subscribe_error::SubscribeError,
    subscription::{Positions, Subscription, source, subscribe},
    topic::Topic,
    window::{Draft, Group, GroupsFrom, HistorySize, Record, RecordKind},
};
use crate::{
    body::ExternalSource,
    encode::{Layout, id_line, sealed::Encode as _},
    event::{Event, EventId},
    invalid_topic::InvalidTopic,
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

/// Returns the result of publishing one event.
fn only(published: Vec<Published>) -> Result<Published, PublishError> {
    let unknown = || BackendError::new(Fault::Unknown, "the backend has returned no position");
    published
        .into_iter()
        .next()
        .ok_or_else(|| PublishError::new(PublishFault::Backend(Arc::new(unknown())), 0, Vec::new()))
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
    /// Without a [backend](super::HubBuilder::open) this method never waits, and so never yields to
    /// another task. With one, it returns when the backend has acknowledged the event and the readers
    /// of this node have it: a publisher reads its own events.
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
    /// Returns [`PublishError`] if the topic is invalid or has [ended](Self::finish), the event already
    /// has an ID, or it exceeds the history's size. Nothing is published in that case. Over a backend
    /// also if it [cannot be reached](PublishError::is_unavailable), or if it
    /// [is not known](PublishError::is_unknown) whether it has the event.
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
        self.publish_one(publication).await
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
        self.publish_one(publication).await
    }

    /// Publishes several events in one step: all of them or, if one is rejected, none.
    ///
    /// They are published in this order, with no other event between them. Each reader is woken
    /// once.
    ///
    /// More than 256 events are appended in several steps. Readers see all of them at once, but a
    /// subscription by a new pattern that starts between two steps may begin in the middle of them.
    /// Other publishers wait until all are appended, about half a microsecond for each event.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). The error has the index of the rejected publication, and
    /// returns all publications. If another node ends one of the topics at the same time, the error
    /// says that the topic [has ended](PublishError::is_finished), and the events on other topics may
    /// have been published.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, either all events were published or none. Over a
    /// backend that is not [atomic](super::backend::Abilities::atomic), as NATS, the first of them may have
    /// been published then, and also after an error.
    pub async fn publish_all(
        &self,
        publications: impl IntoIterator<Item = Publication>,
    ) -> Result<PublishedAll, PublishError> {
        let publications: Vec<Publication> = publications.into_iter().collect();
        if let Some(engine) = self.node().engine() {
            let published = self.append_to(engine, publications, EntryKind::Event).await?;
            let woken = published.iter().map(|it| it.woken).max().unwrap_or(0);
            return Ok(PublishedAll {
                ids: published.into_iter().map(|it| it.id).collect(),
                woken,
            });
        }
        let mut drafts = Vec::with_capacity(publications.len());
        for (index, publication) in publications.iter().enumerate() {
            match self.draft(publication) {
                Ok(draft) => drafts.push(draft),
                Err(fault) => return Err(PublishError::new(fault, index, publications)),
            }
        }
        match self.node().append(drafts, MEMORY_EVENT_ID_BYTES) {
            Ok((records, woken)) => {
                let ids = records.iter().map(|record| record.event_id()).collect();
                Ok(PublishedAll { ids, woken })
            }
            Err(TopicFinished(index)) => {
                Err(PublishError::new(PublishFault::Finished, index, publications))
            }
        }
    }

    /// Publishes without waiting, for hooks, `Drop` and other code that cannot wait.
    ///
    /// Without a backend, the event is published when this returns. With one, it is put into a queue
    /// of at most 1,024 events, whose order is kept; an event that the backend then does not accept
    /// is logged. Events that one thread publishes so keep their order, which tasks that are spawned
    /// for it would not.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and if the queue is full.
    pub fn try_publish(&self, publication: Publication) -> Result<(), PublishError> {
        let Some(engine) = self.node().engine() else {
            return self.publish_here(publication).map(drop);
        };
        let queued = match self.outgoing(engine, &publication, EntryKind::Event) {
            Ok(entry) if self.node().finished_topic([&entry.topic].into_iter()).is_some() => {
                Err(PublishFault::Finished)
            }
            Ok(entry) => engine.queue(entry).then_some(()).ok_or(PublishFault::QueueFull),
            Err(fault) => Err(fault),
        };
        queued.map_err(|fault| PublishError::new(fault, 0, vec![publication]))
    }

    /// Publishes the event that removes a key from the [state](Selection::with_state), for example
    /// that somebody has left. It is a [tombstone](Publication::tombstone).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn retract<T>(
        &self,
        topic: T,
        key: impl Into<Arc<str>>,
        event: impl Into<Event>,
    ) -> Result<Published, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let publication = Publication::new(topic, event).key(key).tombstone();
        self.publish_one(publication).await
    }

    /// Ends a topic, for example the output of a job, with a last event or without one.
    ///
    /// The stream of a reader ends when all of its topics have ended and it has received everything.
    /// A stream of several topics goes on until the last of them ends, and a stream with a pattern
    /// does not end. So give a job's stream its own topic only. A reader that comes later receives
    /// what it asks for, and ends as well. A browser that reconnects although it has everything gets
    /// a 204, after which it stays away.
    ///
    /// An end without an event takes the place of one event in the history. Over a
    /// [backend](super::HubBuilder::open), a node asks the backend whether a topic has ended that it has
    /// not in memory: before it publishes on the topic, and when a reader names it.
    ///
    /// Nothing can be published on a topic that has ended. It is forgotten with its last event,
    /// which the bounds of the history or
    /// [`HubBuilder::finished_ttl`](super::HubBuilder::finished_ttl) remove, if no reader names it.
    /// Then its name is free.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// use tower_sse::{Event, Hub, hub::Selection};
    ///
    /// let hub = Hub::new();
    /// hub.publish("job.7", "half").await?;
    /// hub.finish("job.7", Event::new("done").with_type("end")).await?;
    /// let mut job = hub.subscribe(Selection::new(["job.7"])?.from_start()).await?;
    /// while let Some(entry) = job.next().await {
    ///     println!("{}", entry?.event().data());
    /// }
    /// assert!(hub.publish("job.7", "more").await.is_err_and(|error| error.is_finished()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and if the topic has ended already.
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn finish<T>(
        &self,
        topic: T,
        last: impl Into<Option<Event>>,
    ) -> Result<Published, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let last = last.into();
        if let Some(engine) = self.node().engine() {
            let publication = Publication::new(topic, last.unwrap_or_default());
            let published = self.append_to(engine, vec![publication], EntryKind::End).await?;
            return only(published);
        }
        let has_event = last.is_some();
        let publication = Publication::new(topic, last.unwrap_or_default());
        let draft = self.draft(&publication).map(|draft| Draft {
            kind: RecordKind::End,
            event: draft.event.filter(|_| has_event),
            ..draft
        });
        let draft =
            draft.map_err(|fault| PublishError::new(fault, 0, vec![publication.clone()]))?;
        match self.node().append_one(draft, MEMORY_EVENT_ID_BYTES) {
            Ok((record, woken)) => {
                let without_event = || self.node().ids().log_id(record.position);
                let id = if has_event { record.event_id() } else { without_event() };
                Ok(Published { id, woken })
            }
            Err(TopicFinished(_)) => {
                Err(PublishError::new(PublishFault::Finished, 0, vec![publication]))
            }
        }
    }

    async fn publish_one(&self, publication: Publication) -> Result<Published, PublishError> {
        match self.node().engine() {
            None => self.publish_here(publication),
            Some(engine) => {
                only(self.append_to(engine, vec![publication], EntryKind::Event).await?)
            }
        }
    }

    /// Publishes in the memory of this process.
    fn publish_here(&self, publication: Publication) -> Result<Published, PublishError> {
        let draft = match self.draft(&publication) {
            Ok(draft) => draft,
            Err(fault) => return Err(PublishError::new(fault, 0, vec![publication])),
        };
        match self.node().append_one(draft, MEMORY_EVENT_ID_BYTES) {
            Ok((record, woken)) => Ok(Published { id: record.event_id(), woken }),
            Err(TopicFinished(_)) => {
                Err(PublishError::new(PublishFault::Finished, 0, vec![publication]))
            }
        }
    }

    /// Publishes on a backend.
    async fn append_to(
        &self,
        engine: &Engine,
        publications: Vec<Publication>,
        kind: EntryKind,
    ) -> Result<Vec<Published>, PublishError> {
        let mut entries = Vec::with_capacity(publications.len());
        for (index, publication) in publications.iter().enumerate() {
            match self.outgoing(engine, publication, kind) {
                Ok(entry) => entries.push(entry),
                Err(fault) => return Err(PublishError::new(fault, index, publications)),
            }
        }
        let published = append(self.node(), engine, entries).await;
        published.map_err(|(index, fault)| PublishError::new(fault, index, publications))
    }

    /// Checks a publication, and takes its event apart for a backend.
    fn outgoing(
        &self,
        engine: &Engine,
        publication: &Publication,
        kind: EntryKind,
    ) -> Result<Outgoing, PublishFault> {
        let Publication { topic, event, key, is_tombstone, ttl } = publication;
        let topic = topic.clone().map_err(PublishFault::Topic)?;
        if topic == CONTROL_TOPIC && kind != EntryKind::Control {
            return Err(PublishFault::Topic(InvalidTopic::RESERVED));
        }
        if let Some(id) = event.id() {
            return Err(PublishFault::HasId(id.clone()));
        }
        let kind = if *is_tombstone { EntryKind::Tombstone } else { kind };
        let append_id = fastrand::u128(..);
        let mut entry = Outgoing::new(topic, EventParts::from(event), append_id).with_kind(kind);
        (entry.key, entry.ttl) = (key.clone(), *ttl);
        let encoded_len = id_line::len(MAX_EVENT_ID_BYTES) + event.layout().len;
        let bytes = Record::cost(encoded_len, key.as_ref()).max(entry.size());
        let max = self.node().max_event_cost.min(engine.largest());
        if bytes > max {
            return Err(PublishFault::TooLarge { bytes, max });
        }
        Ok(entry)
    }

    /// Checks and encodes a publication. The lock is not needed for that.
    fn draft(&self, publication: &Publication) -> Result<Draft, PublishFault> {
        let Publication { topic, event, key, is_tombstone, ttl } = publication;
        let topic = topic.clone().map_err(PublishFault::Topic)?;
        if let Some(id) = event.id() {
            return Err(PublishFault::HasId(id.clone()));
        }
        let layout: Layout = event.layout();
        let encoded_len = id_line::len(MEMORY_EVENT_ID_BYTES) + layout.len;
        let bytes = Record::cost(encoded_len, key.as_ref());
        let max = self.node().max_event_cost;
        if bytes > max {
            return Err(PublishFault::TooLarge { bytes, max });
        }
        let mut encoded = id_line::with_room(MEMORY_EVENT_ID_BYTES, layout.len);
        event.write(&layout, &mut encoded);
        let kind = match (key, is_tombstone) {
            (None, _) => RecordKind::Event,
            (Some(_), false) => RecordKind::State,
            (Some(_), true) => RecordKind::Tombstone,
        };
        let expires_at = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        Ok(Draft { topic, key: key.clone(), kind, expires_at, event: Some(encoded) })
    }

    /// Subscribes to the events that are published from now on. If the [selection](Selection) says
    /// so, the state comes first, or the newest events, or all retained events.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError`] if the selection exceeds a limit of the hub.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing is subscribed.
    pub async fn subscribe(&self, selection: Selection) -> Result<Subscription, SubscribeError> {
        subscribe(self.node().clone(), selection, None).await
    }

    /// Subscribes to the events after an event ID: those published already, and those to come.
    ///
    /// [`Subscription::resumption`] returns whether events may be missing.
    ///
    /// The ID is the one that a client has sent ([`LastEventId`](crate::LastEventId)), or one that
    /// was stored: [`Published::id`], [`Entry::id`](super::Entry::id), [`Subscription::position`] or
    /// [`position`](Self::position). It grants no access: only events of the selection are read.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn resume(
        &self,
        selection: Selection,
        last: impl AsRef<str>,
    ) -> Result<Subscription, SubscribeError> {
        subscribe(self.node().clone(), selection, Some(last.as_ref().to_owned())).await
    }

    /// Returns an ID after which readers of any topics receive everything that is published from
    /// now on.
    ///
    /// Take it before a query of a database, and give it to the page: the stream then starts where
    /// the query's answer may end, and misses nothing. An event that is published after its change
    /// was committed is in the answer, or in the stream, or in both.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// # use tower_sse::{Hub, hub::{Resumption, Selection}};
    /// # let hub = Hub::new();
    /// let position = hub.position();
    /// // let rows = query(…).await?; and the page connects with `?last_event_id={position}`.
    /// hub.publish("orders", "paid").await?;
    /// let mut orders = hub.resume(Selection::new(["orders"])?, position).await?;
    /// assert_eq!(*orders.resumption(), Resumption::Complete);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn position(&self) -> EventId {
        let node = self.node();
        node.ids().log_id(node.counters.head().position)
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
        disconnect(self.node(), predicate)
    }

    /// Disconnects the readers with this label, on all nodes of the hub. Returns the number of those on
    /// this node. Unread events are discarded; the end reason is
    /// [`Revoked`](crate::EndReason::Revoked).
    ///
    /// Readers get labels with [`Accept::label`](crate::Accept::label). Over a
    /// [backend](super::HubBuilder::open) this is an entry of the log, so a node that is cut off now
    /// disconnects its readers when it reads the entry. If the entry was trimmed or lost before, it does
    /// not. An entry of the kind
    /// [`Control`](super::backend::EntryKind::Control) has the same effect if another program writes it:
    /// its data is the label. So only programs that may do this may write to the log.
    ///
    /// Requests still in `on_connect` are not affected, and a reader may connect again: make `on_connect`
    /// refuse it first.
    ///
    /// ```
    /// use tower_sse::Hub;
    ///
    /// # async fn sign_out(hub: Hub) -> Result<(), tower_sse::BoxError> {
    /// let handler = hub.handler(|connect| async move {
    ///     connect.accept().label("user:7").topics(["orders"])
    /// });
    /// # let _: tower_sse::hub::HubHandler = handler;
    /// hub.disconnect_label("user:7").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Never without a backend. Over a backend, the errors of [`publish`](Self::publish).
    pub async fn disconnect_label(&self, label: &str) -> Result<usize, PublishError> {
        let Some(engine) = self.node().engine() else {
            return Ok(disconnect_label(self.node(), label));
        };
        let publication = Publication::new(CONTROL_TOPIC, Event::new(label));
        let published = self.append_to(engine, vec![publication], EntryKind::Control).await?;
        Ok(only(published)?.woken)
    }

    /// Returns what the closure picks from the sessions of the readers, for example the users who
    /// are in a room. The order has no meaning.
    ///
    /// Only readers with [extensions](Subscription::extensions) have a session, and those of a
    /// [handler](Self::handler): these are the request's extensions as `on_connect` has left them.
    /// The closure is called without the hub's lock, once for each reader.
    ///
    /// ```
    /// # #[derive(Clone)] struct User(String);
    /// # let hub = tower_sse::Hub::new();
    /// let users: Vec<String> = hub.sessions(|session| {
    ///     let user = session.extensions().get::<User>()?;
    ///     session.selects("room.7").then(|| user.0.clone())
    /// });
    /// # assert!(users.is_empty());
    /// ```
    pub fn sessions<T>(&self, mut pick: impl FnMut(&Session<'_>) -> Option<T>) -> Vec<T> {
        let mut picked = Vec::new();
        for_each_group(self.node(), |group| {
            let mut from = Some(0);
            while let Some(index) = from {
                let mut sessions = Vec::new();
                from = group.sessions(index, &mut sessions);
                let sessions = sessions.iter().map(|(_, extensions)| Session { group, extensions });
                picked.extend(sessions.filter_map(|session| pick(&session)));
            }
        });
        picked
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
        let mut counted = BTreeSet::new();
        let mut readers = 0;
        let mut from = Some(GroupsFrom::default());
        while let Some(step) = from {
            let mut groups = Vec::new();
            from = self.node().lock().groups_of(&topic, step, &mut groups);
            // A group may select the topic by its name and by several patterns.
            let new = groups.into_iter().filter(|group| counted.insert(group.number));
            readers += new.map(|group| group.len()).sum::<usize>();
        }
        Ok(readers)
    }

    /// Returns how many readers name a topic, on all nodes that [count](super::HubBuilder::count_readers)
    /// their readers. Readers that select the topic by a pattern do not count.
    ///
    /// The readers of this node are counted now, and those of others were counted up to a third of their
    /// lease ago. Readers of other nodes count if those have the setting. Without a backend, this is the number
    /// of readers of this node.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if the topic is invalid.
    pub fn readers_of_all_nodes<T>(&self, topic: T) -> Result<usize, InvalidTopic>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into)?;
        let here = self.node().readers_that_name(&topic);
        let elsewhere = self.node().engine().map_or(0, |engine| engine.readers_elsewhere(&topic));
        Ok(here.saturating_add(elsewhere))
    }

    /// Returns whether a topic has [ended](Self::finish). Returns false if it does not exist any more: its
    /// name is free then. Over a backend, this node answers from its memory, so false may mean that
    /// it has not read the end. Publishing asks the backend.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTopic`] if the topic is invalid.
    pub fn is_finished<T>(&self, topic: T) -> Result<bool, InvalidTopic>
    where
        T: TryInto<Topic>,
        T::Error: Into<InvalidTopic>,
    {
        let topic = topic.try_into().map_err(Into::into)?;
        let mut window = self.node().lock();
        // The topic's time to live may be over.
        window.maintain(Instant::now());
        Ok(window.is_finished(&topic))
    }

    /// Returns a snapshot of the hub's state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut window = self.node().lock();
        window.maintain(Instant::now());
        let HistorySize { topics, records, bytes } = window.size();
        Stats {
            topics,
            readers: self.node().counters.readers(),
            events: records,
            bytes,
            published: window.appended(),
            lagged: window.lagged,
            gaps: window.gaps,
        }
    }

    /// Returns how the backend is doing, as this node sees it: for a health check, or for a page of an
    /// operator. A hub without a backend is always up.
    #[must_use]
    pub fn health(&self) -> Health {
        let engine = self.node().engine();
        engine.map_or_else(Health::of_memory, |engine| engine.health.health())
    }

    /// Opens a subscription as the source of a body. Returns `None` if nothing would ever come.
    pub(super) fn source(
        &self,
        selection: Selection,
        last: Option<String>,
        session: Arc<Extensions>,
        positions: Positions,
    ) -> Result<Option<Box<dyn ExternalSource>>, SubscribeError> {
        source(self.node().clone(), selection, last, session, positions)
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.last_handle.node
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.node.close();
    }
}

/// A reader's session, given to the closure of [`Hub::sessions`].
pub struct Session<'a> {
    /// The reader's group.
    group: &'a Group,
    /// Its extensions.
    extensions: &'a Extensions,
}

impl Session<'_> {
    /// Returns the request's extensions as `on_connect` has left them, or those set by
    /// [`Subscription::extensions`].
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.extensions
    }

    /// Returns whether the reader selects a topic, by its name or by a pattern.
    #[must_use]
    pub fn selects(&self, topic: &str) -> bool {
        self.group.selects(topic)
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}
