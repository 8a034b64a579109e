//! `EventStream`: the events of a response body or of a stream of bytes.

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::Full;
use tower_sse::{BoxError, EventStream};

use crate::support::mock::body;

fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from(text))
}

#[tokio::test]
async fn a_stream_gives_its_events_and_then_ends() {
    let mut events = EventStream::new(Full::new(Bytes::from("data: a\n\ndata: b\n\n")));
    for data in ["a", "b"] {
        assert_eq!(events.next().await.unwrap().unwrap().data(), data);
    }
    assert!(events.next().await.is_none());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_response_is_read_if_it_is_an_event_stream() {
    let response = |status: u16, content_type: &str| {
        Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(text("data: x\n\n"))
            .unwrap()
    };
    for content_type in ["text/event-stream", "Text/Event-Stream; charset=UTF-8"] {
        let mut events = EventStream::from_response(response(200, content_type)).unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().data(), "x");
        assert!(events.next().await.is_none());
    }
    let error = EventStream::from_response(response(200, "application/json")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not an event stream: the content type is \"application/json\", not text/event-stream"
    );
    // The error returns the response with its unread body.
    let body = error.into_response().into_body();
    assert_eq!(EventStream::new(body).next().await.unwrap().unwrap().data(), "x");
    let error = EventStream::from_response(response(404, "text/event-stream")).unwrap_err();
    assert_eq!(error.status(), 404);
    let boxed: BoxError = error.into();
    assert_eq!(boxed.to_string(), "not an event stream: the status is 404 Not Found, not 200");
}

#[tokio::test]
async fn the_last_event_id_and_the_reconnection_time_can_be_read() {
    let mut events =
        EventStream::new(text("id: 7\nretry: 5\n\ndata: x\n\ndata: cut")).with_last_event_id(3);
    assert_eq!(events.last_event_id().unwrap(), &"3");
    assert_eq!(events.reconnection_time(), None);
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.id(), None, "the event's own");
    assert_eq!(events.last_event_id().unwrap(), &"7");
    assert_eq!(events.reconnection_time().unwrap().as_millis(), 5);
    assert!(events.next().await.is_none());
    assert_eq!(events.unfinished().unwrap().data(), "cut");
}

#[tokio::test]
async fn the_error_of_a_body_is_the_last_item() {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let mut events = EventStream::new(body(["data: x\n\nda"], stream::iter([Err(reset)])));
    assert_eq!(events.next().await.unwrap().unwrap().data(), "x");
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.is_body());
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "connection reset");
    for _ in 0..3 {
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_is_an_error_and_the_stream_goes_on() {
    let mut events = EventStream::new(text("data: 0123456789\n\ndata: ok\n\n")).max_line_bytes(12);
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.as_too_large().unwrap().limit(), 12);
    assert_eq!(events.next().await.unwrap().unwrap().data(), "ok");
}

#[tokio::test]
async fn a_stream_of_bytes_is_read() {
    let bytes = stream::iter([Ok("data: a"), Ok("b\n\n"), Err("broken")]);
    let mut events = EventStream::from_bytes(bytes);
    assert_eq!(events.next().await.unwrap().unwrap().data(), "ab");
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "broken");
}
