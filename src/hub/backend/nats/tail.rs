//! Following the log.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    task::unconstrained,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    consumer::{Consumer, Pull, Received, Start},
    link::{ANSWER_TIMEOUT, Link, unavailable},
    message::{Content, Delivered},
    stream::{Stored, StreamFault, StreamInfo, StreamOptions},
};
use crate::hub::backend::{
    entry::Batch,
    error::{BackendError, Fault},
    identity::Identity,
    position::Position,
    store::Tail,
};

/// How many messages are asked for at a time. The next request is sent when half of them have come.
const PULL: u64 = 4096;
/// How many bytes are asked for at a time, unless one message may be larger.
const PULL_BYTES: usize = 8 << 20;
/// How long a request waits for messages.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server shows that it still knows a request.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long the server may be silent.
const MAX_SILENCE: Duration = Duration::from_secs(3);
/// How many messages a batch is made of, at most.
const MAX_BATCH: usize = 1024;
/// How many bytes of data a batch has, at most, apart from its last entry.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// How much the clocks of this machine and of the server may differ.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// Follows the log of a [`NatsBackend`](super::NatsBackend).
pub struct NatsTail {
    link: Link,
    options: Arc<StreamOptions>,
    /// The log that is followed.
    identity: Identity,
    consumer: Consumer,
    /// Everything up to this place was received, or was removed before the tail started.
    place: u64,
    /// When the entry at this place was stored, since 1970, if that is known.
    stored: Option<Duration>,
    /// The last position that was received.
    at: Position,
    /// How many messages the consumer has delivered.
    count: u64,
    /// When the server was heard last. It is not part of `next`, so that calls which are dropped do
    /// not give the server more time.
    heard: Instant,
    /// Until when the server has to answer, for the same reason. `None` if nothing is asked.
    answer_until: Option<Instant>,
    /// Received and not returned yet.
    batch: Batch,
    batch_messages: usize,
    batch_bytes: usize,
    /// Places were skipped after this one, and it is not known yet why.
    gap: Option<(u64, Option<Duration>)>,
    /// Why nothing more will be received.
    broken: Option<String>,
    /// The fault of the error that ended the tail.
    failed: Option<Fault>,
    /// The largest message that the server takes.
    max_message: usize,
}

impl NatsTail {
    pub(super) async fn start(
        link: &Link,
        options: &Arc<StreamOptions>,
        info: &StreamInfo,
        after: Position,
    ) -> Result<Self, BackendError> {
        // A message that the client cannot read ended the tail before this one.
        let everything = [">".to_owned()];
        let mut unreadable = Vec::new();
        let mut start = after.major();
        while let Some(at) = options.next_unreadable(link, start + 1, &everything).await? {
            start = at.major();
            unreadable.push(at);
        }
        let consumer = Consumer::create(link, &options.name, Start::After(start), &[]).await?;
        let mut tail = Self {
            link: link.clone(),
            options: options.clone(),
            identity: info.identity,
            consumer,
            place: after.major().max(info.first.saturating_sub(1)),
            // Everything after the newest entry is stored later than now.
            stored: (after.major() == info.last).then(since_1970),
            at: after,
            count: 0,
            heard: Instant::now(),
            answer_until: None,
            batch: Batch::default(),
            batch_messages: 0,
            batch_bytes: 0,
            gap: None,
            broken: None,
            failed: None,
            max_message: link.client.max_payload(),
        };
        for at in unreadable {
            tail.pass(at, None);
            tail.batch.junk += 1;
        }
        tail.pull().await?;
        Ok(tail)
    }

    async fn next_batch(&mut self) -> Result<Batch, BackendError> {
        loop {
            self.take_received();
            if self.gap.is_some() || self.needs_messages() || self.is_at_end() {
                // The time limit goes on if this call is dropped and another one follows.
                let until =
                    *self.answer_until.get_or_insert_with(|| Instant::now() + ANSWER_TIMEOUT);
                let asked = timeout_at(until, self.ask_server()).await;
                self.answer_until = None;
                asked.unwrap_or_else(|_| Err(unavailable("the server did not answer in time")))?;
            }
            if self.batch.upto.is_some() {
                // Nothing is awaited after this, so no batch is lost.
                self.batch_messages = 0;
                self.batch_bytes = 0;
                return Ok(std::mem::take(&mut self.batch));
            }
            self.wait().await;
        }
    }

    fn needs_messages(&self) -> bool {
        self.broken.is_none() && self.consumer.requested <= PULL / 2
    }

    /// Whether nothing more will come, and everything was returned.
    fn is_at_end(&self) -> bool {
        self.broken.is_some() && self.batch.upto.is_none()
    }

    /// Does everything that needs the server. An error ends the tail.
    async fn ask_server(&mut self) -> Result<(), BackendError> {
        self.explain_gap().await?;
        if self.needs_messages() {
            if let Err(error) = self.pull().await {
                self.broken = Some(error.to_string());
            }
        }
        match &self.broken {
            Some(cause) if self.is_at_end() => Err(self.explain_end(cause.clone()).await),
            _ => Ok(()),
        }
    }

    async fn pull(&mut self) -> Result<(), BackendError> {
        let max_bytes = PULL_BYTES.max(self.max_message.saturating_mul(2));
        let (expires, heartbeat) = (Some(EXPIRES), Some(HEARTBEAT));
        self.consumer.pull(Pull { batch: PULL, max_bytes, expires, heartbeat }).await
    }

    /// Takes the messages that have come, up to the size of a batch.
    fn take_received(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.has_room() {
            let Poll::Ready(received) = self.consumer.poll_next(&mut cx) else { return };
            self.receive(received);
        }
    }

    fn has_room(&self) -> bool {
        self.broken.is_none()
            && self.batch_messages < MAX_BATCH
            && self.batch_bytes < MAX_BATCH_BYTES
    }

    /// Waits for a message, the loss of the connection, or until the server was silent for too long.
    async fn wait(&mut self) {
        let received = {
            let mut session = self.consumer.session.clone();
            let mut over = pin!(session.over());
            let mut silence = pin!(sleep_until(self.heard + MAX_SILENCE));
            // A message that has come counts, also if the deadline is over because nothing was polled
            // for a while. tokio's budget must not hide it.
            unconstrained(poll_fn(|cx| {
                if let Poll::Ready(received) = self.consumer.poll_next(cx) {
                    return Poll::Ready(received);
                }
                if over.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Received::Broken("the connection was lost".into()));
                }
                if silence.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Received::Broken("the server sends no heartbeat".into()));
                }
                Poll::Pending
            }))
            .await
        };
        self.receive(received);
    }

    fn receive(&mut self, received: Received) {
        match received {
            Received::Message(message) => {
                let size = message.length;
                self.heard = Instant::now();
                match Delivered::new(message, &self.options.subjects) {
                    Some(delivered) => self.deliver(delivered, size),
                    None => self.broken = Some("a message is not from the consumer".into()),
                }
            }
            Received::Heartbeat(count) => {
                self.heard = Instant::now();
                if count.is_some_and(|count| count != self.count) {
                    self.broken = Some("messages were lost on the way".into());
                }
            }
            Received::EarlierDone | Received::Done | Received::Full => self.heard = Instant::now(),
            Received::Broken(cause) => self.broken = Some(cause),
        }
    }

    fn deliver(&mut self, delivered: Delivered, size: usize) {
        let Delivered { at, count, stored, content } = delivered;
        if count != self.count + 1 || at.major() <= self.place {
            self.broken = Some("messages were lost on the way".into());
            return;
        }
        self.count = count;
        self.pass(at, Some(stored));
        self.batch_messages += 1;
        self.batch_bytes += size;
        match content {
            Content::Entry(entry) => self.batch.entries.push(entry),
            Content::Expired => {}
            Content::Junk => self.batch.junk += 1,
        }
    }

    /// Goes on to the next message. Notes a gap before it.
    fn pass(&mut self, at: Position, stored: Option<Duration>) {
        if at.major() != self.place + 1 && self.gap.is_none() {
            self.gap = Some((self.place, self.stored));
        }
        self.place = at.major();
        self.stored = stored;
        self.at = at;
        self.batch.upto = Some(at);
    }

    /// Finds out whether entries were skipped since they were trimmed. Others were superseded, have
    /// expired, or were forgotten.
    async fn explain_gap(&mut self) -> Result<(), BackendError> {
        let Some((place, stored)) = self.gap else { return Ok(()) };
        let info = self.info().await?;
        let elapsed = stored
            .map(|stored| since_1970().saturating_sub(stored).saturating_add(MAX_CLOCK_DIFFERENCE));
        if !info.retains_all_after(place, elapsed, self.max_message) {
            let text = "entries may have been trimmed before they were received";
            return Err(BackendError::new(Fault::Lost, text));
        }
        self.gap = None;
        Ok(())
    }

    /// Finds out whether the log is the same after the consumer has ended.
    async fn explain_end(&self, cause: String) -> BackendError {
        let explained = async {
            let info = self.info().await?;
            if info.last < self.at.major() {
                return Err(BackendError::new(Fault::Lost, "the log has lost its end"));
            }
            if self.at != Position::START {
                let stored = self.options.stored(&self.link, self.at.major()).await?;
                if matches!(stored, Stored::At(at) if at != self.at) {
                    return Err(BackendError::new(Fault::Lost, "the log has lost its end"));
                }
            }
            Ok(())
        };
        // Nothing is wrong with the log, so another tail can go on.
        explained.await.err().unwrap_or_else(|| unavailable(cause))
    }

    /// Returns the stream, if it is the one that is followed.
    async fn info(&self) -> Result<StreamInfo, BackendError> {
        match self.options.info(&self.link).await {
            Ok(info) if info.identity == self.identity => Ok(info),
            Ok(_) => Err(BackendError::new(Fault::Lost, "the log is another one")),
            Err(StreamFault::Missing) => Err(BackendError::new(Fault::Lost, "the log was deleted")),
            Err(error) => Err(error.into()),
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Tail for NatsTail {
    async fn next(&mut self) -> Result<Batch, BackendError> {
        if let Some(fault) = self.failed {
            return Err(fault.into());
        }
        let next = self.next_batch().await;
        self.failed = next.as_ref().err().map(BackendError::fault);
        next
    }
}

impl std::fmt::Debug for NatsTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsTail").field("at", &self.at).finish_non_exhaustive()
    }
}
