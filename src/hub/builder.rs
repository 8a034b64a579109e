//! The settings of a hub.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use super::{
    gap::{Gap, Lagging},
    handle::Hub,
    history::History,
    hooks::Hooks,
    log::Log,
    node::Node,
    position::Ids,
    topic::Topic,
};
use crate::{event::Event, metrics::HubMetrics};

/// Builds a [`Hub`] with settings. Created by [`Hub::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct HubBuilder {
    /// What each topic retains.
    history: History,
    /// What all topics retain together.
    total: History,
    /// What happens to readers that lag.
    lagging: Lagging,
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
            history: History::default(),
            total: History::unlimited_events().max_bytes(1 << 30),
            lagging: Lagging::Evict,
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
        self.history = history;
        self
    }

    /// Sets what all topics retain together. The oldest events of all topics are removed first.
    /// Defaults to any number of events, and 1 GiB.
    ///
    /// Note that [`History::events`] also sets a limit of 16 MiB.
    pub fn total_history(mut self, history: History) -> Self {
        self.total = history;
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
    /// order in which readers subscribe and leave, on the thread that creates or drops a
    /// subscription. They must not block. They may use the hub.
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

    /// Creates the hub.
    #[must_use]
    pub fn build(self) -> Hub {
        let Self { history, total, lagging, hooks } = self;
        let ids = Arc::new(Ids::new());
        Hub::of(Node {
            log: Mutex::new(Log::new(ids.clone(), history, total, hooks.track_presence())),
            ids,
            metrics: HubMetrics::new(),
            lagging,
            has_max_age: history.age.or(total.age).is_some(),
            max_event_cost: Log::max_event_cost(&history, &total),
            hooks,
        })
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("history", &self.history)
            .field("total_history", &self.total)
            .field("lagging", &self.lagging)
            .finish_non_exhaustive()
    }
}
