//! The hub: the events that its readers get, and the gap that it reports to readers that may have
//! missed events.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod body_model;
mod history;
mod keys;
mod lagging;
mod model;
mod publishing;
mod readers;
mod restart;
mod resuming;
mod snapshot;
#[path = "../support/mod.rs"]
mod support;
mod threads;

use http::Request;
use http_body::Body;
use tower::ServiceExt;
use tower_sse::{
    EventBody, Hub,
    hub::{Entry, HubHandler, Selection, Subscription},
};

fn topics(names: &[&str]) -> Selection {
    Selection::new(names.iter().copied()).unwrap()
}

fn subscribe(hub: &Hub, selection: Selection) -> Subscription {
    poll_to_end(hub.subscribe(selection)).unwrap()
}

/// Resumes after an ID. A pattern that was not subscribed to before may have to look at many topics.
fn resume(hub: &Hub, selection: Selection, last: impl AsRef<str>) -> Subscription {
    poll_to_end(hub.resume(selection, last)).unwrap()
}

/// Polls a future until it is done. It must not wait for anything but its turn.
fn poll_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..100_000 {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
    panic!("the future waits");
}

fn data(entry: &Entry) -> String {
    entry.event().data().to_owned()
}

/// Reads the data of all entries that are ready.
fn ready(subscription: &mut Subscription) -> Vec<String> {
    let mut found = Vec::new();
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    loop {
        match subscription.poll_next(&mut cx) {
            std::task::Poll::Ready(Some(Ok(entry))) => found.push(data(&entry)),
            std::task::Poll::Ready(Some(Err(lagged))) => {
                found.push(format!("lagged {:?}", lagged.gap().missed));
            }
            std::task::Poll::Ready(None) => {
                found.push("end".into());
                return found;
            }
            std::task::Poll::Pending => return found,
        }
    }
}

/// Reads all bytes that are ready, as text.
fn ready_bytes(body: &mut EventBody) -> String {
    let mut text = String::new();
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    loop {
        match Body::poll_frame(std::pin::Pin::new(&mut *body), &mut cx) {
            std::task::Poll::Ready(Some(Ok(frame))) => {
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
            std::task::Poll::Ready(Some(Err(error))) => {
                text.push_str(&format!("error: {error}"));
                return text;
            }
            std::task::Poll::Ready(None) => {
                text.push_str("end");
                return text;
            }
            std::task::Poll::Pending => return text,
        }
    }
}

async fn call(handler: &HubHandler, request: Request<()>) -> http::Response<EventBody> {
    handler.clone().oneshot(request).await.unwrap()
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

fn last_id(text: &str) -> String {
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id: "));
    id.unwrap().to_owned()
}
