//! Measures what a second worker thread gains: many tasks read one topic, and another task
//! publishes, all in one process without a server.
//!
//! ```text
//! cores --workers 2 subscriptions
//! ```
//!
//! It prints a report as one line of JSON. `bench-run measure cores` runs it in turns.

use std::{
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use memchr::memmem;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinHandle,
};
use tower_sse::{
    Event, EventBody, Hub,
    hub::{Selection, Subscription, Topic},
};
use tower_sse_bench::{
    Report,
    process::{Spent, Usage},
};

const READERS: usize = 1000;
const EVENTS: usize = 900;
/// Bytes of data in each event. The last four are the event's number.
const SIZE: usize = 75;
/// Both a topic of a hub and the broadcast keep this many events, so that no reader lags.
const CAPACITY: usize = 1024;
/// A measurement that takes longer has lost an event.
const LIMIT: Duration = Duration::from_secs(60);

/// Measures readers of one topic in one process
#[derive(Parser)]
struct Args {
    kind: Kind,
    /// Worker threads of the runtime
    #[arg(long)]
    workers: usize,
    /// How many times all events are published, after one time that is not measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// The type of the readers.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// tokio's broadcast of bytes
    Broadcast,
    /// Subscriptions of a hub, read one entry at a time
    Subscriptions,
    /// Bodies of a hub, which join events
    Bodies,
}

fn main() {
    let Args { kind, workers, rounds } = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(round(kind));
    let mut report = Report { connections: READERS, ..Report::default() };
    for _ in 0..rounds {
        let Round { seconds, spent, bytes } = runtime.block_on(round(kind));
        report.seconds += seconds;
        report.user_us += spent.user;
        report.system_us += spent.system;
        report.cpu_us += spent.cpu;
        report.bytes += bytes as u64;
        report.events += (READERS * EVENTS) as u64;
    }
    println!("{}", serde_json::to_string(&report).expect("a report"));
}

/// The figures of one time that all events are published.
struct Round {
    seconds: f64,
    spent: Spent,
    bytes: usize,
}

async fn round(kind: Kind) -> Round {
    let gates = Arc::new(Gates { waiting: Gate::new(), done: Gate::new() });
    match kind {
        Kind::Broadcast => {
            let (sender, _) = broadcast::channel(CAPACITY);
            let spawn = |_| tokio::spawn(receive(sender.subscribe(), gates.clone()));
            let readers = (0..READERS).map(spawn).collect();
            let events: Vec<Bytes> = (0..EVENTS).map(|number| data(number).into()).collect();
            let publish = async move {
                for event in events {
                    sender.send(event).expect("there are receivers");
                }
            };
            measure(&gates, readers, publish).await
        }
        Kind::Subscriptions | Kind::Bodies => {
            let hub = Hub::new();
            let topic = Topic::try_from("all").expect("a topic");
            let selection = Selection::new([topic.clone()]).expect("one topic");
            let mut readers = Vec::with_capacity(READERS);
            for _ in 0..READERS {
                let subscription = subscribe(&hub, selection.clone()).await;
                let gates = gates.clone();
                readers.push(match kind {
                    Kind::Bodies => tokio::spawn(drain(subscription.into_body(), gates)),
                    _ => tokio::spawn(read(subscription, gates)),
                });
            }
            assert_eq!(hub.readers(topic.clone()), Ok(READERS));
            let events: Vec<Event> = (0..EVENTS).map(|number| Event::new(data(number))).collect();
            let publish = async move {
                for event in events {
                    hub.publish(topic.clone(), event).await.expect("it is small");
                }
            };
            measure(&gates, readers, publish).await
        }
    }
}

async fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    hub.subscribe(selection).await.expect("within the limits")
}

fn data(number: usize) -> String {
    format!("{}{number:04}", "x".repeat(SIZE - 4))
}

/// Runs the publisher when all readers wait. The time ends when the last reader has its last event.
async fn measure(
    gates: &Gates,
    readers: Vec<JoinHandle<Received>>,
    publish: impl Future<Output = ()> + Send + 'static,
) -> Round {
    tokio::time::timeout(LIMIT, gates.waiting.all.notified()).await.expect("all readers wait");
    spread_workers().await;
    let process = std::process::id();
    let before = Usage::of(process).expect("usage");
    let started = Instant::now();
    let publisher = tokio::spawn(publish);
    // The time is taken by the last reader: this thread is woken later. It waits for one wake only,
    // since it would take a CPU from the workers.
    tokio::time::timeout(LIMIT, gates.done.all.notified()).await.expect("all events arrive");
    let spent = Usage::of(process).expect("usage").since(&before);
    publisher.await.expect("it publishes");
    let mut ended = started;
    let mut lengths = Vec::with_capacity(READERS);
    for reader in readers {
        let received = reader.await.expect("it reads");
        ended = ended.max(received.at);
        lengths.push(received.bytes);
    }
    assert!(lengths.iter().all(|length| *length == lengths[0]), "all receive the same");
    let seconds = (ended - started).as_secs_f64();
    Round { seconds, spent, bytes: lengths.iter().sum() }
}

/// Keeps all workers busy for a moment, as they are in a server under load. When a worker wakes
/// another one, the kernel takes up to 10 ms to give it a CPU of its own, which is most of the time
/// that is measured. Bodies are also polled once more here, as they are after each chunk.
async fn spread_workers() {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    let until = Instant::now() + Duration::from_millis(30);
    let spin = move |_| {
        tokio::spawn(async move {
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        })
    };
    for spinning in (0..workers).map(spin).collect::<Vec<_>>() {
        spinning.await.expect("it spins");
    }
}

/// What a reader has received.
struct Received {
    bytes: usize,
    /// The time at which it had the last event.
    at: Instant,
}

async fn receive(mut receiver: broadcast::Receiver<Bytes>, gates: Arc<Gates>) -> Received {
    let mut bytes = gates.wait(receiver.recv()).await.expect("it does not lag").len();
    for _ in 1..EVENTS {
        bytes += receiver.recv().await.expect("it does not lag").len();
    }
    let at = gates.done();
    assert_eq!(bytes, EVENTS * SIZE);
    Received { bytes, at }
}

async fn read(mut subscription: Subscription, gates: Arc<Gates>) -> Received {
    let first = gates.wait(subscription.next()).await;
    black_box(first.expect("an entry").expect("it does not lag"));
    let mut last = None;
    for _ in 1..EVENTS {
        last = Some(subscription.next().await.expect("an entry").expect("it does not lag"));
    }
    let at = gates.done();
    let last = last.expect("an entry").to_bytes();
    assert!(memmem::find(&last, data(EVENTS - 1).as_bytes()).is_some(), "each event comes once");
    Received { bytes: 0, at }
}

/// Counts the events in the bytes of a body. So it looks at each byte, as a server does that copies
/// them. To take the chunks alone is 4 ns an event, and most of that is the publisher's.
async fn drain(mut body: EventBody, gates: Arc<Gates>) -> Received {
    body.next_chunk().await.expect("an opening").expect("an opening");
    let (mut events, mut bytes) = (0, 0);
    // A chunk may end within an event, and even between the two line ends after it.
    let mut ends_in_line_end = false;
    let mut chunk = gates.wait(body.next_chunk()).await;
    loop {
        let read = chunk.expect("a chunk").expect("it does not lag");
        bytes += read.len();
        events += memmem::find_iter(&read, b"\n\n").count();
        events += usize::from(ends_in_line_end && read.starts_with(b"\n"));
        if events >= EVENTS {
            break;
        }
        ends_in_line_end = read.ends_with(b"\n") && !read.ends_with(b"\n\n");
        chunk = body.next_chunk().await;
    }
    let at = gates.done();
    assert_eq!(events, EVENTS, "each event comes once");
    assert!(bytes > EVENTS * SIZE, "{bytes} bytes");
    Received { bytes, at }
}

/// The two points that all readers of a round reach.
struct Gates {
    waiting: Gate,
    done: Gate,
}

/// Wakes one task when all readers have reached it.
struct Gate {
    missing: AtomicUsize,
    all: Notify,
}

impl Gate {
    fn new() -> Self {
        Self { missing: AtomicUsize::new(READERS), all: Notify::new() }
    }

    fn reach(&self) {
        if self.missing.fetch_sub(1, AcqRel) == 1 {
            self.all.notify_one();
        }
    }
}

impl Gates {
    /// Waits for a reader's first event. The reader reaches the gate when it has been polled once.
    async fn wait<F: Future>(&self, first: F) -> F::Output {
        let mut first = pin!(first);
        let mut was_polled = false;
        std::future::poll_fn(|cx| {
            let polled = first.as_mut().poll(cx);
            if !was_polled {
                was_polled = true;
                assert!(polled.is_pending(), "nothing was published");
                self.waiting.reach();
            }
            polled
        })
        .await
    }

    fn done(&self) -> Instant {
        let now = Instant::now();
        self.done.reach();
        now
    }
}
