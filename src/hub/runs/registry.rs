//! Starting runs, and finding them.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
};

use tokio::{sync::watch, time::sleep};

use super::{
    names::{OwnerName, is_id},
    options::RunsOptions,
    shared::{Full, Shared},
    state::{RunState, Status},
    work::{RunEvents, StopLevel, StopSignal},
};
use crate::{
    BoxError,
    catch_panic::{CatchPanic, catch_and_log, catch_panic},
    hub::{
        handle::Hub, publication::PublishError, selection::Selection,
        subscribe_error::SubscribeError, subscription::Subscription, topic::Topic,
    },
    trace,
};

/// Work that outlives its readers: see the [module docs](crate::hub::runs). A clone is cheap and has the same
/// runs.
#[derive(Clone)]
pub struct Runs {
    pub(super) shared: Arc<Shared>,
}

impl Runs {
    /// Creates runs on a hub, with the default options.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    #[must_use]
    pub fn new(hub: &Hub) -> Self {
        Self::with_options(hub, RunsOptions::new())
    }

    /// Creates runs on a hub.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    #[must_use]
    pub fn with_options(hub: &Hub, options: RunsOptions) -> Self {
        Self { shared: Shared::start(hub.clone(), options) }
    }

    /// Starts work in a task of its own, and returns its run once the log has it.
    ///
    /// The work gets a sender, and a signal that tells it to stop. When it returns `Ok`, the run has finished.
    /// An error or a panic makes it fail, and is logged.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit is reached, if the owner is empty or longer than about 160 bytes, or if the
    /// hub cannot publish. The work is dropped then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the work does not start.
    pub async fn start<W, Fut>(&self, owner: &str, work: W) -> Result<Run, StartRunError>
    where
        W: FnOnce(RunEvents, StopSignal) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Ok(self.claim(owner).await?.start(work))
    }

    /// Returns a run of an owner. `None` if the owner has no such run, or it has ended and is not kept any more:
    /// by its time to live, or by the bounds of the hub. Waits up to a second for a run that another node may just
    /// have started.
    pub async fn get(&self, owner: &str, id: &str) -> Option<Run> {
        let owner = OwnerName::new(owner)?;
        if !is_id(id) {
            return None;
        }
        let status = self.shared.find(&owner, id).await?;
        if status.state != RunState::Running && !self.shared.has_end(&owner, id).await {
            return None;
        }
        Some(Run { shared: self.shared.clone(), owner, id: id.to_owned() })
    }

    /// Returns the runs of an owner, in the order of their IDs.
    #[must_use]
    pub fn list(&self, owner: &str) -> Vec<RunInfo> {
        let Some(owner) = OwnerName::new(owner) else { return Vec::new() };
        let known = self.shared.index().of_owner(&owner);
        let current = known.into_iter().map(|(id, known)| {
            let Status { state, events, .. } = self.shared.status(&owner, &id).unwrap_or(known);
            RunInfo { id, state, events }
        });
        current.collect()
    }

    /// Reserves a run.
    pub(super) async fn claim(&self, owner: &str) -> Result<Claim, StartRunError> {
        let owner = OwnerName::new(owner).ok_or(StartRunError(Fault::Owner))?;
        let registered = self.shared.register(&owner);
        let (id, stop, count) = registered.map_err(|full| StartRunError(Fault::Full(full)))?;
        let run = Run { shared: self.shared.clone(), owner, id };
        let claim = Claim { run, stop, count, is_concluded: false };
        let status = Status { state: RunState::Running, node: self.shared.node.clone(), events: 0 };
        let Run { shared, owner, id } = &claim.run;
        let published = shared.publish_status(owner, id, &status).await;
        // It may be in the log all the same: dropping the claim ends it.
        published.map_err(|error| StartRunError(Fault::Publish(error)))?;
        Ok(claim)
    }
}

/// A run that is registered on this node. Dropped before it was concluded, it has failed.
pub(super) struct Claim {
    run: Run,
    stop: watch::Receiver<StopLevel>,
    count: Arc<AtomicU64>,
    is_concluded: bool,
}

impl Claim {
    /// Returns the run.
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Starts the work.
    pub(super) fn start<W, Fut>(self, work: W) -> Run
    where
        W: FnOnce(RunEvents, StopSignal) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let run = self.run.clone();
        let stop = StopSignal::new(self.stop.clone());
        let events = RunEvents::new(run.shared.hub.clone(), run.output(), self.count.clone());
        let called = catch_panic("a run", || work(events, stop.clone()));
        let work = called.map(|future| CatchPanic::new("a run", Box::pin(future)));
        tokio::spawn(async move {
            // The task has the whole claim, and with it the drop.
            let mut claim = self;
            let Run { shared, owner, id } = &claim.run;
            let state = match work {
                Ok(work) => drive(work, stop, shared).await,
                Err(panicked) => {
                    trace::run_failed(&panicked.to_string());
                    Some(RunState::Failed)
                }
            };
            if let Some(state) = state {
                shared.conclude(owner, id, state, claim.count.load(Relaxed)).await;
            }
            shared.remove(id);
            claim.is_concluded = true;
        });
        run
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_concluded {
            return;
        }
        let Run { shared, owner, id } = self.run.clone();
        // The runtime may be ending.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return shared.remove(&id) };
        let events = self.count.load(Relaxed);
        runtime.spawn(async move {
            shared.conclude(&owner, &id, RunState::Failed, events).await;
            shared.remove(&id);
        });
    }
}

/// Lets the work go on until it is done, or has to stop. Returns `None` if another node has ended the run.
async fn drive(
    work: CatchPanic<Result<(), BoxError>>,
    stop: StopSignal,
    shared: &Shared,
) -> Option<RunState> {
    let (mut requested, mut ended) = (stop.clone(), stop.clone());
    let grace = shared.options.stop_grace;
    let mut overdue = pin!(async move {
        requested.requested().await;
        sleep(grace).await;
    });
    let mut ended = pin!(ended.reached(StopLevel::Ended));
    let mut work = pin!(work);
    poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            let state = match result {
                _ if stop.is_requested() => RunState::Stopped,
                Ok(Ok(())) => RunState::Finished,
                Ok(Err(error)) => {
                    // It is code of the application, and so is its drop.
                    catch_and_log("the error of a run", || trace::run_failed(&error.to_string()));
                    catch_and_log("the error of a run", || drop(error));
                    RunState::Failed
                }
                Err(panicked) => {
                    trace::run_failed(&panicked.to_string());
                    RunState::Failed
                }
            };
            return Poll::Ready(Some(state));
        }
        overdue.as_mut().poll(cx).map(|()| Some(RunState::Stopped))
    })
    .await
}

/// A run: work on this node or another one, and its events.
#[derive(Clone)]
pub struct Run {
    shared: Arc<Shared>,
    owner: OwnerName,
    id: String,
}

impl Run {
    /// Returns the ID: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the state. A run that is not known any more has finished, failed or was stopped, and is
    /// reported as failed.
    #[must_use]
    pub fn state(&self) -> RunState {
        let status = self.shared.status(&self.owner, &self.id);
        status.map_or(RunState::Failed, |status| status.state)
    }

    /// Tells the work to stop, on the node where it works. It may go on for the
    /// [grace](RunsOptions::stop_grace). Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the run works on another node, and the hub cannot publish.
    pub async fn stop(&self) -> Result<(), PublishError> {
        self.shared.stop(&self.owner, &self.id).await
    }

    /// Reads the events of the run from its start, until its end.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit of the hub is reached.
    pub async fn subscribe(&self) -> Result<Subscription, SubscribeError> {
        self.restore_end().await;
        self.shared.hub.subscribe(self.selection()).await
    }

    /// Ends the output again, if the run has ended and the hub has forgotten that: a reader must not wait.
    async fn restore_end(&self) {
        let state = self.state();
        if state != RunState::Running && !self.shared.has_end(&self.owner, &self.id).await {
            // It may have ended meanwhile.
            let _ended = self.shared.finish(&self.owner, &self.id, state).await;
        }
    }

    /// Reads the events of the run after the one with this ID, until its end.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit of the hub is reached.
    pub async fn resume(&self, last: impl AsRef<str>) -> Result<Subscription, SubscribeError> {
        self.restore_end().await;
        self.shared.hub.resume(self.selection(), last).await
    }

    pub(super) fn selection(&self) -> Selection {
        let selection = Selection::new([self.output()]);
        selection.expect("its name is a topic").from_start()
    }

    fn output(&self) -> Topic {
        self.shared.names.output(&self.owner, &self.id)
    }
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The ID.
    pub id: String,
    /// How far it is.
    pub state: RunState,
    /// How many events it has sent, its end apart. Of a run that works on another node it is 0 until the end.
    pub events: u64,
}

/// The error of [`Runs::start`]: no work has started.
#[derive(Debug)]
pub struct StartRunError(Fault);

#[derive(Debug)]
enum Fault {
    Owner,
    Full(Full),
    Publish(PublishError),
}

impl StartRunError {
    /// Returns whether a limit on the number of runs is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0, Fault::Full(_))
    }

    /// Returns whether it is the limit of the owner.
    pub(super) fn is_full_for_owner(&self) -> bool {
        matches!(self.0, Fault::Full(Full::OfOwner))
    }

    /// Returns whether the owner is invalid.
    #[must_use]
    pub fn is_invalid_owner(&self) -> bool {
        matches!(self.0, Fault::Owner)
    }
}

impl fmt::Display for StartRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Owner => f.write_str("the owner of a run is empty or too long"),
            Fault::Full(Full::All) => f.write_str("too many runs work on this node"),
            Fault::Full(Full::OfOwner) => f.write_str("the owner has too many runs on this node"),
            Fault::Publish(error) => write!(f, "the start of a run was not published: {error}"),
        }
    }
}

impl Error for StartRunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Fault::Publish(error) => error.source(),
            Fault::Owner | Fault::Full(_) => None,
        }
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs")
            .field("working", &self.shared.working().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).finish_non_exhaustive()
    }
}
