//! What the work of a run has: a sender, and a signal to stop.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use crate::{
    event::Event,
    hub::{handle::Hub, publication::PublishError, topic::Topic},
};

/// The sender of a run's events. A clone sends to the same run.
#[derive(Clone)]
pub struct RunEvents {
    hub: Hub,
    topic: Topic,
    count: Arc<AtomicU64>,
}

impl RunEvents {
    pub(super) fn new(hub: Hub, topic: Topic, count: Arc<AtomicU64>) -> Self {
        Self { hub, topic, count }
    }

    /// Sends an event to all readers of the run, present and future. Waits for the backend of the hub, if there is
    /// one, and never for a reader.
    ///
    /// # Errors
    ///
    /// Returns an error if the run has ended, since it was stopped or its node counted as gone, or if the hub
    /// cannot publish the event.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the event may have been sent.
    pub async fn send(&self, event: impl Into<Event>) -> Result<(), RunSendError> {
        let published = self.hub.publish(self.topic.clone(), event).await;
        published.map_err(RunSendError)?;
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl fmt::Debug for RunEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunEvents").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// The error of [`RunEvents::send`].
#[derive(Debug)]
pub struct RunSendError(PublishError);

impl RunSendError {
    /// Returns whether the run has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl fmt::Display for RunSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_ended() {
            true => f.write_str("the run has ended"),
            false => write!(f, "the event of a run was not sent: {}", self.0),
        }
    }
}

impl Error for RunSendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopLevel {
    /// No.
    None,
    /// Somebody has asked for it.
    Requested,
    /// It has ended: another node took this one for gone.
    Ended,
}

/// Tells the work of a run that it should stop.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<StopLevel>);

impl StopSignal {
    pub(super) fn new(level: watch::Receiver<StopLevel>) -> Self {
        Self(level)
    }

    /// Returns whether the run is to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() > StopLevel::None
    }

    /// Waits until the run is to stop. Cancel safe.
    pub async fn requested(&mut self) {
        self.reached(StopLevel::Requested).await;
    }

    pub(super) async fn reached(&mut self, level: StopLevel) {
        // Without a sender, nobody can stop it any more.
        if self.0.wait_for(|reached| *reached >= level).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
