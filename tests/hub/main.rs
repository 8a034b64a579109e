//! The hub: the events that its readers get, and the gap that it reports to readers that may have
//! missed events.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod aging;
mod bodies;
mod body_model;
mod ending;
mod history;
mod keys;
mod lagging;
mod limits;
mod model;
mod presence;
mod publishing;
mod readers;
mod restart;
mod resuming;
mod runs;
mod snapshot;
mod starting;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod turns;

use std::task::{Context, Poll};

use http::Request;
use http_body::Body;
use tower::ServiceExt;
use tower_sse::{
    Event, EventBody, EventId, Hub,
    hub::{Entry, GapReason, HubHandler, Publication, Resumption, Selection, Subscription, Topic},
};

use self::support::waker::Woken;

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
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
    panic!("the future waits");
}

fn data(entry: &Entry) -> String {
    entry.event().data().to_owned()
}

/// Polls until nothing is ready, also if the polled lets other tasks run in between.
fn poll_ready<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let (woken, waker) = Woken::new();
    loop {
        let before = woken.count();
        match poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(item) => return Some(item),
            Poll::Pending if woken.count() > before => {}
            Poll::Pending => return None,
        }
    }
}

/// Reads the data of all entries that are ready.
fn ready(subscription: &mut Subscription) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(item) = poll_ready(|cx| subscription.poll_next(cx)) {
        match item {
            Some(Ok(entry)) => found.push(data(&entry)),
            Some(Err(lagged)) => found.push(format!("lagged {:?}", lagged.gap().missed)),
            None => {
                found.push("end".into());
                break;
            }
        }
    }
    found
}

/// Reads all bytes that are ready, as text.
fn ready_bytes(body: &mut EventBody) -> String {
    let mut text = String::new();
    while let Some(item) = poll_ready(|cx| Body::poll_frame(std::pin::Pin::new(&mut *body), cx)) {
        match item {
            Some(Ok(frame)) => {
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
            Some(Err(error)) => {
                text.push_str(&format!("error: {error}"));
                break;
            }
            None => {
                text.push_str("end");
                break;
            }
        }
    }
    text
}

/// Publishes events on a topic, whose data are the numbers of the range.
fn publish_numbers(hub: &Hub, topic: &str, numbers: std::ops::Range<usize>) -> Vec<EventId> {
    let topic = Topic::try_from(topic).unwrap();
    let all = numbers.map(|n| Publication::new(topic.clone(), Event::new(n)));
    poll_to_end(hub.publish_all(all)).unwrap().ids
}

/// Publishes an event, and returns its ID.
fn publish(hub: &Hub, topic: &str, event: impl Into<Event>) -> EventId {
    poll_to_end(hub.publish(topic, event)).unwrap().id
}

fn patterns(patterns: &[&str]) -> Selection {
    Selection::default().patterns(patterns).unwrap()
}

/// Returns why a subscription was resumed with a gap, if it was.
fn gap_reason(subscription: &Subscription) -> Option<GapReason> {
    match subscription.resumption() {
        Resumption::Gap(gap) => Some(gap.reason),
        _ => None,
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
mod second_reading;
