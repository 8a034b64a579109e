//! A reader that has much to look at gives its thread back after a bounded amount of work.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::Body;
use tower_sse::{
    Hub,
    hub::{History, Selection},
};

use super::{
    data, patterns, poll_ready, poll_to_end, publish, publish_numbers, resume, subscribe,
    support::waker::Woken,
};

/// Polls until the first event, and returns how often the thread was given back before.
fn turns<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> (T, usize) {
    let (woken, waker) = Woken::new();
    let mut turns = 0;
    loop {
        match poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(item) => return (item, turns),
            Poll::Pending => turns += 1,
        }
        assert_eq!(woken.count(), turns, "a reader that has not looked at everything is woken");
    }
}

#[test]
fn a_reader_whose_events_are_far_apart_lets_other_tasks_run_in_between() {
    // The events of other topics do not count: a reader looks at its own only.
    let hub = Hub::builder().history(History::unlimited_events().max_bytes(1 << 30)).build();
    let names: Vec<_> = (0..300).map(|n| format!("own.{n}")).collect();
    let own = || Selection::new(&names).unwrap();
    let start = hub.position();
    for _ in 0..5 {
        publish_numbers(&hub, "foreign", 0..100_000);
    }
    publish(&hub, "own.299", "own");
    let mut reader = resume(&hub, own(), &start);
    let (entry, turned) = turns(|cx| reader.poll_next(cx));
    assert_eq!((data(&entry.unwrap().unwrap()).as_str(), turned), ("own", 0));

    // Events that a filter leaves out are looked at, and so are those without a key for the state.
    publish_numbers(&hub, "own.0", 0..100_000);
    publish(&hub, "own.1", "wanted");
    poll_to_end(hub.publish_keyed("own.1", "key", "state")).unwrap();
    let wanted = |it: &tower_sse::hub::Entry| it.event().data() == "wanted";
    let mut filtered = resume(&hub, own(), &start).filter(wanted);
    let (entry, turned) = turns(|cx| filtered.poll_next(cx));
    assert_eq!(data(&entry.unwrap().unwrap()), "wanted");
    assert!(turned >= 10, "{turned}");
    for selected in [own(), patterns(&["own.*"])] {
        let mut state = subscribe(&hub, selected.clone().with_state());
        let (entry, turned) = turns(|cx| state.poll_next(cx));
        assert_eq!(data(&entry.unwrap().unwrap()), "state");
        assert!(turned >= 10, "{turned}");
        // The same as a body.
        let filtered = resume(&hub, selected.clone(), &start).filter(wanted);
        let mut body = filtered.into_body().without_greeting();
        let text = |body: &mut tower_sse::EventBody| {
            let (frame, turned) = turns(|cx| Pin::new(&mut *body).poll_frame(cx));
            let data = frame.unwrap().unwrap().into_data().unwrap();
            (String::from_utf8(data.to_vec()).unwrap(), turned)
        };
        let (found, turned) = text(&mut body);
        assert!(found.contains("data: wanted") && turned >= 10, "{found} {turned}");
        let mut body = subscribe(&hub, selected.with_state()).into_body().without_greeting();
        let (found, turned) = text(&mut body);
        assert!(found.starts_with("data: state") && turned >= 10, "{found} {turned}");
    }
    assert!(poll_ready(|cx| filtered.poll_next(cx)).is_none());
}

#[test]
fn opening_a_pattern_over_many_topics_lets_other_tasks_run_in_between() {
    let hub = Hub::new();
    for n in 0..20_000 {
        publish(&hub, &format!("topic.{n}"), "x");
    }
    for selected in [patterns(&["topic.*"]).from_start(), patterns(&["*.7"]).last(1)] {
        let mut opening = Box::pin(hub.subscribe(selected));
        let (reader, turned) = turns(|cx| opening.as_mut().poll(cx));
        assert!(turned >= 10, "{turned}");
        let mut reader = reader.unwrap();
        assert!(poll_ready(|cx| reader.poll_next(cx)).is_some());
        // The next reader of the pattern finds it complete.
    }
    let first = subscribe(&hub, patterns(&["topic.>"]).from_start());
    let mut opening = Box::pin(hub.subscribe(patterns(&["topic.>"]).from_start()));
    let (_second, turned) = turns(|cx| opening.as_mut().poll(cx));
    assert_eq!(turned, 0);
    drop(first);
    // A body that is opened by a handler waits in the same way, after its head was sent.
    let handler = hub.handler(|connect| async move {
        Ok(connect.accept().subscribe(patterns(&["topic.*"]).from_start()))
    });
    let response = poll_to_end(super::call(&handler, super::get("/")));
    let mut body = response.into_body();
    let text = super::ready_bytes(&mut body);
    assert_eq!(text.matches("data: x\n").count(), 20_000);
}
