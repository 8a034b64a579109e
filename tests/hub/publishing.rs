//! Publishing: order, ids, errors, and several events in one step.

use std::time::Duration;

use tower_sse::{
    Event, EventBody, Hub,
    hub::{History, Publication, Selection},
};

use super::{ready, ready_bytes, subscribe, topics};

#[tokio::test]
async fn readers_get_the_order_of_publication_over_all_their_topics() {
    let hub = Hub::new();
    let mut both = subscribe(&hub, topics(&["a", "b"]));
    let mut one = subscribe(&hub, topics(&["a"]));
    let mut pattern = subscribe(&hub, Selection::default().patterns(["a.>", "b"]).unwrap());
    for (topic, text) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("a.x", "5")] {
        hub.publish(topic, text).await.unwrap();
    }
    assert_eq!(ready(&mut both), ["1", "2", "4"]);
    assert_eq!(ready(&mut one), ["1", "4"]);
    assert_eq!(ready(&mut pattern), ["2", "5"]);
    assert_eq!(ready(&mut both), [""; 0]);
}

#[tokio::test]
async fn publishing_returns_the_id_and_how_many_readers_it_woke() {
    let hub = Hub::new();
    let mut waiting = subscribe(&hub, topics(&["a"]));
    let busy = subscribe(&hub, topics(&["a"]));
    assert_eq!(ready(&mut waiting), [""; 0]);
    let first = hub.publish("a", "1").await.unwrap();
    let second = hub.publish("a", "2").await.unwrap();
    assert_eq!((first.woken, second.woken), (1, 0));
    assert_ne!(first.id, second.id);
    let entry = waiting.next().await.unwrap().unwrap();
    assert_eq!(entry.id(), Some(first.id));
    assert_eq!((entry.topic().as_str(), entry.key()), ("a", None));
    drop(busy);
}

#[tokio::test]
async fn a_rejected_publication_comes_back_with_the_reason() {
    let hub = Hub::builder().history(History::events(4).max_bytes(1000)).build();
    let error = hub.publish("", "x").await.unwrap_err();
    assert!(error.is_invalid_topic());
    assert_eq!(error.to_string(), "invalid topic: it is empty");
    let error = hub.publish("a", Event::new("x").with_id(7)).await.unwrap_err();
    assert!(error.has_id());
    assert_eq!(
        error.to_string(),
        r#"the event has the ID "7": publish it without one, the hub sets IDs"#
    );
    let error = hub.publish("a", "x".repeat(2000)).await.unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert_eq!(error.into_publications().remove(0).into_event().data().len(), 2000);

    let all =
        [Publication::new("a", "1"), Publication::new("b\n", "2"), Publication::new("c", "3")];
    let error = hub.publish_all(all).await.unwrap_err();
    assert_eq!(error.index(), 1);
    assert_eq!(error.to_string(), "publication 1: invalid topic: control character 0x0a at byte 1");
    assert_eq!(error.into_publications().len(), 3);
    assert_eq!(hub.stats().published, 0);
}

#[tokio::test]
async fn several_events_are_published_in_one_step_and_wake_once() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub, topics(&["a", "b"]));
    assert_eq!(ready(&mut subscription), [""; 0]);
    let all = [Publication::new("a", "1"), Publication::new("b", "2"), Publication::new("a", "3")];
    let published = hub.publish_all(all).await.unwrap();
    assert_eq!((published.ids.len(), published.woken), (3, 1));
    assert_eq!(ready(&mut subscription), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_entry_returns_its_event_as_it_was_published() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    let event = Event::new("one\ntwo")
        .with_type("t")
        .with_retry(Duration::from_millis(7))
        .with_comment("hi")
        .with_field("trace", "x");
    hub.publish("a", event.clone()).await.unwrap();
    let entry = subscription.next().await.unwrap().unwrap();
    assert_eq!(entry.event(), event.with_id(entry.id().unwrap()));
    assert!(entry.to_bytes().starts_with(b"id: "));
}

#[tokio::test]
async fn an_entry_can_be_sent_on_unchanged() {
    let hub = Hub::new();
    let reader = subscribe(&hub, topics(&["a"]));
    let mut body = EventBody::from_stream(reader.into_stream()).without_greeting();
    ready_bytes(&mut body);
    let id = hub.publish("a", Event::new("x").with_type("t")).await.unwrap().id;
    assert_eq!(ready_bytes(&mut body), format!("id: {id}\nevent: t\ndata: x\n\n"));
}

#[tokio::test]
async fn publishing_without_waiting_keeps_the_order_and_returns_rejected_publications() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    for n in 0..3 {
        hub.try_publish(Publication::new("a", Event::new(n))).unwrap();
    }
    assert_eq!(ready(&mut subscription), ["0", "1", "2"]);
    let error = hub.try_publish(Publication::new("a\n", "x")).unwrap_err();
    assert!(error.is_invalid_topic() && error.into_publications().len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_finished_until_its_name_is_free() {
    let hub = Hub::builder().finished_ttl(Duration::from_secs(10)).build();
    assert!(!hub.is_finished("job").unwrap());
    hub.publish("job", "half").await.unwrap();
    assert!(!hub.is_finished("job").unwrap());
    hub.finish("job", Event::new("done")).await.unwrap();
    assert!(hub.is_finished("job").unwrap() && !hub.is_finished("other").unwrap());
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(!hub.is_finished("job").unwrap());
    hub.publish("job", "again").await.unwrap();
    assert!(hub.is_finished("a\n").is_err());
}
