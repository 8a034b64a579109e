//! An event of an event stream: one value, the same on the way out and on the way in.
//!
//! An [`Event`] cannot be wrong. Its [`EventType`], [`EventId`] and the [`FieldName`]s of custom
//! fields are types that hold nothing which could end a line, so what a user typed can never inject
//! a line of its own; its data may be any text, for it is split into lines when it is encoded. That
//! is why encoding an event cannot fail.
//!
//! A literal is checked where it stands, and a literal that is wrong panics there. Text that is
//! known only at run time does not compile without a check:
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
//! The fields and what a client does with them are those of the WHATWG standard,
//! [section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html).

mod checked;
mod data;
mod error;
#[expect(clippy::module_inception, reason = "`event::Event` is what the module is about")]
mod event;
#[cfg(feature = "json")]
mod json;
mod names;
mod text;

#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::{
    data::EventData,
    error::{InvalidEventId, InvalidEventType, InvalidFieldName},
    event::Event,
    names::{EventId, EventType, FieldName, IntoEventId, IntoEventType, IntoFieldName},
};
