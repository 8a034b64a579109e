//! The files in `deploy/`: each proxy runs with its file in front of a server, and the table in
//! `docs/deploy.md` is what it does. Two nodes of the example `hub` are restarted under load.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod measure;
#[cfg(all(feature = "hyper-client", feature = "nats", feature = "redis"))]
#[path = "../support/nats.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod nats_server;
mod proxies;
mod proxy;
#[cfg(all(feature = "hyper-client", feature = "nats", feature = "redis"))]
#[path = "../support/redis.rs"]
mod redis_server;
#[cfg(all(feature = "hyper-client", feature = "nats", feature = "redis"))]
mod restart;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod upstream;
#[cfg(target_os = "linux")]
mod vanished;
