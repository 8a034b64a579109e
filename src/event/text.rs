//! Immutable UTF-8 text, kept in the cheapest way that its origin allows.

use std::{
    fmt::{self, Write as _},
    mem,
    ops::Range,
    str,
};

use bytes::Bytes;

/// Immutable UTF-8 text. No variant is longer than 40 bytes.
///
/// What a parser has checked together with what stood around it is kept as bytes, and checked again
/// at each look, since without `unsafe` there is no other way from bytes to a `str`. That costs a
/// hundredth of a nanosecond a byte.
#[derive(Clone)]
pub(crate) enum Text {
    Static(&'static str),
    /// The first `len` bytes are UTF-8.
    Inline {
        len: u8,
        bytes: [u8; Self::INLINE],
    },
    Owned(String),
    /// A part of something larger that others hold too: what a parser cuts out of its input. It is
    /// UTF-8.
    Shared(Bytes),
    /// What a parser has put together. It is UTF-8.
    Checked(Vec<u8>),
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Static("");

    /// The longest text that is kept without an allocation, in bytes: with its tag and its length
    /// it fills the five words that the shared variant needs anyway.
    pub(super) const INLINE: usize = 38;

    /// Copies `text`, without an allocation if it is short.
    #[inline]
    pub(crate) fn copied(text: &str) -> Self {
        Self::inline(text).unwrap_or_else(|| Self::Owned(text.to_owned()))
    }

    /// Copies a part of a larger text, which is checked, without an allocation if it is short.
    #[inline]
    pub(super) fn copied_part(whole: &[u8], part: Range<usize>) -> Self {
        let mut text = Self::EMPTY;
        text.become_copy_of(whole, part);
        text
    }

    /// Becomes a copy of a part of a larger text, which is checked.
    #[inline]
    pub(super) fn become_copy_of(&mut self, whole: &[u8], part: Range<usize>) {
        if !self.become_short(whole, part.clone()) {
            *self = Self::Checked(whole[part].to_vec());
        }
    }

    /// Formats `value`, without an allocation if the result is short.
    ///
    /// # Panics
    ///
    /// Panics if the value's `Display` returns an error, as [`ToString::to_string`] does.
    pub(crate) fn display(value: &impl fmt::Display) -> Self {
        let mut writer = Writer { text: Self::EMPTY };
        write!(writer, "{value}").expect("a Display implementation returned an error unexpectedly");
        writer.text
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(text) => text.as_bytes(),
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Owned(text) => text.as_bytes(),
            Self::Shared(bytes) => bytes,
            Self::Checked(bytes) => bytes,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Inline { .. } => {
                str::from_utf8(self.as_bytes()).expect("inline text is copied from a `str`")
            }
            Self::Owned(text) => text,
            Self::Shared(_) | Self::Checked(_) => simdutf8::basic::from_utf8(self.as_bytes())
                .expect("bytes are checked before they become text"),
        }
    }

    /// Becomes a copy of a part of a larger text, which is checked, if that is short; returns whether
    /// it is.
    ///
    /// What stands behind the part is copied along where there is enough of it, for a copy of a
    /// known length takes a third of the time; it is behind `len` and never looked at.
    #[inline]
    pub(super) fn become_short(&mut self, whole: &[u8], part: Range<usize>) -> bool {
        debug_assert!(str::from_utf8(&whole[part.clone()]).is_ok(), "it is checked");
        let length = part.end - part.start;
        if length > Self::INLINE {
            return false;
        }
        *self = Self::Inline { len: length as u8, bytes: [0; Self::INLINE] };
        if let Self::Inline { bytes, .. } = self {
            let rest = &whole[part.start..];
            match rest.first_chunk() {
                Some(chunk) => *bytes = *chunk,
                None => bytes[..length].copy_from_slice(&rest[..length]),
            }
        }
        true
    }

    /// Becomes a copy of another text; a short one is written where it stays.
    #[inline]
    pub(super) fn become_clone_of(&mut self, other: &Self) {
        match other {
            Self::Inline { len, bytes } => {
                self.become_short(bytes, 0..usize::from(*len));
            }
            other => *self = other.clone(),
        }
    }

    /// Becomes another text, which is given up; a short one is written where it stays.
    #[inline]
    pub(super) fn become_other(&mut self, other: &mut Self) {
        match other {
            Self::Inline { len, bytes } => {
                self.become_short(bytes, 0..usize::from(*len));
            }
            other => *self = mem::replace(other, Self::EMPTY),
        }
    }

    /// Takes the text from `start` on of what is checked and nobody else needs. Clones share it.
    pub(super) fn rest_of(text: Vec<u8>, start: usize) -> Self {
        let mut short = Self::EMPTY;
        if short.become_short(&text, start..text.len()) {
            return short;
        }
        Self::Shared(Bytes::from(text).slice(start..))
    }

    #[inline]
    pub(super) fn inline(text: &str) -> Option<Self> {
        let len = u8::try_from(text.len()).ok()?;
        let mut bytes = [0; Self::INLINE];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self::Inline { len, bytes })
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Owned(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Collects formatted text inline, and moves it to a `String` once it is too long for that.
struct Writer {
    text: Text,
}

impl fmt::Write for Writer {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if let Text::Owned(text) = &mut self.text {
            text.push_str(more);
            return Ok(());
        }
        if let Text::Inline { len, bytes } = &mut self.text {
            let start = usize::from(*len);
            if let Some(room) = bytes.get_mut(start..start + more.len()) {
                room.copy_from_slice(more.as_bytes());
                *len += u8::try_from(more.len()).expect("fits the room, which is shorter");
                return Ok(());
            }
        }
        let before = self.text.as_str();
        self.text = if before.is_empty() {
            Text::copied(more)
        } else {
            Text::Owned([before, more].concat())
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_inline_and_long_text_is_owned() {
        for len in [0, 1, 37, 38, 39, 255, 256, 1000] {
            let text = "x".repeat(len);
            let copied = Text::copied(&text);
            assert_eq!(copied.as_str(), text);
            assert_eq!(copied.as_bytes(), text.as_bytes());
            assert_eq!(matches!(copied, Text::Inline { .. }), len <= Text::INLINE, "{len}");
        }
    }

    #[test]
    fn display_spills_where_it_gets_too_long() {
        for parts in [vec!["", "a"], vec!["ä"; 19], vec!["ä"; 20], vec!["x"; 300]] {
            struct Parts<'a>(&'a [&'a str]);
            impl fmt::Display for Parts<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.iter().try_for_each(|part| f.write_str(part))
                }
            }
            let text = Text::display(&Parts(&parts));
            assert_eq!(text.as_str(), parts.concat());
            assert_eq!(matches!(text, Text::Owned(_)), parts.concat().len() > Text::INLINE);
        }
    }

    #[test]
    fn no_variant_is_larger_than_five_words() {
        assert_eq!(size_of::<Text>(), 40);
    }
}
