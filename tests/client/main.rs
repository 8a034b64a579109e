//! `EventSource`: the requests it sends, the losses it recovers from, and what it reports.
//!
//! Most tests answer by a script on a paused clock (`support/mock.rs`). `misbehaving.rs` has
//! servers on real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod closing;
mod delays;
#[cfg(feature = "hyper-client")]
mod ends;
#[cfg(feature = "hyper-client")]
mod failures;
#[cfg(feature = "hyper-client")]
mod hyper_client;
#[cfg(feature = "hyper-client")]
mod limits;
mod misbehaving;
mod one_response;
mod over_reqwest;
mod redirects;
mod requests;
mod responses;
mod resuming;
#[cfg(feature = "hyper-client")]
mod said;
#[cfg(feature = "hyper-client")]
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;

use tower_sse::Reconnection;

/// A policy whose delay is always one second, so that the updates are predictable.
fn steady() -> Reconnection {
    Reconnection::resilient().jitter(0.0).factor(1.0)
}
