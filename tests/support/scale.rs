//! Many topics that end and expire, over an engine: `TOWER_SSE_TOPICS` of them, 40 by default, of 500 small
//! events each.

use std::{env, time::Duration};

use tokio::time::{Instant, sleep};
use tower_sse::{
    Event, Hub,
    hub::{History, HubBuilder, Publication, Resumption, Topic},
};

use crate::{
    heap,
    reading::{numbers, read, topics},
};

const EVENTS: usize = 500;
/// Topics live at least this long, and longer if there are many.
const TTL: Duration = Duration::from_secs(5);
/// Far longer than a topic lives, with the time until it is removed from the engine. An engine may take 100 ms
/// for each.
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_PER_TOPIC: Duration = Duration::from_millis(300);

fn name(n: usize) -> Topic {
    format!("job.{n}").parse().unwrap()
}

/// Checks that the memory of the node and of the engine is back. `memory` returns that of the engine, in
/// bytes, or how much it stores.
pub(crate) async fn run<O, M>(
    name_of_engine: &str,
    open: impl Fn(HubBuilder) -> O,
    memory: impl Fn() -> M,
) where
    O: Future<Output = Hub>,
    M: Future<Output = u64>,
{
    let count = env::var("TOWER_SSE_TOPICS").map_or(40, |topics| topics.parse().unwrap());
    let ttl = TTL.max(Duration::from_millis(20) * count as u32);
    let patience = PATIENCE + PATIENCE_PER_TOPIC * count as u32;
    // A topic that no node has in memory any more is left to the bounds of the engine.
    let all = History::events(usize::MAX).max_bytes(8 << 30);
    let builder = || Hub::builder().finished_ttl(ttl).total_history(all);
    let hub = open(builder()).await;
    // Connections and caches are there.
    fill(&hub, 0).await;
    hub.publish("other", "stays").await.unwrap();
    let (heap_before, engine_before) = (heap::bytes(), memory().await);
    let begun = Instant::now();
    for n in 1..=count {
        fill(&hub, n).await;
    }
    let filled = begun.elapsed();
    // Some may have expired already. A new node has nothing in memory.
    let last = count;
    let other = open(builder().warm_start(0)).await;
    let begun = Instant::now();
    let mut reader = other.subscribe(topics(&[name(last).as_str()]).from_start()).await.unwrap();
    assert_eq!(*reader.resumption(), Resumption::New);
    let first = read(&mut reader, 1).await;
    let first_after = begun.elapsed();
    assert_eq!(first, ["0"]);
    let mut rest = read(&mut reader, EVENTS).await;
    assert_eq!(rest.pop().as_deref(), Some("end"));
    assert_eq!(rest, numbers(1..EVENTS));
    let all_after = begun.elapsed();
    drop((reader, other));
    let (heap_full, engine_full) = (heap::bytes(), memory().await);
    let begun = Instant::now();
    let (heap_left, engine_left) = loop {
        let left = (heap::bytes(), memory().await);
        let allowed = (heap_before + heap_before / 2, engine_before + engine_before / 2);
        if hub.stats().topics <= 1 && left.0 <= allowed.0 && left.1 <= allowed.1 {
            break left;
        }
        assert!(
            begun.elapsed() < patience,
            "{left:?} are left of {allowed:?}, {:?}, {:?}",
            hub.stats(),
            hub.health()
        );
        sleep(Duration::from_secs(1)).await;
        if begun.elapsed().as_secs() % 30 == 0 {
            println!("{left:?} are left of {allowed:?} after {:?}", begun.elapsed());
        }
    };
    assert_eq!(hub.stats().gaps, 0, "{:?}", hub.health());
    println!(
        "{name_of_engine}: {count} topics of {EVENTS} events in {filled:?}; one of them from its start: first \
         event after {first_after:?}, the end after {all_after:?}; node {heap_before} to {heap_full} to \
         {heap_left} bytes; engine {engine_before} to {engine_full} to {engine_left}, {:?} later",
        begun.elapsed()
    );
    // It can begin anew once it is removed from the engine.
    while let Err(error) = hub.publish(name(last), "anew").await {
        assert!(error.is_finished() && begun.elapsed() < patience, "{error}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn fill(hub: &Hub, n: usize) {
    let topic = name(n);
    let event = |n: usize| Publication::new(topic.clone(), Event::new(n));
    hub.publish_all((0..EVENTS).map(event)).await.unwrap();
    hub.finish(topic.clone(), None).await.unwrap();
}
