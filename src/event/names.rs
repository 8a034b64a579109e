//! Event types, event IDs and the names of custom fields: text without line ends.

use std::{fmt, ops::Range};

use super::{
    checked::{Sealed, checked_text},
    error::{InvalidEventId, InvalidEventType, InvalidFieldName, InvalidTextKind},
    text::Text,
};

checked_text! {
    /// The type of an event: the name given to `addEventListener` in a browser.
    ///
    /// It contains no line end: no carriage return and no line feed. An event without a type, or
    /// with an empty type, has the type [`EventType::MESSAGE`].
    ///
    /// ```
    /// use tower_sse::EventType;
    ///
    /// const PRICE: EventType = EventType::from_static("price"); // checked by the compiler
    /// assert_eq!(PRICE, "price");
    ///
    /// let error = EventType::try_from("price\ndata: 0").unwrap_err();
    /// assert_eq!(error.to_string(), "invalid event type: line feed at byte 5; remove it");
    /// ```
    EventType, InvalidEventType, check_event_type, "an event type must not contain a line end";
    /// Converts into an [`EventType`] without a check at run time: an [`EventType`] or a literal.
    ///
    /// A literal that is not a valid event type panics where it is used. Check text that is known
    /// only at run time with [`EventType::try_from`]. This trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot be the type of an event",
        label = "neither an `EventType` nor a literal",
        note = "check text that is known only at run time with `EventType::try_from(text)?`"
    )]
    IntoEventType, into_event_type
}

checked_text! {
    /// The ID of an event. A client sends it back as `Last-Event-ID` when it reconnects.
    ///
    /// An ID that the application creates contains no control character (U+0000 to U+001F, and
    /// U+007F): a client could not send it in a header, and would never reconnect. An ID that was
    /// received from a client or another server may contain every character that the standard
    /// allows: all but NUL, CR and LF.
    ///
    /// An empty ID resets the client's last event ID. Spaces at the start and the end are lost when
    /// a client sends the ID back.
    ///
    /// ```
    /// use tower_sse::{Event, EventId};
    ///
    /// let event = Event::new("paid").with_id(7);
    /// assert_eq!(event.id(), Some(&EventId::from_static("7")));
    ///
    /// let error = EventId::try_from("7\0").unwrap_err();
    /// let message = "invalid event ID: control character 0x00 at byte 1; remove it";
    /// assert_eq!(error.to_string(), message);
    /// ```
    EventId, InvalidEventId, check_event_id, "an event ID must not contain a control character";
    /// Converts into an [`EventId`] without a check at run time: an [`EventId`], a literal or an
    /// integer.
    ///
    /// A literal that is not a valid ID panics where it is used. Check text that is known only at
    /// run time with [`EventId::try_from`], and other values, for example a UUID, with
    /// [`EventId::from_display`]. This trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot be the ID of an event",
        label = "neither an `EventId`, nor an integer, nor a literal",
        note = "check text that is known only at run time with `EventId::try_from(text)?`, and other values with `EventId::from_display(value)?`"
    )]
    IntoEventId, into_event_id
}

checked_text! {
    /// The name of a custom field. The standard tells clients to ignore fields that they do not
    /// know.
    ///
    /// A name is not empty, contains no colon, carriage return or line feed, and does not start
    /// with a byte order mark. The standard's own `event`, `data`, `id` and `retry` are not valid
    /// names.
    ///
    /// ```
    /// use tower_sse::FieldName;
    ///
    /// assert!(FieldName::try_from("trace").is_ok());
    /// let error = FieldName::try_from("data").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid field name: `data` is a field of the standard; set it with `Event::with_data`",
    /// );
    /// ```
    FieldName, InvalidFieldName, check_field_name, "a field name must not be empty or the name of a standard field, \
        and must not contain a colon, a line end or a leading byte order mark";
    /// Converts into a [`FieldName`] without a check at run time: a [`FieldName`] or a literal.
    ///
    /// A literal that is not a valid field name panics where it is used. Check text that is known
    /// only at run time with [`FieldName::try_from`]. This trait is sealed.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not checked, so it cannot be the name of a custom field",
        label = "neither a `FieldName` nor a literal",
        note = "check text that is known only at run time with `FieldName::try_from(text)?`"
    )]
    IntoFieldName, into_field_name
}

impl EventType {
    /// The type of an event that sets none: `message`.
    pub const MESSAGE: Self = Self::from_static("message");

    /// Sets a field to a copy of a range of a line that a parser has read. A line contains no line
    /// end, so the text is valid.
    #[inline]
    pub(crate) fn assign_copy(field: &mut Option<Self>, line: &[u8], range: Range<usize>) {
        debug_assert!(check_event_type(&line[range.clone()]).is_none(), "a line has no line end");
        field.insert(Self(Text::EMPTY)).0.assign_copy(line, range);
    }

    /// Sets a field to a type that is not needed afterwards.
    #[inline]
    pub(crate) fn assign_take(field: &mut Option<Self>, event_type: &mut Self) {
        field.insert(Self(Text::EMPTY)).0.assign_take(&mut event_type.0);
    }

    /// Creates a type from the buffer of a line that a parser has read. The type starts at byte
    /// `start`.
    pub(crate) fn from_parser(line: Vec<u8>, start: usize) -> Self {
        debug_assert!(check_event_type(&line).is_none(), "a line has no line end");
        Self(Text::from_vec(line, start))
    }
}

impl EventId {
    /// Formats a value, for example a UUID, and checks the result.
    ///
    /// ```
    /// use tower_sse::EventId;
    ///
    /// let id = EventId::from_display(format_args!("{}-{}", 1, 2))?;
    /// assert_eq!(id, "1-2");
    /// # Ok::<(), tower_sse::event::InvalidEventId>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidEventId`] if the text contains a control character.
    ///
    /// # Panics
    ///
    /// Panics if the value's `Display` returns an error, as [`ToString::to_string`] does.
    pub fn from_display(value: impl fmt::Display) -> Result<Self, InvalidEventId> {
        Self::checked(Text::display(&value))
    }

    /// Creates an ID from a copy of a range of an encoded `id` line, which is valid.
    #[cfg(feature = "hub")]
    pub(crate) fn from_line(line: &[u8], range: Range<usize>) -> Self {
        debug_assert!(
            check_received_id(&line[range.clone()]).is_none(),
            "an ID in a line is valid"
        );
        Self(Text::copied_range(line, range))
    }

    /// Sets a field to a copy of a range of a line that a parser has read. The caller must have
    /// checked that the range contains no NUL.
    #[inline]
    pub(crate) fn assign_copy(field: &mut Option<Self>, line: &[u8], range: Range<usize>) {
        debug_assert!(
            check_received_id(&line[range.clone()]).is_none(),
            "an ID in a line is valid"
        );
        field.insert(Self(Text::EMPTY)).0.assign_copy(line, range);
    }

    /// Sets a field to a clone of an ID.
    #[inline]
    pub(crate) fn assign_clone(field: &mut Option<Self>, id: &Self) {
        field.insert(Self(Text::EMPTY)).0.assign_clone(&id.0);
    }

    /// Sets a field to an ID that is not needed afterwards.
    #[inline]
    pub(crate) fn assign_take(field: &mut Option<Self>, id: &mut Self) {
        field.insert(Self(Text::EMPTY)).0.assign_take(&mut id.0);
    }

    /// Creates an ID from the buffer of a line that a parser has read. The ID starts at byte
    /// `start`, and the caller must have checked that it contains no NUL.
    pub(crate) fn from_parser(line: Vec<u8>, start: usize) -> Self {
        debug_assert!(check_received_id(&line[start..]).is_none(), "an ID in a line is valid");
        Self(Text::from_vec(line, start))
    }

    /// Creates an ID that was received from a client or a server.
    ///
    /// Unlike an ID that the application creates, it may contain control characters other than NUL
    /// and line ends, because the standard allows them.
    pub(crate) fn received(text: &str) -> Result<Self, InvalidEventId> {
        match check_received_id(text.as_bytes()) {
            None => Ok(Self(Text::copied(text))),
            Some(kind) => Err(InvalidEventId(kind)),
        }
    }
}

macro_rules! integer_ids {
    ($($integer:ty)*) => {$(
        #[diagnostic::do_not_recommend]
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

        impl Sealed for $integer {}
    )*};
}

integer_ids!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

/// Returns an error for the first byte that matches the pattern. A loop, because iterators do not
/// work in a `const fn`.
macro_rules! reject_bytes {
    ($bytes:expr, $invalid:pat) => {{
        let mut at = 0;
        while at < $bytes.len() {
            if matches!($bytes[at], $invalid) {
                return Some(InvalidTextKind::Byte { at, byte: $bytes[at] });
            }
            at += 1;
        }
        None
    }};
}

const fn check_event_type(text: &[u8]) -> Option<InvalidTextKind> {
    reject_bytes!(text, b'\n' | b'\r')
}

/// Checks an ID of the application. It must be possible to send it in a header.
const fn check_event_id(text: &[u8]) -> Option<InvalidTextKind> {
    reject_bytes!(text, 0..=0x1f | 0x7f)
}

/// Checks an ID of a client or of another server.
///
/// WHATWG 9.2.6: an `id` field is ignored if its value contains NUL. CR and LF end a line.
const fn check_received_id(text: &[u8]) -> Option<InvalidTextKind> {
    reject_bytes!(text, b'\0' | b'\n' | b'\r')
}

const fn check_field_name(text: &[u8]) -> Option<InvalidTextKind> {
    match text {
        b"" => Some(InvalidTextKind::Empty),
        b"event" => Some(InvalidTextKind::StandardField("event")),
        b"data" => Some(InvalidTextKind::StandardField("data")),
        b"id" => Some(InvalidTextKind::StandardField("id")),
        b"retry" => Some(InvalidTextKind::StandardField("retry")),
        // WHATWG 9.2.5: a client removes one byte order mark at the start of a stream.
        [0xef, 0xbb, 0xbf, ..] => Some(InvalidTextKind::ByteOrderMark),
        _ => reject_bytes!(text, b'\n' | b'\r' | b':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_contains_anything_but_line_ends() {
        for fine in ["", "a", "price.changed", "ä \0\t", "\u{2028}"] {
            assert_eq!(EventType::try_from(fine).unwrap(), fine);
        }
        for (wrong, at) in [("\n", 0), ("a\rb", 1), ("ab\r\n", 2)] {
            assert_eq!(EventType::try_from(wrong).unwrap_err().position(), Some(at));
        }
    }

    #[test]
    fn an_id_of_the_application_contains_no_control_character_and_a_received_id_may() {
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
    fn a_field_name_is_not_a_standard_field_and_cannot_form_another_line() {
        for wrong in ["", "event", "data", "id", "retry", "a:b", "a\n", "\r", "\u{feff}a"] {
            assert!(FieldName::try_from(wrong).is_err(), "{wrong:?}");
        }
        for fine in ["ID", "datas", " data", "a\u{feff}"] {
            assert_eq!(FieldName::try_from(fine).unwrap(), fine);
        }
    }

    #[test]
    #[allow(clippy::redundant_clone, reason = "the test is about clones")]
    fn equal_texts_are_equal_however_they_are_stored() {
        let long = "x".repeat(50);
        let owned = EventType::try_from(long.clone()).unwrap();
        assert_eq!(owned, EventType::try_from(&long).unwrap());
        assert_eq!(owned.clone(), long.as_str());
        assert_eq!(EventType::MESSAGE, EventType::try_from("message").unwrap());
        assert!(EventType::from_static("a") < EventType::from_static("b"));
    }

    #[test]
    fn an_error_of_a_standard_field_names_its_setter() {
        for (name, setter) in [
            ("event", "with_type"),
            ("data", "with_data"),
            ("id", "with_id"),
            ("retry", "with_retry"),
        ] {
            let error = FieldName::try_from(name).unwrap_err().to_string();
            let expected =
                format!("`{name}` is a field of the standard; set it with `Event::{setter}`");
            assert_eq!(error, format!("invalid field name: {expected}"));
        }
    }
}
