//! What a node has of its backend.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    time::Instant,
};

use super::control::{Counts, Losses};
use crate::hub::{
    backend::{BackendError, Located, Outgoing, Position, Wanted, dynamic::DynBackend},
    health::HealthRecord,
    publication::Published,
    topic::Topic,
    window::Counters,
};

/// How many publications wait in the queue of `Hub::try_publish`.
pub(in crate::hub) const QUEUE: usize = 1024;
/// How long a reader waits for the window to reach a position of another node, before the backend is
/// asked whether the log has it.
const MAX_WAIT_FOR_NODE: Duration = Duration::from_secs(2);
/// How many readers ask for the newest entries of topics at a time.
const MAX_NEWEST_READS: usize = 8;
/// How long to wait before a failed call is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// The longest wait, when calls fail again and again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a node has of its backend.
pub(in crate::hub) struct Engine {
    /// The backend.
    pub(super) backend: Arc<dyn DynBackend>,
    /// What this node has seen of the backend.
    pub(in crate::hub) health: HealthRecord,
    /// How long publishing waits for the backend.
    pub(super) publish_timeout: Duration,
    /// Publishers that wait until the window has their entries, by the ID of the append.
    waiting: Mutex<HashMap<u128, oneshot::Sender<Delivered>>>,
    /// The publications of `Hub::try_publish`, in order.
    queue: mpsc::Sender<Outgoing>,
    /// The last handle of the hub was dropped.
    is_stopped: AtomicBool,
    /// Told when that happens.
    stop: Notify,
    /// Told each time that the window has further entries.
    pub(super) advanced: Notify,
    /// The number of this node, which no other one has.
    pub(super) number: u64,
    /// How many readers the other nodes have.
    counts: Mutex<Counts>,
    /// What is known of losses.
    losses: Mutex<Losses>,
    /// Limits how many readers ask for the newest entries of topics at a time: after a restart, all readers may.
    pub(super) newest: Semaphore,
}

/// What became of an entry in the window.
#[derive(Debug)]
pub(super) enum Delivered {
    /// Readers have it.
    Published(Published),
    /// Its topic had ended before.
    Finished,
}

impl Engine {
    pub(in crate::hub) fn new(
        backend: Arc<dyn DynBackend>,
        publish_timeout: Duration,
        queue: mpsc::Sender<Outgoing>,
    ) -> Self {
        Self {
            backend,
            health: HealthRecord::new(),
            publish_timeout,
            waiting: Mutex::default(),
            queue,
            is_stopped: AtomicBool::new(false),
            stop: Notify::new(),
            advanced: Notify::new(),
            number: fastrand::u64(..),
            counts: Mutex::default(),
            losses: Mutex::default(),
            newest: Semaphore::new(MAX_NEWEST_READS),
        }
    }

    /// Returns what became of an entry, regardless of its topic.
    pub(super) async fn locate(&self, at: Position) -> Result<Located, BackendError> {
        self.backend.clone().locate_entry(at, Arc::new(Wanted::all())).await
    }

    /// Returns how many readers name a topic on other nodes.
    pub(in crate::hub) fn readers_elsewhere(&self, topic: &Topic) -> usize {
        self.counts().readers(topic, self.number, Instant::now())
    }

    /// Returns how many readers the other nodes have. No other lock is taken under this one.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is known of losses. No other lock is taken under this one.
    pub(super) fn losses(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the largest entry that the backend takes, in bytes.
    pub(in crate::hub) fn largest(&self) -> usize {
        self.backend.get_abilities().largest
    }

    /// Queues an entry. Returns false if the queue is full.
    pub(in crate::hub) fn queue(&self, entry: Outgoing) -> bool {
        self.queue.try_send(entry).is_ok()
    }

    /// Waits until the window has a position, which another node may have given. Returns before that
    /// if the log does not have it.
    ///
    /// A node may be late for longer than the others, for example because it has to find another server
    /// of a cluster. While the backend cannot be reached, it is not known what the log has.
    pub(in crate::hub) async fn wait_for(&self, counters: &Counters, position: Position) {
        let passed = async || {
            loop {
                let advanced = self.advanced.notified();
                if counters.head().position.place() >= position.place() {
                    return;
                }
                advanced.await;
            }
        };
        let waited = async {
            while tokio::time::timeout(MAX_WAIT_FOR_NODE, passed()).await.is_err() {
                match self.locate(position).await {
                    Ok(Located::Kept) => {}
                    Ok(Located::Trimmed | Located::Unknown) => return,
                    Err(error) => self.health.failed(&error),
                }
            }
        };
        let _stopped = self.until_stopped(waited).await;
    }

    /// Ends the tasks of the node.
    pub(in crate::hub) fn stop(&self) {
        self.is_stopped.store(true, SeqCst);
        self.stop.notify_waiters();
    }

    /// Returns whether the last handle of the hub was dropped.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(SeqCst)
    }

    /// Runs a future until it is done or the node's tasks are to end.
    pub(super) async fn until_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let (mut stopped, mut future) = (pin!(self.stop.notified()), pin!(future));
        // From here on, a notification is not missed.
        stopped.as_mut().enable();
        if self.is_stopped() {
            return None;
        }
        poll_fn(|cx| match stopped.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<u128, oneshot::Sender<Delivered>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waits between calls that fail: each is twice as long as the one before, up to a limit.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(RETRY_AFTER)
    }

    pub(super) async fn wait(&mut self) {
        // Nodes that have lost their engine together do not come back together.
        let jitter = 0.5 + fastrand::f64() / 2.0;
        tokio::time::sleep(self.0.mul_f64(jitter)).await;
        self.0 = (self.0 * 2).min(MAX_RETRY_AFTER);
    }
}
