//! The clients that people use, in pinned versions, against the example `cookbook`. `docs/cookbook.md` has a table of these tests.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ai_sdk;
mod anthropic;
#[path = "../browser/chromium.rs"]
mod chromium;
mod datastar;
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
