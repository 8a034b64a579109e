//! What an event can be made of: any text.

use std::{borrow::Cow, fmt, mem, ops::Range, str::Utf8Error};

use bytes::Bytes;

use super::text::Text;

/// The data of an event, or the value of a custom field or a comment: any UTF-8 text, lines
/// included.
///
/// Made from text and from integers; [`Event::display`](crate::Event::display) takes any other
/// value that can be displayed. A [`String`] is taken as it is, short text is kept without an
/// allocation, and [`Bytes`] are checked to be UTF-8 and then shared.
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

    /// Sets a slot to a part of a text that a parser has checked: a copy if it is short, else a share
    /// of it.
    #[inline]
    pub(crate) fn receive(slot: &mut Option<Self>, whole: &Bytes, part: Range<usize>) {
        slot.insert(Self(Text::EMPTY)).become_part_of(whole, part);
    }

    #[inline]
    fn become_part_of(&mut self, whole: &Bytes, part: Range<usize>) {
        if !self.0.become_short(whole, part.clone()) {
            self.0 = Text::Shared(whole.slice(part));
        }
    }

    /// Takes a part of a text that a parser has checked, in the same way.
    pub(crate) fn part_of(whole: &Bytes, part: Range<usize>) -> Self {
        let mut data = Self(Text::EMPTY);
        data.become_part_of(whole, part);
        data
    }

    /// Copies a text that a parser has checked.
    pub(crate) fn copy_of(text: &[u8]) -> Self {
        Self(Text::copied_part(text, 0..text.len()))
    }

    /// Sets a slot to such a copy.
    pub(crate) fn receive_copy(slot: &mut Option<Self>, text: &[u8]) {
        slot.insert(Self(Text::EMPTY)).0.become_copy_of(text, 0..text.len());
    }

    /// Sets a slot to a text that a parser has checked and put together.
    #[inline]
    pub(crate) fn receive_kept(slot: &mut Option<Self>, kept: &mut Vec<u8>) {
        if let Text::Checked(text) = &mut slot.insert(Self(Text::Checked(Vec::new()))).0 {
            mem::swap(text, kept);
        }
    }

    pub(crate) fn is_short(text: &[u8]) -> bool {
        text.len() <= Text::INLINE
    }

    pub(super) fn detached(self) -> Self {
        match self.0 {
            Text::Shared(text) => Self::copy_of(&text),
            own => Self(own),
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

impl TryFrom<Bytes> for EventData {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(Text::Shared(bytes)))
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
