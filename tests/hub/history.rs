//! The history: its bounds, and when topics are removed.

use std::time::Duration;

use tower_sse::{
    Event, Hub,
    hub::{History, Selection},
};

use super::{ready, resume, subscribe, topics};

#[tokio::test(start_paused = true)]
async fn the_history_is_bounded_by_events_bytes_and_age_and_the_oldest_go_first() {
    let hub = Hub::builder()
        .history(History::events(3).max_age(Duration::from_secs(10)))
        .total_history(History::events(5))
        .build();
    for n in 0..4 {
        hub.publish("a", Event::new(n)).await.unwrap();
        hub.publish("b", Event::new(n)).await.unwrap();
    }
    assert_eq!(hub.stats().events, 5);
    let replay = |topic: &'static str| ready(&mut resume(&hub, topics(&[topic]), "x"));
    assert_eq!(replay("a"), ["2", "3"]);
    assert_eq!(replay("b"), ["1", "2", "3"]);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(replay("a"), [""; 0]);
    assert_eq!((hub.stats().events, hub.stats().bytes, hub.stats().topics), (0, 0, 0));

    let hub = Hub::builder().history(History::unlimited_events().max_bytes(2000)).build();
    for _ in 0..100 {
        hub.publish("a", "x".repeat(100)).await.unwrap();
    }
    let stats = hub.stats();
    assert!(stats.bytes <= 2000 && stats.events >= 3, "{stats:?}");
}

#[tokio::test]
async fn topics_without_readers_and_history_are_removed() {
    let hub = Hub::builder().total_history(History::events(1)).build();
    for n in 0..100 {
        hub.publish(format!("a.{n}"), "x").await.unwrap();
    }
    let readers: Vec<_> = (0..10).map(|n| subscribe(&hub, topics(&[&format!("b.{n}")]))).collect();
    assert_eq!((hub.stats().topics, hub.stats().readers), (11, 10));
    drop(readers);
    assert_eq!((hub.stats().topics, hub.stats().readers), (1, 0));
}

#[tokio::test]
async fn a_reader_of_many_topics_gets_all_events_however_rare_they_are() {
    let hub = Hub::builder().history(History::unlimited_events()).build();
    let rare: Vec<_> = (0..40).map(|n| format!("rare.{n}")).collect();
    let names = Selection::new(&rare).unwrap();
    let mut named = subscribe(&hub, names);
    let mut matched = subscribe(&hub, Selection::default().patterns(["rare.*", "none.>"]).unwrap());
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
