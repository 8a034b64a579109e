//! How many streams there may be: the limit is never exceeded, no request is refused below it, and
//! no permit is ever lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod load;
mod permits;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use http::{Request, Response, StatusCode};
use support::http::call;
use tower_sse::{Connect, EventBody, EventChannelHandler};

fn is_stream(response: &Response<EventBody>) -> bool {
    response.status() == StatusCode::OK
}

fn from(user: &str) -> Request<()> {
    Request::get("/").header("user", user).body(()).unwrap()
}

fn user_of(connect: &Connect) -> Option<String> {
    Some(connect.headers().get("user")?.to_str().unwrap().to_owned())
}

/// Asserts that `room` requests are admitted, and that one more is refused.
async fn assert_room(handler: &EventChannelHandler<()>, room: usize, request: fn() -> Request<()>) {
    let mut streams = Vec::new();
    for n in 0..room {
        let response = call(handler, request()).await;
        assert!(is_stream(&response), "{n} of {room}: {}", response.status());
        streams.push(response);
    }
    assert!(!is_stream(&call(handler, request()).await), "more than {room}");
}
