//! Adapters for any stream of events: an end marker, and data as JSON.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::Full;
use tower_sse::{EventStream, EventStreamExt as _};

use crate::support::mock::{Answer, Mock, body};

fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from(text))
}

#[tokio::test]
async fn until_data_ends_a_stream_and_closes_its_connection() {
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
async fn until_data_ends_a_source_that_would_reconnect() {
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
async fn data_is_read_as_json_and_an_event_that_is_not_json_is_returned_in_the_error() {
    use tower_sse::stream::JsonItemError;

    let body = text("data: [1,\ndata: 2]\n\nevent: odd\ndata: {\n\ndata: []\n\ndata: [DONE]\n\n");
    let mut values = EventStream::new(body).until_data("[DONE]").json::<Vec<u32>>();
    assert_eq!(values.next().await.unwrap().unwrap(), [1, 2]);
    let error = values.next().await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with("in the data of an event of type \"odd\""), "{error}");
    let JsonItemError::Json(_, event) = error else { panic!("{error}") };
    assert_eq!(event.data(), "{");
    assert!(values.next().await.unwrap().unwrap().is_empty());
    assert!(values.next().await.is_none());
    assert!(values.get_ref().is_reached());
}
