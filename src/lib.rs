//! stub
#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports)]

mod encode;
mod event;

#[cfg(feature = "json")]
pub use self::event::JsonError;
pub use self::{
    encode::{Encode, EncodedEvent, InvalidEncoding},
    event::{
        Event, EventData, EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName,
        InvalidEventId, InvalidEventType, InvalidFieldName,
    },
};
