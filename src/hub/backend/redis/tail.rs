//! Follows the log.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use redis::{RedisError, Value, aio::MultiplexedConnection};

use super::{
    keys::Keys,
    link,
    message::{self, Read},
};
use crate::hub::backend::{
    entry::Batch,
    error::{BackendError, Fault},
    position::Position,
    store::Tail,
    wanted::Wanted,
};

/// How long the server waits for an entry before it replies without one.
pub(super) const BLOCK: Duration = Duration::from_secs(1);
/// How many entries are read at a time, at most and at first.
const MAX_COUNT: usize = 256;
const FIRST_COUNT: usize = 32;
/// The bytes that a reply should have at most. If the entries are larger, fewer are read at a time.
const MAX_REPLY_BYTES: usize = 2 << 20;

/// Follows the log of a [`RedisBackend`](super::RedisBackend).
pub struct RedisTail {
    keys: Arc<Keys>,
    /// The name of the group that is the identity of the log.
    group: Arc<str>,
    connection: MultiplexedConnection,
    /// The position of the last entry that was returned or skipped.
    at: Position,
    /// How many entries are read at a time.
    count: usize,
    /// The reply that is waited for. It stays here if the future of `next` is dropped: a second request
    /// would have to wait until the server has replied to the first one.
    pending: Option<PendingReply>,
}

type PendingReply = Pin<Box<dyn Future<Output = Result<Reply, RedisError>> + Send>>;

/// The entries after a position; then, at a later moment, a reply that there is only if the log is the
/// same, the entry at the position, and the time of the server.
type Reply = (Value, Value, Value, Value);

impl RedisTail {
    pub(super) fn new(
        keys: Arc<Keys>,
        group: Arc<str>,
        connection: MultiplexedConnection,
        after: Position,
    ) -> Self {
        Self { keys, group, connection, at: after, count: FIRST_COUNT, pending: None }
    }

    fn request(&self) -> PendingReply {
        let log = &self.keys.log;
        let at = message::id(self.at);
        let mut pipeline = redis::pipe();
        let read = pipeline.cmd("XREAD").arg("COUNT").arg(self.count);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS").arg(log).arg(&at);
        // The entries belong to the log that is followed only if the log is still the same after the read,
        // and the entry before is still there.
        pipeline.cmd("XPENDING").arg(log).arg(&*self.group);
        pipeline.cmd("XRANGE").arg(log).arg(&at).arg(&at);
        pipeline.cmd("TIME");
        let mut connection = self.connection.clone();
        Box::pin(async move { pipeline.query_async(&mut connection).await })
    }

    fn check(&self, last: &Value) -> Result<(), BackendError> {
        let is_kept = matches!(last, Value::Array(entries) if !entries.is_empty());
        if self.at != Position::START && !is_kept {
            return Err(BackendError::new(Fault::Lost, "the last entry is no longer in the log"));
        }
        Ok(())
    }

    fn adapt(&mut self, read: &Read) {
        if read.bytes > MAX_REPLY_BYTES {
            self.count = (read.count * MAX_REPLY_BYTES / read.bytes).max(1);
        } else if read.count == self.count {
            self.count = (2 * self.count).min(MAX_COUNT);
        }
    }
}

impl Tail for RedisTail {
    async fn next(&mut self) -> Result<Batch, BackendError> {
        loop {
            if self.pending.is_none() {
                self.pending = Some(self.request());
            }
            let Some(pending) = &mut self.pending else { continue };
            let reply = pending.await;
            self.pending = None;
            let reply = reply.map_err(|error| link::fault(error, Fault::Unavailable))?;
            let (entries, _is_same_log, last, time) = reply;
            self.check(&last)?;
            let now = message::time(&time).unwrap_or_default();
            let read = message::read(of_stream(entries), &Wanted::all(), now);
            self.adapt(&read);
            if let Some(last) = read.last {
                self.at = last;
                return Ok(read.batch.with_upto(last));
            }
        }
    }
}

/// Returns the entries in the reply to `XREAD` of one stream.
fn of_stream(reply: Value) -> Value {
    let Value::Array(streams) = reply else { return Value::Nil };
    let Some(Value::Array(stream)) = streams.into_iter().next() else { return Value::Nil };
    stream.into_iter().nth(1).unwrap_or_default()
}

impl fmt::Debug for RedisTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTail").field("at", &self.at).finish_non_exhaustive()
    }
}
