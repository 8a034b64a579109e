//! The response head of an event stream.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tower_sse::{Buffer, Connect, Event, EventBody, event_channel};

use crate::support::{
    handlers::{idle, sends},
    http::{call, get},
};

#[tokio::test(start_paused = true)]
async fn by_default_the_response_is_200_an_event_stream_and_not_cached() {
    assert_eq!(call(&sends(vec![Event::new("x")]), get("/")).await.status(), StatusCode::OK);
    assert_eq!(
        EventBody::from(event_channel(Buffer::default()).1).into_http_response().status(),
        200
    );
    for app in [idle(), idle().on_connect(|connect| async { Ok(connect.accept()) })] {
        let response = call(&app, get("/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_headers_suit_a_stream_and_the_application_can_replace_them() {
    let response = call(&idle(), get("/")).await;
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "cache-control: no-store, no-transform",
            "content-type: text/event-stream",
            "x-accel-buffering: no"
        ]
    );
    let own = [
        ("cache-control", "no-cache"),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("x-accel-buffering", "yes"),
    ];
    let handler = idle().on_connect(move |connect: Connect| async move {
        let accept = connect.accept();
        Ok(own.into_iter().fold(accept, |accept, (name, value)| {
            accept.header(name, HeaderValue::from_static(value))
        }))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers().len(), 3);
    for (name, value) in own {
        assert_eq!(response.headers()[name], value);
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_the_response_is_the_channel() {
    let (events, receiver) = event_channel(Buffer::default());
    let response = EventBody::from(receiver).without_greeting().into_http_response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for text in ["a", "b"] {
        events.send(Event::new(text)).await.unwrap();
        assert_eq!(
            body.next_chunk().await.unwrap().unwrap(),
            Bytes::from(format!("data: {text}\n\n"))
        );
    }
    drop(events);
    assert!(body.next_chunk().await.is_none());
}

/// The headers of another response may be copied whole.
#[tokio::test(start_paused = true)]
async fn headers_that_say_how_a_body_is_sent_are_left_out() {
    const FRAMING: [(&str, &str); 4] = [
        ("connection", "close"),
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ];
    let handler = sends(vec![Event::new("x")]).on_connect(|mut connect: Connect| async move {
        connect.extensions_mut().insert(());
        Ok(FRAMING.into_iter().fold(connect.accept(), |accept, (name, value)| {
            accept.header(name, HeaderValue::from_static(value))
        }))
    });
    let response = call(&handler, get("/")).await;
    let names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");

    // A refusal is sent whole. Its body may be encoded.
    let refusal = FRAMING.into_iter().fold(
        tower_sse::Refusal::new(StatusCode::BAD_REQUEST).body("x"),
        |refusal, (name, value)| refusal.header(name, HeaderValue::from_static(value)),
    );
    let response = refusal.into_http_response();
    assert!(!response.headers().contains_key("content-length"));
    assert!(!response.headers().contains_key("transfer-encoding"));
    assert_eq!(response.headers()["content-encoding"], "gzip");
}
