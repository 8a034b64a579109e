//! What a subscription may select, and how many topics readers may name together.

use tower_sse::{Hub, hub::Selection};

use super::{call, get, poll_to_end, publish, subscribe, topics};

fn names(number: usize) -> Selection {
    Selection::new((0..number).map(|n| format!("t.{n}"))).unwrap()
}

fn some_patterns(number: usize) -> Selection {
    Selection::default().patterns((0..number).map(|n| format!("p.{n}.*"))).unwrap()
}

#[tokio::test]
async fn a_subscription_has_at_most_1024_topics_and_64_patterns_by_default() {
    let hub = Hub::new();
    drop(subscribe(&hub, names(1024)));
    drop(subscribe(&hub, some_patterns(64)));
    let error = poll_to_end(hub.subscribe(names(1025))).unwrap_err();
    assert!(error.is_too_many_topics() && !error.is_too_many_patterns() && !error.is_full());
    assert_eq!(
        error.to_string(),
        "too many topics: the subscription names 1025, at most 1024 are allowed"
    );
    let error = poll_to_end(hub.resume(some_patterns(65), "x")).unwrap_err();
    assert!(error.is_too_many_patterns() && !error.is_too_many_topics() && !error.is_full());
    assert_eq!(
        error.to_string(),
        "too many patterns: the subscription has 65, at most 64 are allowed"
    );
    assert_eq!((hub.stats().topics, hub.stats().readers), (0, 0));
}

#[tokio::test]
async fn the_limits_are_settings_and_a_handler_refuses_with_400() {
    let hub =
        Hub::builder().max_topics_per_subscription(2).max_patterns_per_subscription(1).build();
    drop(subscribe(&hub, names(2).patterns(["p"]).unwrap()));
    assert!(poll_to_end(hub.subscribe(names(3))).unwrap_err().is_too_many_topics());
    assert!(poll_to_end(hub.subscribe(some_patterns(2))).unwrap_err().is_too_many_patterns());
    let handler = hub.handler(|connect| async move {
        let number = connect.uri().path()[1..].parse()?;
        Ok(connect.accept().subscribe(names(number)))
    });
    assert_eq!(call(&handler, get("/2")).await.status(), 200);
    assert_eq!(call(&handler, get("/3")).await.status(), 400);
    // A larger limit than the default is possible as well.
    let hub = Hub::builder().max_topics_per_subscription(5000).build();
    drop(subscribe(&hub, names(5000)));
}

#[tokio::test]
async fn readers_name_a_bounded_number_of_topics_together() {
    let hub = Hub::builder().max_named_topics(3).build();
    // Topics with events are bounded by the history instead.
    (0..10).for_each(|n| drop(publish(&hub, &format!("history.{n}"), "x")));
    let two = subscribe(&hub, names(2));
    let error = poll_to_end(hub.subscribe(topics(&["a", "b"]))).unwrap_err();
    assert!(error.is_full() && !error.is_too_many_topics());
    assert_eq!(error.to_string(), "the hub is full: its readers may name 3 topics together");
    // The same selection, and patterns, take no more.
    let same = subscribe(&hub, names(2));
    let one = subscribe(&hub, topics(&["a"]));
    let pattern = subscribe(&hub, some_patterns(9));
    let handler = hub.handler(|connect| async move { connect.accept().topics(["b"]) });
    let refused = call(&handler, get("/")).await;
    assert!(refused.status() == 200 || refused.status() == 503, "{}", refused.status());
    assert_eq!(hub.stats().readers, 4);
    drop(one);
    drop(subscribe(&hub, topics(&["b"])));
    drop((two, same, pattern));
    assert_eq!((hub.stats().readers, hub.stats().topics), (0, 10));
    drop(subscribe(&hub, names(3)));
}
