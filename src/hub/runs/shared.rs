//! What a node has of its runs, and the tasks that follow the log.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    index::{Index, Orphan},
    names::{Names, OwnerName},
    options::RunsOptions,
    state::{RunState, Status},
    work::StopLevel,
};
use crate::{
    event::Event,
    hub::{
        backend::Identity,
        entry::Entry,
        handle::Hub,
        publication::{Publication, PublishError},
        selection::Selection,
        subscribe_error::SubscribeError,
        subscription::Subscription,
        topic::Topic,
    },
};

/// The first segment of all topics.
const PREFIX: &str = "runs";
/// How long to wait before something that has failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a task waits for an entry of the log before it looks whether it is still needed.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// How long a request to stop is kept in the log.
const STOP_TTL: Duration = Duration::from_secs(60);
/// How long a run that is not known is looked for: another node may just have started it.
const MAX_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) names: Names,
    pub(super) options: RunsOptions,
    /// The name of this node.
    pub(super) node: String,
    /// The runs that work here, by their IDs.
    working: Mutex<HashMap<String, Working>>,
    index: Mutex<Index>,
    /// Told when the index has changed.
    changed: Notify,
    /// A task ends the runs of nodes that are gone.
    is_ending_orphans: AtomicBool,
}

/// A run that works on this node.
pub(super) struct Working {
    owner: OwnerName,
    stop: watch::Sender<StopLevel>,
    /// How many events it has sent.
    count: Arc<AtomicU64>,
}

/// Why no run can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    OfOwner,
}

impl Shared {
    /// Starts the tasks, which end with the last handle.
    pub(super) fn start(hub: Hub, options: RunsOptions) -> Arc<Self> {
        let shared = Arc::new(Self {
            hub,
            names: Names::new(PREFIX).expect("it is one plain segment"),
            options,
            node: new_id(),
            working: Mutex::default(),
            index: Mutex::default(),
            changed: Notify::new(),
            is_ending_orphans: AtomicBool::new(false),
        });
        tokio::spawn(follow(Arc::downgrade(&shared)));
        tokio::spawn(beat(Arc::downgrade(&shared)));
        shared
    }

    pub(super) fn working(&self) -> MutexGuard<'_, HashMap<String, Working>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a new run, if the limits allow it. Returns its ID.
    pub(super) fn register(
        &self,
        owner: &OwnerName,
    ) -> Result<(String, watch::Receiver<StopLevel>, Arc<AtomicU64>), Full> {
        let mut working = self.working();
        if working.len() >= self.options.max_runs {
            return Err(Full::All);
        }
        let of_owner = working.values().filter(|run| run.owner == *owner).count();
        if of_owner >= self.options.max_runs_per_owner {
            return Err(Full::OfOwner);
        }
        let (stop, stopped) = watch::channel(StopLevel::None);
        let (id, count) = (new_id(), Arc::new(AtomicU64::new(0)));
        working.insert(id.clone(), Working { owner: owner.clone(), stop, count: count.clone() });
        Ok((id, stopped, count))
    }

    /// Returns the state of a run. Waits a moment for one that is not known.
    pub(super) async fn find(&self, owner: &OwnerName, id: &str) -> Option<Status> {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if let Some(status) = self.status(owner, id) {
                    return status;
                }
                changed.await;
            }
        };
        timeout(MAX_WAIT, found).await.ok()
    }

    /// Returns the state of a run, as far as this node knows.
    pub(super) fn status(&self, owner: &OwnerName, id: &str) -> Option<Status> {
        let mut status = self.index().get(owner, id).cloned()?;
        if let Some(run) = self.working().get(id) {
            status.events = run.count.load(Relaxed);
        }
        Some(status)
    }

    /// Tells a run to stop, wherever it works.
    pub(super) async fn stop(&self, owner: &OwnerName, id: &str) -> Result<(), PublishError> {
        if self.signal(id, StopLevel::Requested) {
            return Ok(());
        }
        if self.status(owner, id).is_none_or(|status| status.state != RunState::Running) {
            return Ok(());
        }
        let request = Publication::new(self.names.stops(), Event::new(id)).key(id).ttl(STOP_TTL);
        self.hub.publish_all([request]).await.map(drop)
    }

    /// Returns whether the run works here.
    fn signal(&self, id: &str, level: StopLevel) -> bool {
        // It wakes the work, which must not happen under the lock.
        let Some(stop) = self.working().get(id).map(|run| run.stop.clone()) else { return false };
        stop.send_if_modified(|reached| {
            let is_new = *reached < level;
            *reached = level.max(*reached);
            is_new
        });
        true
    }

    /// Publishes the state of a run.
    pub(super) async fn publish_status(
        &self,
        owner: &OwnerName,
        id: &str,
        status: &Status,
    ) -> Result<(), PublishError> {
        let event = Event::new(status.to_data());
        let mut publication = Publication::new(self.names.states(owner), event).key(id);
        if status.state != RunState::Running {
            publication = publication.ttl(self.options.ttl);
        }
        self.hub.publish_all([publication]).await?;
        self.index().set(owner.clone(), id, status.clone(), Instant::now());
        self.changed.notify_waiters();
        Ok(())
    }

    /// Ends a run: its last event tells the state. Waits while the backend cannot be reached.
    pub(super) async fn conclude(&self, owner: &OwnerName, id: &str, state: RunState, events: u64) {
        while self.try_to_conclude(owner, id, state, events).await.is_err() {
            sleep(RETRY_AFTER).await;
        }
    }

    /// Ends a run, unless it has ended. Then its state is that of its last event.
    async fn try_to_conclude(
        &self,
        owner: &OwnerName,
        id: &str,
        mut state: RunState,
        events: u64,
    ) -> Result<(), PublishError> {
        match self.finish(owner, id, state).await {
            Ok(()) => {}
            Err(error) if error.is_finished() => {
                let known = self.status(owner, id);
                if known.is_some_and(|status| status.state != RunState::Running) {
                    return Ok(());
                }
                // Another node has ended it, or an attempt whose answer was lost.
                state = self.read_end(self.names.output(owner, id)).await.unwrap_or(state);
            }
            Err(error) => return Err(error),
        }
        let status = Status { state, node: self.node.clone(), events };
        self.publish_status(owner, id, &status).await
    }

    /// Ends the output of a run, with an event that tells the state.
    pub(super) async fn finish(
        &self,
        owner: &OwnerName,
        id: &str,
        state: RunState,
    ) -> Result<(), PublishError> {
        let end = Event::new(state.as_str()).with_type("end");
        self.hub.finish(self.names.output(owner, id), Some(end)).await.map(drop)
    }

    /// Returns the state in the last event of a run.
    async fn read_end(&self, output: Topic) -> Option<RunState> {
        let selection = Selection::new([output]).ok()?.last(1);
        let mut reader = self.hub.subscribe(selection).await.ok()?;
        let last = timeout(MAX_WAIT, reader.next()).await.ok()??.ok()?.event();
        RunState::from_name(last.data()).filter(|_| last.event_type() == "end")
    }

    /// Returns whether the hub still has the end of a run that has ended. Without it, a reader would wait.
    pub(super) async fn has_end(&self, owner: &OwnerName, id: &str) -> bool {
        let Ok(selection) = Selection::new([self.names.output(owner, id)]) else { return false };
        // Opening a subscription asks the backend, if that is needed. A reader of later events is at its end.
        let Ok(mut reader) = self.hub.subscribe(selection).await else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        matches!(reader.poll_next(&mut cx), Poll::Ready(None))
    }

    /// Takes an entry of the log.
    fn take(&self, entry: &Entry) {
        let (topic, event) = (entry.topic(), entry.event());
        if *topic == self.names.stops() {
            self.signal(event.data(), StopLevel::Requested);
        } else if *topic == self.names.nodes() {
            if let Some(node) = entry.key() {
                let lease = self.options.lease;
                self.index().heard_of(node, &self.node, lease, Instant::now());
            }
        } else if let (Some(owner), Some(id)) = (self.names.owner_of(topic), entry.key()) {
            let Some(status) = Status::parse(event.data()) else { return };
            if status.state != RunState::Running && status.node != self.node {
                self.signal(id, StopLevel::Ended);
            }
            self.index().set(owner, id, status, Instant::now());
            self.changed.notify_waiters();
        }
    }

    /// What each node does three times in a lease.
    async fn tick(self: &Arc<Self>) {
        let RunsOptions { ttl, lease, .. } = self.options;
        self.index().expire(ttl, lease, Instant::now());
        if self.hub.node().engine().is_none() {
            return;
        }
        let sign =
            Publication::new(self.names.nodes(), Event::new("")).key(&*self.node).ttl(2 * lease);
        if self.hub.publish_all([sign]).await.is_err() {
            return;
        }
        let orphans = self.index().orphans(&self.node, lease, Instant::now());
        if orphans.is_empty() || self.is_ending_orphans.swap(true, SeqCst) {
            return;
        }
        // It may take longer than a lease, in which the others must hear of this node. A failure is tried again.
        let shared = self.clone();
        tokio::spawn(async move {
            for Orphan { owner, id, events } in orphans {
                let ended = shared.try_to_conclude(&owner, &id, RunState::Failed, events);
                let _tried_again = ended.await;
            }
            shared.is_ending_orphans.store(false, SeqCst);
        });
    }

    async fn subscribe(&self) -> Result<Subscription, SubscribeError> {
        let selection = Selection::new([self.names.stops(), self.names.nodes()]);
        let selection = selection.and_then(|all| all.patterns([self.names.all_states()]));
        self.hub.subscribe(selection.expect("the names are valid").with_state()).await
    }

    /// Removes a run that works no more.
    pub(super) fn remove(&self, id: &str) {
        // It is dropped after the lock is released.
        let _removed = self.working().remove(id);
    }
}

/// Returns an ID that no other run or node has.
pub(super) fn new_id() -> String {
    format!("{:032x}", u128::from_be_bytes(*Identity::random().as_bytes()))
}

/// Follows what the nodes say of their runs.
async fn follow(shared: Weak<Shared>) {
    while let Some(strong) = shared.upgrade() {
        let subscribed = strong.subscribe().await;
        strong.index().begin(Instant::now());
        drop(strong);
        let Ok(mut subscription) = subscribed else {
            sleep(RETRY_AFTER).await;
            continue;
        };
        loop {
            // Now and then it looks whether the last handle is gone.
            let next = timeout(MAX_SILENCE, subscription.next()).await;
            let Some(shared) = shared.upgrade() else { return };
            match next {
                Ok(Some(Ok(entry))) => shared.take(&entry),
                // It begins again with the states.
                Ok(Some(Err(_))) => break,
                // The hub is gone.
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }
}

/// Tells the other nodes that this one works, and ends the runs of those that do not.
async fn beat(shared: Weak<Shared>) {
    while let Some(strong) = shared.upgrade() {
        strong.tick().await;
        let pause = strong.options.lease.min(strong.options.ttl) / 3;
        drop(strong);
        sleep(pause).await;
    }
}
