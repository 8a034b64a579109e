//! Reads what a consumer delivers, page by page.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    consumer::{Consumer, Pull, Received, Start},
    link::{Link, unavailable},
    message::Delivered,
    stream::StreamOptions,
};
use crate::hub::backend::error::{BackendError, Fault};

/// How many bytes a page has, at most, unless one message may be larger.
const PAGE_BYTES: usize = 4 << 20;
/// How many readers wait for the next read.
const MAX_PARKED: usize = 256;
/// How long a reader waits for the next read. The server keeps its consumer for a little longer.
const MAX_PARKED_TIME: Duration = Duration::from_secs(5);

/// The messages that a consumer has, one request after the other.
pub(super) struct Reader {
    link: Link,
    options: Arc<StreamOptions>,
    consumer: Consumer,
    filters: Vec<String>,
    /// How many messages the consumer has delivered.
    count: u64,
}

/// The answer to one request.
pub(super) struct Page {
    pub(super) messages: Vec<Delivered>,
    /// Whether there are no more messages.
    pub(super) is_last: bool,
    /// Whether the connection was lost after these messages.
    pub(super) is_cut: bool,
}

impl Reader {
    pub(super) async fn new(
        link: &Link,
        options: &Arc<StreamOptions>,
        start: Start,
        filters: &[String],
    ) -> Result<Self, BackendError> {
        let consumer = Consumer::create(link, &options.name, start, filters).await?;
        Ok(Self {
            link: link.clone(),
            options: options.clone(),
            consumer,
            filters: filters.to_vec(),
            count: 0,
        })
    }

    /// Returns how many messages there were when the reader was made.
    pub(super) fn pending(&self) -> u64 {
        self.consumer.pending
    }

    /// Returns whether this reader has read nothing yet.
    pub(super) fn is_new(&self) -> bool {
        self.count == 0
    }

    pub(super) async fn page(&mut self, most: u64) -> Result<Page, BackendError> {
        let max_bytes = PAGE_BYTES.max(self.link.client.max_payload().saturating_mul(2));
        let pull = Pull { batch: most, max_bytes, expires: None, heartbeat: None };
        self.consumer.pull(pull).await?;
        let mut messages: Vec<Delivered> = Vec::new();
        let mut is_cut = false;
        while (messages.len() as u64) < most {
            let mut session = self.consumer.session.clone();
            let received = poll_fn(|cx| self.consumer.poll_next(cx));
            let received = match session.limit(received, Fault::Unavailable).await {
                Ok(received) => received,
                // The part that has come is a page too. The next message may be unreadable.
                Err(_) if !messages.is_empty() => {
                    is_cut = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            match received {
                Received::Message(message) => {
                    let delivered = Delivered::new(message, &self.options.subjects);
                    let delivered = delivered.filter(|delivered| delivered.count == self.count + 1);
                    messages.push(delivered.ok_or_else(|| unavailable("a message was lost"))?);
                    self.count += 1;
                }
                Received::Heartbeat(_) | Received::EarlierDone => {}
                Received::Done => return Ok(Page { messages, is_last: true, is_cut }),
                Received::Full if messages.is_empty() => {
                    return Err(unavailable("a message is larger than the server's limit"));
                }
                Received::Full => break,
                Received::Broken(cause) => return Err(unavailable(cause)),
            }
        }
        Ok(Page { messages, is_last: false, is_cut })
    }
}

/// Readers between two reads. To make a consumer costs the server more than a page: it counts what is left
/// to deliver.
pub(super) struct Readers {
    parked: Mutex<Vec<Parked>>,
    /// The place after which a read has failed. There may be a message that the client cannot read.
    suspect: AtomicU64,
}

impl Default for Readers {
    fn default() -> Self {
        Self { parked: Mutex::default(), suspect: AtomicU64::new(u64::MAX) }
    }
}

struct Parked {
    reader: Reader,
    /// The place up to which it has read.
    place: u64,
    since: Instant,
}

impl Readers {
    /// Takes a reader that has delivered everything up to a place, or makes one.
    pub(super) async fn take(
        &self,
        link: &Link,
        options: &Arc<StreamOptions>,
        place: u64,
        filters: &[String],
    ) -> Result<Reader, BackendError> {
        let parked = {
            let mut all = self.parked();
            all.retain(|parked| parked.since.elapsed() < MAX_PARKED_TIME);
            let fits = |it: &Parked| it.place == place && it.reader.filters == filters;
            all.iter().position(fits).map(|index| all.remove(index).reader)
        };
        match parked {
            Some(reader) => Ok(reader),
            None => Reader::new(link, options, Start::After(place), filters).await,
        }
    }

    /// Keeps a reader for the next read.
    pub(super) fn park(&self, reader: Reader, place: u64) {
        let mut parked = self.parked();
        // With too many readers, those that are parked go on, and the others make new ones.
        if parked.len() < MAX_PARKED {
            parked.push(Parked { reader, place, since: Instant::now() });
        }
    }

    pub(super) fn is_suspect(&self, place: u64) -> bool {
        self.suspect.load(Ordering::Relaxed) == place
    }

    /// Notes that a read after this place has failed.
    pub(super) fn suspect(&self, place: u64) {
        self.suspect.store(place, Ordering::Relaxed);
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
