//! `RedisBackend`: the calls of a hub as commands of Redis.

use std::{
    cmp::Reverse,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use redis::{Script, ScriptInvocation, Value};

use super::{
    keys::{Keys, hex, parse_hex},
    link::Link,
    message::{self, id, parse_id},
    options::{Options, ttl_millis},
    script,
    tail::{self, RedisTail},
};
use crate::hub::{
    backend::{
        bounds::{Abilities, Bounds, Located},
        entry::{Batch, EntryKind, LogEntry, Outgoing},
        error::{BackendError, Fault},
        identity::Identity,
        position::Position,
        store::Backend,
        wanted::Wanted,
    },
    topic::Topic,
};

/// The start of the name of the group whose rest is the identity of a log.
const GROUP: &str = "tower-sse:";
/// How many entries one command returns at most. The hub reads pages, and a page is held in memory.
const MAX_PAGE: usize = 256;
/// How many topics a read may name to be served from the streams of the topics.
const MAX_NAMES: usize = 64;
/// How many entries a script looks at.
const MAX_STEP: usize = 256;
/// How many commands one write to the server has at most.
const MAX_COMMANDS: usize = 64;
/// How many fields an event may have. A script has a limited number of arguments.
const MAX_FIELDS: usize = 1000;
/// How long a repeated append is recognized.
const DEDUP: Duration = Duration::from_secs(120);

/// A [`Backend`] that keeps the log in Redis, from version 7.0 on. A clone is cheap and shares the
/// connection.
///
/// ```no_run
/// # async fn open() -> Result<(), tower_sse::BoxError> {
/// use tower_sse::{Hub, hub::backend::redis::RedisBackend};
///
/// let backend = RedisBackend::builder("redis://127.0.0.1:6379").log("events").connect().await?;
/// let hub = Hub::builder().open(backend).await?; // on each node
/// hub.publish("orders", "paid").await?;
/// # Ok(()) }
/// ```
///
/// # What is stored
///
/// | key | type | contents |
/// |---|---|---|
/// | `events` | stream | the log: all entries, in order |
/// | `{events}:IDENTITY:topic:TOPIC` | stream | the entries of a topic, for readers that name it |
/// | `{events}:IDENTITY:state:TOPIC` | hash | the ID of the newest entry of each key |
/// | `{events}:IDENTITY:end:TOPIC` | string | the ID of the end of the topic, if it has ended |
/// | `{events}:IDENTITY:foreign:TOPIC` | string | the ID of the newest entry of another program, if there is one |
/// | `{events}:IDENTITY:topics-with-keys` | set | the topics that have keys |
/// | `{events}:IDENTITY:append:ID` | string | the ID of the entry of an append, for two minutes |
///
/// `events` is the name of the [log](crate::hub::backend::redis::RedisBuilder::log). The identity is the name of a consumer group of
/// the log, so that it goes with the log. An entry has these fields:
///
/// | field | value |
/// |---|---|
/// | `topic` | the topic |
/// | `data` | the data |
/// | `type`, `retry` | of the event, if it has them |
/// | `key` | the key, if it has one |
/// | `kind` | `tombstone`, `end` or `control`; an event has none |
/// | `expires` | when the entry is over, in milliseconds since 1970 by the clock of the server |
/// | `append` | the ID of the append |
/// | `.NAME` | a comment (`.:`) or a custom field of the event |
///
/// # Other programs
///
/// Any client can publish: `XADD events '*' topic orders data '{"n":1}'`. Such an entry is in the log only, and
/// the nodes note that its topic has one. All readers get it, as long as the log has it. After the log has
/// trimmed the entry, a reader at an earlier position gets a gap. To read the history of such a topic takes longer,
/// since the whole log is read. The entry is not part of the state of keys. If its kind is `end`, it ends the
/// streams of connected readers, and is not stored as the end of the topic. Any client can listen:
/// `XREAD BLOCK 0 STREAMS events '$'`. An entry without a valid `topic` is skipped and counted.
///
/// # Bounds
///
/// The log retains about [`max_entries`](crate::hub::backend::redis::RedisBuilder::max_entries) entries. Entries
/// older than [`topic_ttl`](crate::hub::backend::redis::RedisBuilder::topic_ttl) are removed, apart from the newest
/// of them, when a node next looks the log up. All nodes need the same values: the smallest one applies. The stream of a topic has the newest `max_entries` of the topic, and expires by itself `topic_ttl`
/// after the last one. If a topic [expires](crate::hub::HubBuilder::finished_ttl), its stream, state and end
/// are removed. Its entries stay in the log until that is trimmed, and readers with a pattern can read them.
///
/// # What survives
///
/// An acknowledged entry survives what Redis survives. With `appendfsync always` that is a killed process
/// or machine, with `everysec` all but about the last second, and without persistence nothing but a lost
/// connection. Redis must not evict keys:
/// [`connect`](crate::hub::backend::redis::RedisBuilder::connect) warns if `maxmemory` is set and
/// `maxmemory-policy` is not `noeviction`, and if `appendonly` is off.
///
/// If the newest entries are lost, the hub tells readers of a gap, by the
/// [mark](crate::hub::HubBuilder::open) that a node appends which has received one of them.
///
/// # Sentinel and Cluster
///
/// [`sentinels`](RedisBackend::sentinels) finds the master by Sentinels, and
/// [`cluster`](RedisBackend::cluster) the node of a Redis Cluster that has the log. All keys of a log are in
/// one slot, so a cluster spreads logs, not the load of one log. A node asks again at each new connection.
/// It gives a connection up when the server became a replica, no longer has the slot, has too few replicas
/// to write, or does not answer for five seconds. A single URL may name a host or a proxy that leads to the current
/// master.
///
/// While no server can be reached, publishing waits for up to
/// [`publish_timeout`](crate::hub::HubBuilder::publish_timeout), and readers stay connected. The same holds
/// while the slot of the log moves to another node.
///
/// Redis replicates after it has acknowledged. A replica that is promoted may lack the newest acknowledged
/// entries, usually those of the last milliseconds. They are lost, with a gap as above. An entry whose
/// acknowledgement did not arrive is published again: if readers have received it from the lost master,
/// they receive it a second time, after the gap. `WAIT` is not used.
///
/// A master that is cut off from its replicas and Sentinels, but not from a node, goes on until the cut
/// ends. Its entries are then lost. Set `min-replicas-to-write 1` and `min-replicas-max-lag` on all servers:
/// such a master refuses to write after that number of seconds, and nodes that publish look for another
/// one. A node that only reads stays with the old master until that becomes a replica. With a single replica, the
/// setting also stops writing while that replica is away.
///
/// TLS is a setting of the client library: add `redis` with one of its TLS features to your dependencies, and
/// use a URL that starts with `rediss://`. Not tested here, as compatible servers are not.
///
/// A node needs permission for the command `ROLE` to notice that the master became a replica while the
/// connection lasts. Without it, it notices that when it publishes.
#[derive(Clone)]
pub struct RedisBackend {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    options: Options,
    /// The log that was found last.
    log: RwLock<Option<Log>>,
    scripts: Scripts,
}

struct Scripts {
    bounds: Script,
    locate: Script,
    before: Script,
    forget: Script,
    append: Script,
}

/// A log, until it is deleted.
#[derive(Clone)]
struct Log {
    identity: Identity,
    keys: Arc<Keys>,
    /// The name of the group that is the identity.
    group: Arc<str>,
}

/// The reply of the script that reads the bounds.
pub(super) struct Found {
    log: Log,
    oldest: Option<Position>,
    newest: Position,
}

impl RedisBackend {
    pub(super) fn new(link: Link, options: Options) -> Self {
        let scripts = Scripts {
            bounds: script::bounds(),
            locate: script::locate(),
            before: script::before(),
            forget: script::forget(),
            append: script::append(),
        };
        let (link, log) = (Arc::new(link), RwLock::default());
        Self { shared: Arc::new(Shared { link, options, log, scripts }) }
    }

    /// Finds the log, or makes it.
    pub(super) async fn find(&self) -> Result<Found, BackendError> {
        let Shared { link, options, scripts, .. } = &*self.shared;
        let mut call = scripts.bounds.key(&options.log);
        self.add_find_args(&mut call);
        let (group, oldest, newest): (String, String, String) =
            link.script(&call, Fault::Unavailable).await?;
        let identity = group.strip_prefix(GROUP).and_then(parse_hex);
        let identity = identity.ok_or_else(|| {
            BackendError::new(Fault::Refused, format!("{group:?} is no identity of a log"))
        })?;
        let identity = Identity::new(identity);
        let keys = Arc::new(Keys::new(&options.log, identity));
        let log = Log { identity, keys, group: group.into() };
        *self.shared.log.write().unwrap_or_else(PoisonError::into_inner) = Some(log.clone());
        let newest = parse_id(&newest).unwrap_or(Position::START);
        Ok(Found { log, oldest: parse_id(&oldest), newest })
    }

    /// Adds what a script needs to find the log.
    fn add_find_args(&self, call: &mut ScriptInvocation<'_>) {
        call.arg(format!("{GROUP}{}", hex(Identity::random().as_bytes())));
        call.arg(ttl_millis(self.shared.options.topic_ttl));
    }

    /// Returns the log that was found last.
    async fn log(&self) -> Result<Log, BackendError> {
        let log = self.shared.log.read().unwrap_or_else(PoisonError::into_inner).clone();
        match log {
            Some(log) => Ok(log),
            None => Ok(self.find().await?.log),
        }
    }

    async fn append_to(
        &self,
        log: &Log,
        entries: &[Outgoing],
    ) -> Result<Vec<Position>, BackendError> {
        let Shared { link, options, scripts, .. } = &*self.shared;
        let mut call = scripts.append.key(&log.keys.log);
        call.key(log.keys.topics_with_keys());
        call.arg(&*log.group).arg(options.max_entries);
        call.arg(DEDUP.as_millis() as u64).arg(ttl_millis(options.topic_ttl));
        for entry in entries {
            let topic = entry.topic.as_str();
            call.key(log.keys.append(entry.append_id));
            call.key(log.keys.topic(topic)).key(log.keys.state(topic));
            let key = entry.key.as_ref().map_or(String::new(), |key| format!("={key}"));
            let kind = match entry.kind {
                EntryKind::Tombstone | EntryKind::End => entry.kind.name(),
                EntryKind::Event | EntryKind::Control => "",
            };
            if entry.kind == EntryKind::End {
                call.key(log.keys.end(topic));
            }
            let ttl = entry.ttl.map(ttl_millis);
            let fields = message::fields(entry);
            call.arg(topic).arg(key).arg(kind).arg(ttl.unwrap_or_default());
            call.arg(2 * fields.len());
            for (name, value) in fields {
                call.arg(name).arg(value);
            }
        }
        let ids: Vec<String> = link.script(&call, Fault::Unknown).await?;
        let position = |(id, entry): (&String, &Outgoing)| {
            Some(parse_id(id)?.with_check(message::fingerprint_of(entry.append_id)))
        };
        let positions: Option<Vec<_>> = ids.iter().zip(entries).map(position).collect();
        positions.ok_or_else(|| BackendError::new(Fault::Unknown, "an ID cannot be read"))
    }

    /// Returns the position of the entry at a place, with its fingerprint, if there is one.
    async fn stored(&self, log: &Log, at: Position) -> Result<Option<Position>, BackendError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&log.keys.log).arg(id(at)).arg(id(at));
        let entry: Value = self.shared.link.query(&command).await?;
        Ok(message::read(entry, &Wanted::all(), Duration::ZERO).last)
    }

    /// Reads a range of the log.
    async fn read_log(
        &self,
        log: &Log,
        (after, upto): (Position, Position),
        wanted: &Wanted,
        most: usize,
    ) -> Result<Batch, BackendError> {
        let mut pipeline = redis::pipe();
        let range = pipeline.cmd("XRANGE").arg(&log.keys.log).arg(format!("({}", id(after)));
        range.arg(id(upto)).arg("COUNT").arg(most);
        pipeline.cmd("TIME");
        let (entries, time): (Value, Value) = self.shared.link.pipeline(&pipeline).await?;
        let read = message::read(entries, wanted, message::time(&time).unwrap_or_default());
        let end = read.last.filter(|_| read.count == most).unwrap_or(upto);
        Ok(read.batch.with_upto(end))
    }

    /// Reads a range from the streams of topics.
    async fn read_topics(
        &self,
        log: &Log,
        (after, upto): (Position, Position),
        wanted: &Wanted,
        most: usize,
    ) -> Result<Batch, BackendError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        let foreign = wanted.names().iter().map(|topic| log.keys.foreign(topic.as_str()));
        pipeline.cmd("MGET").arg(foreign.collect::<Vec<_>>());
        for topic in wanted.names() {
            let range = pipeline.cmd("XRANGE").arg(log.keys.topic(topic.as_str()));
            range.arg(format!("({}", id(after))).arg(id(upto)).arg("COUNT").arg(most);
        }
        let replies: Vec<Value> = self.shared.link.pipeline(&pipeline).await?;
        let mut replies = replies.into_iter();
        let now = replies.next().as_ref().and_then(message::time).unwrap_or_default();
        if newest_id(replies.next()).is_some_and(|foreign| foreign.place() > after.place()) {
            return self.read_log(log, (after, upto), wanted, most).await;
        }
        let (mut entries, mut end, mut junk) = (Vec::new(), upto, 0);
        for reply in replies {
            let read = message::read(reply, wanted, now);
            // After the last entry of a full page the stream may have others.
            if let Some(last) = read.last.filter(|_| read.count == most) {
                end = end.min(last);
            }
            entries.extend(read.batch.entries);
            junk += read.batch.junk;
        }
        entries.sort_unstable_by_key(|entry: &LogEntry| entry.at);
        entries.retain(|entry| entry.at.place() <= end.place());
        if entries.len() > most {
            entries.truncate(most);
            end = entries[most - 1].at;
        }
        Ok(Batch::new(entries).with_upto(end).with_junk(junk))
    }

    /// Returns the newest entries of a topic in a stream, the newest first.
    async fn newest_in(
        &self,
        stream: &str,
        topic: &Topic,
        (after, upto): (Option<Position>, Position),
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        let wanted = Wanted::from_parts(vec![topic.clone()], Vec::new());
        let start = after.map_or_else(|| "-".to_owned(), |after| format!("({}", id(after)));
        let (mut end, mut newest) = (Some(id(upto)), Vec::new());
        while let Some(before) = end.take().filter(|_| newest.len() < most.get()) {
            let mut pipeline = redis::pipe();
            let range = pipeline.cmd("XREVRANGE").arg(stream).arg(before).arg(&start);
            range.arg("COUNT").arg(MAX_PAGE);
            pipeline.cmd("TIME");
            let (entries, time): (Value, Value) = self.shared.link.pipeline(&pipeline).await?;
            let read = message::read(entries, &wanted, message::time(&time).unwrap_or_default());
            end = read.last.filter(|_| read.count == MAX_PAGE).map(|last| format!("({}", id(last)));
            newest.extend(read.batch.entries);
        }
        newest.truncate(most.get());
        Ok(newest)
    }

    /// Returns the IDs of the newest entries of the keys of some topics.
    async fn state_ids(
        &self,
        log: &Log,
        topics: &[Topic],
    ) -> Result<Vec<(Topic, String)>, BackendError> {
        let mut ids = Vec::new();
        for topics in topics.chunks(MAX_COMMANDS) {
            let mut pipeline = redis::pipe();
            for topic in topics {
                pipeline.cmd("HVALS").arg(log.keys.state(topic.as_str()));
            }
            let replies: Vec<Vec<String>> = self.shared.link.pipeline(&pipeline).await?;
            for (topic, of_topic) in topics.iter().zip(replies) {
                ids.extend(of_topic.into_iter().map(|id| (topic.clone(), id)));
            }
        }
        Ok(ids)
    }
}

impl Backend for RedisBackend {
    type Tail = RedisTail;

    fn abilities(&self) -> Abilities {
        let largest = self.shared.options.max_entry_bytes;
        Abilities::new().with_atomic(true).with_largest(largest).with_dedup(DEDUP)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        let found = self.find().await?;
        let newest = self.stored(&found.log, found.newest).await?;
        let oldest = match found.oldest {
            Some(oldest) => self.stored(&found.log, oldest).await?,
            None => None,
        };
        Ok(Bounds::new(found.log.identity, oldest, newest.unwrap_or(found.newest)))
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        let max = self.shared.options.max_entry_bytes;
        for entry in entries {
            let (size, fields) = (entry.size(), entry.event.fields.len());
            if size > max || fields > MAX_FIELDS {
                return Err(BackendError::new(
                    Fault::Refused,
                    format!(
                        "an entry of {size} bytes and {fields} fields exceeds the limit of {max} bytes and {MAX_FIELDS} fields"
                    ),
                ));
            }
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let log = self.log().await?;
        match self.append_to(&log, entries).await {
            // The log was made again. The entries belong to the new one.
            Err(error) if error.fault() == Fault::Lost => {
                let found = self.find().await?;
                self.append_to(&found.log, entries).await
            }
            appended => appended,
        }
    }

    async fn tail(&self, after: Position) -> Result<RedisTail, BackendError> {
        let log = self.find().await?.log;
        let link = &self.shared.link;
        let server = link.connect(tail::BLOCK).await?;
        let topic_ttl = self.shared.options.topic_ttl;
        Ok(RedisTail::new((log.keys, log.group), (link.clone(), topic_ttl), server, after))
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        let log = self.log().await?;
        let most = most.get().min(MAX_PAGE);
        if is_of_few_names(wanted) {
            return match wanted.names() {
                [] => Ok(Batch::default().with_upto(upto)),
                _ => self.read_topics(&log, (after, upto), wanted, most).await,
            };
        }
        self.read_log(&log, (after, upto), wanted, most).await
    }

    async fn locate(&self, at: Position, wanted: &Wanted) -> Result<Located, BackendError> {
        let log = self.log().await?;
        let Shared { link, scripts, .. } = &*self.shared;
        let mut call = scripts.locate.key(&log.keys.log);
        if is_of_few_names(wanted) {
            for topic in wanted.names() {
                call.key(log.keys.topic(topic.as_str())).key(log.keys.foreign(topic.as_str()));
            }
        }
        self.add_find_args(&mut call);
        call.arg(if at == Position::START { String::new() } else { id(at) });
        let (located, entry): (String, Value) = link.script(&call, Fault::Unavailable).await?;
        let is_kept = || {
            let stored = message::read(entry, &Wanted::all(), Duration::ZERO).last;
            at == Position::START || stored == Some(at)
        };
        Ok(match &*located {
            "kept" if is_kept() => Located::Kept,
            "trimmed" => Located::Trimmed,
            _ => Located::Unknown,
        })
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        let log = self.log().await?;
        let mut ends = Vec::with_capacity(topics.len());
        for topics in topics.chunks(MAX_COMMANDS) {
            let mut pipeline = redis::pipe();
            for topic in topics {
                pipeline.cmd("GET").arg(log.keys.end(topic.as_str()));
            }
            let ids: Vec<Option<String>> = self.shared.link.pipeline(&pipeline).await?;
            ends.extend(ids.into_iter().map(|id| parse_id(&id?)));
        }
        Ok(ends)
    }

    async fn warm_start(&self, most: NonZeroUsize) -> Result<Position, BackendError> {
        let Found { log, oldest, newest } = self.find().await?;
        let (mut at, mut left) = (newest, most.get());
        while left > 0 {
            let entries = left.min(MAX_STEP);
            let mut call = self.shared.scripts.before.key(&log.keys.log);
            call.arg(id(at)).arg(entries + 1);
            let before: String = self.shared.link.script(&call, Fault::Unavailable).await?;
            let Some(before) = parse_id(&before) else { return Ok(Position::START) };
            at = before;
            left -= entries;
        }
        if oldest.is_none_or(|oldest| at <= oldest) {
            return Ok(Position::START);
        }
        Ok(self.stored(&log, at).await?.unwrap_or(Position::START))
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        let log = self.log().await?;
        let mut topics = wanted.names().to_vec();
        if wanted.is_all() || wanted.patterns().next().is_some() {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(log.keys.topics_with_keys());
            let names: Vec<String> = self.shared.link.query(&command).await?;
            let names = names.into_iter().filter(|name| wanted.takes(name));
            topics.extend(names.filter_map(|name| name.parse::<Topic>().ok()));
            topics.sort_unstable();
            topics.dedup();
        }
        let mut ids = self.state_ids(&log, &topics).await?;
        ids.retain(|(_, id)| parse_id(id).is_some_and(|at| at <= upto));
        let mut state = Vec::new();
        for ids in ids.chunks(MAX_COMMANDS) {
            let mut pipeline = redis::pipe();
            pipeline.cmd("TIME");
            for (topic, id) in ids {
                pipeline.cmd("XRANGE").arg(log.keys.topic(topic.as_str())).arg(id).arg(id);
            }
            let mut replies: Vec<Value> = self.shared.link.pipeline(&pipeline).await?;
            let now = message::time(&replies.remove(0)).unwrap_or_default();
            for reply in replies {
                state.extend(message::read(reply, wanted, now).batch.entries);
            }
        }
        Ok(state)
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        let log = self.log().await?;
        let mut newest = Vec::new();
        for topic in topics {
            let mut of_topic =
                self.newest_in(&log.keys.topic(topic.as_str()), topic, (None, upto), most).await?;
            let mut command = redis::cmd("GET");
            command.arg(log.keys.foreign(topic.as_str()));
            if self.shared.link.query::<Value>(&command).await? != Value::Nil {
                // Entries of other programs are in the log only. Before the oldest of these, none is needed.
                let after = of_topic.last().filter(|_| of_topic.len() == most.get());
                let range = (after.map(|entry| entry.at), upto);
                of_topic.extend(self.newest_in(&log.keys.log, topic, range, most).await?);
                of_topic.sort_unstable_by_key(|entry| Reverse(entry.at));
                of_topic.dedup_by_key(|entry| entry.at);
                of_topic.truncate(most.get());
            }
            newest.extend(of_topic);
        }
        Ok(newest)
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        let log = self.log().await?;
        let Shared { link, scripts, .. } = &*self.shared;
        for (topic, upto) in topics {
            let topic = topic.as_str();
            let mut call = scripts.forget.key(log.keys.topic(topic));
            call.key(log.keys.state(topic)).key(log.keys.end(topic));
            call.key(log.keys.topics_with_keys()).key(log.keys.foreign(topic));
            call.arg(id(*upto)).arg(topic);
            let _: Value = link.script(&call, Fault::Unavailable).await?;
        }
        Ok(())
    }
}

/// Returns the newest of some IDs, as a position.
fn newest_id(reply: Option<Value>) -> Option<Position> {
    let Some(Value::Array(ids)) = reply else { return None };
    ids.iter().filter_map(|id| parse_id(message::text(id)?)).max()
}

/// Returns whether only some topics are wanted, which have streams of their own.
fn is_of_few_names(wanted: &Wanted) -> bool {
    let is_of_names = !wanted.is_all() && wanted.patterns().next().is_none();
    is_of_names && wanted.names().len() <= MAX_NAMES
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is omitted: it may contain a password.
        f.debug_struct("RedisBackend")
            .field("log", &self.shared.options.log)
            .finish_non_exhaustive()
    }
}
