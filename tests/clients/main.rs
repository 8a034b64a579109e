//! The clients that people use, in pinned versions, against the example `cookbook`. `docs/cookbook.md` has a table of these tests.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ai_sdk;
mod anthropic;
mod datastar;
#[allow(dead_code, reason = "its engines are used by other tests")]
#[path = "../browser/engine.rs"]
mod engine;
mod eventsource;
mod fetch_event_source;
mod graphql_sse;
mod htmx;
mod mcp;
mod openai;
mod proxy;
mod recipes;
mod script;
#[path = "../support/mod.rs"]
mod support;
