//! The backend of the example `postgres`, over a real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../examples/postgres/backend.rs"]
mod backend;
mod contract;
mod hub;
#[path = "../support/postgres.rs"]
mod postgres_server;
#[path = "../support/reading.rs"]
mod reading;
