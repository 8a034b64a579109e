//! Where readers, history, ids and keys meet.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
};

use tower_sse::{
    EndReason, Event, Hub,
    hub::{GapReason, History, Lagging, Publication, Resumption, Selection, Subscription},
};

use super::{data, ready, ready_bytes, topics};

async fn keyed(hub: &Hub, keys: std::ops::Range<usize>, data: &str) {
    for key in keys {
        hub.publish_keyed("a", format!("k{key}"), format!("{key}{data}")).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_history_lets_go_of_is_not_of_the_state_and_nobody_lags_for_it() {
    for lagging in [Lagging::Evict, Lagging::Skip] {
        let hub = Hub::builder().history(History::events(4)).lagging(lagging).build();
        keyed(&hub, 0..4, "").await;
        let state = || hub.subscribe(topics(&["a"]).with_state());
        // What it has had already.
        let mut all = state();
        assert_eq!(ready(&mut all), ["0", "1", "2", "3"]);
        keyed(&hub, 4..5, "").await;
        assert_eq!(ready(&mut all), ["4"]);
        // What it has not come to yet is left out, as it is for a reader that begins now.
        let mut slow = state();
        assert_eq!(data(&slow.next().await.unwrap().unwrap()), "1");
        keyed(&hub, 5..7, "").await;
        assert_eq!(ready(&mut slow), ["3", "4", "5", "6"]);
        assert_eq!(ready(&mut state()), ["3", "4", "5", "6"]);
        assert_eq!(hub.stats().lagged, 0);
    }
}

#[tokio::test]
async fn a_tombstone_is_the_last_of_its_key_and_not_of_the_state() {
    let hub = Hub::new();
    let mut reader = hub.subscribe(topics(&["a"]));
    keyed(&hub, 0..2, "").await;
    let gone = Publication::new("a", "k0 is gone").key("k0").tombstone();
    hub.publish_all([gone]).await.unwrap();
    assert_eq!(ready(&mut reader), ["1", "k0 is gone"]);
    let mut new = hub.subscribe(topics(&["a"]).with_state());
    assert_eq!(ready(&mut new), ["1"]);
    // And it may come again.
    keyed(&hub, 0..1, " again").await;
    assert_eq!(ready(&mut new), ["0 again"]);
    assert_eq!(ready(&mut hub.subscribe(topics(&["a"]).with_state())), ["1", "0 again"]);
    assert_eq!(hub.stats().events, 2);
}

#[tokio::test]
async fn a_body_whose_state_is_larger_than_a_frame_tells_no_id_before_its_end() {
    let hub = Hub::builder().history(History::events(5)).build();
    keyed(&hub, 0..5, &"x".repeat(30_000)).await;
    let mut body = hub.subscribe(topics(&["a"]).with_state()).into_body().without_greeting();
    let first = body.next_chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: 0x") && !first.windows(3).any(|it| it == b"id:"));
    keyed(&hub, 5..6, "").await;
    let mut rest = String::new();
    while !rest.ends_with("data: 5\n\n") {
        let chunk = body.next_chunk().await.unwrap().unwrap();
        rest.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let ids = rest.find("id: ").unwrap();
    assert!(ids > rest.rfind("data: 4x").unwrap(), "the state, then its id");
}

fn reason(feed: &Subscription) -> Option<GapReason> {
    match feed.resumption() {
        Resumption::Gap(gap) => Some(gap.reason),
        _ => None,
    }
}

#[tokio::test]
async fn an_id_of_another_topic_is_known_whether_its_event_is_kept_or_not() {
    let hub = Hub::builder().history(History::events(1)).build();
    let of = |name: &str, id: &str| hub.resume(topics(&[name]), id);
    // Superseded, trimmed, kept; and where a reader stands.
    let mut ids = Vec::new();
    ids.push(hub.publish_keyed("b", "k", "1").await.unwrap().id);
    ids.push(hub.publish_keyed("b", "k", "2").await.unwrap().id);
    ids.push(hub.publish("b", "3").await.unwrap().id);
    ids.push(hub.subscribe(topics(&["b"])).position());
    for id in &ids {
        assert_eq!(reason(&of("a", id.as_str())), Some(GapReason::OtherTopic), "{id}");
    }
    assert_eq!(reason(&of("b", ids[0].as_str())), Some(GapReason::Trimmed));
    for id in &ids[1..] {
        assert_eq!(reason(&of("b", id.as_str())), None, "{id}");
    }
    // By a pattern too, and for a pattern whose topic is gone.
    let matching = || Selection::default().patterns(["*"]).unwrap();
    assert_eq!(reason(&hub.resume(matching(), ids[2].as_str())), None);
    let other = Selection::default().patterns(["a.>"]).unwrap();
    assert_eq!(reason(&hub.resume(other, ids[2].as_str())), Some(GapReason::OtherTopic));
    // That of a hub before this one.
    let before = Hub::new().publish("b", "1").await.unwrap().id;
    assert_eq!(reason(&of("b", before.as_str())), Some(GapReason::OtherEpoch));
}

#[tokio::test]
async fn a_reader_that_is_cut_before_it_is_a_body_was_revoked() {
    let hub = Hub::new();
    let told = Arc::new(Mutex::new(None));
    let telling = told.clone();
    let mut session = http::Extensions::new();
    session.insert(7);
    let feed = hub.subscribe(topics(&["a"])).extensions(session);
    assert_eq!(hub.disconnect(|session| session.get() == Some(&7)), 1);
    let mut body =
        feed.into_body().on_disconnect(move |end| *telling.lock().unwrap() = Some(end.reason()));
    while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
    drop(body);
    assert_eq!(*told.lock().unwrap(), Some(EndReason::Revoked));
}

#[tokio::test]
async fn a_body_of_what_was_read_from_tells_no_gap_behind_its_events() {
    let hub = Hub::new();
    hub.publish("a", "1").await.unwrap();
    hub.publish("a", "2").await.unwrap();
    let mut feed = hub.resume(topics(&["a"]), "nonsense");
    assert_eq!(data(&feed.next().await.unwrap().unwrap()), "1");
    let text = ready_bytes(&mut feed.into_body().without_greeting());
    assert!(!text.contains("gap") && text.ends_with("data: 2\n\n"), "{text}");
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let hub = Hub::new();
    let woken = Arc::new(Counts(AtomicUsize::new(0)));
    let mut feeds: Vec<_> = (0..3).map(|_| hub.subscribe(topics(&["a"]))).collect();
    for (n, feed) in feeds.iter_mut().enumerate() {
        let waker = if n == 1 { Waker::from(Arc::new(Panics)) } else { woken.clone().into() };
        let mut cx = Context::from_waker(&waker);
        let poll = futures_core::Stream::poll_next(std::pin::Pin::new(feed), &mut cx);
        assert!(poll.is_pending());
    }
    assert_eq!(hub.publish("a", "1").await.unwrap().woken, 3);
    assert_eq!(woken.0.load(SeqCst), 2);
}

#[tokio::test]
async fn a_reader_that_is_far_behind_lets_others_run() {
    let hub = Hub::builder().history(History::events(5000)).build();
    let mut feed = hub.subscribe(topics(&["a"]));
    for n in 0..5000 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let ran = Arc::new(AtomicBool::new(false));
    let running = ran.clone();
    tokio::spawn(async move { running.store(true, SeqCst) });
    let mut read = 0;
    while !ran.load(SeqCst) {
        feed.next().await.unwrap().unwrap();
        read += 1;
    }
    assert!(read < 5000, "{read}");
}

#[tokio::test]
async fn a_reader_of_many_topics_gets_all_however_rare_they_are() {
    let hub = Hub::builder().history(History::unlimited_events()).build();
    let rare: Vec<_> = (0..40).map(|n| format!("rare.{n}")).collect();
    let names = Selection::new(&rare).unwrap();
    let mut named = hub.subscribe(names);
    let mut matched = hub.subscribe(Selection::default().patterns(["rare.*", "none.>"]).unwrap());
    let mut expected = Vec::new();
    for n in 0..20_000 {
        let topic = if n % 997 == 0 { rare[n % 40].as_str() } else { "often" };
        hub.publish(topic, Event::new(n)).await.unwrap();
        if n % 997 == 0 {
            expected.push(n.to_string());
        }
    }
    assert_eq!(ready(&mut named), expected);
    assert_eq!(ready(&mut matched), expected);
}
