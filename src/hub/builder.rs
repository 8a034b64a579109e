//! The settings of a hub.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    backend::{Backend, BackendError, Bounds, Fault, Identity},
    engine::{
        append_counts, find_counts, find_start, follow, forget_expired, publish_queued,
        shared::{Engine, QUEUE},
    },
    gap::{Gap, Lagging},
    handle::Hub,
    history::History,
    hooks::Hooks,
    ids::Ids,
    node::{Node, NodeConfig, SubscriptionLimits},
    topic::Topic,
    window::WindowBounds,
};
use crate::event::Event;

/// Builds a [`Hub`] with settings. Created by [`Hub::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct HubBuilder {
    /// What topics retain, and for how long they exist.
    bounds: WindowBounds,
    /// What happens to readers that lag.
    lagging: Lagging,
    /// What a subscription may select.
    limits: SubscriptionLimits,
    /// How long publishing waits for a backend.
    publish_timeout: Duration,
    /// How long a node's count of its readers is valid for the others. `None` if nodes do not exchange counts.
    lease: Option<Duration>,
    /// How many entries of the log of a backend are read at the start.
    warm_start: usize,
    /// The hooks that are set so far.
    hooks: Hooks,
}

impl Hub {
    /// Creates a hub that retains 1,024 events and 16 MiB of each topic, and 1 GiB of all topics
    /// together. It evicts readers that lag.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a hub with other settings.
    pub fn builder() -> HubBuilder {
        HubBuilder {
            bounds: WindowBounds {
                per_topic: History::default(),
                total: History::unlimited_events().max_bytes(1 << 30),
                finished_ttl: None,
                idle_ttl: None,
                named_topics: 1 << 20,
            },
            lagging: Lagging::Evict,
            limits: SubscriptionLimits { topics: 1024, patterns: 64 },
            publish_timeout: Duration::from_secs(5),
            warm_start: 1 << 16,
            lease: None,
            hooks: Hooks::default(),
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl HubBuilder {
    /// Sets what each topic retains. Defaults to 1,024 events and 16 MiB.
    pub fn history(mut self, history: History) -> Self {
        self.bounds.per_topic = history;
        self
    }

    /// Sets what all topics retain together. The oldest events of all topics are removed first.
    /// Defaults to any number of events, and 1 GiB.
    ///
    /// Note that [`History::events`] also sets a limit of 16 MiB.
    pub fn total_history(mut self, history: History) -> Self {
        self.bounds.total = history;
        self
    }

    /// Sets how long a topic exists after it has [ended](Hub::finish). By default it exists until its
    /// last event is removed for another reason.
    ///
    /// After this time its events are removed. A reader that has not read them is told of a gap.
    /// When no reader names the topic, its name is free, and can be published on again.
    pub fn finished_ttl(mut self, ttl: Duration) -> Self {
        self.bounds.finished_ttl = Some(ttl);
        self
    }

    /// Sets how long a topic keeps its events after the last one was published. By default it keeps
    /// them until they are removed for another reason.
    ///
    /// The memory of expired events and topics is released by the next publish, subscribe or
    /// [`Hub::stats`] call, some hundred events by each.
    pub fn idle_ttl(mut self, ttl: Duration) -> Self {
        self.bounds.idle_ttl = Some(ttl);
        self
    }

    /// Sets how many topics a subscription may name. Defaults to 1,024.
    ///
    /// Subscribing, leaving, and each read visit all topics and patterns of a subscription.
    pub fn max_topics_per_subscription(mut self, max: usize) -> Self {
        self.limits.topics = max;
        self
    }

    /// Sets how many patterns a subscription may have. Defaults to 64.
    ///
    /// Publishing appends an event to the feed of each pattern that matches its topic, and a new
    /// topic is compared with all patterns. So many different patterns cost publishers time.
    pub fn max_patterns_per_subscription(mut self, max: usize) -> Self {
        self.limits.patterns = max;
        self
    }

    /// Sets how many topics may exist because readers name them. Defaults to 1,048,576.
    ///
    /// A topic that readers name takes memory, about a kilobyte, that the bounds of the history do
    /// not count. When the limit is reached, subscriptions that name new topics fail.
    pub fn max_named_topics(mut self, max: usize) -> Self {
        self.bounds.named_topics = max;
        self
    }

    /// Sets what happens to a reader that falls behind the history: events that it has not read are
    /// removed. Defaults to [`Lagging::Evict`].
    pub fn lagging(mut self, lagging: Lagging) -> Self {
        self.lagging = lagging;
        self
    }

    /// Sets a hook that makes the event with which a body reports a gap. If it returns `None`, the
    /// gap is not reported. Defaults to an event of type `gap`: see [`Gap::to_event`].
    ///
    /// The event's ID is set to the position from which the reader continues. The hook runs while
    /// the body is polled, so it must not block.
    pub fn on_gap(
        mut self,
        on_gap: impl Fn(&Gap) -> Option<Event> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.on_gap = Some(Arc::new(on_gap));
        self
    }

    /// Sets a hook that is called when a topic gets its first reader, for example to start an
    /// expensive source of events. By default there is no hook.
    ///
    /// Only readers that name the topic count. Readers that select it by a pattern do not.
    ///
    /// This hook and [`on_last_reader`](Self::on_last_reader) are called one at a time, in the
    /// order in which readers subscribe and leave. The thread that creates or drops a subscription
    /// calls those for the changes that it finds, and hands later ones on to a task of its runtime,
    /// or to a thread if it has none. They must not block. They may use the hub.
    pub fn on_first_reader(mut self, hook: impl Fn(&Topic) + Send + Sync + 'static) -> Self {
        self.hooks.on_first_reader = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that is called when the last reader that names a topic has left. By default
    /// there is no hook.
    ///
    /// See [`on_first_reader`](Self::on_first_reader) for how it is called.
    pub fn on_last_reader(mut self, hook: impl Fn(&Topic) + Send + Sync + 'static) -> Self {
        self.hooks.on_last_reader = Some(Arc::new(hook));
        self
    }

    /// Sets how long publishing waits for a [backend](Self::open) that cannot be reached or does not
    /// answer. Defaults to 5 s. Without a backend it has no effect.
    ///
    /// If nothing could be sent, publishing gives up to a second earlier, because an attempt that
    /// is cut off leaves it unknown whether the event is published.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// Sets about how many of the newest entries of a [backend](Self::open) a new node reads before it is
    /// open, at most as many as [`total_history`](Self::total_history) retains. Defaults to 65,536. With 0
    /// it reads none. Without a backend it has no effect.
    ///
    /// Older entries are read when a reader needs them.
    pub fn warm_start(mut self, entries: usize) -> Self {
        self.warm_start = entries;
        self
    }

    /// Makes a node of a [backend](Self::open) append to the log how many readers name each topic here, for
    /// [`Hub::readers_of_all_nodes`], three times in each lease. A lease is at least three seconds. By default
    /// nodes append no counts.
    ///
    /// Each time, the node appends about 20 bytes and the name for each topic that has readers to the log. So
    /// choose a long lease if there are many topics. If a node ends or is cut off, its readers count until its
    /// lease is over.
    pub fn count_readers(mut self, lease: Duration) -> Self {
        self.lease = Some(lease.max(Duration::from_secs(3)));
        self
    }

    /// Creates the hub, with its log in the memory of this process.
    #[must_use]
    pub fn build(self) -> Hub {
        let ids = Ids::new(Identity::random(), None);
        Hub::of(self.into_node(ids, true))
    }

    /// Creates a hub whose log is in a [`Backend`]. Each process that opens the same log is a node of
    /// the same hub: readers of all nodes receive the events that any of them publishes, and can
    /// resume on any of them.
    ///
    /// The node follows the log, and keeps its newest events in memory, within the bounds of this
    /// builder. It reads older events from the backend for the readers that need them. This method
    /// returns when the node has read the [newest entries](Self::warm_start).
    ///
    /// The node's tasks run on the runtime that this is called on, and end with the last handle of
    /// the hub. Hooks, [`Hub::readers`], [`Hub::sessions`], [`Hub::disconnect`] and [`Hub::stats`] are
    /// about this node alone. [`History::max_age`] limits only what the node keeps in memory: readers still
    /// get older events that the backend retains. A reader that starts with
    /// the state gets that of the whole log. So does a reader that starts with the
    /// [last](super::Selection::last) events of topics. With patterns, it gets those that the node has in memory.
    ///
    /// Topics that expire, by [`finished_ttl`](Self::finished_ttl) or [`idle_ttl`](Self::idle_ttl), are
    /// removed from the backend as well, 10 to 20 s later. Until then a topic that has ended cannot be
    /// published on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// use tower_sse::{Hub, hub::{Selection, backend::MemoryBackend}};
    ///
    /// let log = MemoryBackend::default();
    /// let one = Hub::builder().open(log.clone()).await?;
    /// let other = Hub::builder().open(log).await?;
    /// let mut orders = other.subscribe(Selection::new(["orders"])?).await?;
    /// one.publish("orders", "paid").await?;
    /// assert_eq!(orders.next().await.unwrap()?.event().data(), "paid");
    /// # Ok(()) }
    /// ```
    ///
    /// # Lost events
    ///
    /// An engine may lose its newest entries, for example if its machine fails, or if a replica takes over
    /// that lacks them. A node that has received one of them finds that out when it reaches the engine
    /// again. It tells its readers of a gap, and appends a mark to the log: an entry of the topic
    /// `tower-sse.control`. Other nodes that read it tell their readers, and a reader that resumes from
    /// before the mark has a gap on every node. If no node is left that has received a lost entry, nobody
    /// can know.
    ///
    /// # Errors
    ///
    /// Returns the error of the backend if it cannot be reached.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the node ends.
    pub async fn open(self, backend: impl Backend) -> Result<Hub, BackendError> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let engine = Arc::new(Engine::new(Arc::new(backend), self.publish_timeout, sender));
        let most = self.warm_start.min(self.bounds.total.events);
        let lease = self.lease;
        let expires_topics = self.bounds.expires_topics();
        let (Bounds { identity, newest, .. }, start) = find_start(&engine, most).await?;
        let hub = Hub::of(self.into_node(Ids::new(identity, None), false));
        hub.node().set_engine(engine.clone());
        let (ready, is_ready) = oneshot::channel();
        // The tasks end when the hub is dropped.
        tokio::spawn(follow(hub.node().clone(), engine.clone(), (start, newest), ready));
        if let Some(lease) = lease {
            find_counts(&engine, newest).await?;
            tokio::spawn(append_counts(hub.node().clone(), engine.clone(), lease));
        }
        if expires_topics {
            tokio::spawn(forget_expired(hub.node().clone(), engine.clone()));
        }
        tokio::spawn(publish_queued(hub.node().clone(), engine, queue));
        is_ready.await.map_err(|_| BackendError::new(Fault::Unavailable, "the tail has ended"))?;
        Ok(hub)
    }

    fn into_node(self, ids: Ids, is_log: bool) -> Node {
        let Self { bounds, lagging, limits, hooks, publish_timeout: _, warm_start: _, lease: _ } =
            self;
        Node::new(NodeConfig { ids: Arc::new(ids), bounds, lagging, limits, hooks, is_log })
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("bounds", &self.bounds)
            .field("lagging", &self.lagging)
            .finish_non_exhaustive()
    }
}
