//! Hubs over Redis and NATS against bare clients of the same servers, in the same run. Starts both servers,
//! `redis-server` without persistence.
//!
//! ```text
//! cargo bench --bench nodes --features redis,nats
//! ```
//!
//! With arguments, only what they name: `redis`, `nats`, `follow`, `costs`, `latency`, `replay`.

#[path = "../tests/support/nats.rs"]
#[allow(clippy::unwrap_used, dead_code, reason = "a benchmark that cannot go on has failed")]
mod nats;
#[path = "../tests/support/redis.rs"]
#[allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
mod redis_server;

use std::{fs, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture};
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;
use tower_sse::{
    Event, Hub,
    hub::{
        History, HubBuilder, Selection, Subscription,
        backend::{nats::NatsBackend, redis::RedisBackend},
    },
};

use self::{nats::NatsServer, redis_server::Redis};

const DATA: &str = "{\"a price\": 123456789, \"of\": \"something that takes about two hundred and fifty-six bytes, as the events of most applications do, which send JSON objects with a few fields; this text only fills the rest of it, and says nothing that anybody has to read now\"}";
/// How many events a node follows.
const EVENTS: usize = 200_000;
/// How many events are published one at a time.
const SINGLE: usize = 2_000;
/// How many events a reader replays.
const REPLAYED: usize = 1_000_000;

/// What is measured of an engine.
trait Engine: Sync {
    fn name(&self) -> &'static str;
    /// Opens a node of a log.
    fn node(&self, log: &str, builder: HubBuilder) -> BoxFuture<'_, Hub>;
    /// Appends events to a log with a bare client, as fast as it can.
    fn append(&self, log: &str, events: usize) -> BoxFuture<'_, ()>;
    /// Reads events of a log with a bare client.
    fn follow(&self, log: &str, events: usize) -> BoxFuture<'_, ()>;
    /// From before an event is sent until another bare client has it.
    fn latencies(&self) -> BoxFuture<'_, Vec<Duration>>;
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if is_wanted(&["redis", "nats"], "redis") {
            let server = Redis::with(&["--appendonly", "no"]).await;
            run(&OverRedis { server }).await;
        }
        if is_wanted(&["redis", "nats"], "nats") {
            let server = NatsServer::start();
            let client = async_nats::connect(server.url()).await.expect("it is there");
            run(&OverNats { server, client }).await;
        }
    });
}

/// Whether one of a group of names is among the arguments, or none of the group is.
fn is_wanted(group: &[&str], name: &str) -> bool {
    let named = |name: &&str| std::env::args().any(|it| it == *name);
    named(&name) || !group.iter().any(named)
}

async fn run(engine: &dyn Engine) {
    println!("== {}", engine.name());
    let parts: [(_, BoxFuture<'_, ()>); 4] = [
        ("follow", Box::pin(follow(engine))),
        ("costs", Box::pin(costs(engine))),
        ("latency", Box::pin(latency(engine))),
        ("replay", Box::pin(replay(engine))),
    ];
    let names: Vec<_> = parts.iter().map(|it| it.0).collect();
    for (name, part) in parts {
        if is_wanted(&names, name) {
            part.await;
        }
    }
}

fn builder(events: usize) -> HubBuilder {
    let history = History::events(events).max_bytes(2 << 30);
    Hub::builder().history(history).total_history(history)
}

fn all() -> Selection {
    Selection::default().patterns([">"]).expect("a pattern")
}

async fn read(mut reader: Subscription, events: usize) {
    for _ in 0..events {
        reader.next().await.expect("no end").expect("no lag");
    }
}

/// A node follows what a bare client appends, and delivers it to readers.
async fn follow(engine: &dyn Engine) {
    let log = "followed";
    let hub = engine.node(log, builder(2 * EVENTS)).await;
    let begun = Instant::now();
    engine.append(log, EVENTS).await;
    println!("a bare client appends: {:.0} events/s", rate(begun));
    // The hub catches up first.
    read(hub.subscribe(all().from_start()).await.expect("a reader"), EVENTS).await;
    let begun = Instant::now();
    engine.follow(log, EVENTS).await;
    let bare = rate(begun);
    println!("a bare client follows: {bare:.0} events/s");
    let begun = Instant::now();
    let late = engine.node(log, builder(2 * EVENTS).warm_start(2 * EVENTS)).await;
    println!(
        "a node opens and follows: {:.0} events/s, {:.2} of bare",
        rate(begun),
        rate(begun) / bare
    );
    drop((hub, late));
    for readers in [1, 100] {
        let log = format!("followed-by-{readers}");
        let hub = engine.node(&log, builder(2 * EVENTS)).await;
        let tasks = (0..readers).map(|_| hub.subscribe(all()));
        let readers: Vec<_> = futures_util::future::join_all(tasks).await;
        let number = readers.len();
        let begun = Instant::now();
        let tasks = readers.into_iter().map(|it| tokio::spawn(read(it.expect("one"), EVENTS)));
        let tasks: Vec<_> = tasks.collect();
        engine.append(&log, EVENTS).await;
        for task in tasks {
            task.await.expect("no panic");
        }
        println!(
            "a node follows a bare client, {number} readers: {:.0} events/s each",
            rate(begun)
        );
    }
}

fn rate(begun: Instant) -> f64 {
    EVENTS as f64 / begun.elapsed().as_secs_f64()
}

/// The time of the processor that this process took, without that of the servers.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok()).expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Bare clients, and then nodes, follow the same log.
async fn costs(engine: &dyn Engine) {
    let log = "shared";
    engine.node(log, builder(10)).await;
    engine.append(log, EVENTS).await;
    let mut ones = [None; 2];
    for number in 1..=3 {
        for (one, name) in ones.iter_mut().zip(["bare clients", "nodes"]) {
            let before = processor_time();
            if name == "nodes" {
                let builder = || builder(2 * EVENTS).warm_start(2 * EVENTS);
                let opens = (0..number).map(|_| engine.node(log, builder()));
                futures_util::future::join_all(opens).await;
            } else {
                let follows = (0..number).map(|_| engine.follow(log, EVENTS));
                futures_util::future::join_all(follows).await;
            }
            let took = (processor_time() - before).as_secs_f64() / (number * EVENTS) as f64 * 1e6;
            println!(
                "{number} {name} follow: {took:.2} µs of the processor for each and event, {:.2} of one",
                took / *one.get_or_insert(took)
            );
        }
    }
}

async fn latency(engine: &dyn Engine) {
    let bare = engine.latencies().await;
    let hubs =
        [engine.node("single", builder(100)).await, engine.node("single", builder(100)).await];
    let ours = live(&hubs[0], &hubs[1], SINGLE).await;
    let base = show("one event, bare clients", &bare, None);
    show("one event, from one node to another", &ours, Some(base));
}

/// From before `Hub::publish` until a reader of another node has the event.
async fn live(hub: &Hub, other: &Hub, events: usize) -> Vec<Duration> {
    let mut reader =
        other.subscribe(Selection::new(["live"]).expect("a topic")).await.expect("one");
    let mut values = Vec::new();
    for _ in 0..events {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        let reading = async {
            reader.next().await.expect("no end").expect("no lag");
            begun.elapsed()
        };
        let (published, read) = tokio::join!(hub.publish("live", Event::new(DATA)), reading);
        published.expect("an answer");
        values.push(read);
    }
    values
}

/// Prints the median, the 99th percentile and the maximum. Returns the median.
fn show(name: &str, values: &[Duration], base: Option<Duration>) -> Duration {
    let mut values = values.to_vec();
    values.sort_unstable();
    let at = |part: f64| values[((values.len() - 1) as f64 * part) as usize];
    let ratio = base.map_or(String::new(), |base| {
        format!(" ({:.2} of the first)", at(0.5).as_secs_f64() / base.as_secs_f64())
    });
    println!("{name}: median {:?}{ratio}, 99 % {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
    at(0.5)
}

/// A reader replays a million events, while another one gets live ones.
async fn replay(engine: &dyn Engine) {
    let log = "long";
    let hubs = [engine.node(log, builder(100)).await, engine.node(log, builder(100)).await];
    engine.append(log, REPLAYED).await;
    // The nodes are at the end of the log.
    let first = live(&hubs[0], &hubs[1], 1).await;
    println!("the nodes have followed, {first:?}");
    let alone = live(&hubs[0], &hubs[1], SINGLE).await;
    let replayed =
        hubs[1].subscribe(Selection::default().patterns(["t.>"]).expect("one").from_start());
    let replayed = replayed.await.expect("a reader");
    let task = tokio::spawn(async move {
        let begun = Instant::now();
        read(replayed, REPLAYED).await;
        begun.elapsed()
    });
    let mut beside = Vec::new();
    while !task.is_finished() {
        beside.extend(live(&hubs[0], &hubs[1], 100).await);
    }
    println!("{REPLAYED} events replayed in {:?}", task.await.expect("no panic"));
    let base = show("a live event, without a replay", &alone, None);
    show("a live event, during the replay", &beside, Some(base));
}

struct OverRedis {
    server: Arc<Redis>,
}

impl OverRedis {
    async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.server.url()).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("it is there")
    }
}

impl Engine for OverRedis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn node(&self, log: &str, builder: HubBuilder) -> BoxFuture<'_, Hub> {
        let backend = RedisBackend::builder(self.server.url()).max_entries(2_000_000).log(log);
        Box::pin(async move {
            builder.open(backend.connect().await.expect("it is there")).await.expect("it is there")
        })
    }

    fn append(&self, log: &str, events: usize) -> BoxFuture<'_, ()> {
        let log = log.to_owned();
        Box::pin(async move {
            let mut connection = self.connection().await;
            for page in 0..events / 500 {
                let mut pipeline = redis::pipe();
                for n in 0..500 {
                    let add = pipeline.cmd("XADD").arg(&log).arg("*").arg("topic");
                    add.arg(format!("t.{}", (page + n) % 100)).arg("data").arg(DATA).ignore();
                }
                pipeline.query_async::<()>(&mut connection).await.expect("an answer");
            }
        })
    }

    fn follow(&self, log: &str, events: usize) -> BoxFuture<'_, ()> {
        let log = log.to_owned();
        Box::pin(async move {
            let mut connection = self.connection().await;
            let (mut at, mut read) = ("0-0".to_owned(), 0);
            while read < events {
                let mut command = redis::cmd("XREAD");
                command.arg("COUNT").arg(256).arg("STREAMS").arg(&log).arg(&at);
                let reply: redis::Value =
                    command.query_async(&mut connection).await.expect("entries");
                let (last, count) = last_of(&reply);
                at = last;
                read += count;
            }
        })
    }

    fn latencies(&self) -> BoxFuture<'_, Vec<Duration>> {
        Box::pin(async move {
            let (mut writer, mut reader) = (self.connection().await, self.connection().await);
            let mut values = Vec::new();
            let mut at = "$".to_owned();
            for _ in 0..SINGLE {
                let mut read = redis::cmd("XREAD");
                read.arg("BLOCK").arg(400).arg("STREAMS").arg("bare").arg(&at);
                let waiting = async { read.query_async::<redis::Value>(&mut reader).await };
                let writing = async {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let begun = Instant::now();
                    let mut command = redis::cmd("XADD");
                    command.arg("bare").arg("*").arg("topic").arg("t").arg("data").arg(DATA);
                    command.query_async::<String>(&mut writer).await.expect("an answer");
                    begun
                };
                let (reply, begun) = tokio::join!(waiting, writing);
                values.push(begun.elapsed());
                at = last_of(&reply.expect("an entry")).0;
            }
            values
        })
    }
}

/// Returns the ID of the last entry of a reply to `XREAD`, and their number.
fn last_of(reply: &redis::Value) -> (String, usize) {
    let redis::Value::Array(streams) = reply else { panic!("{reply:?}") };
    let redis::Value::Array(stream) = &streams[0] else { panic!("{reply:?}") };
    let redis::Value::Array(entries) = &stream[1] else { panic!("{reply:?}") };
    let Some(redis::Value::Array(last)) = entries.last() else { panic!("{reply:?}") };
    (redis::from_redis_value_ref(&last[0]).expect("an ID"), entries.len())
}

struct OverNats {
    server: NatsServer,
    client: async_nats::Client,
}

impl Engine for OverNats {
    fn name(&self) -> &'static str {
        "NATS"
    }

    fn node(&self, log: &str, builder: HubBuilder) -> BoxFuture<'_, Hub> {
        let backend =
            NatsBackend::builder(self.server.url()).stream(log).prefix(log).max_bytes(1 << 30);
        Box::pin(async move {
            builder.open(backend.connect().await.expect("it is there")).await.expect("it is there")
        })
    }

    fn append(&self, log: &str, events: usize) -> BoxFuture<'_, ()> {
        let log = log.to_owned();
        Box::pin(async move {
            // One message in a thousand is acknowledged, so that the server is not flooded.
            let inbox = self.client.new_inbox();
            let mut acknowledged = self.client.subscribe(inbox.clone()).await.expect("one");
            for n in 1..=events {
                let subject = format!("{log}.t.{}", n % 100);
                if n % 1000 == 0 {
                    let reply = inbox.clone();
                    self.client
                        .publish_with_reply(subject, reply, DATA.into())
                        .await
                        .expect("sent");
                    acknowledged.next().await.expect("an answer");
                } else {
                    self.client.publish(subject, DATA.into()).await.expect("sent");
                }
            }
        })
    }

    fn follow(&self, log: &str, events: usize) -> BoxFuture<'_, ()> {
        let log = log.to_owned();
        Box::pin(async move {
            let context = async_nats::jetstream::new(self.client.clone());
            let stream = context.get_stream(log).await.expect("a stream");
            let config = async_nats::jetstream::consumer::pull::Config {
                ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
                memory_storage: true,
                ..Default::default()
            };
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let messages = consumer.stream().max_messages_per_batch(1024).messages();
            let mut messages = messages.await.expect("messages");
            for _ in 0..events {
                messages.next().await.expect("no end").expect("a message");
            }
        })
    }

    fn latencies(&self) -> BoxFuture<'_, Vec<Duration>> {
        Box::pin(async move {
            let context = async_nats::jetstream::new(self.client.clone());
            let config = async_nats::jetstream::stream::Config {
                name: "bare".into(),
                subjects: vec!["bare.>".into()],
                ..Default::default()
            };
            let stream = context.create_stream(config).await.expect("a stream");
            let config = async_nats::jetstream::consumer::pull::Config {
                ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
                memory_storage: true,
                ..Default::default()
            };
            let consumer = stream.create_consumer(config).await.expect("a consumer");
            let mut messages = consumer.messages().await.expect("messages");
            let mut values = Vec::new();
            for _ in 0..SINGLE {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let begun = Instant::now();
                let reading = async {
                    messages.next().await.expect("no end").expect("a message");
                    begun.elapsed()
                };
                let sending = async {
                    let sent = context.publish("bare.t", DATA.into()).await.expect("sent");
                    sent.await.expect("an answer");
                };
                let ((), read) = tokio::join!(sending, reading);
                values.push(read);
            }
            values
        })
    }
}
