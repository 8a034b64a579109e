//! The example `demo`.

use http::Request;

use crate::{
    streams::{event, events},
    support::process::Example,
};

#[tokio::test]
async fn demo_counts_ends_and_resumes_after_the_last_event_id() {
    let demo = Example::start("demo", &["--count", "3", "--every", "10ms"]).await;
    let page = demo.get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.text().await, include_str!("../../examples/demo.html"));

    let hello = |range: std::ops::RangeInclusive<u32>| -> Vec<_> {
        range.map(|n| event("my-custom-event", format!("Hello World! {n}"), Some(n))).collect()
    };
    let reply = demo.get("/events").await;
    reply.assert_event_stream();
    let text = reply.text().await;
    assert!(text.starts_with(": connected\nretry: 1000\n"), "{text}");
    assert_eq!(events(&text), hello(1..=3));

    let again = demo.send(Request::get("/events").header("last-event-id", "3")).await;
    assert_eq!(events(&again.text().await), hello(4..=6));
    let by_query = demo.get("/events?last_event_id=10").await;
    assert_eq!(events(&by_query.text().await), hello(11..=13));
    for (id, first) in [("nonsense", 1), ("-1", 1)] {
        let reply = demo.send(Request::get("/events").header("last-event-id", id)).await;
        assert_eq!(events(&reply.text().await), hello(first..=first + 2), "{id}");
    }
    let last = u64::MAX.to_string();
    let reply = demo.send(Request::get("/events").header("last-event-id", last)).await;
    assert_eq!(events(&reply.text().await), []);
}

#[tokio::test]
async fn demo_sends_ten_events_by_default() {
    let demo = Example::start("demo", &["--every", "0s"]).await;
    let sent = events(&demo.get("/events").await.text().await);
    assert_eq!(sent.len(), 10);
    assert_eq!(sent[9], event("my-custom-event", "Hello World! 10", Some(10)));
}
