//! The backend over a stream.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{
    append::{Budget, append},
    error::NatsError,
    link::Link,
    message::{Encoded, Features, MAX_SUBJECT},
    read::{self, Source},
    remove,
    stream::{Stored, StreamFault, StreamInfo, StreamOptions},
    tail::NatsTail,
};
use crate::hub::{
    backend::{
        bounds::{Abilities, Bounds, Located},
        entry::{Batch, LogEntry, Outgoing},
        error::{BackendError, Fault},
        position::Position,
        state::{newest_by_reading, state_by_reading},
        store::Backend,
        wanted::Wanted,
    },
    topic::Topic,
};

/// What a message needs in addition to topic, key, fields and data. Text with many control characters
/// needs more.
const MESSAGE_OVERHEAD: usize = 1024;
/// How long to wait before a stream that was deleted is made again.
const DELAY_AFTER_DELETION: Duration = Duration::from_millis(500);

/// A [`Backend`] that keeps the log in a stream of NATS JetStream.
///
/// The [module](super) describes it. A clone is cheap and has the same connection.
///
/// ```no_run
/// # async fn run() -> Result<(), tower_sse::BoxError> {
/// use tower_sse::{Event, Hub, hub::backend::nats::NatsBackend};
///
/// let backend = NatsBackend::connect("nats://127.0.0.1:4222").await?;
/// let hub = Hub::builder().open(backend).await?;
/// hub.publish("orders", Event::new("paid")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct NatsBackend {
    source: Source,
    features: Features,
    abilities: Abilities,
    /// The largest message, with its headers.
    max_message: usize,
    budget: Budget,
    /// Whether reading the state, or the newest entries, has failed. There may be a message that the client
    /// cannot read.
    state_failed: Arc<AtomicBool>,
    newest_failed: Arc<AtomicBool>,
}

impl NatsBackend {
    /// Opens the stream, which is made if it does not exist.
    pub(super) async fn open(
        link: Link,
        options: StreamOptions,
        compacts_keys: bool,
    ) -> Result<Self, NatsError> {
        let info = options.open(&link).await.map_err(|fault| match fault {
            StreamFault::Unusable(error) => error,
            fault => NatsError::Request(BackendError::from(fault).into()),
        })?;
        let of_stream = info.max_message_size.and_then(|size| usize::try_from(size).ok());
        let max_message = link.client.max_payload().min(of_stream.unwrap_or(usize::MAX));
        let largest = max_message.saturating_sub(MESSAGE_OVERHEAD);
        let abilities = Abilities::new().with_largest(largest).with_dedup(info.dedup);
        let features = Features { compacts_keys, message_ttl: info.has_message_ttl };
        let is_replicated = info.replicas > 1;
        let (options, readers) = (Arc::new(options), Arc::default());
        let source = Source { link, options, readers, is_replicated };
        let (state_failed, newest_failed) = (Arc::default(), Arc::default());
        let budget = Budget::default();
        Ok(Self { source, features, abilities, max_message, budget, state_failed, newest_failed })
    }

    async fn info(&self) -> Result<StreamInfo, BackendError> {
        match self.source.options.info(&self.source.link).await {
            Err(StreamFault::Missing) => {}
            found => return Ok(found?),
        }
        // The server may still be removing the files. Servers before 2.10 then remove those of the new
        // stream too, and it takes no entry until they are restarted.
        sleep(DELAY_AFTER_DELETION).await;
        Ok(self.source.options.open(&self.source.link).await?)
    }

    fn encode(&self, entry: &Outgoing) -> Result<Encoded, BackendError> {
        let encoded = Encoded::new(entry, &self.source.options.subjects, self.features);
        let refused = |text: String| Err(BackendError::new(Fault::Refused, text));
        let (subject, size) = (encoded.subject.len(), entry.size());
        if subject > MAX_SUBJECT {
            return refused(format!(
                "a subject of {subject} bytes, at most {MAX_SUBJECT} are allowed"
            ));
        }
        let largest = self.abilities.largest;
        if size > largest {
            return refused(format!("an entry of {size} bytes, at most {largest} are allowed"));
        }
        let (size, max) = (encoded.headers_size() + entry.event.data.len(), self.max_message);
        if size > max {
            return refused(format!("a message of {size} bytes, at most {max} are allowed"));
        }
        Ok(encoded)
    }

    /// Returns the position of a place that may be empty.
    async fn position(&self, place: u64) -> Result<Position, BackendError> {
        Ok(match self.source.options.stored(&self.source.link, place).await? {
            Stored::At(at) => at,
            Stored::Missing => Position::new(place),
        })
    }
}

impl Backend for NatsBackend {
    type Tail = NatsTail;

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        let info = self.info().await?;
        let newest = match info.last {
            0 => Position::START,
            last => self.position(last).await?,
        };
        let oldest = match info.messages {
            0 => None,
            _ if info.first == info.last => Some(newest),
            _ => Some(self.position(info.first).await?),
        };
        Ok(Bounds::new(info.identity, oldest, newest))
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        // One that is refused is found before anything is appended.
        let encoded: Vec<_> =
            entries.iter().map(|entry| self.encode(entry)).collect::<Result<_, _>>()?;
        append(&self.source.link, &self.source.options, &self.budget, entries, &encoded).await
    }

    async fn tail(&self, after: Position) -> Result<NatsTail, BackendError> {
        let info = self.info().await?;
        if after.major() > info.last || after.minor() != 0 {
            let text = "the position is after the end of the log";
            return Err(BackendError::new(Fault::Lost, text));
        }
        NatsTail::start(&self.source.link, &self.source.options, &info, after).await
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        read::read(&self.source, (after, upto), wanted, most).await
    }

    async fn locate(&self, at: Position, _wanted: &Wanted) -> Result<Located, BackendError> {
        if at.minor() != 0 {
            return Ok(Located::Unknown);
        }
        if at != Position::START {
            if let Stored::At(stored) =
                self.source.options.stored(&self.source.link, at.major()).await?
            {
                return Ok(if stored == at { Located::Kept } else { Located::Unknown });
            }
        }
        let info = self.info().await?;
        if at.major() > info.last {
            return Ok(Located::Unknown);
        }
        // Only the start and places without an entry, as `bounds` returns them, have no fingerprint.
        // Nothing after such a place was trimmed if an entry before it is retained, or the one right
        // after it, or if there is nothing after it.
        let is_certain = info.first <= at.major().saturating_add(1) || at.major() == info.last;
        Ok(if at.check() == 0 && is_certain { Located::Kept } else { Located::Trimmed })
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        if self.state_failed.load(Ordering::Relaxed) {
            // Slower, but it gets past messages that the client cannot read.
            let state = state_by_reading(self, wanted, upto).await?;
            self.state_failed.store(false, Ordering::Relaxed);
            return Ok(state);
        }
        let state = read::state(&self.source, wanted, upto).await;
        state.inspect_err(|_| self.state_failed.store(true, Ordering::Relaxed))
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        let mut ends = Vec::with_capacity(topics.len());
        for topic in topics {
            let subject = self.source.options.subjects.end(topic.as_str());
            ends.push(self.source.options.last_of(&self.source.link, &subject).await?);
        }
        Ok(ends)
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        if self.newest_failed.load(Ordering::Relaxed) {
            let newest = newest_by_reading(self, topics, upto, most).await?;
            self.newest_failed.store(false, Ordering::Relaxed);
            return Ok(newest);
        }
        let newest = read::newest(&self.source, topics, upto, most).await;
        newest.inspect_err(|_| self.newest_failed.store(true, Ordering::Relaxed))
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        for (topic, upto) in topics {
            remove::forget(&self.source, topic, *upto).await?;
        }
        Ok(())
    }

    async fn warm_start(&self, most: NonZeroUsize) -> Result<Position, BackendError> {
        let info = self.info().await?;
        match info.last.saturating_sub(most.get() as u64) {
            place if place >= info.first => self.position(place).await,
            _ => Ok(Position::START),
        }
    }
}

impl fmt::Debug for NatsBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBackend")
            .field("stream", &self.source.options.name)
            .finish_non_exhaustive()
    }
}
