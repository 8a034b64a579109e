//! From a request to its stream: `event_channel_handler`, `on_connect`, refusals, and the response
//! head.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "axum")]
mod axum;
mod commit;
mod handler;
mod head;
mod last_event_id;
mod on_connect;
mod refusals;
mod response;
#[path = "../support/mod.rs"]
mod support;
