//! Real threads: publishers at full speed, and readers that come, go, lag and resume. Runs for 5
//! seconds, or for as many as `TOWER_SSE_STRESS` says.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tower_sse::{
    Event, EventParser, Hub,
    hub::{History, Lagging, Resumption, Selection},
};

const PUBLISHERS: usize = 4;

const READERS: usize = 300;

/// What one reader has seen of each publisher, which number their events from 0.
struct Seen {
    next: [Option<u64>; PUBLISHERS],
    /// It was told that something may be missing.
    told: bool,
}

impl Seen {
    fn new() -> Self {
        Self { next: [None; PUBLISHERS], told: true }
    }

    /// Holds an event against what was seen before: the next one of its publisher, or a later one if
    /// a gap was told.
    fn see(&mut self, data: &str) {
        let (publisher, number) = data.split_once(' ').unwrap();
        let (publisher, number): (usize, u64) =
            (publisher.parse().unwrap(), number.parse().unwrap());
        if let Some(next) = self.next[publisher] {
            assert!(number >= next, "{number} of {publisher} came twice, or late");
            assert!(number == next || self.told, "{publisher} {next} to {number} are missing");
        }
        self.next[publisher] = Some(number + 1);
    }
}

fn topics() -> Selection {
    let names = Selection::new((0..PUBLISHERS / 2).map(|n| format!("t.{n}"))).unwrap();
    names.patterns(["t.2", "t.*"]).unwrap()
}

/// Reads through subscriptions, entry by entry, with pauses, resuming from where it was.
async fn read_entries(hub: Hub, stop: Arc<AtomicBool>, read: Arc<AtomicU64>, number: usize) {
    let mut random = fastrand_like(number);
    let mut at: Option<String> = None;
    let mut seen = Seen::new();
    while !stop.load(Relaxed) {
        let mut feed = match &at {
            Some(id) => hub.resume(topics(), id),
            None => hub.subscribe(topics()),
        };
        seen.told |= matches!(feed.resumption(), Resumption::Gap(_));
        for _ in 0..random() % 3000 {
            let next = tokio::time::timeout(Duration::from_millis(200), feed.next());
            match next.await {
                Err(_) => break,
                Ok(None) => break,
                Ok(Some(Err(_))) => seen.told = true,
                Ok(Some(Ok(entry))) => {
                    seen.see(entry.event().data());
                    at = entry.id().map(|id| id.to_string());
                    read.fetch_add(1, Relaxed);
                    // Everyone has been seen since it was told.
                    if seen.told && random() % 64 == 0 && seen.next.iter().all(Option::is_some) {
                        seen = settle(&mut feed, seen, &mut at).await;
                    }
                }
            }
        }
        if random() % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(random() % 100)).await;
        }
    }
}

/// Reads what follows a gap until each publisher was seen again: from there on nothing is missing.
async fn settle(
    feed: &mut tower_sse::hub::Subscription,
    mut seen: Seen,
    at: &mut Option<String>,
) -> Seen {
    let mut fresh = [false; PUBLISHERS];
    while fresh.contains(&false) {
        let next = tokio::time::timeout(Duration::from_millis(200), feed.next());
        match next.await {
            Ok(Some(Ok(entry))) => {
                let event = entry.event();
                seen.see(event.data());
                fresh[usize::from(event.data().as_bytes()[0] - b'0')] = true;
                *at = entry.id().map(|id| id.to_string());
            }
            Ok(Some(Err(_))) | Ok(None) | Err(_) => return seen,
        }
    }
    seen.told = false;
    seen
}

/// Reads through bodies, as a client would, with the ids and gaps in them.
async fn read_bodies(hub: Hub, stop: Arc<AtomicBool>, read: Arc<AtomicU64>, number: usize) {
    let mut random = fastrand_like(number);
    let mut parser = EventParser::new();
    let mut seen = Seen::new();
    while !stop.load(Relaxed) {
        let feed = match parser.last_event_id() {
            Some(id) => hub.resume(topics(), id),
            None => hub.subscribe(topics()),
        };
        parser.reset();
        let mut body = feed.into_body();
        for _ in 0..random() % 200 {
            let next = tokio::time::timeout(Duration::from_millis(200), body.next_chunk());
            let Ok(Some(Ok(chunk))) = next.await else { break };
            parser.push(chunk);
            while let Some(event) = parser.next_event() {
                let event = event.unwrap();
                if event.event_type() == "gap" {
                    // What comes next of each may be later.
                    seen = Seen::new();
                    continue;
                }
                seen.told = seen.next.iter().any(Option::is_none);
                seen.see(event.data());
                read.fetch_add(1, Relaxed);
            }
        }
        if random() % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(random() % 100)).await;
        }
    }
}

/// A xorshift, so that runs differ by reader only.
fn fastrand_like(seed: usize) -> impl FnMut() -> u64 {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn every_reader_sees_each_event_once_and_in_order_or_gets_a_gap() {
    let seconds = env::var("TOWER_SSE_STRESS").ok().map_or(5, |text| text.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let hub = Hub::builder().history(History::events(2000)).lagging(Lagging::Skip).build();
    let evicting = Hub::builder().history(History::events(2000)).build();
    let stop = Arc::new(AtomicBool::new(false));
    let read = Arc::new(AtomicU64::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (hubs, stop) = ([hub.clone(), evicting.clone()], stop.clone());
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
            if number % 2 == 0 {
                runtime.spawn(read_entries(hub, stop, read, number))
            } else {
                runtime.spawn(read_bodies(hub, stop, read, number))
            }
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
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
    println!("{published} published, {read} read, {:?}", hub.stats());
    assert!(published > 1000 && read > 10_000, "{published} published, {read} read");
    assert_eq!(hub.stats().readers + evicting.stats().readers, 0);
}
