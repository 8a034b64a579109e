//! The log in Redis.

mod backend;
mod builder;
mod keys;
mod link;
mod message;
mod options;
mod script;
mod tail;

pub use self::{backend::RedisBackend, builder::RedisBuilder, tail::RedisTail};
