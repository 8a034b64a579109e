//! A hub over a backend: what its nodes give, replay and report. The log in memory stands for an engine.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;
use tower_sse::{
    Event, EventBody, EventParser, Hub,
    hub::{
        GapReason, History, Lagging, Publication, Resumption, Selection, Topic,
        backend::{
            Abilities, Backend, BackendError, Batch, Bounds, Fault, Located, LogEntry,
            MemoryBackend, MemoryTail, Outgoing, Position, Wanted,
        },
    },
};

use crate::reading::{PATIENCE, numbers, read, topics};

async fn node(log: &MemoryBackend, events: usize) -> Hub {
    let history = History::events(events);
    let builder = Hub::builder().history(history).total_history(history).lagging(Lagging::Skip);
    builder.publish_timeout(Duration::from_secs(2)).open(log.node()).await.unwrap()
}

/// Reads a body until an event has this data. Returns the data of all events, and the last ID.
async fn read_body(body: &mut EventBody, last: &str) -> (Vec<String>, String) {
    let mut parser = EventParser::new();
    let mut found = Vec::new();
    while found.last().is_none_or(|found| found != last) {
        let chunk = timeout(PATIENCE, body.next_chunk()).await.expect("it is there");
        parser.push(chunk.expect("it goes on").unwrap());
        while let Some(event) = parser.next_event() {
            found.push(event.unwrap().data().to_owned());
        }
    }
    (found, parser.last_event_id().map(ToString::to_string).unwrap_or_default())
}

#[tokio::test]
async fn each_node_gives_what_any_publishes_in_one_order_and_a_publisher_reads_its_own_events() {
    let log = MemoryBackend::default();
    let (one, other) = (node(&log, 100).await, node(&log, 100).await);
    let mut readers = [
        one.subscribe(topics(&["a"])).await.unwrap(),
        other.subscribe(topics(&["a"])).await.unwrap(),
    ];
    let mut ids = Vec::new();
    for n in 0..20 {
        let hub = if n % 3 == 0 { &one } else { &other };
        let published = hub.publish("a", Event::new(n)).await.unwrap();
        ids.push(published.id.to_string());
        // The node that published has it, without a wait.
        let mut own = hub.resume(topics(&["a"]), ids.first().unwrap()).await.unwrap();
        assert_eq!(read(&mut own, n).await.len(), n);
    }
    for reader in &mut readers {
        for (n, id) in ids.iter().enumerate() {
            let entry = timeout(PATIENCE, reader.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(
                (entry.event().data(), entry.id().unwrap().as_str()),
                (&*n.to_string(), &**id)
            );
        }
    }
}

#[tokio::test]
async fn a_reader_moves_between_nodes_and_beyond_their_windows_without_a_seam() {
    let log = MemoryBackend::default();
    let nodes = [node(&log, 5).await, node(&log, 8).await];
    let first = nodes[0].publish("a", Event::new(0)).await.unwrap().id;
    for n in 1..60 {
        nodes[n % 2].publish("a", Event::new(n)).await.unwrap();
        nodes[n % 2].publish("b", Event::new("of another topic")).await.unwrap();
    }
    for hub in &nodes {
        assert!(hub.stats().events <= 8, "{:?}", hub.stats());
        // As a subscription, and with a pattern.
        for selection in [topics(&["a"]), Selection::default().patterns(["a"]).unwrap()] {
            let mut resumed = hub.resume(selection, &first).await.unwrap();
            assert_eq!(*resumed.resumption(), Resumption::Complete);
            assert_eq!(read(&mut resumed, 59).await, numbers(1..60));
            assert!(timeout(Duration::from_millis(20), resumed.next()).await.is_err());
        }
        // As a body, and on to live events.
        let mut body = hub.resume(topics(&["a"]), &first).await.unwrap().into_body();
        assert_eq!(read_body(&mut body, "59").await.0, numbers(1..60));
    }
    // A reader that is cut in the middle goes on at the other node.
    let (mut at, mut seen, mut turn) = (first.to_string(), Vec::new(), 0);
    while seen.len() < 59 {
        let mut resumed = nodes[turn % 2].resume(topics(&["a"]), &at).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete);
        for _ in 0..(59 - seen.len()).min(7) {
            let entry = timeout(PATIENCE, resumed.next()).await.unwrap().unwrap().unwrap();
            seen.push(entry.event().data().to_owned());
            at = entry.id().unwrap().to_string();
        }
        turn += 1;
    }
    assert_eq!(seen, numbers(1..60));
}

#[tokio::test]
async fn a_slow_reader_reads_from_the_backend_what_the_window_has_dropped() {
    let log = MemoryBackend::default();
    let hub = node(&log, 3).await;
    let mut slow = hub.subscribe(topics(&["a"])).await.unwrap();
    let mut body = hub.subscribe(topics(&["a"])).await.unwrap().into_body();
    for n in 0..50 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    assert_eq!(read(&mut slow, 50).await, numbers(0..50));
    assert_eq!(read_body(&mut body, "49").await.0, numbers(0..50));
    assert_eq!(hub.stats().lagged, 0);
}

#[tokio::test]
async fn what_the_backend_has_dropped_as_well_is_a_gap() {
    let log = MemoryBackend::new(History::events(10));
    let hub = node(&log, 3).await;
    let mut slow = hub.subscribe(topics(&["a"])).await.unwrap();
    let first = hub.publish("a", Event::new(0)).await.unwrap().id;
    for n in 1..50 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let mut expected = vec!["gap trimmed".to_owned()];
    expected.extend(numbers(40..50));
    assert_eq!(read(&mut slow, 11).await, expected);
    let mut resumed = hub.resume(topics(&["a"]), first).await.unwrap();
    let Resumption::Gap(gap) = resumed.resumption() else { panic!("{:?}", resumed.resumption()) };
    assert_eq!(gap.reason, GapReason::Trimmed);
    assert_eq!(read(&mut resumed, 10).await, numbers(40..50));
}

#[tokio::test]
async fn state_ends_and_starts_are_those_of_the_log() {
    let log = MemoryBackend::default();
    let hub = node(&log, 4).await;
    for n in 0..10 {
        hub.publish_keyed("a", format!("k{}", n % 5), Event::new(n)).await.unwrap();
    }
    hub.retract("a", "k0", "gone").await.unwrap();
    for hub in [&hub, &node(&log, 4).await] {
        let mut state = hub.subscribe(topics(&["a"]).with_state()).await.unwrap();
        assert_eq!(read(&mut state, 4).await, ["6", "7", "8", "9"]);
        let mut body = hub.subscribe(topics(&["a"]).with_state()).await.unwrap().into_body();
        assert_eq!(read_body(&mut body, "9").await.0, ["6", "7", "8", "9"]);
    }
    for n in 0..20 {
        hub.publish("job", Event::new(n)).await.unwrap();
    }
    hub.finish("job", Event::new("done")).await.unwrap();
    let late = node(&log, 4).await;
    for hub in [&hub, &late] {
        let mut job = hub.subscribe(topics(&["job"]).from_start()).await.unwrap();
        let mut expected = numbers(0..20);
        expected.extend(["done".to_owned(), "end".to_owned()]);
        assert_eq!(read(&mut job, 22).await, expected);
        let error = hub.publish("job", "more").await.unwrap_err();
        assert!(error.is_finished(), "{error}");
    }
}

#[tokio::test]
async fn a_position_of_another_node_is_waited_for() {
    let log = MemoryBackend::default();
    let (ahead, behind) = (node(&log, 10).await, {
        let link = log.node();
        let faults = link.faults();
        let hub = Hub::builder().open(link).await.unwrap();
        (hub, faults)
    });
    behind.1.set_stalled(true);
    let id = ahead.publish("a", "1").await.unwrap().id;
    let position = ahead.position();
    let resume = behind.0.resume(topics(&["a"]), &id);
    let unstall = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        behind.1.set_stalled(false);
    };
    let (resumed, ()) = tokio::join!(resume, unstall);
    assert_eq!(*resumed.unwrap().resumption(), Resumption::Complete);
    let of_any = behind.0.resume(topics(&["b"]), position).await.unwrap();
    assert_eq!(*of_any.resumption(), Resumption::Complete);
}

#[tokio::test]
async fn an_engine_that_is_away_loses_nothing_and_says_what_it_does_not_know() {
    let log = MemoryBackend::default();
    let link = log.node();
    let faults = link.faults();
    let hub = Hub::builder().publish_timeout(Duration::from_millis(300)).open(link).await.unwrap();
    let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
    // The answer is lost once: the retry is no second event.
    faults.lose_next_answer();
    hub.publish("a", "1").await.unwrap();
    faults.set_unavailable(true);
    let error = hub.publish("a", "lost").await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_unknown(), "{error}");
    faults.set_unavailable(false);
    hub.publish("a", "2").await.unwrap();
    for n in 3..100 {
        hub.try_publish(Publication::new("a", Event::new(n))).unwrap();
    }
    assert_eq!(read(&mut reader, 99).await, numbers(1..100));
}

#[tokio::test]
async fn readers_are_told_when_the_log_is_another_or_has_lost_its_end() {
    for is_other in [true, false] {
        let log = MemoryBackend::default();
        let hub = node(&log, 100).await;
        let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
        let kept = hub.publish("a", "kept").await.unwrap();
        let end = hub.position();
        let lost = hub.publish("a", "lost").await.unwrap().id;
        assert_eq!(read(&mut reader, 2).await, ["kept", "lost"]);
        if is_other {
            log.faults().recreate();
        } else {
            // The position of the entry that is kept.
            let at = kept.id.as_str().rsplit_once('-').unwrap().1.split('.').next().unwrap();
            let at = tower_sse::hub::backend::Position::new(at.parse().unwrap());
            log.faults().lose_after(at);
        }
        assert_eq!(read(&mut reader, 1).await[0].split(' ').next(), Some("gap"), "{is_other}");
        hub.publish("a", "new").await.unwrap();
        assert_eq!(read(&mut reader, 1).await, ["new"]);
        for id in [lost, end] {
            let resumed = hub.resume(topics(&["a"]), &id).await.unwrap();
            let is_gap = matches!(resumed.resumption(), Resumption::Gap(_));
            // The position before the loss is still one of the log that has only lost its end.
            assert!(
                is_gap || (!is_other && id.as_str().ends_with('*')),
                "{id}: {:?}",
                resumed.resumption()
            );
        }
    }
}

/// A reader that has read nothing is at the start of the log, which is a place in every log.
#[tokio::test]
async fn a_reader_that_has_read_nothing_is_told_that_the_log_is_another_one() {
    for has_read in [false, true] {
        let log = MemoryBackend::default();
        let hub = node(&log, 100).await;
        let mut reader = hub.subscribe(topics(&["a"])).await.unwrap();
        for n in 0..5 {
            hub.publish("a", Event::new(n)).await.unwrap();
        }
        if has_read {
            assert_eq!(read(&mut reader, 3).await, numbers(0..3));
        }
        log.faults().recreate();
        // The new log is shorter than the old one, and the reader gets all of it.
        for n in 5..7 {
            while hub.publish("a", Event::new(n)).await.is_err() {}
        }
        assert_eq!(read(&mut reader, 1).await[0].split(' ').next(), Some("gap"), "{has_read}");
        assert_eq!(read(&mut reader, 2).await, numbers(5..7), "{has_read}");
        // The gap is reported once.
        hub.publish("a", Event::new(7)).await.unwrap();
        assert_eq!(read(&mut reader, 1).await, numbers(7..8));
    }
}

#[tokio::test]
async fn the_end_of_a_topic_is_found_in_the_log_when_the_window_has_dropped_it() {
    let log = MemoryBackend::default();
    let hub = node(&log, 4).await;
    for n in 0..10 {
        hub.publish("job", Event::new(n)).await.unwrap();
    }
    let done = hub.finish("job", None).await.unwrap().id;
    let mut last = None;
    for n in 0..20 {
        last = Some(hub.publish("other", Event::new(n)).await.unwrap().id);
    }
    let mut expected = numbers(0..10);
    expected.push("end".to_owned());
    let mut job = hub.subscribe(topics(&["job"]).from_start()).await.unwrap();
    assert_eq!(read(&mut job, 11).await, expected);
    let mut body = hub.subscribe(topics(&["job"]).from_start()).await.unwrap().into_body();
    let (mut text, mut parser) = (Vec::new(), EventParser::new());
    while let Some(chunk) = timeout(PATIENCE, body.next_chunk()).await.expect("it ends") {
        parser.push(chunk.unwrap());
        while let Some(event) = parser.next_event() {
            text.push(event.unwrap().data().to_owned());
        }
    }
    assert_eq!(text, numbers(0..10));
    let mut after = hub.resume(topics(&["job"]), done).await.unwrap();
    assert_eq!(read(&mut after, 1).await, ["end"]);
    // An ID of another topic is recognized before the window as well.
    let first = hub.resume(topics(&["other"]), job.position()).await.unwrap();
    let Resumption::Gap(gap) = first.resumption() else { panic!("{:?}", first.resumption()) };
    assert_eq!(gap.reason, GapReason::OtherTopic);
    let own = hub.resume(topics(&["other"]), last.unwrap()).await.unwrap();
    assert_eq!(*own.resumption(), Resumption::Complete);
}

#[tokio::test]
async fn a_replay_passes_filters_and_one_refused_event_keeps_no_other_from_being_published() {
    let log = MemoryBackend::default();
    let hub = node(&log, 4).await;
    let first = hub.publish("a", Event::new(0)).await.unwrap().id;
    hub.finish("ended", None).await.unwrap();
    for n in 1..600 {
        hub.try_publish(Publication::new("a", Event::new(n))).unwrap();
        if n % 100 == 0 {
            assert!(hub.try_publish(Publication::new("ended", "late")).is_err());
        }
    }
    let is_late = |number: usize| number > 590;
    let late = move |data: &str| data.parse().is_ok_and(is_late);
    let open = || async {
        let resumed = hub.resume(topics(&["a"]), &first).await.unwrap();
        assert_eq!(*resumed.resumption(), Resumption::Complete);
        resumed.filter(move |entry| late(entry.event().data()))
    };
    assert_eq!(read(&mut open().await, 9).await, numbers(591..600));
    assert_eq!(read_body(&mut open().await.into_body(), "599").await.0, numbers(591..600));
}

/// Opens the stream of a reader with these labels, at a node.
async fn labelled(hub: &Hub, labels: &'static [&'static str]) -> EventBody {
    let handler = hub.handler(move |connect| async move {
        let accept = connect.accept().topics(["a"])?;
        Ok(labels.iter().fold(accept, |accept, label| accept.label(*label)))
    });
    let request = http::Request::new(());
    tower::ServiceExt::oneshot(handler, request).await.unwrap().into_body()
}

#[tokio::test]
async fn readers_are_disconnected_by_their_label_on_all_nodes() {
    let log = MemoryBackend::default();
    let away = log.node();
    let builder = || Hub::builder().publish_timeout(Duration::from_secs(2));
    let nodes =
        [builder().open(log.node()).await.unwrap(), builder().open(away.clone()).await.unwrap()];
    for hub in [&nodes[0], &Hub::new()] {
        let mut streams = Vec::new();
        for labels in [&["user:7"][..], &["tenant:1", "user:7"], &["user:8"], &[]] {
            streams.push(labelled(hub, labels).await);
        }
        assert_eq!(hub.disconnect_label("user:7").await.unwrap(), 2);
        assert_eq!(hub.disconnect_label("user:7").await.unwrap(), 0);
        for (number, stream) in streams.iter_mut().enumerate() {
            let ended = async { while let Some(Ok(_)) = stream.next_chunk().await {} };
            let has_ended = timeout(Duration::from_millis(50), ended).await.is_ok();
            assert_eq!(has_ended, number < 2, "{number}");
        }
    }
    // A node that was away disconnects its readers when it reads on.
    let mut on_other = labelled(&nodes[1], &["user:7"]).await;
    away.faults().set_unavailable(true);
    assert_eq!(nodes[0].disconnect_label("user:7").await.unwrap(), 0);
    assert_eq!(nodes[1].readers("a").unwrap(), 1);
    away.faults().set_unavailable(false);
    let ended = async { while let Some(Ok(_)) = on_other.next_chunk().await {} };
    timeout(PATIENCE, ended).await.expect("the stream is ended");
}

#[tokio::test]
async fn the_health_of_a_node_tells_whether_its_backend_answers() {
    let log = MemoryBackend::default();
    let hub = Hub::builder().publish_timeout(Duration::from_millis(300)).open(log.clone()).await;
    let hub = hub.unwrap();
    hub.publish("a", "x").await.unwrap();
    let healthy = hub.health();
    assert!(healthy.is_up && healthy.last_error.is_none() && healthy.errors == 0);
    assert_eq!(healthy.to_string(), "up");
    log.faults().set_unavailable(true);
    hub.publish("a", "y").await.unwrap_err();
    let down = hub.health();
    assert!(!down.is_up && down.errors > 0);
    assert!(down.to_string().starts_with("down: the engine is unavailable"), "{down}");
    log.faults().set_unavailable(false);
    hub.publish("a", "z").await.unwrap();
    assert!(hub.health().is_up && hub.health().last_error.is_some());
    assert!(Hub::new().health().is_up);
}

/// A log in memory whose next read fails if that is set.
struct FailsToRead {
    inner: MemoryBackend,
    fails: Arc<AtomicBool>,
}

impl Backend for FailsToRead {
    type Tail = MemoryTail;

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        self.inner.bounds().await
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        self.inner.append(entries).await
    }

    async fn tail(&self, after: Position) -> Result<MemoryTail, BackendError> {
        self.inner.tail(after).await
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(Fault::Unavailable.into());
        }
        self.inner.read(after, upto, wanted, most).await
    }

    async fn locate(&self, at: Position, wanted: &Wanted) -> Result<Located, BackendError> {
        self.inner.locate(at, wanted).await
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        self.inner.ends(topics).await
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        self.inner.state(wanted, upto).await
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        self.inner.newest(topics, upto, most).await
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        self.inner.forget(topics).await
    }
}

/// Nothing is published after the failure, so only the next read shows that the backend answers.
#[tokio::test]
async fn a_backend_that_failed_to_read_a_page_is_up_after_the_next_one() {
    let fails = Arc::new(AtomicBool::new(false));
    let log = FailsToRead { inner: MemoryBackend::default(), fails: fails.clone() };
    let history = History::events(4);
    let builder = Hub::builder().history(history).total_history(history);
    let hub = builder.open(log).await.unwrap();
    for n in 0..10 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    fails.store(true, Ordering::SeqCst);
    let mut reader = hub.subscribe(topics(&["a"]).from_start()).await.unwrap();
    assert_eq!(read(&mut reader, 10).await, numbers(0..10));
    let health = hub.health();
    assert_eq!((health.is_up, health.errors), (true, 1), "{health}");
}

#[tokio::test(start_paused = true)]
async fn the_readers_of_all_nodes_are_counted_until_the_lease_of_a_node_is_over() {
    let log = MemoryBackend::default();
    let lease = Duration::from_secs(30);
    let open = || async { Hub::builder().count_readers(lease).open(log.node()).await.unwrap() };
    let (one, other, silent) = (open().await, open().await, node(&log, 10).await);
    let mut readers = Vec::new();
    for hub in [&one, &other, &other, &silent] {
        readers.push(hub.subscribe(topics(&["room"])).await.unwrap());
    }
    readers.push(one.subscribe(topics(&["room", "lobby"])).await.unwrap());
    assert_eq!(one.readers_of_all_nodes("room").unwrap(), 2);
    tokio::time::sleep(lease / 2).await;
    let late = open().await;
    for hub in [&one, &other, &late] {
        assert_eq!(hub.readers_of_all_nodes("room").unwrap(), 4);
        assert_eq!(hub.readers_of_all_nodes("lobby").unwrap(), 1);
        assert_eq!(hub.readers_of_all_nodes("none").unwrap(), 0);
    }
    // A node that does not tell its readers still hears of the others.
    assert_eq!(silent.readers_of_all_nodes("room").unwrap(), 5);
    assert!(one.readers_of_all_nodes("").is_err());
    // A node is gone, and the readers of another one leave.
    drop(other);
    drop(readers.remove(0));
    assert_eq!(one.readers_of_all_nodes("room").unwrap(), 3);
    tokio::time::sleep(lease * 2).await;
    for hub in [&one, &late] {
        assert_eq!(hub.readers_of_all_nodes("room").unwrap(), 1);
    }
    // Counts are no events.
    let all = Selection::default().patterns([">"]).unwrap().from_start();
    let mut all = late.subscribe(all).await.unwrap();
    late.publish("x", "the first").await.unwrap();
    assert_eq!(read(&mut all, 1).await, ["the first"]);
}
