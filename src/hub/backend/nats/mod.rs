//! The log in NATS JetStream.

mod append;
mod backend;
mod builder;
mod consumer;
mod error;
mod link;
mod message;
mod raw_headers;
mod read;
mod stream;
mod subject;
mod tail;
mod timestamp;

pub use self::{
    backend::NatsBackend,
    builder::{NatsBuilder, NatsStorage},
    error::{NatsError, NatsSettingError},
    tail::NatsTail,
};
