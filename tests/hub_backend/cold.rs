//! A node that starts near the end of its log, and what only the backend knows then.

use std::{num::NonZeroUsize, time::Duration};

use tokio::time::advance;
use tower_sse::{
    Event, Hub,
    hub::{
        History, Lagging, Publication, Resumption, Selection, Topic,
        backend::{Backend as _, EventParts, MemoryBackend, Outgoing, Position, Wanted},
    },
};

use crate::reading::{check_newest, numbers, read, topics};

/// Opens a node that reads this number of entries at the start.
async fn cold(log: &MemoryBackend, entries: usize) -> Hub {
    Hub::builder().warm_start(entries).open(log.node()).await.unwrap()
}

async fn fill(hub: &Hub, topic: &str, range: std::ops::Range<usize>) {
    hub.publish_all(range.map(|n| Publication::new(topic, Event::new(n)))).await.unwrap();
}

fn events_of(topic: &str) -> Wanted {
    Wanted::new([topic.parse().unwrap()], []).unwrap()
}

async fn retained(log: &MemoryBackend, topic: &str) -> usize {
    let newest = log.bounds().await.unwrap().newest;
    let wanted = events_of(topic);
    let read = log.read(Position::START, newest, &wanted, NonZeroUsize::MAX);
    read.await.unwrap().entries.len()
}

#[tokio::test]
async fn the_newest_events_come_from_the_backend() {
    let log = MemoryBackend::default();
    let history = History::events(20);
    let small = Hub::builder().history(history).total_history(history);
    check_newest(&cold(&log, 0).await, &small.open(log.node()).await.unwrap()).await;
}

#[tokio::test]
async fn a_node_starts_near_the_end_and_gives_older_events_from_the_backend() {
    for (entries, expected) in [(0, 0), (1, 1), (10, 10), (1000, 1000), (5000, 1000)] {
        let log = MemoryBackend::default();
        let writer = cold(&log, 0).await;
        let first = writer.publish("a", Event::new("0")).await.unwrap().id;
        fill(&writer, "a", 1..1000).await;
        let hub = cold(&log, entries).await;
        assert_eq!((hub.stats().events, hub.stats().published), (expected, expected as u64));
        let mut resumed = hub.resume(topics(&["a"]), &first).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete, "{entries}");
        assert_eq!(read(&mut resumed, 999).await, numbers(1..1000));
        let mut from_start = hub.subscribe(topics(&["a"]).from_start()).await.unwrap();
        assert_eq!(*from_start.resumption(), Resumption::New, "{entries}");
        assert_eq!(read(&mut from_start, 1000).await, numbers(0..1000));
        let pattern = Selection::default().patterns(["*"]).unwrap().from_start();
        let mut pattern = hub.subscribe(pattern).await.unwrap();
        assert_eq!(read(&mut pattern, 1000).await, numbers(0..1000));
        let mut new = hub.subscribe(topics(&["a"])).await.unwrap();
        hub.publish("b", "other").await.unwrap();
        writer.publish("a", "live").await.unwrap();
        for reader in [&mut resumed, &mut from_start, &mut new] {
            assert_eq!(read(reader, 1).await, ["live"]);
        }
    }
}

#[tokio::test]
async fn the_state_is_found_that_a_node_has_not_read() {
    let log = MemoryBackend::default();
    let writer = cold(&log, 0).await;
    for n in 0..20 {
        writer.publish_keyed("a", format!("{}", n % 4), Event::new(n)).await.unwrap();
    }
    let hub = cold(&log, 2).await;
    writer.publish_keyed("a", "0", Event::new("new")).await.unwrap();
    let mut state = hub.subscribe(topics(&["a"]).with_state()).await.unwrap();
    let mut found = read(&mut state, 4).await;
    found.sort();
    assert_eq!(found, ["17", "18", "19", "new"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_topic_is_known_to_a_node_that_has_not_read_it() {
    let log = MemoryBackend::default();
    let writer = cold(&log, 0).await;
    for topic in ["over", "over too", "goes on"] {
        writer.publish(topic, "1").await.unwrap();
    }
    writer.finish("over", Some(Event::new("last"))).await.unwrap();
    writer.finish("over too", None).await.unwrap();
    let hub = cold(&log, 0).await;
    for topic in ["over", "over too"] {
        assert!(hub.publish(topic, "no").await.is_err_and(|error| error.is_finished()), "{topic}");
        let both = ["goes on", topic].map(|topic| Publication::new(topic, Event::new("no")));
        assert!(hub.publish_all(both).await.is_err_and(|error| error.is_finished()), "{topic}");
        // A reader that names it ends at once.
        let mut reader = hub.subscribe(topics(&[topic])).await.unwrap();
        assert!(reader.next().await.is_none(), "{topic}");
        let mut reader = hub.subscribe(topics(&[topic]).from_start()).await.unwrap();
        assert_eq!(read(&mut reader, 1).await, ["1"]);
    }
    let mut both = hub.subscribe(topics(&["over", "goes on"])).await.unwrap();
    hub.publish("goes on", "2").await.unwrap();
    assert_eq!(read(&mut both, 1).await, ["2"]);
    assert_eq!(retained(&log, "goes on").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_asked_once_whether_a_topic_has_ended() {
    let log = MemoryBackend::default();
    let hub = Hub::builder().warm_start(0).publish_timeout(Duration::from_secs(1));
    let faults = log.faults();
    cold(&log, 0).await.publish("x", "so that the log is not empty").await.unwrap();
    let hub = hub.open(log.clone()).await.unwrap();
    faults.set_unavailable(true);
    let error = hub.publish("a", "1").await.unwrap_err();
    assert!(!error.is_finished() && error.is_unavailable(), "{error}");
    // A reader is not kept waiting: the topic counts as not ended.
    let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
    faults.set_unavailable(false);
    hub.publish("a", "1").await.unwrap();
    assert_eq!(read(&mut reader, 1).await, ["1"]);
}

/// The log is trimmed between two pages of a reader that is slower than the writers.
#[tokio::test]
async fn what_is_trimmed_during_a_replay_is_a_gap() {
    let log = MemoryBackend::default();
    let hub = cold(&log, 0).await;
    let first = hub.publish("a", Event::new("0")).await.unwrap().id;
    fill(&hub, "a", 1..1000).await;
    let builder = Hub::builder().warm_start(0).lagging(Lagging::Skip);
    let hub = builder.open(log.node()).await.unwrap();
    let mut reader = hub.resume(topics(&["a"]), &first).await.unwrap();
    assert_eq!(*reader.resumption(), Resumption::Complete);
    assert_eq!(read(&mut reader, 10).await, numbers(1..11));
    let newest = log.bounds().await.unwrap().newest;
    log.faults().trim_before(Position::new(newest.major() - 49));
    let rest = read(&mut reader, 57).await;
    // The first page was read before.
    assert_eq!(rest[..6], numbers(11..17)[..]);
    assert_eq!(rest[6], "gap trimmed");
    assert_eq!(rest[7..], numbers(950..1000)[..]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_has_expired_is_removed_from_the_backend_and_can_begin_anew() {
    let log = MemoryBackend::default();
    let ttl = Duration::from_secs(60);
    let open = || Hub::builder().finished_ttl(ttl).idle_ttl(2 * ttl).open(log.node());
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    fill(&one, "over", 0..10).await;
    one.finish("over", None).await.unwrap();
    fill(&one, "idle", 0..10).await;
    fill(&one, "busy", 0..10).await;
    advance(ttl + Duration::from_secs(5)).await;
    other.publish("busy", "10").await.unwrap();
    // No node has it any more, but it has ended.
    assert_eq!((one.stats().topics, other.stats().topics), (2, 2));
    assert!(one.publish("over", "no").await.is_err_and(|error| error.is_finished()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(retained(&log, "over").await, 0);
    one.publish("over", "anew").await.unwrap();
    let mut anew = other.subscribe(topics(&["over"]).from_start()).await.unwrap();
    assert_eq!(read(&mut anew, 1).await, ["anew"]);
    tokio::time::sleep(2 * ttl).await;
    assert_eq!(retained(&log, "idle").await, 0);
    tokio::time::sleep(2 * ttl).await;
    assert_eq!(retained(&log, "busy").await + retained(&log, "over").await, 0);
    let text = "a node that starts later finds nothing";
    assert_eq!(cold(&log, 100).await.stats().events, 0, "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_as_old_for_a_new_node_as_for_the_others() {
    let log = MemoryBackend::default();
    let age = Duration::from_secs(60);
    let history = || History::events(100).max_age(age);
    let open = || Hub::builder().history(history()).total_history(history()).open(log.node());
    let one = open().await.unwrap();
    fill(&one, "a", 0..10).await;
    advance(age / 2).await;
    fill(&one, "a", 10..20).await;
    advance(age / 2 + Duration::from_secs(1)).await;
    assert_eq!((one.stats().events, open().await.unwrap().stats().events), (10, 10));
    // The backend has the others.
    let mut all = one.subscribe(topics(&["a"]).from_start()).await.unwrap();
    assert_eq!(read(&mut all, 20).await, numbers(0..20));
}

/// An event that another node appends after the end of its topic, because it has not seen the end yet, is
/// given to nobody.
#[tokio::test]
async fn an_event_after_the_end_is_given_to_no_reader() {
    let log = MemoryBackend::default();
    let hub = cold(&log, 10).await;
    let mut all = hub.subscribe(Selection::default().patterns(["*"]).unwrap()).await.unwrap();
    hub.finish("a", None).await.unwrap();
    let topic: Topic = "a".parse().unwrap();
    log.append(&[Outgoing::new(topic, EventParts::new("late"), 1)]).await.unwrap();
    hub.publish("b", "next").await.unwrap();
    assert_eq!(read(&mut all, 1).await, ["next"]);
}

/// The log has lost its end, and a reader that was away has only seen what is left.
#[tokio::test]
async fn a_reader_that_was_away_is_told_that_the_log_has_lost_later_events() {
    let log = MemoryBackend::default();
    let (one, other) = (cold(&log, 100).await, cold(&log, 100).await);
    let mut live = other.subscribe(topics(&["a"])).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(one.publish("a", Event::new(n)).await.unwrap());
    }
    assert_eq!(read(&mut live, 10).await, numbers(0..10));
    let newest = log.bounds().await.unwrap().newest;
    let kept = Position::new(newest.major() - 5);
    log.faults().lose_after(kept);
    assert_eq!(read(&mut live, 1).await, ["gap unknown"]);
    one.publish("a", "10").await.unwrap();
    other.publish("b", "new").await.unwrap();
    let rest = ["3", "4", "10"];
    for hub in [&one, &other, &cold(&log, 0).await, &cold(&log, 100).await] {
        let mut away = hub.resume(topics(&["a"]), &ids[2].id).await.unwrap();
        assert!(matches!(away.resumption(), Resumption::Gap(_)), "{:?}", away.resumption());
        assert_eq!(read(&mut away, 3).await, rest);
        let mut all = hub.subscribe(topics(&["a"]).from_start()).await.unwrap();
        assert!(matches!(all.resumption(), Resumption::Gap(_)), "{:?}", all.resumption());
        assert_eq!(read(&mut all, 6).await, ["0", "1", "2", "3", "4", "10"]);
        // A topic that has begun since then is whole.
        let mut new = hub.subscribe(topics(&["b"]).from_start()).await.unwrap();
        assert_eq!(*new.resumption(), Resumption::New);
        assert_eq!(read(&mut new, 1).await, ["new"]);
    }
    // Positions after the loss are complete.
    let last = one.publish("a", "11").await.unwrap();
    one.publish("a", "12").await.unwrap();
    let mut after = other.resume(topics(&["a"]), &last.id).await.unwrap();
    assert_eq!(*after.resumption(), Resumption::Complete);
    assert_eq!(read(&mut after, 1).await, ["12"]);
}

#[tokio::test]
async fn an_id_of_no_use_starts_with_the_oldest_event_of_the_backend() {
    let log = MemoryBackend::default();
    let writer = cold(&log, 0).await;
    fill(&writer, "a", 0..100).await;
    let hub = cold(&log, 0).await;
    let other = Hub::new().publish("a", "x").await.unwrap().id;
    let mut reader = hub.resume(topics(&["a"]), &other).await.unwrap();
    let Resumption::Gap(gap) = reader.resumption() else { panic!("{:?}", reader.resumption()) };
    assert_eq!(gap.reason, tower_sse::hub::GapReason::OtherEpoch);
    assert_eq!(read(&mut reader, 100).await, numbers(0..100));
}
