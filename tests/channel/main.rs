//! The channel between senders and a body: its bounds, the order in which senders wait, and its
//! end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blocking;
mod bounds;
mod closing;
mod concurrency;
mod fairness;
mod model;
mod overflow;
mod shared_bytes;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod wakers;

use std::{future::Future, pin::Pin, sync::Arc, task::Context};

use futures_util::FutureExt as _;
use support::{decode, waker::Woken};
use tower_sse::{Buffer, Event, EventBody, EventSender, SendError, event_channel};

/// Reads a body to its end, and returns the data of its events.
async fn delivered(mut body: EventBody) -> Vec<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    decode(bytes).into_iter().map(|(_, data, _)| data).collect()
}

fn channel(buffer: Buffer) -> (EventSender, EventBody) {
    let (events, receiver) = event_channel(buffer);
    (events, EventBody::from(receiver).without_keep_alive())
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// The sender and the body of a channel that holds one event and is full.
fn full() -> (EventSender, EventBody) {
    let (events, receiver) = event_channel(Buffer::fixed(1));
    events.try_send(Event::new("first")).unwrap();
    (events, EventBody::from(receiver).without_greeting().without_keep_alive())
}

/// A send that waits, and the waker that is called when it may go on.
fn waiting<'a>(events: &'a EventSender, data: &str) -> (Sending<'a>, Arc<Woken>) {
    let (woken, waker) = Woken::new();
    let mut sending: Sending<'a> = Box::pin(events.send(Event::new(data)));
    assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    (sending, woken)
}

fn next(body: &mut EventBody) -> String {
    let chunk = body.next_chunk().now_or_never().expect("a chunk").unwrap().unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}
