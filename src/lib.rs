//! stub
#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports)]

pub mod body;
mod caught;
pub mod channel;
pub mod encode;
pub mod event;
mod spread;
mod trace;

/// A boxed error, the same type as tower's and axum's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(feature = "json")]
pub use self::event::JsonError;
pub use self::{
    body::{
        Disconnect, EndReason, EventBody, EventBodyError, KeepAlive, StreamItem, StreamOptions,
    },
    channel::{Buffer, EventReceiver, EventSender, SendError, event_channel},
    encode::{Encode, EncodedEvent, InvalidEncoding},
    event::{
        Event, EventData, EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName,
        InvalidEventId, InvalidEventType, InvalidFieldName,
    },
    spread::Spread,
};
