//! How a hub is set up.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use super::{
    gap::{Gap, Lagging},
    history::History,
    hub::Hub,
    log::Log,
    position::Ids,
    shared::{OnGap, OnPresence, Shared},
    topic::Topic,
};
use crate::{event::Event, metrics::HubMetrics};

/// Sets a [`Hub`] up, from [`Hub::builder`].
#[must_use = "it makes a hub with `build`"]
pub struct HubBuilder {
    history: History,
    total: History,
    lagging: Lagging,
    on_gap: Option<Arc<OnGap>>,
    on_first_reader: Option<Arc<OnPresence>>,
    on_last_reader: Option<Arc<OnPresence>>,
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        Self {
            history: History::default(),
            total: History::unlimited_events().max_bytes(1 << 30),
            lagging: Lagging::Evict,
            on_gap: None,
            on_first_reader: None,
            on_last_reader: None,
        }
    }

    /// Sets what each topic keeps. Default is 1,024 events and 16 MiB.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Sets what all topics keep together; of all, the oldest goes first. Default is 1 GiB, and any
    /// number of events. A history of so many events has a bound in bytes too, of 16 MiB.
    pub fn total_history(mut self, history: History) -> Self {
        self.total = history;
        self
    }

    /// Sets what becomes of readers that fall behind more than the history keeps. Default is
    /// [`Lagging::Evict`].
    pub fn lagging(mut self, lagging: Lagging) -> Self {
        self.lagging = lagging;
        self
    }

    /// Sets what a body tells of a gap, in place of an event of type `gap` (see [`Gap::to_event`]):
    /// any event, or nothing. Its id is set to where the reader goes on.
    ///
    /// It is called where the body is polled, so it must not block.
    pub fn on_gap(
        mut self,
        on_gap: impl Fn(&Gap) -> Option<Event> + Send + Sync + 'static,
    ) -> Self {
        self.on_gap = Some(Arc::new(on_gap));
        self
    }

    /// Sets the hook that is told when a topic gets its first reader that names it: to start what is
    /// costly. Readers by a pattern do not count here, since they name no topic.
    ///
    /// This hook and the [other](Self::on_last_reader) are called one at a time, in the order in which
    /// readers have come and gone, where one subscribes or is dropped: so they must not block. They may
    /// use the hub.
    pub fn on_first_reader(mut self, hook: impl Fn(&Topic) + Send + Sync + 'static) -> Self {
        self.on_first_reader = Some(Arc::new(hook));
        self
    }

    /// Sets the hook that is told when the last reader that names a topic is gone.
    pub fn on_last_reader(mut self, hook: impl Fn(&Topic) + Send + Sync + 'static) -> Self {
        self.on_last_reader = Some(Arc::new(hook));
        self
    }

    /// Makes the hub.
    #[must_use]
    pub fn build(self) -> Hub {
        let Self { history, total, lagging, on_gap, on_first_reader, on_last_reader } = self;
        let keeps_presence = on_first_reader.is_some() || on_last_reader.is_some();
        let ids = Arc::new(Ids::new());
        Hub::of(Shared {
            log: Mutex::new(Log::new(ids.clone(), history, total, keeps_presence)),
            ids,
            metrics: HubMetrics::new(),
            lagging,
            is_aging: history.age.or(total.age).is_some(),
            max_event: Log::largest(&history, &total),
            on_gap,
            on_first_reader,
            on_last_reader,
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
