//! The log in Redis.

mod backend;
mod builder;
mod error;
mod keys;
mod link;
mod message;
mod options;
mod script;
mod servers;
mod tail;

pub use self::{backend::RedisBackend, builder::RedisBuilder, tail::RedisTail};
