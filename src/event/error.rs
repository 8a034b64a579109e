//! The errors of an invalid event type, event ID or field name.

use std::{error::Error, fmt};

/// Why a text is not a valid event type, event ID or field name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidTextKind {
    /// It contains this byte, at this position, counted from 0.
    Byte { at: usize, byte: u8 },
    /// It is empty.
    Empty,
    /// It starts with a byte order mark. A client removes one at the start of a stream.
    ByteOrderMark,
    /// It is the name of a field that the standard defines.
    StandardField(&'static str),
}

impl fmt::Display for InvalidTextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte { at, byte: b'\n' } => write!(f, "line feed at byte {at}; remove it"),
            Self::Byte { at, byte: b'\r' } => write!(f, "carriage return at byte {at}; remove it"),
            Self::Byte { at, byte: b':' } => write!(f, "colon at byte {at}; remove it"),
            Self::Byte { at, byte } => {
                write!(f, "control character {byte:#04x} at byte {at}; remove it")
            }
            Self::Empty => f.write_str("it is empty; use at least one character"),
            Self::ByteOrderMark => f.write_str("byte order mark at byte 0; remove it"),
            Self::StandardField(name) => {
                let setter = if *name == "event" { "type" } else { name };
                write!(f, "`{name}` is a field of the standard; set it with `Event::with_{setter}`")
            }
        }
    }
}

macro_rules! invalid_text {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub(super) InvalidTextKind);

        impl $name {
            /// Returns the position of the invalid byte, counted in bytes from 0.
            ///
            /// Returns `None` if the text as a whole is invalid, for example because it is empty.
            #[must_use]
            pub fn position(&self) -> Option<usize> {
                match self.0 {
                    InvalidTextKind::Byte { at, .. } => Some(at),
                    InvalidTextKind::Empty
                    | InvalidTextKind::ByteOrderMark
                    | InvalidTextKind::StandardField(_) => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("invalid ", $what, ": {}"), self.0)
            }
        }

        impl Error for $name {}
    };
}

invalid_text! {
    /// The error of a text that is not a valid [`EventType`](crate::EventType): it contains a line
    /// end.
    InvalidEventType, "event type"
}
invalid_text! {
    /// The error of a text that is not a valid [`EventId`](crate::EventId): it contains a control
    /// character.
    InvalidEventId, "event ID"
}
invalid_text! {
    /// The error of a text that is not a valid [`FieldName`](crate::FieldName): it is empty, it is
    /// the name of a standard field, or it contains a colon, a line end or a leading byte order
    /// mark.
    InvalidFieldName, "field name"
}
