//! Real browsers, headless Chromium, Firefox and WebKit, against streams of this crate: it reads them, reconnects when
//! it was told to, and resumes after the last event.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "hub")]
mod dashboard;
mod demo_page;
mod engine;
#[cfg(feature = "hub")]
mod hub;
mod reconnects;
mod refusals;
#[cfg(feature = "hub")]
mod runs;
mod server;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../../examples/demo.rs"]
mod demo;
