//! What is wrong with an event type, an id or a field name, and where.

use std::{error::Error, fmt};

/// What a name or an id must not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The byte at this position, counted from 0.
    Byte { at: usize, byte: u8 },
    /// Nothing at all.
    Empty,
    /// A byte order mark, which a client takes off at the start of a stream.
    ByteOrderMark,
    /// One of the names that the standard defines.
    Standard,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte { at, byte: b'\n' } => write!(f, "line feed at byte {at}"),
            Self::Byte { at, byte: b'\r' } => write!(f, "carriage return at byte {at}"),
            Self::Byte { at, byte: b':' } => write!(f, "colon at byte {at}"),
            Self::Byte { at, byte } => write!(f, "control character {byte:#04x} at byte {at}"),
            Self::Empty => f.write_str("it is empty"),
            Self::ByteOrderMark => f.write_str("it starts with a byte order mark"),
            Self::Standard => f.write_str("it is one of the standard's own fields"),
        }
    }
}

macro_rules! invalid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            pub(super) fault: Fault,
        }

        impl $name {
            /// Returns the position of the byte that is not allowed, counted in bytes from 0, if it
            /// is one byte that is wrong.
            #[must_use]
            pub fn position(&self) -> Option<usize> {
                match self.fault {
                    Fault::Byte { at, .. } => Some(at),
                    Fault::Empty | Fault::ByteOrderMark | Fault::Standard => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("invalid ", $what, ": {}"), self.fault)
            }
        }

        impl Error for $name {}
    };
}

invalid! {
    /// The error of a text that cannot be an [`EventType`](crate::EventType): it holds a line end.
    InvalidEventType, "event type"
}
invalid! {
    /// The error of a text that cannot be an [`EventId`](crate::EventId): it holds a control
    /// character.
    InvalidEventId, "event id"
}
invalid! {
    /// The error of a text that cannot be a [`FieldName`](crate::FieldName).
    InvalidFieldName, "field name"
}
