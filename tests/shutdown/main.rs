//! A shutdown ends all streams: with a farewell, after a grace period, staggered; and cuts
//! connections that do not end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod farewell;
mod grace;
mod leaving;
mod progress;
mod refusals;
mod servers;
#[path = "../support/mod.rs"]
mod support;
