//! Real threads: publishers at full speed, and readers that start anywhere, filter, come, go, lag and
//! resume, while topics end and expire. Runs for 5 seconds, or for `TOWER_SSE_STRESS` seconds.

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tower_sse::{
    Event, EventParser, Hub,
    hub::{History, Lagging, Publication, Resumption, Selection, Subscription},
};

const PUBLISHERS: usize = 4;

const READERS: usize = 300;

/// How many events a topic has that ends.
const EVENTS_OF_JOB: u64 = 20;

/// The events that one reader has seen. Each publisher numbers its events from 0.
struct Seen {
    next: [Option<u64>; PUBLISHERS],
    /// Only numbers that this divides pass the reader's filter.
    step: u64,
    /// The reader was told that events may be missing.
    has_gap: bool,
    /// Which publishers were seen in this round after the gap.
    fresh: [bool; PUBLISHERS],
    /// How often all publishers were seen after the gap.
    rounds: u32,
}

impl Seen {
    fn new(step: u64) -> Self {
        let (next, fresh) = ([None; PUBLISHERS], [false; PUBLISHERS]);
        Self { next, step, has_gap: true, fresh, rounds: 0 }
    }

    /// Events may be missing up to the newest one that was removed by now.
    fn tell_gap(&mut self) {
        (self.has_gap, self.fresh, self.rounds) = (true, [false; PUBLISHERS], 0);
    }

    /// Asserts that an event is the next one of its publisher, or a later one if the reader was
    /// told of a gap.
    fn see(&mut self, data: &str) {
        let (publisher, number) = numbers(data);
        if let Some(next) = self.next[publisher] {
            assert!(number >= next, "{number} of {publisher} came twice, or late");
            assert!(number == next || self.has_gap, "{publisher} {next} to {number} are missing");
        }
        assert_eq!(number % self.step, 0, "the filter leaves it out");
        self.next[publisher] = Some(number + self.step);
        self.fresh[publisher] = true;
        if self.fresh == [true; PUBLISHERS] {
            // In the first round the reader passes the newest event that was removed: that of the topic from which it
            // was removed is before all others of this topic. In the second one it sees each publisher after that.
            (self.fresh, self.rounds) = ([false; PUBLISHERS], self.rounds + 1);
            self.has_gap &= self.rounds < 2;
        }
    }
}

/// Reads the numbers of a publisher and of an event.
fn numbers(data: &str) -> (usize, u64) {
    let (publisher, number) = data.split_once(' ').unwrap();
    (publisher.parse().unwrap(), number.parse().unwrap())
}

/// Lets those numbers pass that `step` divides.
fn filtered(subscription: Subscription, step: u64) -> Subscription {
    if step == 1 {
        return subscription;
    }
    subscription.filter(move |entry| numbers(entry.event().data()).1 % step == 0)
}

fn topics() -> Selection {
    let names = Selection::new((0..PUBLISHERS / 2).map(|n| format!("t.{n}"))).unwrap();
    names.patterns(["t.2", "t.*"]).unwrap()
}

/// Reads entries of subscriptions, with pauses, and resumes after the last one.
async fn read_entries(hub: Hub, stop: Arc<AtomicBool>, read: Arc<AtomicU64>, number: usize) {
    let mut random = fastrand_like(number);
    let step = if number % 3 == 0 { 5 } else { 1 };
    let mut at: Option<String> = None;
    let mut seen = Seen::new(step);
    while !stop.load(Relaxed) {
        if random() % 8 == 0 {
            // Another reader takes its place.
            (at, seen) = (None, Seen::new(step));
        }
        let subscription = match &at {
            Some(id) => hub.resume(topics(), id).await,
            None => hub.subscribe(any_start(random())).await,
        };
        let mut subscription = filtered(subscription.unwrap(), step);
        if matches!(subscription.resumption(), Resumption::Gap(_)) {
            seen.tell_gap();
        }
        for _ in 0..random() % 3000 {
            let next = tokio::time::timeout(Duration::from_millis(200), subscription.next());
            match next.await {
                Err(_) => break,
                Ok(None) => break,
                Ok(Some(Err(_))) => seen.tell_gap(),
                Ok(Some(Ok(entry))) => {
                    seen.see(entry.event().data());
                    at = entry.id().map(|id| id.to_string());
                    read.fetch_add(1, Relaxed);
                }
            }
        }
        if random() % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(random() % 100)).await;
        }
    }
}

/// Returns a selection that starts somewhere.
fn any_start(random: u64) -> Selection {
    match random % 4 {
        0 => topics().from_start(),
        1 => topics().last((random / 4 % 500) as usize),
        2 => topics().with_state(),
        _ => topics(),
    }
}

/// Reads bodies as a client would, with their IDs and gap events.
async fn read_bodies(hub: Hub, stop: Arc<AtomicBool>, read: Arc<AtomicU64>, number: usize) {
    let mut random = fastrand_like(number);
    let mut parser = EventParser::new();
    let step = if number % 3 == 0 { 5 } else { 1 };
    let mut seen = Seen::new(step);
    while !stop.load(Relaxed) {
        if random() % 8 == 0 {
            (parser, seen) = (EventParser::new(), Seen::new(step));
        }
        let subscription = match parser.last_event_id() {
            Some(id) => hub.resume(topics(), id).await,
            None => hub.subscribe(any_start(random())).await,
        };
        parser.reset();
        let mut body = filtered(subscription.unwrap(), step).into_body();
        for _ in 0..random() % 200 {
            let next = tokio::time::timeout(Duration::from_millis(200), body.next_chunk());
            let Ok(Some(Ok(chunk))) = next.await else { break };
            parser.push(chunk);
            while let Some(event) = parser.next_event() {
                let event = event.unwrap();
                if event.event_type() == "gap" {
                    seen.tell_gap();
                    continue;
                }
                seen.see(event.data());
                read.fetch_add(1, Relaxed);
            }
        }
        if random() % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(random() % 100)).await;
        }
    }
}

/// Reads topics from their start to their end: all events of each, or a gap.
async fn read_jobs(
    hub: Hub,
    stop: Arc<AtomicBool>,
    jobs: Arc<Mutex<String>>,
    ended: Arc<AtomicU64>,
) {
    while !stop.load(Relaxed) {
        let job = jobs.lock().unwrap().clone();
        let selection = Selection::new([job]).unwrap().from_start();
        let mut subscription = hub.subscribe(selection).await.unwrap();
        let mut has_gap = matches!(subscription.resumption(), Resumption::Gap(_));
        let mut next = 0;
        loop {
            let item = tokio::time::timeout(Duration::from_millis(200), subscription.next());
            match item.await {
                // It had expired, so that this reader has named a new topic.
                Err(_) => break,
                Ok(Some(Err(_))) => has_gap = true,
                Ok(Some(Ok(entry))) => {
                    let number: u64 = entry.event().data().parse().unwrap();
                    assert!(number == next || (has_gap && number > next), "{next}, then {number}");
                    next = number + 1;
                }
                Ok(None) => {
                    assert!(next == EVENTS_OF_JOB || has_gap, "it has ended after {next}");
                    ended.fetch_add(u64::from(!has_gap), Relaxed);
                    break;
                }
            }
        }
    }
}

/// A xorshift generator, whose seed is the number of the reader.
fn fastrand_like(seed: usize) -> impl FnMut() -> u64 {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Publishes the events of a topic, and ends it with the last one.
fn run_job(hub: &Hub, job: &str) {
    for n in 0..EVENTS_OF_JOB - 1 {
        hub.try_publish(Publication::new(job, Event::new(n))).unwrap();
    }
    let last = Event::new(EVENTS_OF_JOB - 1);
    hub.finish(job, last).now_or_never().unwrap().unwrap();
    assert!(hub.try_publish(Publication::new(job, "late")).is_err_and(|it| it.is_finished()));
}

#[test]
fn every_reader_sees_each_event_once_and_in_order_or_gets_a_gap() {
    let seconds = env::var("TOWER_SSE_STRESS").ok().map_or(5, |text| text.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let builder = || {
        let ttl = Duration::from_millis(300);
        Hub::builder().history(History::events(2000)).finished_ttl(ttl)
    };
    let hub = builder().lagging(Lagging::Skip).build();
    let evicting = builder().build();
    let jobs = Arc::new(Mutex::new("job.none".to_owned()));
    let ended = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let read = Arc::new(AtomicU64::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (hubs, stop) = ([hub.clone(), evicting.clone()], stop.clone());
            let jobs = jobs.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let topic = format!("t.{publisher}");
                let mut number = 0;
                while !stop.load(Relaxed) {
                    for hub in &hubs {
                        let event = Event::new(format!("{publisher} {number}"));
                        runtime.block_on(hub.publish(&topic, event)).unwrap();
                    }
                    number += 1;
                    if number % 64 == 0 {
                        let job = format!("job.{publisher}.{number}");
                        jobs.lock().unwrap().clone_from(&job);
                        for hub in &hubs {
                            run_job(hub, &job);
                        }
                    }
                    if number % 16 == 0 {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                number
            })
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let hub = if number % 4 < 2 { hub.clone() } else { evicting.clone() };
            let (stop, read) = (stop.clone(), read.clone());
            if number % 10 == 9 {
                runtime.spawn(read_jobs(hub, stop, jobs.clone(), ended.clone()))
            } else if number % 2 == 0 {
                runtime.spawn(read_entries(hub, stop, read, number))
            } else {
                runtime.spawn(read_bodies(hub, stop, read, number))
            }
        })
        .collect();
    let began = Instant::now();
    // A busy machine gets more time.
    let is_enough = || {
        began.elapsed() >= Duration::from_secs(seconds)
            && (ended.load(Relaxed) > 10 && read.load(Relaxed) > 10_000
                || began.elapsed() > Duration::from_secs(seconds + 60))
    };
    while !is_enough() && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Relaxed);
    let published: u64 = publishers.into_iter().map(|thread| thread.join().unwrap()).sum();
    runtime.block_on(async {
        for reader in readers {
            reader.await.unwrap();
        }
    });
    let read = read.load(Relaxed);
    let ended = ended.load(Relaxed);
    println!("{published} published, {read} read, {ended} jobs, {:?}", hub.stats());
    assert!(ended > 10, "{ended}");
    assert!(published > 1000 && read > 10_000, "{published} published, {read} read");
    assert_eq!(hub.stats().readers + evicting.stats().readers, 0);
}
