//! `EventStream`, and what can be made of any stream of events.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Response;
use http_body_util::Full;
use tower_sse::{BoxError, EventStream, EventStreamExt as _};

use super::mock::{Answer, Mock, body};

fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from(text))
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
    // The response comes back, its body untouched.
    let body = error.into_response().into_body();
    assert_eq!(EventStream::new(body).next().await.unwrap().unwrap().data(), "x");
    let error = EventStream::from_response(response(404, "text/event-stream")).unwrap_err();
    assert_eq!(error.status(), 404);
    let boxed: BoxError = error.into();
    assert_eq!(boxed.to_string(), "not an event stream: the status is 404 Not Found, not 200");
}

#[tokio::test]
async fn the_last_event_id_and_the_reconnection_time_can_be_asked_for() {
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
async fn a_body_that_fails_is_the_last_item_and_the_end_is_for_ever() {
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
async fn a_stream_of_bytes_is_read_too() {
    let bytes = stream::iter([Ok("data: a"), Ok("b\n\n"), Err("broken")]);
    let mut events = EventStream::from_bytes(bytes);
    assert_eq!(events.next().await.unwrap().unwrap().data(), "ab");
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "broken");
}

#[tokio::test]
async fn done_ends_a_stream_and_closes_its_connection() {
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let hold = stream::once(async move {
        let _alive = alive;
        std::future::pending().await
    });
    let chunks = ["data: a\n\ndata: [DONE] \n\ndata: [DONE]\n\ndata: b\n\n"];
    let mut events = EventStream::new(body(chunks, hold)).until_data("[DONE]");
    assert_eq!(events.next().await.unwrap().unwrap().data(), "a");
    assert_eq!(events.next().await.unwrap().unwrap().data(), "[DONE] ");
    assert!(!events.is_reached());
    assert!(events.next().await.is_none());
    assert!(events.is_reached());
    assert!(gone.await.is_err(), "the body was dropped");
    assert!(events.next().await.is_none());

    let mut cut_off = EventStream::new(text("data: a\n\n")).until_data("[DONE]");
    assert!(cut_off.next().await.is_some());
    assert!(cut_off.next().await.is_none());
    assert!(!cut_off.is_reached());
}

#[tokio::test(start_paused = true)]
async fn done_ends_a_source_that_would_reconnect() {
    let mock =
        Mock::new([Answer::Ends("data: a\n\n"), Answer::Ends("data: b\n\ndata: [DONE]\n\n")]);
    let all: Vec<_> = mock
        .source()
        .until_data("[DONE]")
        .map(|event| event.unwrap().data().to_owned())
        .collect()
        .await;
    assert_eq!(all, ["a", "b"]);
    assert_eq!(mock.asked().len(), 2);
}

#[cfg(feature = "json")]
#[tokio::test]
async fn data_is_read_as_json_and_what_is_none_is_given_back() {
    use tower_sse::stream::JsonItemError;

    let body = text("data: [1,\ndata: 2]\n\nevent: odd\ndata: {\n\ndata: []\n\ndata: [DONE]\n\n");
    let mut values = EventStream::new(body).until_data("[DONE]").json::<Vec<u32>>();
    assert_eq!(values.next().await.unwrap().unwrap(), [1, 2]);
    let error = values.next().await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("an event of the type \"odd\""), "{error}");
    let JsonItemError::Json(_, event) = error else { panic!("{error}") };
    assert_eq!(event.data(), "{");
    assert!(values.next().await.unwrap().unwrap().is_empty());
    assert!(values.next().await.is_none());
    assert!(values.get_ref().is_reached());
}
