//! Logs, spans and metrics of streams, and that the docs name all of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(all(feature = "tracing", feature = "metrics"))]
mod client;
mod ends;
#[cfg(feature = "tracing")]
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
mod spans;
#[path = "../support/mod.rs"]
mod support;
