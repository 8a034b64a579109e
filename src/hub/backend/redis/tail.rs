//! Follows the log.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use redis::{RedisError, Value, aio::MultiplexedConnection};

use super::{
    error::{fault, is_useless},
    keys::Keys,
    link::Link,
    loss::{Known, Losses},
    message::{self, Read},
    servers::{Server, is_replica},
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
    link: Arc<Link>,
    connection: MultiplexedConnection,
    /// The address of the server.
    address: Arc<str>,
    losses: Arc<Losses>,
    /// The mark of the log that this tail knows.
    known_mark: Known,
    /// The position of the last entry that was returned or skipped.
    at: Position,
    /// How many entries are read at a time.
    count: usize,
    /// The reply that is waited for. It stays here if the future of `next` is dropped: a second request
    /// would have to wait until the server has replied to the first one.
    pending: Option<PendingReply>,
}

type PendingReply = Pin<Box<dyn Future<Output = Result<Reply, RedisError>> + Send>>;

/// The reply to a request.
struct Reply {
    /// The entries after a position.
    entries: Value,
    /// Whether the entry at the position was still there after the read.
    is_kept: bool,
    /// The mark of the log, or nothing.
    mark: String,
    /// Whether the server was a replica after the read.
    is_replica: bool,
    /// The time of the server.
    now: Duration,
}

impl RedisTail {
    pub(super) fn new(
        (keys, group): (Arc<Keys>, Arc<str>),
        link: Arc<Link>,
        Server { connection, address }: Server,
        losses: Arc<Losses>,
        after: Position,
    ) -> Self {
        let known_mark = losses.known();
        Self {
            keys,
            group,
            link,
            connection,
            address,
            losses,
            known_mark,
            at: after,
            count: FIRST_COUNT,
            pending: None,
        }
    }

    /// Leaves a mark if the log has lost the entry at which this tail starts.
    pub(super) async fn find_loss(&mut self) -> Result<(), BackendError> {
        let id = message::id(self.at);
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.keys.log).arg(&id).arg(&id);
        let entry = command.query_async(&mut self.connection).await;
        let entry = entry.map_err(|error| fault(error, Fault::Unavailable))?;
        if !is_kept(entry, self.at) {
            let marked =
                self.losses.mark(&self.keys, &self.group, self.at, &mut self.connection).await;
            marked.map_err(|error| fault(error, Fault::Unavailable))?;
        }
        Ok(())
    }

    fn request(&self) -> PendingReply {
        let log = &self.keys.log;
        let id = message::id(self.at);
        let mut pipeline = redis::pipe();
        let read = pipeline.cmd("XREAD").arg("COUNT").arg(self.count);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS").arg(log).arg(&id);
        // The entries belong to the log that is followed only if the log is still the same after the read,
        // and the entry before is still there.
        pipeline.cmd("XPENDING").arg(log).arg(&*self.group);
        pipeline.cmd("XRANGE").arg(log).arg(&id).arg(&id);
        pipeline.cmd("GET").arg(self.keys.loss());
        pipeline.cmd("TIME");
        // A master that became a replica still answers, with older entries or none.
        pipeline.cmd("ROLE");
        pipeline.ignore_errors();
        let (keys, group, at) = (self.keys.clone(), self.group.clone(), self.at);
        let (mut connection, losses) = (self.connection.clone(), self.losses.clone());
        Box::pin(async move {
            let replies = pipeline.query_async(&mut connection).await?;
            let reply = parse(replies, at)?;
            if !reply.is_kept {
                losses.mark(&keys, &group, at, &mut connection).await?;
            }
            Ok(reply)
        })
    }

    /// Ends the tail if its server is not the one that has the log. Then the next tail, and the calls,
    /// find the right one.
    fn check_server(&self, reply: &Reply) -> Result<(), BackendError> {
        let moved = |text: &str| Err(BackendError::new(Fault::Unavailable, text));
        if reply.is_replica {
            self.link.leave(&self.address);
            return moved("the server became a replica");
        }
        if !self.link.is_current(&self.address) {
            return moved("the log is at another server");
        }
        Ok(())
    }

    fn check_log(&mut self, reply: &Reply) -> Result<(), BackendError> {
        if !reply.is_kept {
            return Err(BackendError::new(Fault::Lost, "the last entry is no longer in the log"));
        }
        if self.losses.is_told_by(&reply.mark, &mut self.known_mark, self.at) {
            return Err(BackendError::new(Fault::Lost, "the log has lost its end"));
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
            let reply = reply.map_err(|error| {
                if is_useless(&error) {
                    self.link.leave(&self.address);
                }
                fault(error, Fault::Unavailable)
            })?;
            self.check_server(&reply)?;
            self.check_log(&reply)?;
            let read = message::read(of_stream(reply.entries), &Wanted::all(), reply.now);
            self.adapt(&read);
            if let Some(last) = read.last {
                self.at = last;
                return Ok(read.batch.with_upto(last));
            }
        }
    }
}

fn parse(replies: Vec<Value>, at: Position) -> Result<Reply, RedisError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or_default();
    let entries = next().extract_error()?;
    let _is_same_log = next().extract_error()?;
    let is_kept = is_kept(next().extract_error()?, at);
    let mark = message::text(&next().extract_error()?).unwrap_or_default().to_owned();
    let now = message::time(&next().extract_error()?).unwrap_or_default();
    // A user may lack the permission for `ROLE`. Then it is not known.
    let is_replica = is_replica(&next());
    Ok(Reply { entries, is_kept, mark, is_replica, now })
}

/// Returns whether this is the entry at a position.
fn is_kept(reply: Value, at: Position) -> bool {
    at == Position::START || message::read(reply, &Wanted::all(), Duration::ZERO).last == Some(at)
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
