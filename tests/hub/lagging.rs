//! Readers that are too slow for the length of the history.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
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
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), ": connected\n\n");
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
