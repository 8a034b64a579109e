//! The examples, as processes: each is started on a port of its own and talked to over a socket.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chat;
#[cfg(feature = "hyper-client")]
mod contract_service;
mod demo;
mod echo;
#[cfg(unix)]
mod ending;
mod handlers;
#[cfg(feature = "hyper-client")]
mod harness;
#[cfg(feature = "hub")]
mod hub;
mod llm;
#[cfg(feature = "nats")]
#[path = "../support/nats.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod nats_server;
#[cfg(all(feature = "hyper-client", feature = "redis"))]
mod nodes;
mod originals;
#[cfg(all(unix, feature = "hub"))]
mod postgres;
#[cfg(all(unix, feature = "hub"))]
#[path = "../support/postgres.rs"]
mod postgres_server;
#[cfg(feature = "redis")]
#[path = "../support/redis.rs"]
mod redis_server;
#[cfg(feature = "hyper-client")]
mod relay;
#[cfg(feature = "hub")]
mod runs;
mod servers;
#[cfg(feature = "hyper-client")]
mod sse_cat;
mod streams;
#[path = "../support/mod.rs"]
mod support;
