//! The log in the memory of this process.

#[cfg(feature = "backend-testing")]
mod faults;
mod link;
mod log;
mod shared;

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::Instant;

#[cfg(feature = "backend-testing")]
pub use self::faults::MemoryFaults;
use self::{
    link::Link,
    log::{DEDUP_WINDOW, Log},
    shared::Shared,
};
use super::{
    bounds::{Abilities, Bounds, Located},
    entry::{Batch, LogEntry, Outgoing},
    error::{BackendError, Fault},
    identity::Identity,
    position::Position,
    state::newest_by_reading,
    store::{Backend, Tail},
    wanted::Wanted,
};
use crate::hub::{history::History, topic::Topic};

/// A [`Backend`] that keeps the log in the memory of this process.
///
/// A hub needs no backend to keep its log in memory. This one is for several hubs in one process
/// that share a log, and for tests of code that runs on several nodes. A clone is cheap and has the
/// same log.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
/// use tower_sse::hub::{History, backend::{Backend, EventParts, MemoryBackend, Outgoing}};
///
/// let backend = MemoryBackend::new(History::events(10_000));
/// let entry = Outgoing::new("orders".parse()?, EventParts::new("paid"), 1);
/// let positions = backend.append(&[entry]).await?;
/// assert_eq!(backend.clone().bounds().await?.newest, positions[0]);
/// # Ok(()) }
/// ```
///
/// The bounds of the [`History`] apply to all topics together, and the oldest entries are removed
/// first. An entry costs its text and about 300 bytes. Entries that have expired count until all
/// older ones are removed. A key whose entry is removed is no longer part of the state.
///
/// A retry of an append is recognized for two minutes, among the last 65,536 entries.
///
/// Appending is atomic. Nothing survives the end of the process.
#[derive(Clone)]
pub struct MemoryBackend {
    /// The log, which all nodes share.
    shared: Arc<Shared>,
    /// The connection of this node, which its clones share.
    link: Arc<Link>,
}

/// Follows the log of a [`MemoryBackend`].
pub struct MemoryTail {
    shared: Arc<Shared>,
    link: Arc<Link>,
    /// The log that is followed.
    identity: Identity,
    /// The end of the last batch.
    at: Position,
    /// The fault of the error that ended the tail.
    failed: Option<Fault>,
}

impl MemoryBackend {
    /// Creates an empty log within these bounds.
    #[must_use]
    pub fn new(history: History) -> Self {
        Self { shared: Arc::new(Shared::new(history)), link: Arc::default() }
    }

    /// Returns another node with the same log. It differs from a clone in tests only: the faults of
    /// a connection affect one node and its clones.
    #[must_use]
    pub fn node(&self) -> Self {
        Self { shared: self.shared.clone(), link: Arc::default() }
    }

    /// Returns the faults that this backend can simulate.
    #[cfg(feature = "backend-testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "backend-testing")))]
    #[must_use]
    pub fn faults(&self) -> MemoryFaults {
        MemoryFaults::new(self.shared.clone(), self.link.clone())
    }

    async fn reach(&self) -> Result<(), Fault> {
        self.shared.reach(&self.link).await
    }
}

impl Default for MemoryBackend {
    /// Creates an empty log that retains 65,536 entries and 64 MiB.
    fn default() -> Self {
        Self::new(History::events(1 << 16).max_bytes(64 << 20))
    }
}

impl Backend for MemoryBackend {
    type Tail = MemoryTail;

    fn abilities(&self) -> Abilities {
        let largest = Log::largest(&self.shared.history);
        Abilities::new().with_atomic(true).with_largest(largest).with_dedup(DEDUP_WINDOW)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.reach().await?;
        Ok(self.shared.lock().bounds(Instant::now()))
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        self.reach().await?;
        if self.link.refuses.load(Ordering::Acquire) {
            return Err(Fault::Refused.into());
        }
        let positions = self.shared.lock().append(entries, Instant::now())?;
        self.shared.changed.notify_waiters();
        if self.link.loses_answer.swap(false, Ordering::AcqRel) {
            return Err(Fault::Unknown.into());
        }
        Ok(positions)
    }

    async fn tail(&self, after: Position) -> Result<MemoryTail, BackendError> {
        self.reach().await?;
        let (shared, link) = (self.shared.clone(), self.link.clone());
        let mut log = self.shared.lock();
        let (identity, at) = (log.identity(), log.tail_start(after)?);
        Ok(MemoryTail { shared, link, identity, at, failed: None })
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        self.reach().await?;
        self.shared.lock().read(after, upto, wanted, most, Instant::now())
    }

    async fn locate(&self, at: Position, _wanted: &Wanted) -> Result<Located, BackendError> {
        self.reach().await?;
        Ok(self.shared.lock().locate(at, Instant::now()))
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        self.reach().await?;
        Ok(self.shared.lock().ends(topics, Instant::now()))
    }

    async fn warm_start(&self, most: NonZeroUsize) -> Result<Position, BackendError> {
        self.reach().await?;
        Ok(self.shared.lock().warm_start(most, Instant::now()))
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            self.reach().await?;
            let part = self.shared.lock().state(after.as_ref(), upto, wanted, Instant::now())?;
            all.extend(part.0);
            let Some(last) = part.1 else { return Ok(all) };
            after = Some(last);
        }
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        newest_by_reading(self, topics, upto, most).await
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        self.reach().await?;
        let topics: HashMap<_, _> =
            topics.iter().map(|(topic, upto)| (topic, upto.major())).collect();
        let upto = topics.values().copied().max().unwrap_or(0);
        let identity = self.shared.lock().identity();
        let mut from = Some(0);
        // The lock is released between the parts.
        while let Some(number) = from {
            let mut log = self.shared.lock();
            if log.identity() != identity {
                return Err(Fault::Lost.into());
            }
            from = log.forget(&topics, number, upto, Instant::now());
        }
        Ok(())
    }
}

impl Tail for MemoryTail {
    async fn next(&mut self) -> Result<Batch, BackendError> {
        if let Some(fault) = self.failed {
            return Err(fault.into());
        }
        loop {
            let changed = self.shared.changed.notified();
            let found = match self.link.is_open() {
                Ok(true) => self.shared.lock().tail_batch(self.identity, self.at, Instant::now()),
                Ok(false) => Ok(None),
                Err(fault) => Err(fault.into()),
            };
            match found {
                Ok(Some(batch)) => {
                    // Nothing is awaited after this, so no batch is lost.
                    self.at = batch.end().unwrap_or(self.at);
                    return Ok(batch);
                }
                Ok(None) => changed.await,
                Err(error) => {
                    self.failed = Some(error.fault());
                    return Err(error);
                }
            }
        }
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.shared.lock().newest();
        f.debug_struct("MemoryBackend").field("newest", &newest).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTail").field("at", &self.at).finish_non_exhaustive()
    }
}
