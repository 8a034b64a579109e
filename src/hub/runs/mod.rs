//! Runs: work that outlives its readers, for example the answer of a model.
//!
//! A request starts the work, which goes on in a task of its own. If the page is reloaded, or a second tab is opened,
//! each reader gets all events from the first one. Its owner can stop it in any tab. The last event has the
//! state in which the run has ended.
//!
//! ```
//! use tower_sse::{Event, Hub, hub::runs::{RunState, Runs}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
//! let runs = Runs::new(&Hub::new());
//! let run = runs.start("ann", |events, _stop| async move {
//!     events.send(Event::new("hello")).await?;
//!     Ok(())
//! });
//! let run = run.await?;
//!
//! let mut reader = run.subscribe().await?;
//! assert_eq!(reader.next().await.unwrap()?.event().data(), "hello");
//! let end = reader.next().await.unwrap()?.event();
//! assert_eq!((end.event_type().as_str(), end.data()), ("end", "finished"));
//! assert!(reader.next().await.is_none());
//! # Ok(()) }
//! ```
//!
//! [`Runs::handler`] is the service: `POST` starts and attaches, `GET` attaches again, `DELETE` stops.
//!
//! # The end
//!
//! | the work | state, and data of the last event |
//! |---|---|
//! | returns `Ok` | `finished` |
//! | returns an error, or panics | `failed` |
//! | was [told to stop](Run::stop), and has returned or was dropped after its [grace](RunsOptions::stop_grace) | `stopped` |
//! | is on a node that is silent for the [lease](RunsOptions::lease) | `failed` |
//!
//! The last event has the type `end`. No reader waits for a run that has ended.
//!
//! Work should look at its [`StopSignal`] between two events, or wait for it with `tokio::select!` while it reads.
//! Work that does not goes on until the grace is over, 5 seconds by default, and its readers get these events too.
//!
//! # At a shutdown
//!
//! A [`Shutdown`](crate::Shutdown) ends the streams of the readers. They reconnect to the next node, or to this one. It
//! does not end the work, which is lost when the process ends. If it must be finished, wait for it in `main` after the
//! server has ended: for example, let each work hold a sender of a `tokio::sync::mpsc` channel, and wait until the
//! receiver returns `None`.
//!
//! # Topics
//!
//! Runs are topics of their hub, below `runs.`. If clients name the topics or patterns that they read, give runs a hub
//! of their own: a reader of `>` would read all runs.
//!
//! # Several nodes
//!
//! Over a [backend](crate::hub::backend), each node knows the runs of all nodes: a reader attaches on any of them,
//! and a stop reaches the node that works. If a node ends without a word, another one ends its runs as failed, one
//! to two leases later. If it was not dead but slow, its work is dropped, because nothing more can be sent.
//!
//! # What is kept
//!
//! The events of a run are a topic of the hub, so the hub's [history](crate::hub::HubBuilder::history) limits what
//! it keeps: by default the newest 1,024 events. A reader that comes later gets a gap first. Set it to the
//! length of an answer, and [`finished_ttl`](crate::hub::HubBuilder::finished_ttl) to the time that an ended run is kept.
//!
//! It is no job queue: nothing is repeated, scheduled, or taken over by another node.

mod handler;
mod index;
mod names;
mod options;
mod registry;
mod shared;
mod state;
mod work;

pub use self::{
    handler::{RunOwner, RunTarget, RunsHandler},
    options::RunsOptions,
    registry::{Run, RunInfo, Runs, StartRunError},
    state::RunState,
    work::{RunEvents, RunSendError, StopSignal},
};
