//! The ends of an `EventStream`, and data as JSON.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::time::Instant;
use tower_sse::{BoxError, EventStream};
#[cfg(feature = "json")]
use tower_sse::{EventStreamExt as _, stream::JsonItemError};

use crate::support::mock::body;

fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from(text))
}

/// Reads a stream to its end: the data of its events, and its errors.
async fn all<B>(mut events: EventStream<B>) -> Vec<String>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event.map_or_else(|error| format!("{error:#}"), |event| event.data().to_owned()));
    }
    all
}

/// A body of these bytes that then stays open, and a receiver that fails when it is dropped.
fn stays_open(
    chunks: &'static str,
) -> (crate::support::mock::Body, tokio::sync::oneshot::Receiver<()>) {
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let hold = stream::once(async move {
        let _alive = alive;
        std::future::pending().await
    });
    (body([chunks], hold), gone)
}

#[tokio::test(start_paused = true)]
async fn until_data_ends_a_stream_and_closes_its_connection_after_a_short_while() {
    let (body, gone) = stays_open("data: a\n\ndata: [DONE]\n\ndata: b\n\n");
    let mut events = EventStream::new(body).until_data("[DONE]");
    assert_eq!(events.next().await.unwrap().unwrap().data(), "a");
    assert!(!events.is_reached());
    let reached = Instant::now();
    assert!(events.next().await.is_none());
    assert_eq!(reached.elapsed(), Duration::from_millis(50));
    assert!(events.is_reached());
    assert!(gone.await.is_err(), "the body was dropped");
    assert!(events.next().await.is_none());

    let mut cut_off = EventStream::new(text("data: a\n\n")).until_data("[DONE]");
    assert!(cut_off.next().await.is_some());
    assert!(cut_off.next().await.is_none());
    assert!(!cut_off.is_reached());
}

#[tokio::test]
async fn the_rest_of_a_body_is_not_waited_for_without_a_timer() {
    let (body, gone) = stays_open("data: [DONE]\n\n");
    let mut events = EventStream::new(body).until_data("[DONE]");
    // A thread of its own has no runtime.
    let ended = std::thread::spawn(move || events.next().now_or_never().map(|end| end.is_none()));
    assert_eq!(ended.join().unwrap(), Some(true));
    assert!(gone.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn at_most_four_kibibytes_of_the_rest_are_read() {
    for (len, is_read) in [(4 << 10, true), ((4 << 10) + 1, false)] {
        let polled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let end = polled.clone();
        let rest = [Bytes::from("data: [DONE]\n\n"), Bytes::from(vec![b':'; len])];
        let rest = stream::iter(rest).map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
        let rest = rest.chain(stream::poll_fn(move |_| {
            end.store(true, std::sync::atomic::Ordering::Relaxed);
            std::task::Poll::Ready(None)
        }));
        let mut events = EventStream::new(StreamBody::new(rest)).until_data("[DONE]");
        assert!(events.next().await.is_none());
        assert_eq!(polled.load(std::sync::atomic::Ordering::Relaxed), is_read, "{len}");
    }
}

#[tokio::test]
async fn a_stream_ends_by_data_by_type_or_by_a_function_with_or_without_its_last_event() {
    let stream = || EventStream::new(text("data: a\n\nevent: end\ndata:  b \n\ndata: c\n\n"));
    assert_eq!(all(stream().until_data("b")).await, ["a"]);
    assert_eq!(all(stream().until_data(" b\t")).await, ["a"]);
    assert_eq!(all(stream().until_data("b").inclusive()).await, ["a", " b "]);
    assert_eq!(all(stream().until_type("end")).await, ["a"]);
    assert_eq!(all(stream().inclusive().until_type("end")).await, ["a", " b "]);
    assert_eq!(all(stream().until_type("message")).await, [""; 0]);
    assert_eq!(all(stream().until(|event| event.data() == "c")).await, ["a", " b "]);
    // The first of several rules counts.
    assert_eq!(all(stream().until_data("c").until_type("end")).await, ["a"]);
    assert_eq!(all(stream().until_type("none").until_data("a")).await, [""; 0]);
    assert_eq!(all(stream().until_data("none")).await, ["a", " b ", "c"]);
}

#[tokio::test]
async fn an_end_without_the_required_event_is_an_error() {
    let stream =
        |end| EventStream::new(text("data: a\n\ndata: [DONE]\n\n")).until_data(end).required();
    assert_eq!(all(stream("[DONE]")).await, ["a"]);
    let cut_off = "the stream ended before its last event: it was cut off";
    assert_eq!(all(stream("[END]")).await, ["a", "[DONE]", cut_off]);
    let mut events = stream("[END]");
    events.next().await.unwrap().unwrap();
    events.next().await.unwrap().unwrap();
    assert!(events.next().await.unwrap().unwrap_err().is_incomplete());
    assert!(events.next().await.is_none());
    // Without a last event there is nothing to require.
    assert_eq!(all(EventStream::new(text("data: a\n\n")).required()).await, ["a"]);
    // An error of the body is the only one.
    let reset = || std::io::Error::other("reset");
    let failing = body(["data: a\n\n"], stream::iter([Err(reset())]));
    let failing = EventStream::new(failing).until_data("[DONE]").required();
    assert_eq!(all(failing).await, ["a", "the body of the event stream failed: reset"]);
}

#[tokio::test]
async fn the_unfinished_event_is_returned_at_the_end_if_it_is_wanted() {
    for (bytes, expected) in [
        ("data: a\n\ndata: b\n", &["a", "b"][..]),
        ("data: a\n\ndata: b", &["a", "b"]),
        ("data: a\n\ndata: b\n\n", &["a", "b"]),
        ("data: a\n\nid: 1\n", &["a"]),
        ("data: a\n\ndata: [DONE]", &["a"]),
    ] {
        let stream = EventStream::new(text(bytes)).with_unfinished();
        assert_eq!(all(stream.until_data("[DONE]")).await, expected, "{bytes:?}");
    }
    let mut events = EventStream::new(text("data: [DONE]")).with_unfinished().until_data("[DONE]");
    assert!(events.next().await.is_none());
    assert!(events.is_reached());
    // A failed body may have left half an event.
    let cut = body(["data: ha"], stream::iter([Err(std::io::Error::other("reset"))]));
    let cut = all(EventStream::new(cut).with_unfinished()).await;
    assert_eq!(cut, ["the body of the event stream failed: reset"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_timeout_counts_from_the_last_bytes() {
    let second = Duration::from_secs(1);
    let comments = stream::iter(0..5).then(move |_| async move {
        tokio::time::sleep(9 * second).await;
        Ok(Frame::data(Bytes::from(":\n")))
    });
    let body = body(["data: a\n\n"], comments.chain(stream::pending()));
    let mut events = EventStream::new(body).idle_timeout(10 * second);
    let start = Instant::now();
    assert_eq!(events.next().await.unwrap().unwrap().data(), "a");
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 5 * 9 + 10);
    assert!(error.is_timeout());
    assert_eq!(error.to_string(), "no bytes received for 10s");
    assert!(events.next().await.is_none());
}

#[test]
fn an_idle_timeout_without_a_runtime_is_an_error() {
    let (body, _gone) = stays_open("");
    let mut events = EventStream::new(body).idle_timeout(Duration::from_secs(1));
    let error = events.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert!(!error.is_timeout());
    assert_eq!(error.to_string(), "a timeout needs a tokio runtime with its timer enabled");
}

#[tokio::test]
async fn a_stream_keeps_the_head_of_its_response() {
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-request-id", "r-1")
        .body(text("data: 1\n\n"))
        .unwrap();
    let mut events = EventStream::from_response(response).unwrap();
    events.next().await.unwrap().unwrap();
    assert!(events.next().await.is_none());
    assert_eq!(events.head().unwrap().headers["x-request-id"], "r-1");
    assert!(events.get_ref().is_none() && events.into_inner().is_none());
    assert!(EventStream::new(text("")).head().is_none());
    assert!(EventStream::new(text("")).into_inner().is_some());
}

#[cfg(feature = "json")]
#[tokio::test]
async fn data_is_read_as_json_and_an_event_that_is_not_json_is_returned_in_the_error() {
    let body = text("data: [1,\ndata: 2]\n\nevent: odd\ndata: {\n\ndata: []\n\ndata: [DONE]\n\n");
    let mut values = EventStream::new(body).until_data("[DONE]").json::<Vec<u32>>();
    assert_eq!(values.next().await.unwrap().unwrap(), [1, 2]);
    assert!(values.head().is_none());
    let error = values.next().await.unwrap().unwrap_err();
    let message = "the event data cannot be deserialized from JSON, in an event of type \"odd\": {";
    assert_eq!(error.to_string(), message);
    assert!(format!("{error:#}").starts_with(&format!("{message}: ")), "{error:#}");
    let JsonItemError::Json(_, event) = error else { panic!("{error}") };
    assert_eq!(event.data(), "{");
    assert!(values.next().await.unwrap().unwrap().is_empty());
    assert!(values.next().await.is_none());
    assert!(values.get_ref().is_reached());
    assert!(values.into_inner().is_reached());
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_skips_empty_data_keeps_the_event_and_fails_on_named_types() {
    let body = text(
        "id: 1\ndata:\n\nevent: delta\ndata: 7\n\ndata:  \n\nevent: error\ndata: \"busy\"\n\nevent: fatal\ndata: 8\n\ndata: 9\n\n",
    );
    let mut values = EventStream::new(body).json::<u32>().fail_on("error").fail_on("fatal");
    assert!(values.last_event().is_none());
    assert_eq!(values.next().await.unwrap().unwrap(), 7);
    assert_eq!(values.last_event().unwrap().event_type(), "delta");
    let error = values.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the server sent an event of type \"error\": \"busy\"");
    let JsonItemError::Failed(event) = error else { panic!("{error}") };
    assert_eq!(event.data(), "\"busy\"");
    assert!(matches!(values.next().await, Some(Err(JsonItemError::Failed(_)))));
    assert_eq!(values.next().await.unwrap().unwrap(), 9);
    assert_eq!(values.get_mut().last_event_id().unwrap(), &"1");
    assert!(values.next().await.is_none());
}

#[cfg(feature = "json")]
#[tokio::test]
async fn a_stream_of_empty_events_yields_to_other_tasks() {
    let frames = stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(Bytes::from("data:\n\n"))));
    let mut values = EventStream::new(StreamBody::new(frames)).json::<u32>();
    assert!(values.next().now_or_never().is_none());
}
