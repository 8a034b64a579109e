//! Servers, clients, handlers and recorders that the tests share.
#![allow(dead_code, reason = "every test target uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod ends;
pub(crate) mod farewells;
pub(crate) mod handlers;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod meter;
pub(crate) mod mock;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod waker;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use sse_core::{SseDecoder, SseEvent};
use tokio::time::Instant;
use tower_sse::{EncodedEvent, EventBody, body::EventBodyError};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Reads a body to its end. Returns the chunks, and the error at the end.
pub(crate) async fn read_all(body: &mut EventBody) -> (Vec<Bytes>, Option<EventBodyError>) {
    let mut frames = Vec::new();
    loop {
        match body.next_chunk().await {
            None => return (frames, None),
            Some(Ok(bytes)) => frames.push(bytes),
            Some(Err(error)) => return (frames, Some(error)),
        }
    }
}

/// Reads a body to its end, which must be a clean one, as text.
pub(crate) async fn read_text(mut body: EventBody) -> String {
    let (frames, error) = read_all(&mut body).await;
    assert!(error.is_none(), "{error:?}");
    String::from_utf8(frames.concat()).unwrap()
}

/// Reads a body to its end. Returns each chunk with its time in whole milliseconds from now.
pub(crate) async fn timed(mut body: EventBody) -> Vec<(u128, String)> {
    let started = Instant::now();
    let mut chunks = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        let chunk = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
        chunks.push((started.elapsed().as_millis(), chunk));
    }
    chunks
}

/// Returns the bytes of one event on the wire.
pub(crate) fn wire(event: impl Into<EncodedEvent>) -> Bytes {
    event.into().to_bytes()
}

/// An event as an independent decoder reads it: type, data, last event ID.
pub(crate) type Decoded = (String, String, Option<String>);

/// Decodes events with an independent decoder.
pub(crate) fn decode(bytes: impl Into<Bytes>) -> Vec<Decoded> {
    let mut bytes = bytes.into();
    let mut decoder = SseDecoder::new();
    let mut events = Vec::new();
    while let Some(event) = decoder.next(&mut bytes) {
        if let SseEvent::Message(message) = event.unwrap() {
            let id = message.last_event_id.map(|id| id.to_string());
            events.push((message.event.into_owned(), message.data, id));
        }
    }
    events
}

/// Runs a function on a thread of its own, and fails if it hangs.
pub(crate) fn never_hangs<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(f()));
    result.recv_timeout(http::LIMIT).expect("it neither hangs nor panics")
}

/// Polls a body once.
pub(crate) fn poll(
    body: &mut EventBody,
    waker: &Waker,
) -> Poll<Option<Result<Bytes, EventBodyError>>> {
    pin!(body.next_chunk()).poll(&mut Context::from_waker(waker))
}
