//! `EventStream` and its adapters: the events of a response body.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adapters;
mod event_stream;
#[path = "../support/mod.rs"]
mod support;
