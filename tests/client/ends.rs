//! Where a source ends: at a sentinel, with or without its last event, and what becomes of its
//! connection.

use std::time::Duration;

use http::Request;
use tokio::time::timeout;
use tower_sse::{EventSource, Reconnection};

use crate::support::socket::{Act, chunked, server, stream};

const LIMIT: Duration = Duration::from_secs(20);

/// Reads a source to its end: the data of its events, and its errors.
async fn all(source: &mut EventSource) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = timeout(LIMIT, source.next_event()).await.expect("an item in time") {
        all.push(event.map_or_else(|error| error.to_string(), |event| event.data().to_owned()));
    }
    all
}

async fn source(text: &str) -> EventSource {
    let (url, _) = server([Act::Writes(stream(text))]).await;
    EventSource::send(Request::post(url).body("").unwrap())
}

#[tokio::test]
async fn a_source_ends_by_data_by_type_or_by_a_function_with_or_without_its_last_event() {
    let text = "data: a\n\nevent: message_stop\ndata:  [DONE] \n\ndata: c\n\n";
    type End = fn(EventSource) -> EventSource;
    let ends: [(End, &[&str]); 7] = [
        (|source| source.until_data("[DONE]"), &["a"]),
        (|source| source.until_data("[DONE]").inclusive(), &["a", " [DONE] "]),
        (|source| source.until_type("message_stop"), &["a"]),
        (|source| source.inclusive().until_type("message_stop"), &["a", " [DONE] "]),
        (|source| source.until(|event| event.data() == "c"), &["a", " [DONE] "]),
        (|source| source.until_data("c").until_type("message_stop"), &["a"]),
        (|source| source, &["a", " [DONE] ", "c"]),
    ];
    for (number, (end, expected)) in ends.into_iter().enumerate() {
        let mut source = end(source(text).await);
        assert_eq!(all(&mut source).await, expected, "{number}");
        assert_eq!(source.is_reached(), number != 6, "{number}");
    }
}

#[tokio::test]
async fn an_end_without_the_required_event_is_an_error() {
    let required = async |text| source(text).await.until_data("[DONE]").required();
    assert_eq!(all(&mut required("data: a\n\ndata: [DONE]\n\n").await).await, ["a"]);
    let cut_off = "the stream ended before its last event: it was cut off";
    assert_eq!(all(&mut required("data: a\n\n").await).await, ["a", cut_off]);
    let mut source = required("").await;
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_fatal() && error.is_incomplete());
    // No answer at all is an end too. An end by the application is not.
    let (url, _) = server([Act::Writes("HTTP/1.1 204 No Content\r\n\r\n".into())]).await;
    let mut source = EventSource::new(url).until_data("[DONE]").required();
    assert_eq!(all(&mut source).await, [cut_off]);
    let mut source = required("data: a\n\n").await;
    source.close();
    assert!(all(&mut source).await.is_empty());
}

#[tokio::test]
async fn the_last_event_may_lack_its_blank_line() {
    for (text, expected, is_reached) in [
        (
            "data: a\n\ndata: {\"finish_reason\":\"stop\"}\n",
            &["a", "{\"finish_reason\":\"stop\"}"][..],
            false,
        ),
        ("data: a\n\ndata: [DONE]", &["a"], true),
        ("data: a\n\ndata: [DONE]\n", &["a"], true),
        ("data: a\n\ndata: [DONE]\n\n", &["a"], true),
        ("data: a\n\nid: 9", &["a"], false),
    ] {
        let mut source = source(text).await.with_unfinished().until_data("[DONE]");
        assert_eq!(all(&mut source).await, expected, "{text:?}");
        assert_eq!(source.is_reached(), is_reached, "{text:?}");
    }
    // By default the standard applies, and the event can be read after the end.
    let mut source = source("data: a\n\ndata: b\n").await;
    assert_eq!(all(&mut source).await, ["a"]);
    assert_eq!(source.unfinished().unwrap().data(), "b");
}

#[tokio::test]
async fn half_an_event_of_a_connection_that_was_cut_is_not_returned() {
    let (url, _) = server([Act::Resets(stream("data: a\n\ndata: ha"))]).await;
    let request = Request::post(url).body("").unwrap();
    let mut source = EventSource::send(request).with_unfinished();
    assert_eq!(all(&mut source).await, ["a", "the connection was lost"]);
    assert_eq!(source.unfinished().unwrap().data(), "ha");
}

/// The end of the body comes a little after the last event, as servers send it.
#[tokio::test]
async fn the_connection_is_used_again_after_the_last_event() {
    for pause in [0, 20] {
        let mut connections = Vec::new();
        // On a busy machine the end of the body may come after more than 50 ms.
        while connections.len() < 10 && !connections.contains(&1) {
            let answer = chunked("data: a\n\ndata: [DONE]\n\n", Duration::from_millis(pause));
            let (url, seen) = server([answer]).await;
            for _ in 0..4 {
                let request = Request::post(&url).body("").unwrap();
                let mut source = EventSource::send(request).until_data("[DONE]");
                assert_eq!(all(&mut source).await, ["a"]);
                // The client puts the connection back in a task of its own.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(seen.requests(), 4);
            connections.push(seen.connections());
        }
        assert!(connections.contains(&1), "{pause} ms: {connections:?}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_its_connection_open_does_not_delay_the_end_for_long() {
    let (url, _) = server([Act::Holds(stream("data: a\n\nevent: message_stop\ndata\n\n"))]).await;
    let mut source = EventSource::new(url).until_type("message_stop");
    let started = std::time::Instant::now();
    assert_eq!(all(&mut source).await, ["a"]);
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_last_event_ends_a_source_that_would_reconnect() {
    let acts = [
        Act::Writes(stream("data: a\n\n")),
        Act::Writes(stream("data: b\n\ndata: [DONE]\n\n")),
        Act::Holds(stream("data: never\n\n")),
    ];
    let (url, seen) = server(acts).await;
    let policy = Reconnection::resilient().base(Duration::from_millis(1));
    let mut source = EventSource::new(url).reconnection(policy).until_data("[DONE]").required();
    assert_eq!(all(&mut source).await, ["a", "b"]);
    assert_eq!(seen.requests(), 2);
    source.reconnect();
    assert!(all(&mut source).await.is_empty(), "it stays ended");
}

#[tokio::test]
async fn the_head_of_the_response_is_kept_by_the_source_and_its_adaptors() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: r-1\r\n\r\n";
    let (url, _) = server([Act::Writes(format!("{head}data: 1\n\n"))]).await;
    let new = || EventSource::send(Request::post(&url).body("").unwrap());
    let mut source = new();
    assert!(source.head().is_none());
    assert_eq!(all(&mut source).await, ["1"]);
    assert_eq!(source.head().unwrap().headers["x-request-id"], "r-1");
    let mut updates = new().updates();
    while futures_util::StreamExt::next(&mut updates).await.is_some() {}
    assert_eq!(updates.head().unwrap().status, 200);
    #[cfg(feature = "json")]
    {
        let mut values = tower_sse::EventStreamExt::json::<u32>(new());
        assert_eq!(futures_util::StreamExt::next(&mut values).await.unwrap().unwrap(), 1);
        assert_eq!(values.head().unwrap().headers["x-request-id"], "r-1");
        assert_eq!(values.last_event().unwrap().data(), "1");
        assert!(all(&mut values.into_inner()).await.is_empty());
    }
}
