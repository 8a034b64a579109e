//! Events as bytes: every event is encoded in one way, arrives unchanged at an independent decoder,
//! and cannot inject another one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lines;
mod raw;
mod round_trip;
#[path = "../support/mod.rs"]
mod support;
