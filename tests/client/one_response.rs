//! `EventStream` over a real socket: a response of the caller's own client.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use tower_sse::EventStream;

use crate::support::socket::{Act, chunked, refusal, server, stream};

const LIMIT: Duration = Duration::from_secs(20);

fn client() -> Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Comments are bytes. A timeout around `next` would not see that they have stopped.
#[tokio::test]
async fn a_silent_response_is_an_error_after_its_idle_timeout() {
    let (url, _) = server([Act::Holds(stream("data: a\n\n:\n"))]).await;
    let response = client().get(url.parse().unwrap()).await.unwrap();
    let mut events = EventStream::from_response(response).unwrap();
    events = events.idle_timeout(Duration::from_millis(300));
    let event = timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(event.data(), "a");
    let error = timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_timeout());
    assert!(events.next().await.is_none());
    assert_eq!(events.head().unwrap().headers["content-type"], "text/event-stream");
}

#[tokio::test]
async fn a_connection_is_used_again_after_the_last_event_of_a_response() {
    let mut connections = Vec::new();
    // On a busy machine the end of the body may come after more than 50 ms.
    while connections.len() < 10 && !connections.contains(&1) {
        connections.push(connections_of_four_answers().await);
    }
    assert!(connections.contains(&1), "{connections:?}");
}

async fn connections_of_four_answers() -> usize {
    let answer = chunked("data: a\n\ndata: [DONE]\n\n", Duration::from_millis(20));
    let (url, seen) = server([answer]).await;
    let client = client();
    for _ in 0..4 {
        let response = client.get(url.parse().unwrap()).await.unwrap();
        let mut events = EventStream::from_response(response).unwrap().until_data("[DONE]");
        while let Some(event) = timeout(LIMIT, events.next()).await.unwrap() {
            assert_eq!(event.unwrap().data(), "a");
        }
        assert!(events.is_reached());
        // The client puts the connection back in a task of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen.requests(), 4);
    seen.connections()
}

#[tokio::test]
async fn a_response_that_is_no_stream_is_given_back_with_its_headers_and_body() {
    let (url, _) = server([Act::Writes(refusal("529 Busy\r\nx-request-id: r-1", "busy"))]).await;
    let response = client().get(url.parse().unwrap()).await.unwrap();
    let error = EventStream::from_response(response).unwrap_err();
    assert_eq!(error.to_string(), "not an event stream: the status is 529, not 200");
    assert_eq!(error.headers()["x-request-id"], "r-1");
    let body = http_body_util::BodyExt::collect(error.into_response().into_body()).await.unwrap();
    assert_eq!(body.to_bytes(), "busy");
}
