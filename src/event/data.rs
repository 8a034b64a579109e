//! Event data: any text.

use std::{borrow::Cow, fmt, mem, ops::Range, str::Utf8Error};

use bytes::Bytes;

use super::text::Text;

/// The data of an event, or the value of a custom field or a comment: any UTF-8 text, which may
/// have several lines.
///
/// It converts from text, numbers, `bool` and `char`. [`Event::display`](crate::Event::display) takes any
/// other value that implements `Display`. A [`String`] is moved, text of up to 38 bytes is copied
/// without an allocation, and [`Bytes`] are checked to be UTF-8 and then shared.
///
/// ```
/// use tower_sse::{Event, EventData};
///
/// let event = Event::new(EventData::try_from(bytes::Bytes::from_static(b"from a file"))?);
/// assert_eq!(event.data(), "from a file");
/// # Ok::<(), std::str::Utf8Error>(())
/// ```
#[derive(Clone)]
pub struct EventData(Text);

impl EventData {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Sets a field to a range of a chunk, which a parser has checked to be UTF-8: inline if it is
    /// short, otherwise as a slice that shares the chunk.
    #[inline]
    pub(crate) fn assign_slice(field: &mut Option<Self>, chunk: &Bytes, range: Range<usize>) {
        field.insert(Self(Text::EMPTY)).set_slice(chunk, range);
    }

    #[inline]
    fn set_slice(&mut self, chunk: &Bytes, range: Range<usize>) {
        if !self.0.assign_inline(chunk, range.clone()) {
            self.0 = Text::Slice(chunk.slice(range));
        }
    }

    /// Sets a field to a copy of text that a parser has checked to be UTF-8.
    pub(crate) fn assign_copy(field: &mut Option<Self>, text: &[u8]) {
        field.insert(Self(Text::EMPTY)).0.assign_copy(text, 0..text.len());
    }

    /// Sets a field to text that a parser has checked to be UTF-8 and joined. The buffer is empty
    /// afterwards.
    #[inline]
    pub(crate) fn assign_take(field: &mut Option<Self>, joined: &mut Vec<u8>) {
        if let Text::Joined(text) = &mut field.insert(Self(Text::Joined(Vec::new()))).0 {
            mem::swap(text, joined);
        }
    }

    /// Creates data from a range of a buffer, like [`assign_slice`](Self::assign_slice).
    pub(crate) fn from_parser_slice(buffer: &Bytes, range: Range<usize>) -> Self {
        let mut data = Self(Text::EMPTY);
        data.set_slice(buffer, range);
        data
    }

    /// Creates data from a copy of text that a parser has checked to be UTF-8.
    pub(crate) fn from_parser_copy(text: &[u8]) -> Self {
        Self(Text::copied_range(text, 0..text.len()))
    }

    /// Returns whether text of this length is stored without an allocation.
    pub(crate) fn fits_inline(text: &[u8]) -> bool {
        text.len() <= Text::INLINE
    }

    /// Returns the data without a reference to a larger buffer.
    pub(super) fn detached(self) -> Self {
        match self.0 {
            Text::Slice(text) => Self::from_parser_copy(&text),
            other => Self(other),
        }
    }

    pub(super) fn display(value: &impl fmt::Display) -> Self {
        Self(Text::display(value))
    }
}

impl From<&str> for EventData {
    #[inline]
    fn from(text: &str) -> Self {
        Self(Text::copied(text))
    }
}

impl From<&String> for EventData {
    #[inline]
    fn from(text: &String) -> Self {
        Self(Text::copied(text))
    }
}

impl From<String> for EventData {
    #[inline]
    fn from(text: String) -> Self {
        Self(Text::from(text))
    }
}

impl From<Box<str>> for EventData {
    #[inline]
    fn from(text: Box<str>) -> Self {
        Self(Text::from(String::from(text)))
    }
}

impl From<Cow<'_, str>> for EventData {
    #[inline]
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

macro_rules! integer_data {
    ($($integer:ty)*) => {$(
        impl From<$integer> for EventData {
            fn from(number: $integer) -> Self {
                Self(Text::copied(itoa::Buffer::new().format(number)))
            }
        }
    )*};
}

integer_data!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! displayed_data {
    ($($value:ty)*) => {$(
        impl From<$value> for EventData {
            fn from(value: $value) -> Self {
                Self::display(&value)
            }
        }
    )*};
}

displayed_data!(bool char f32 f64);

impl TryFrom<Bytes> for EventData {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(Text::Slice(bytes)))
    }
}

impl AsRef<str> for EventData {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq<str> for EventData {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for EventData {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq for EventData {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EventData {}

impl std::hash::Hash for EventData {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
