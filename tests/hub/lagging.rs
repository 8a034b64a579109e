//! Readers that are too slow for the length of the history.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_sse::{
    Event, Hub,
    hub::{History, Lagging, Publication, Selection},
};

use super::{ready, ready_bytes, resume, subscribe, topics};

#[tokio::test]
async fn a_reader_that_lags_is_evicted_or_skips() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    for lagging in [Lagging::Evict, Lagging::Skip] {
        let hub = Hub::builder().history(History::events(2)).lagging(lagging).build();
        let mut subscription = subscribe(&hub, topics(&["a"]));
        let reported = reasons.clone();
        let mut body = subscribe(&hub, topics(&["a"]))
            .into_body()
            .without_greeting()
            .on_disconnect(move |end| reported.lock().unwrap().push(end.reason()));
        ready_bytes(&mut body);
        for n in 0..5 {
            hub.publish("a", Event::new(n)).await.unwrap();
        }
        match lagging {
            Lagging::Evict => {
                assert_eq!(ready(&mut subscription), ["lagged Some(3)", "end"]);
                tokio::time::pause();
                let error = body.next_chunk().await.unwrap().unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "event stream failed: evicted: the client was too slow"
                );
                tokio::time::resume();
            }
            _ => {
                assert_eq!(ready(&mut subscription), ["lagged Some(3)", "3", "4"]);
                let text = ready_bytes(&mut body);
                assert!(text.starts_with("event: gap\nid: "), "{text}");
                assert!(text.contains(r#""missed":3}"#) && text.ends_with("data: 4\n\n"), "{text}");
            }
        }
        drop(body);
        assert_eq!(hub.stats().lagged, 2);
    }
    let reasons = reasons.lock().unwrap();
    assert_eq!(*reasons, [tower_sse::EndReason::Evicted, tower_sse::EndReason::ClientGone]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_lagged_before_its_body_is_polled_is_evicted() {
    let hub = Hub::builder().history(History::events(2)).lagging(Lagging::Evict).build();
    let last = hub.publish("a", Event::new("seen")).await.unwrap().id;
    let subscription = resume(&hub, topics(&["a"]), last);
    for n in 0..5 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let reason = Arc::new(Mutex::new(None));
    let reported = reason.clone();
    let mut body = subscription
        .into_body()
        .on_disconnect(move |end| *reported.lock().unwrap() = Some(end.reason()));
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n");
    let error = body.next_chunk().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "event stream failed: evicted: the client was too slow");
    assert!(body.next_chunk().await.is_none());
    assert_eq!(*reason.lock().unwrap(), Some(tower_sse::EndReason::Evicted));
}

#[tokio::test]
async fn a_stalled_reader_that_leaves_was_evicted() {
    let reason = Arc::new(Mutex::new(None));
    let reported = reason.clone();
    let hub = Hub::builder().history(History::events(1)).build();
    let mut body = subscribe(&hub, topics(&["a"]))
        .into_body()
        .on_disconnect(move |end| *reported.lock().unwrap() = Some(end.reason()));
    ready_bytes(&mut body);
    for _ in 0..3 {
        hub.publish("a", "x").await.unwrap();
    }
    drop(body);
    assert_eq!(*reason.lock().unwrap(), Some(tower_sse::EndReason::Evicted));
}

#[tokio::test]
async fn a_reader_is_woken_for_an_event_that_is_trimmed_in_the_same_step() {
    let hub = Hub::builder().total_history(History::events(1)).lagging(Lagging::Skip).build();
    let mut subscription = subscribe(&hub, Selection::default().patterns(["a.*"]).unwrap());
    assert_eq!(ready(&mut subscription), [""; 0]);
    let all = [Publication::new("a.1", "1"), Publication::new("b", "2")];
    assert_eq!(hub.publish_all(all).await.unwrap().woken, 1);
    assert_eq!(ready(&mut subscription), ["lagged Some(1)"]);
}

#[tokio::test]
async fn a_reader_with_much_to_read_lets_other_tasks_run() {
    let hub = Hub::builder().history(History::events(5000)).build();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    for n in 0..5000 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    let ran = Arc::new(AtomicBool::new(false));
    let running = ran.clone();
    tokio::spawn(async move { running.store(true, SeqCst) });
    let mut read = 0;
    while !ran.load(SeqCst) {
        subscription.next().await.unwrap().unwrap();
        read += 1;
    }
    assert!(read < 5000, "{read}");
}

/// Two readers that have read nothing of four events, which expire, and then get a fifth event.
async fn readers_of_expired_events(
    lagging: Lagging,
    max_events: usize,
    is_removed: bool,
) -> (Hub, Vec<String>, String) {
    let age = Duration::from_secs(10);
    let history = History::events(max_events).max_age(age);
    let hub = Hub::builder().history(history).lagging(lagging).build();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    let mut body = subscribe(&hub, topics(&["a"])).into_body().without_greeting();
    ready_bytes(&mut body);
    for n in 0..4 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    tokio::time::advance(age).await;
    if is_removed {
        assert_eq!(hub.stats().events, 0);
    }
    hub.publish("a", "new").await.unwrap();
    let (found, text) = (ready(&mut subscription), ready_bytes(&mut body));
    (hub, found, text)
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_missed_only_expired_events_gets_one_gap_and_continues() {
    for lagging in [Lagging::Evict, Lagging::Skip] {
        // The new event itself removes one of the others, or none.
        for max_events in [4, 100] {
            for is_removed in [false, true] {
                let case = format!("{lagging:?} {max_events} {is_removed}");
                let (_hub, found, text) =
                    readers_of_expired_events(lagging, max_events, is_removed).await;
                assert_eq!(found, ["lagged Some(4)", "new"], "{case}");
                assert_eq!(text.matches("event: gap\n").count(), 1, "{case}: {text}");
                assert!(text.ends_with("data: new\n\n"), "{case}: {text}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_with_expired_events_unread_was_not_evicted() {
    let age = Duration::from_secs(10);
    let hub = Hub::builder().history(History::events(4).max_age(age)).build();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let body = || {
        let reported = reasons.clone();
        let mut body = subscribe(&hub, topics(&["a"]))
            .into_body()
            .on_disconnect(move |end| reported.lock().unwrap().push(end.reason()));
        ready_bytes(&mut body);
        body
    };
    let (expired, removed) = (body(), body());
    hub.publish("a", "x").await.unwrap();
    tokio::time::advance(age).await;
    drop(expired);
    assert_eq!(hub.stats().events, 0);
    drop(removed);
    let lags = body();
    for n in 0..5 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    drop(lags);
    let client_gone = tower_sse::EndReason::ClientGone;
    let reasons = reasons.lock().unwrap();
    assert_eq!(*reasons, [client_gone, client_gone, tower_sse::EndReason::Evicted]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_evicted_although_the_history_has_an_age() {
    let hub = Hub::builder().history(History::events(2).max_age(Duration::from_secs(10))).build();
    let mut subscription = subscribe(&hub, topics(&["a"]));
    hub.publish("a", "old").await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(ready(&mut subscription), ["lagged Some(1)"]);
    for n in 0..3 {
        hub.publish("a", Event::new(n)).await.unwrap();
    }
    assert_eq!(ready(&mut subscription), ["lagged Some(1)", "end"]);
}
