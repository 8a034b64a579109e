//! How long the lock of a hub is held, with many topics, many readers and many patterns.
//!
//! ```text
//! RUSTFLAGS="--cfg tower_sse_hold" cargo bench --bench hub_lock      the sizes of `Sizes::FULL`
//! RUSTFLAGS="--cfg tower_sse_hold" cargo bench --bench hub_lock -- 2000 1000 100     topics, readers, patterns
//! ```
//!
//! With that flag the library records how long it holds the lock, each time. Without the flag only
//! the time of each operation is measured.
//!
//! A hold is also long if the kernel runs another thread meanwhile. The first row shows how long that
//! takes: the longest time between two readings of the clock, in a loop that does nothing else.
//!
//! Each reader selects a topic of its own by name and half of the other topics by one pattern. The
//! rest of the topics have twelve segments. The subscription with many patterns reaches most of
//! them, and matches none.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower_sse::{
    EventId, Hub,
    hub::{History, Lagging, Publication, Selection, Subscription, Topic},
};

const MAX_BYTES: usize = 16 << 20;
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How many small events are removed in one step. Together they are smaller than `MAX_BYTES`.
const TRIMMED: usize = 8192;
/// How many times a short operation is measured, if there are that many readers.
const TIMES: usize = 1000;
/// How many times an operation is measured that concerns all readers or many patterns.
const FEW: usize = 20;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = match args[..] {
        [] => Sizes::FULL,
        [topics, readers, patterns] => Sizes { topics, readers, patterns },
        _ => panic!("hub_lock [TOPICS READERS PATTERNS]"),
    };
    assert!(sizes.topics > sizes.readers + 2, "each reader has a topic of its own");
    // With a paused clock, events expire when the benchmark says so.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _guard = runtime.enter();
    Bench { sizes, hub: hub() }.run(&runtime);
}

fn hub() -> Hub {
    let history = History::unlimited_events().max_bytes(MAX_BYTES).max_age(MAX_AGE);
    let hub = Hub::builder().history(history).lagging(Lagging::Skip);
    hub.max_patterns_per_subscription(1024).build()
}

fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    done(hub.subscribe(selection)).expect("within the limits")
}

fn resume(hub: &Hub, selection: Selection, last: &EventId) -> Subscription {
    done(hub.resume(selection, last)).expect("within the limits")
}

/// Returns the times for which the lock was held since the last call.
#[cfg(tower_sse_hold)]
fn take_holds() -> Vec<Duration> {
    tower_sse::hub::take_holds()
}

#[cfg(not(tower_sse_hold))]
fn take_holds() -> Vec<Duration> {
    Vec::new()
}

struct Sizes {
    topics: usize,
    readers: usize,
    patterns: usize,
}

impl Sizes {
    const FULL: Self = Self { topics: 100_000, readers: 50_000, patterns: 1000 };

    fn public(&self) -> usize {
        (self.topics - self.readers) / 2
    }

    fn topics(&self) -> impl Iterator<Item = Topic> {
        let user = (0..self.readers).map(|n| format!("user.{n}"));
        let public = (0..self.public()).map(|n| format!("public.{n}"));
        let rest = self.readers + self.public()..self.topics;
        let deep = rest.map(|n| format!("{}{n}", "a.".repeat(11)));
        user.chain(public).chain(deep).map(|name| Topic::try_from(name).expect("a topic"))
    }

    /// Patterns that a trie of topics tells apart only at the last segment.
    fn patterns(&self, turn: usize) -> Selection {
        let pattern = |n: usize| {
            let middle: String = (0..10).map(|bit| [".a", ".*"][n >> bit & 1]).collect();
            format!("*{middle}.none{turn}")
        };
        assert!(self.patterns <= 1 << 10, "there are no more patterns");
        Selection::default().patterns((0..self.patterns).map(pattern)).expect("patterns")
    }
}

fn selection(reader: usize) -> Selection {
    let own = Selection::new([format!("user.{reader}")]).expect("a topic");
    own.patterns(["public.>"]).expect("a pattern")
}

struct Bench {
    sizes: Sizes,
    hub: Hub,
}

impl Bench {
    fn run(self, runtime: &Runtime) {
        let Sizes { topics, readers, patterns } = self.sizes;
        println!(
            "{topics} topics, {readers} readers, one subscription of {patterns} patterns; µs."
        );
        println!("With fewer than 1,000 times, the 99.9th percentile is the longest.\n");
        println!("| operation | times | hold: 99.9 % | longest | operation: median | longest |");
        println!("|---|---|---|---|---|---|");
        let mut samples = Samples::default();
        for _ in 0..TIMES {
            let started = Instant::now();
            let (mut last, mut longest) = (started, Duration::ZERO);
            while last - started < Duration::from_millis(1) {
                let now = Instant::now();
                longest = longest.max(now - last);
                last = now;
            }
            samples.holds.push(longest);
            samples.operations.push(last - started);
        }
        samples.print("nothing, for 1 ms");

        // The ID of the first event of each topic, in the order of `Sizes::topics`.
        let mut ids = Vec::with_capacity(topics);
        let all: Vec<Topic> = self.sizes.topics().collect();
        for some in all.chunks(1000) {
            let some = some.iter().map(|topic| Publication::new(topic.clone(), "first"));
            ids.extend(done(self.hub.publish_all(some)).expect("they are small").ids);
        }
        let own = readers - TIMES.min(readers / 2);
        let mut subscriptions: Vec<Subscription> =
            (0..own).map(|reader| subscribe(&self.hub, selection(reader))).collect();

        let new = self.row("subscribe", own..readers, |hub, n| subscribe(hub, selection(n)));
        self.row("leave", new, |_, reader| drop(reader));
        let newest = readers + self.sizes.public() - 1;
        let resumed = self.row("resume, nothing missed", own..readers, |hub, n| {
            resume(hub, selection(n), &ids[newest])
        });
        drop(resumed);
        let resumed = self
            .row("resume, much missed", own..readers, |hub, n| resume(hub, selection(n), &ids[n]));
        drop(resumed);
        let resumed = self.row("resume, the ID of another topic", own..readers, |hub, n| {
            resume(hub, selection(n), &ids[0])
        });
        subscriptions.extend(resumed);

        let selections: Vec<Selection> = (0..FEW).map(|turn| self.sizes.patterns(turn)).collect();
        let many = self.row("subscribe, many patterns", selections, subscribe);
        self.row("leave, many patterns", many, |_, reader| drop(reader));

        self.all_wait(&mut subscriptions);
        self.row("publish, one reader waits", 0..TIMES, |hub, n| {
            publish(hub, format!("user.{}", n % readers), "one");
        });
        self.publish_to_all("publish, all readers wait", &mut subscriptions, |_| "public.0".into());
        self.publish_to_all("publish on a new topic, all wait", &mut subscriptions, |n| {
            format!("public.new.{n}")
        });

        // The operation's time is mostly the time to encode 16 MiB, for which no lock is held.
        let large = "x".repeat(MAX_BYTES - (64 << 10));
        let mut samples = Samples::default();
        for _ in 0..FEW.min(5) {
            let small = (0..TRIMMED).map(|_| Publication::new("public.0", "small"));
            done(self.hub.publish_all(small)).expect("they are small");
            self.measure(&mut samples, || publish(&self.hub, "public.0".into(), &large));
        }
        samples.print("publish, trims 8,000 events by size");
        let lagging = subscriptions.iter_mut().take(TIMES);
        self.row("lag: read after a trim by size", lagging, |_, reader| read(reader));
        subscriptions.truncate(own);
        let resumed = self.row("resume, with a gap", own..readers, |hub, n| {
            resume(hub, selection(n), &ids[readers])
        });
        subscriptions.extend(resumed);
        self.all_wait(&mut subscriptions);

        // All readers have something to read when everything expires.
        publish(&self.hub, "public.0".into(), "old");
        runtime.block_on(tokio::time::advance(2 * MAX_AGE));
        self.row("trim by age: stats", 0..FEW, |hub, _| hub.stats());
        publish(&self.hub, "public.0".into(), "new");
        let lagging = subscriptions.iter_mut().take(TIMES);
        self.row("lag: read after a trim by age", lagging, |_, reader| read(reader));
        // The last reader of a topic that has no events any more removes the topic.
        subscriptions.truncate(TIMES);
        self.row("leave, all has expired", subscriptions, |_, reader| drop(reader));
    }

    /// Measures an operation for each item, prints the figures, and returns the results.
    fn row<I: IntoIterator, T>(
        &self,
        name: &str,
        items: I,
        mut operation: impl FnMut(&Hub, I::Item) -> T,
    ) -> Vec<T> {
        let mut samples = Samples::default();
        let results = items
            .into_iter()
            .map(|item| self.measure(&mut samples, || operation(&self.hub, item)))
            .collect();
        samples.print(name);
        results
    }

    fn publish_to_all(
        &self,
        name: &str,
        subscriptions: &mut [Subscription],
        topic: impl Fn(usize) -> String,
    ) {
        let mut samples = Samples::default();
        for n in 0..FEW {
            self.measure(&mut samples, || publish(&self.hub, topic(n), "all"));
            self.all_wait(subscriptions);
        }
        samples.print(name);
    }

    fn measure<T>(&self, samples: &mut Samples, operation: impl FnOnce() -> T) -> T {
        take_holds();
        let started = Instant::now();
        let result = operation();
        samples.operations.push(started.elapsed());
        samples.holds.extend(take_holds().into_iter().max());
        result
    }

    /// Reads everything, so that each reader waits for the next event.
    fn all_wait(&self, subscriptions: &mut [Subscription]) {
        subscriptions.iter_mut().for_each(|reader| while read(reader) {});
    }
}

/// Polls a future that waits for nothing but its own next step.
fn done<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn publish(hub: &Hub, topic: String, data: &str) {
    done(hub.publish(topic, data)).expect("it fits");
}

/// Reads an entry or a gap, if there is one.
fn read(reader: &mut Subscription) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(reader.next()).poll(&mut context) {
        Poll::Ready(entry) => entry.is_some(),
        Poll::Pending => false,
    }
}

/// The figures of one row.
#[derive(Default)]
struct Samples {
    /// The longest hold of each operation that took the lock.
    holds: Vec<Duration>,
    operations: Vec<Duration>,
}

impl Samples {
    fn print(mut self, name: &str) {
        self.holds.sort_unstable();
        self.operations.sort_unstable();
        let at = |sorted: &[Duration], thousandth: usize| {
            let index = (sorted.len() * thousandth).div_ceil(1000).saturating_sub(1);
            sorted.get(index).map_or(f64::NAN, |it| it.as_secs_f64() * 1e6)
        };
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.0} |",
            self.operations.len(),
            at(&self.holds, 999),
            at(&self.holds, 1000),
            at(&self.operations, 500),
            at(&self.operations, 1000),
        );
    }
}
