//! How a stream ends: its reason, its error, the hook; and the ends that the server causes, except
//! a shutdown.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client_gone;
mod errors;
mod eviction;
mod hook;
mod lifetime;
mod panics;
mod reasons;
mod stalled;
#[path = "../support/mod.rs"]
mod support;
