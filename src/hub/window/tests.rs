//! The work under one hold of the lock stays bounded, however many topics, readers, patterns
//! and records there are. Counted, not timed.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    limits::MAX_STEPS,
    steps::{start_hold, take_most},
};
use crate::hub::{History, Hub, Lagging, Publication, Selection, Subscription};

const TOPICS: usize = 100_000;
const READERS: usize = 50_000;
const PATTERNS: usize = 1000;

/// A runtime whose clock is paused. A test that enters it is not one of its tasks, whose budget
/// would end.
fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

fn poll_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    poll_to_end(hub.subscribe(selection)).unwrap()
}

fn publish(hub: &Hub, topic: &str) {
    hub.try_publish(Publication::new(topic, "x")).unwrap();
}

/// Reads what is ready, and returns how many entries and gaps that were.
fn read(reader: &mut Subscription) -> usize {
    let mut read = 0;
    while let Poll::Ready(Some(_)) = reader.poll_next(&mut Context::from_waker(Waker::noop())) {
        read += 1;
    }
    read
}

/// Runs a step, and asserts that no hold of the lock visits more than `most`.
fn bounded<T>(what: &str, most: usize, step: impl FnOnce() -> T) -> T {
    start_hold();
    take_most();
    let done = step();
    let visited = take_most();
    println!("{what}: {visited}");
    assert!(visited <= most, "{what}: {visited}");
    done
}

fn user(number: usize) -> Selection {
    Selection::new([format!("user.{number}"), "global".to_owned()]).unwrap()
}

fn many_patterns() -> Selection {
    // Opening one from the start visits the topics that begin with its prefix: all topics for the
    // last one only, so that this test is short.
    let patterns = (0..PATTERNS - 1).map(|n| format!("user.{n}.>")).chain(["user.*".to_owned()]);
    Selection::default().patterns(patterns).unwrap()
}

#[test]
fn no_hold_of_the_lock_visits_more_for_many_topics_readers_patterns_and_records() {
    let runtime = paused();
    let _entered = runtime.enter();
    let minute = Duration::from_secs(60);
    let hub = Hub::builder()
        .history(History::unlimited_events().max_age(minute))
        .total_history(History::events(TOPICS + 20_000).max_bytes(1 << 30))
        .lagging(Lagging::Skip)
        .max_patterns_per_subscription(PATTERNS)
        .build();
    for n in 0..TOPICS {
        publish(&hub, &format!("user.{n}"));
    }
    let start = hub.position();
    let mut readers = bounded("subscribe", 8, || {
        (0..READERS).map(|n| subscribe(&hub, user(n))).collect::<Vec<_>>()
    });
    bounded("wait", 0, || readers.iter_mut().for_each(|reader| assert_eq!(read(reader), 0)));
    // One more of these groups comes, resumes and leaves. Its number of names counts, nothing else.
    bounded("subscribe again", 8, || drop(subscribe(&hub, user(0))));
    bounded("resume", 8, || drop(poll_to_end(hub.resume(user(7), &start))));
    bounded("resume with a gap", 64, || drop(poll_to_end(hub.resume(user(TOPICS), "nonsense"))));
    bounded("publish to one", 8, || publish(&hub, "user.7"));
    assert_eq!(
        bounded("publish to all", 8, || { poll_to_end(hub.publish("global", "x")).unwrap().woken }),
        READERS - 1
    );
    bounded("read", 8, || assert_eq!(readers.iter_mut().map(read).sum::<usize>(), READERS + 1));
    bounded("readers of a topic", MAX_STEPS, || assert_eq!(hub.readers("global"), Ok(READERS)));
    bounded("sessions", MAX_STEPS, || assert!(hub.sessions(|_| Some(())).is_empty()));

    // A subscription of 1,000 patterns, one of which matches all topics.
    let most = 4 * MAX_STEPS;
    let mut many = bounded("subscribe with patterns", most, || subscribe(&hub, many_patterns()));
    bounded("publish with patterns", most, || publish(&hub, "user.7"));
    bounded("publish on a new topic", most, || publish(&hub, "user.7.b"));
    assert_eq!(bounded("read by patterns", most, || read(&mut many)), 2);
    let opened =
        bounded("patterns from the start", most, || subscribe(&hub, many_patterns().from_start()));
    assert_eq!(read(&mut { opened }), TOPICS + 3);
    bounded("resume with patterns", most, || {
        drop(poll_to_end(hub.resume(many_patterns(), "nonsense")));
    });
    bounded("state of patterns", most, || drop(subscribe(&hub, many_patterns().with_state())));
    bounded("leave with patterns", most, || drop(many));

    // Readers that lag, and 20,000 events that age together.
    let all = (0..20_000).map(|_| Publication::new("global", "x"));
    bounded("publish many", most, || poll_to_end(hub.publish_all(all)).unwrap());
    let position = hub.position();
    runtime.block_on(tokio::time::advance(2 * minute));
    bounded("lag", most, || assert!(readers.iter_mut().take(100).map(read).all(|read| read == 1)));
    bounded("resume what is too old", most, || drop(poll_to_end(hub.resume(user(8), &start))));
    bounded("trim by age", most, || while hub.stats().events > 0 {});
    assert_eq!(hub.stats().topics, READERS + 1);
    bounded("lag again", most, || assert!(readers.iter_mut().map(read).all(|read| read <= 1)));
    bounded("resume what is gone", most, || drop(poll_to_end(hub.resume(user(8), &position))));
    bounded("leave", 8, || drop(readers));
    assert_eq!(hub.stats().topics, 0);
}

/// A topic that all readers share has a group for each of them. Trimming it does not visit them.
#[test]
fn trimming_a_shared_topic_does_not_visit_the_groups_of_its_readers() {
    let runtime = paused();
    let _entered = runtime.enter();
    for groups in [10_000, READERS] {
        let minute = Duration::from_secs(60);
        let hub = Hub::builder().history(History::events(5000).max_age(minute)).build();
        let mut readers: Vec<_> = (0..groups).map(|n| subscribe(&hub, user(n))).collect();
        let all = (0..4096).map(|_| Publication::new("global", "x"));
        poll_to_end(hub.publish_all(all)).unwrap();
        runtime.block_on(tokio::time::advance(2 * minute));
        bounded("4,096 events that age together", MAX_STEPS, || while hub.stats().events > 0 {});
        bounded("lag", 2 * MAX_STEPS, || {
            assert!(readers.iter_mut().take(100).all(|reader| read(reader) == 1));
        });
        // One large event pushes 4,096 out by bytes.
        let hub = Hub::builder().history(History::unlimited_events().max_bytes(2 << 20)).build();
        let readers: Vec<_> = (0..groups).map(|n| subscribe(&hub, user(n))).collect();
        let all = (0..4096).map(|_| Publication::new("global", "x"));
        poll_to_end(hub.publish_all(all)).unwrap();
        let before = hub.stats().events;
        let large = Publication::new("global", "x".repeat((2 << 20) - 2000));
        bounded("an event that pushes out many", MAX_STEPS, || hub.try_publish(large).unwrap());
        assert!(before >= 4096 && hub.stats().events < 16, "{before}");
        drop(readers);
    }
}

#[test]
fn r25_review_commit_of_large_batch() {
    let _rt = paused();
    let _g = _rt.enter();
    let hub = Hub::builder().history(History::events(10)).total_history(History::events(1_000_000)).build();
    let batch: Vec<_> = (0..100_000).map(|n| Publication::new(format!("t.{n}"), "x")).collect();
    start_hold();
    take_most();
    poll_to_end(hub.publish_all(batch)).unwrap();
    println!("large batch: {}", take_most());
    let patterns: Vec<String> = (0..PATTERNS).map(|n| format!("{}.>", "*.".repeat(n % 8).trim_end_matches('.')).trim_start_matches('.').to_owned()).collect();
    let _ = patterns;
    let readers: Vec<_> = (0..PATTERNS).map(|n| {
        // 2^10 patterns that match the same topic of 10 segments
        let p: Vec<&str> = (0..10).map(|b| if n >> b & 1 == 1 { "*" } else { "s" }).collect();
        subscribe(&hub, Selection::default().patterns([p.join(".")]).unwrap())
    }).collect();
    let topic = ["s"; 10].join(".");
    let batch: Vec<_> = (0..256).map(|_| Publication::new(topic.clone(), "x")).collect();
    let at = std::time::Instant::now();
    poll_to_end(hub.publish_all(batch)).unwrap();
    println!("256 events, 1000 patterns: {} visited, {:?}", take_most(), at.elapsed());
    drop(readers);
    println!("leave: {}", take_most());
    panic!("see above");
}
