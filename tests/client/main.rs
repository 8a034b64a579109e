//! The event source: what it sends, what it survives, what it tells.
//!
//! | | |
//! |---|---|
//! | `mock.rs` | a service that answers by a script, on a paused clock |
//! | `reconnecting.rs` | what is lost and comes back, when, and what survives it |
//! | `requests.rs` | what is sent, and which responses are read |
//! | `redirects.rs` | redirects, as fetch follows them |
//! | `streams.rs` | `EventStream`, and what can be made of any stream of events |
//! | `misbehaving.rs` | servers on real sockets that do what servers do |
//! | `hyper_client.rs` | the client of the feature `hyper-client`, over TLS |
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "hyper-client")]
mod hyper_client;
mod misbehaving;
mod mock;
mod reconnecting;
mod redirects;
mod requests;
mod streams;
#[path = "../support/mod.rs"]
mod support;
