//! A hub over Redis against a bare client of the same server, in the same run. Starts `redis-server`
//! without persistence.
//!
//! ```text
//! cargo bench --bench redis --features redis
//! ```

#[path = "../tests/support/redis.rs"]
#[allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
mod server;

use std::{sync::Arc, time::Duration};

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;
use tower_sse::{
    Event, Hub,
    hub::{History, Selection, backend::redis::RedisBackend},
};

use server::Redis;

const DATA: &str = "{\"a price\": 123456789, \"of\": \"something that takes about two hundred and fifty-six bytes, as the events of most applications do, which send JSON objects with a few fields; this text only fills the rest of it, and says nothing that anybody has to read now\"}";
const EVENTS: usize = 100_000;
const SINGLE: usize = 2_000;

async fn node(server: &Redis) -> Hub {
    let backend = RedisBackend::builder(server.url()).max_entries(1_000_000).connect().await;
    let history = History::events(2 * EVENTS).max_bytes(1 << 30);
    let builder = Hub::builder().history(history).total_history(history);
    builder.open(backend.expect("it is there")).await.expect("it is there")
}

async fn connection(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("it is there")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let server = Redis::with(&["--appendonly", "no"]).await;
    let bare = append_bare(&server).await;
    let hub = node(&server).await;
    let through_hub = append(&hub).await;
    rate("append, 64 at a time: XADD", bare, None);
    rate("append, 64 at a time: Hub::publish", through_hub, Some(bare));
    let bare = follow_bare(&server).await;
    let opening = Instant::now();
    let late = node(&server).await;
    let through_hub = EVENTS as f64 / opening.elapsed().as_secs_f64();
    rate("follow: XREAD", bare, None);
    rate("follow: a node that opens", through_hub, Some(bare));
    let bare = latency_bare(&server).await;
    let through_hub = latency(&hub, &late).await;
    for (name, values) in [("XADD to XREAD", &bare), ("one node to another", &through_hub)] {
        let [median, most] = [values.len() / 2, values.len() * 99 / 100].map(|at| values[at]);
        let ratio = median.as_secs_f64() / bare[bare.len() / 2].as_secs_f64();
        println!("one event: {name}: median {median:?} ({ratio:.2} of bare), 99 % {most:?}");
    }
    let begun = Instant::now();
    let reader = late.subscribe(Selection::new(["topic.77"]).expect("a topic").from_start());
    let mut reader = reader.await.expect("a reader");
    for _ in 0..EVENTS / 1000 {
        reader.next().await.expect("no end").expect("no lag");
    }
    println!("a topic of {} events from its start: {:?}", EVENTS / 1000, begun.elapsed());
}

fn rate(name: &str, rate: f64, bare: Option<f64>) {
    let ratio = bare.map_or(String::new(), |bare| format!(" ({:.2} of bare)", rate / bare));
    println!("{name}: {rate:.0} events/s{ratio}");
}

async fn append_bare(server: &Arc<Redis>) -> f64 {
    let connection = connection(server).await;
    let begun = Instant::now();
    let tasks = (0..64).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            for _ in 0..EVENTS / 64 {
                let mut command = redis::cmd("XADD");
                command.arg("bare").arg("*").arg("topic").arg("t").arg("data").arg(DATA);
                command.query_async::<String>(&mut connection).await.expect("an answer");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    EVENTS as f64 / begun.elapsed().as_secs_f64()
}

async fn append(hub: &Hub) -> f64 {
    let begun = Instant::now();
    let tasks = (0..64).map(|task| {
        let hub = hub.clone();
        tokio::spawn(async move {
            for n in 0..EVENTS / 64 {
                let topic = format!("topic.{}", (n * 64 + task) % 1000);
                hub.publish(topic, Event::new(DATA)).await.expect("an answer");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    EVENTS as f64 / begun.elapsed().as_secs_f64()
}

async fn follow_bare(server: &Arc<Redis>) -> f64 {
    let mut connection = connection(server).await;
    let begun = Instant::now();
    let (mut at, mut read) = ("0-0".to_owned(), 0);
    while read < EVENTS / 64 * 64 {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(256).arg("STREAMS").arg("bare").arg(&at);
        let reply: redis::Value = command.query_async(&mut connection).await.expect("entries");
        let (last, count) = last_of(&reply);
        at = last;
        read += count;
    }
    read as f64 / begun.elapsed().as_secs_f64()
}

/// Returns the ID of the last entry of a reply to `XREAD`, and their number.
fn last_of(reply: &redis::Value) -> (String, usize) {
    let redis::Value::Array(streams) = reply else { panic!("{reply:?}") };
    let redis::Value::Array(stream) = &streams[0] else { panic!("{reply:?}") };
    let redis::Value::Array(entries) = &stream[1] else { panic!("{reply:?}") };
    let Some(redis::Value::Array(last)) = entries.last() else { panic!("{reply:?}") };
    (redis::from_redis_value_ref(&last[0]).expect("an ID"), entries.len())
}

/// From before `XADD` until another connection has read the entry, sorted.
async fn latency_bare(server: &Arc<Redis>) -> Vec<Duration> {
    let (mut writer, mut reader) = (connection(server).await, connection(server).await);
    let mut values = Vec::new();
    let mut at = "$".to_owned();
    for _ in 0..SINGLE {
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(400).arg("STREAMS").arg("single").arg(&at);
        let waiting = async { read.query_async::<redis::Value>(&mut reader).await };
        let writing = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let begun = Instant::now();
            let mut command = redis::cmd("XADD");
            command.arg("single").arg("*").arg("topic").arg("t").arg("data").arg(DATA);
            command.query_async::<String>(&mut writer).await.expect("an answer");
            begun
        };
        let (reply, begun) = tokio::join!(waiting, writing);
        values.push(begun.elapsed());
        at = last_of(&reply.expect("an entry")).0;
    }
    values.sort_unstable();
    values
}

/// From before `Hub::publish` until a reader of another node has the event, sorted.
async fn latency(hub: &Hub, other: &Hub) -> Vec<Duration> {
    let mut reader =
        other.subscribe(Selection::new(["single"]).expect("a topic")).await.expect("one");
    let mut values = Vec::new();
    for _ in 0..SINGLE {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        let publishing = hub.publish("single", Event::new(DATA));
        let reading = async {
            reader.next().await.expect("no end").expect("no lag");
            begun.elapsed()
        };
        let (published, read) = tokio::join!(publishing, reading);
        published.expect("an answer");
        values.push(read);
    }
    values.sort_unstable();
    values
}
