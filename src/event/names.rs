//! Event types, event ids and the names of custom fields: text that cannot end a line.

use std::{borrow::Borrow, fmt, hash, ops::Range, str::FromStr};

use super::{
    checked::checked_text,
    error::{Fault, InvalidEventId, InvalidEventType, InvalidFieldName},
    text::Text,
};

checked_text! {
    /// The type of an event: what a browser's `addEventListener` names.
    ///
    /// It holds no carriage return and no line feed. An event without a type, or with an empty one,
    /// is of the type [`EventType::MESSAGE`].
    ///
    /// ```
    /// use tower_sse::EventType;
    ///
    /// const PRICE: EventType = EventType::from_static("price"); // checked by the compiler
    /// assert_eq!(PRICE, "price");
    ///
    /// let error = EventType::try_from("price\ndata: 0").unwrap_err();
    /// assert_eq!(error.to_string(), "invalid event type: line feed at byte 5");
    /// ```
    EventType, InvalidEventType, no_line_end, "an event type holds no carriage return and no line feed";
    /// What can be the type of an event without a check at run time: an [`EventType`], or a
    /// literal.
    ///
    /// A literal that is no event type panics where it stands. Text known only at run time goes
    /// through [`EventType::try_from`]. This trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot be the type of an event",
        label = "neither an `EventType` nor a literal",
        note = "text known only at run time is checked with `EventType::try_from(text)?`"
    )]
    IntoEventType, into_event_type
}

checked_text! {
    /// The id of an event: what a client sends back as `Last-Event-ID` when it reconnects.
    ///
    /// Made by you, it holds no control character (U+0000 to U+001F and U+007F): a client could not
    /// send it back in a header, and would never return. Ids that come from a client or a server
    /// elsewhere may hold whatever the standard allows. An empty id resets the client's last event
    /// ID. Spaces at either end are lost on the way back.
    ///
    /// ```
    /// use tower_sse::{Event, EventId};
    ///
    /// let event = Event::new("paid").with_id(7);
    /// assert_eq!(event.id(), Some(&EventId::from_static("7")));
    ///
    /// let error = EventId::try_from("7\0").unwrap_err();
    /// assert_eq!(error.to_string(), "invalid event id: control character 0x00 at byte 1");
    /// ```
    EventId, InvalidEventId, no_control, "an event id holds no control character";
    /// What can be the id of an event without a check at run time: an [`EventId`], a literal, or
    /// any integer.
    ///
    /// A literal that is no id panics where it stands. Text known only at run time goes through
    /// [`EventId::try_from`], and other values, a UUID say, through [`EventId::from_display`]. This
    /// trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot be the id of an event",
        label = "neither an `EventId`, nor an integer, nor a literal",
        note = "text known only at run time is checked with `EventId::try_from(text)?`, other values with `EventId::from_display(value)?`"
    )]
    IntoEventId, into_event_id
}

checked_text! {
    /// The name of a custom field, which the standard tells clients to ignore unless they know it.
    ///
    /// It is not empty, holds no colon, carriage return or line feed, does not start with a byte
    /// order mark, and is none of the standard's own `event`, `data`, `id` and `retry`.
    ///
    /// ```
    /// use tower_sse::FieldName;
    ///
    /// assert!(FieldName::try_from("trace").is_ok());
    /// let error = FieldName::try_from("data").unwrap_err();
    /// assert_eq!(error.to_string(), "invalid field name: it is one of the standard's own fields");
    /// ```
    FieldName, InvalidFieldName, custom_field, "a custom field's name is not empty, not a standard field's, \
        and holds no colon, line end or leading byte order mark";
    /// What can name a custom field without a check at run time: a [`FieldName`], or a literal.
    ///
    /// A literal that is no field name panics where it stands. Text known only at run time goes
    /// through [`FieldName::try_from`]. This trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot name a custom field",
        label = "neither a `FieldName` nor a literal",
        note = "text known only at run time is checked with `FieldName::try_from(text)?`"
    )]
    IntoFieldName, into_field_name
}

impl EventType {
    /// The type of an event that names none: `message`.
    pub const MESSAGE: Self = Self::from_static("message");

    /// Sets a slot to what stands in a line of an event stream, and so holds no line end.
    #[inline]
    pub(crate) fn receive(slot: &mut Option<Self>, line: &[u8], part: Range<usize>) {
        debug_assert!(no_line_end(&line[part.clone()]).is_none(), "it is of a line");
        slot.insert(Self(Text::EMPTY)).0.become_copy_of(line, part);
    }

    /// Sets a slot to a type that is given up.
    #[inline]
    pub(crate) fn receive_kept(slot: &mut Option<Self>, kept: &mut Self) {
        slot.insert(Self(Text::EMPTY)).0.become_other(&mut kept.0);
    }

    /// Takes the rest of a line.
    pub(crate) fn rest_of_line(line: Vec<u8>, start: usize) -> Self {
        debug_assert!(no_line_end(&line).is_none(), "it is of a line");
        Self(Text::rest_of(line, start))
    }
}

impl EventId {
    /// Formats a value and checks the result; for a UUID, say.
    ///
    /// ```
    /// use tower_sse::EventId;
    ///
    /// let id = EventId::from_display(format_args!("{}-{}", 1, 2))?;
    /// assert_eq!(id, "1-2");
    /// # Ok::<(), tower_sse::InvalidEventId>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEventId`] if the text holds a control character.
    ///
    /// # Panics
    ///
    /// Panics if the value's `Display` returns an error, as [`ToString::to_string`] does.
    pub fn from_display(value: impl fmt::Display) -> Result<Self, InvalidEventId> {
        Self::checked(Text::display(&value))
    }

    /// Wraps what stands in a line of an event stream and holds no NUL.
    #[cfg(feature = "hub")]
    pub(crate) fn of_line(line: &[u8], part: Range<usize>) -> Self {
        debug_assert!(legal_id(&line[part.clone()]).is_none(), "it is of a line");
        Self(Text::copied_part(line, part))
    }

    /// Sets a slot to what stands in a line of an event stream and holds no NUL.
    #[inline]
    pub(crate) fn receive(slot: &mut Option<Self>, line: &[u8], part: Range<usize>) {
        debug_assert!(legal_id(&line[part.clone()]).is_none(), "it is of a line");
        slot.insert(Self(Text::EMPTY)).0.become_copy_of(line, part);
    }

    /// Sets a slot to a copy of an id.
    #[inline]
    pub(crate) fn receive_clone(slot: &mut Option<Self>, id: &Self) {
        slot.insert(Self(Text::EMPTY)).0.become_clone_of(&id.0);
    }

    /// Sets a slot to an id that is given up.
    #[inline]
    pub(crate) fn receive_kept(slot: &mut Option<Self>, kept: &mut Self) {
        slot.insert(Self(Text::EMPTY)).0.become_other(&mut kept.0);
    }

    /// Takes the rest of a line, which holds no NUL.
    pub(crate) fn rest_of_line(line: Vec<u8>, start: usize) -> Self {
        debug_assert!(legal_id(&line[start..]).is_none(), "it is of a line");
        Self(Text::rest_of(line, start))
    }

    /// Wraps an id that came over the wire: legal by the standard, so free of NUL and of line ends.
    pub(crate) fn received(text: &str) -> Result<Self, InvalidEventId> {
        match legal_id(text.as_bytes()) {
            None => Ok(Self(Text::copied(text))),
            Some(fault) => Err(InvalidEventId { fault }),
        }
    }
}

macro_rules! integer_ids {
    ($($integer:ty)*) => {$(
        impl IntoEventId for $integer {
            #[inline]
            fn into_event_id(self) -> EventId {
                EventId(Text::copied(itoa::Buffer::new().format(self)))
            }
        }

        impl From<$integer> for EventId {
            fn from(number: $integer) -> Self {
                number.into_event_id()
            }
        }

        impl sealed::Sealed for $integer {}
    )*};
}

integer_ids!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

/// Finds the first byte for which one of the tests is true.
macro_rules! first_byte {
    ($bytes:expr, $wrong:pat) => {{
        let mut at = 0;
        while at < $bytes.len() {
            if matches!($bytes[at], $wrong) {
                return Some(Fault::Byte { at, byte: $bytes[at] });
            }
            at += 1;
        }
        None
    }};
}

const fn no_line_end(text: &[u8]) -> Option<Fault> {
    first_byte!(text, b'\n' | b'\r')
}

const fn no_control(text: &[u8]) -> Option<Fault> {
    first_byte!(text, 0..=0x1f | 0x7f)
}

const fn legal_id(text: &[u8]) -> Option<Fault> {
    first_byte!(text, b'\0' | b'\n' | b'\r')
}

const fn custom_field(text: &[u8]) -> Option<Fault> {
    match text {
        b"" => Some(Fault::Empty),
        b"event" | b"data" | b"id" | b"retry" => Some(Fault::Standard),
        [0xef, 0xbb, 0xbf, ..] => Some(Fault::ByteOrderMark),
        _ => first_byte!(text, b'\n' | b'\r' | b':'),
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for &'static str {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_holds_anything_but_line_ends() {
        for fine in ["", "a", "price.changed", "ä \0\t", "\u{2028}"] {
            assert_eq!(EventType::try_from(fine).unwrap(), fine);
        }
        for (wrong, at) in [("\n", 0), ("a\rb", 1), ("ab\r\n", 2)] {
            assert_eq!(EventType::try_from(wrong).unwrap_err().position(), Some(at));
        }
    }

    #[test]
    fn an_id_of_ours_holds_no_control_character_and_one_received_may() {
        for wrong in ["\0", "\t", "a\u{1f}", "\u{7f}", "\n"] {
            assert!(EventId::try_from(wrong).is_err(), "{wrong:?}");
            assert!(EventId::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
            assert!(EventId::from_display(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(EventId::received("a\tb\u{7f}").unwrap(), "a\tb\u{7f}");
        for wrong in ["\0", "a\nb", "\r"] {
            assert!(EventId::received(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(EventId::try_from(" ä ").unwrap(), " ä ");
    }

    #[test]
    fn every_integer_is_an_id() {
        assert_eq!(u64::MAX.into_event_id(), u64::MAX.to_string().as_str());
        assert_eq!(i128::MIN.into_event_id(), i128::MIN.to_string().as_str());
        assert_eq!(0.into_event_id(), "0");
    }

    #[test]
    fn a_field_name_is_no_standard_field_and_no_line_of_another_kind() {
        for wrong in ["", "event", "data", "id", "retry", "a:b", "a\n", "\r", "\u{feff}a"] {
            assert!(FieldName::try_from(wrong).is_err(), "{wrong:?}");
        }
        for fine in ["ID", "datas", " data", "a\u{feff}"] {
            assert_eq!(FieldName::try_from(fine).unwrap(), fine);
        }
    }

    #[test]
    #[allow(clippy::redundant_clone, reason = "the clone is what is tested")]
    fn equal_texts_are_equal_however_they_are_kept() {
        let long = "x".repeat(50);
        let owned = EventType::try_from(long.clone()).unwrap();
        assert_eq!(owned, EventType::try_from(&long).unwrap());
        assert_eq!(owned.clone(), long.as_str());
        assert_eq!(EventType::MESSAGE, EventType::try_from("message").unwrap());
        assert!(EventType::from_static("a") < EventType::from_static("b"));
    }
}
