//! Events of an event stream. Servers and clients use the same type.
//!
//! An [`Event`] is always valid. Its [`EventType`], its [`EventId`] and the [`FieldName`]s of its
//! custom fields contain no line end. Its data may be any text: it is split into lines when the
//! event is encoded. So encoding cannot fail, and user-supplied text cannot inject fields or
//! events.
//!
//! An invalid literal panics where it is used. Text that is known only at run time must be checked
//! first, otherwise the program does not compile:
//!
//! ```
//! use tower_sse::{Event, EventType};
//!
//! let chosen = String::from("price\ndata: 0"); // from a user
//! assert!(EventType::try_from(&chosen).is_err());
//!
//! let event = Event::new("42").with_type("price").with_id(7);
//! assert_eq!(event.encode().to_bytes(), "event: price\nid: 7\ndata: 42\n\n");
//! ```
//!
//! The WHATWG standard defines the fields, and how a client handles them, in
//! [section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html).

mod checked;
mod data;
mod error;
#[cfg(feature = "json")]
mod json;
mod names;
mod text;
mod value;

#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::{
    data::EventData,
    error::{InvalidEventId, InvalidEventType, InvalidFieldName},
    names::{EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName},
    value::Event,
};
