//! The cost of an event, from a handler to the frames that a server reads, compared with axum's
//! `Sse` in one run.
//!
//! Run it with `cargo bench --bench body`. It needs no socket and no other process. The two take
//! turns, and the best turn of each counts. Times depend on the machine: quote the ratio.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use axum::response::{IntoResponse, Sse, sse};
use http_body::Body;
use tower_sse::{BoxError, Event, EventBody};

const EVENTS: u64 = 200_000;
const TURNS: usize = 5;

fn main() {
    println!("nanoseconds an event with id, type and data, the best of {TURNS} turns");
    for size in [64, 1024] {
        let data = "x".repeat(size);
        let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
        for _ in 0..TURNS {
            ours = ours.min(drain(tower_sse(data.clone())));
            theirs = theirs.min(drain(axum(data.clone())));
        }
        println!("{size:>5} B: tower-sse {ours:.0}, axum {theirs:.0}, ratio {:.2}", ours / theirs);
    }
}

fn tower_sse(data: String) -> EventBody {
    EventBody::new(move |events| async move {
        for id in 0..EVENTS {
            events.send(Event::new(&data).with_type("tick").with_id(id)).await?;
        }
        Ok(())
    })
}

fn axum(data: String) -> impl Body<Data = bytes::Bytes, Error = impl Into<BoxError>> {
    let events = (0..EVENTS).map(move |id| {
        let event = sse::Event::default().id(id.to_string()).event("tick").data(&data);
        Ok::<_, Infallible>(event)
    });
    Sse::new(futures_util::stream::iter(events)).into_response().into_body()
}

/// Reads all frames of a body, and returns the nanoseconds for each event.
fn drain(body: impl Body<Data = bytes::Bytes>) -> f64 {
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _guard = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    let started = Instant::now();
    loop {
        match Pin::as_mut(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => drop(black_box(frame.ok())),
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
    started.elapsed().as_nanos() as f64 / EVENTS as f64
}
