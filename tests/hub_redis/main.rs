//! The backend in Redis, over real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod contract;
mod expiry;
mod failover;
#[path = "../support/heap.rs"]
mod heap;
mod hub;
mod nodes;
#[path = "../support/nodes_model.rs"]
mod nodes_model;
#[path = "../support/reading.rs"]
mod reading;
#[path = "../support/redis.rs"]
mod redis_server;
mod runs;
#[path = "../support/runs_nodes.rs"]
mod runs_nodes;
#[path = "../support/scale.rs"]
mod scale;
