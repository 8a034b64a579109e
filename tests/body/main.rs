//! A body: which bytes it gives, when, and where its handler runs. On tokio's paused clock, except
//! where a socket is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod busy_handlers;
mod counts;
mod handler_wakes;
mod keep_alive;
mod opening;
mod pacing;
mod runtime;
mod senders_elsewhere;
mod settings;
mod spawned_handler;
mod streams;
#[path = "../support/mod.rs"]
mod support;
