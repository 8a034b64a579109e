//! Follows the log.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use redis::{RedisError, Script, Value, aio::MultiplexedConnection};

use super::{
    error::{fault, is_useless},
    keys::Keys,
    link::Link,
    message::{self, Read},
    options::ttl_millis,
    script,
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
    /// Notes that topics have entries of other programs, and how long that is kept.
    note_foreign: (Script, Duration),
    connection: MultiplexedConnection,
    /// The address of the server.
    address: Arc<str>,
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
    /// Whether the server was a replica after the read.
    is_replica: bool,
    /// The time of the server.
    now: Duration,
}

impl RedisTail {
    pub(super) fn new(
        (keys, group): (Arc<Keys>, Arc<str>),
        (link, topic_ttl): (Arc<Link>, Duration),
        Server { connection, address }: Server,
        after: Position,
    ) -> Self {
        Self {
            keys,
            group,
            link,
            note_foreign: (script::note_foreign(), topic_ttl),
            connection,
            address,
            at: after,
            count: FIRST_COUNT,
            pending: None,
        }
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
        pipeline.cmd("TIME");
        // A master that became a replica still answers, with older entries or none.
        pipeline.cmd("ROLE");
        pipeline.ignore_errors();
        let (at, mut connection) = (self.at, self.connection.clone());
        Box::pin(async move { parse(pipeline.query_async(&mut connection).await?, at) })
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

    fn check_log(reply: &Reply) -> Result<(), BackendError> {
        if !reply.is_kept {
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
            let reply = reply.map_err(|error| {
                if is_useless(&error) {
                    self.link.leave(&self.address);
                }
                fault(error, Fault::Unavailable)
            })?;
            self.check_server(&reply)?;
            Self::check_log(&reply)?;
            let read = message::read(of_stream(reply.entries), &Wanted::all(), reply.now);
            self.adapt(&read);
            if let Some(last) = read.last {
                note_foreign(&self.link, &self.keys, &self.note_foreign, &read.batch).await?;
                self.at = last;
                return Ok(read.batch.with_upto(last));
            }
        }
    }
}

/// Notes the entries of other programs, before a reader can know of them: a reader that has moved to another
/// node must not miss them there.
async fn note_foreign(
    link: &Link,
    keys: &Keys,
    (script, topic_ttl): &(Script, Duration),
    batch: &Batch,
) -> Result<(), BackendError> {
    let foreign = batch.entries.iter().filter(|entry| entry.append_id.is_none());
    let newest: BTreeMap<_, _> = foreign.map(|entry| (entry.topic.as_str(), entry.at)).collect();
    if newest.is_empty() {
        return Ok(());
    }
    let mut call = script.arg(ttl_millis(*topic_ttl));
    for (topic, at) in newest {
        call.key(keys.foreign(topic)).arg(message::id(at));
    }
    link.script(&call, Fault::Unavailable).await
}

fn parse(replies: Vec<Value>, at: Position) -> Result<Reply, RedisError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or_default();
    let entries = next().extract_error()?;
    let _is_same_log = next().extract_error()?;
    let is_kept = is_kept(next().extract_error()?, at);
    let now = message::time(&next().extract_error()?).unwrap_or_default();
    // A user may lack the permission for `ROLE`. Then it is not known.
    let is_replica = is_replica(&next());
    Ok(Reply { entries, is_kept, is_replica, now })
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
