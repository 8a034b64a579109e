//! Immutable UTF-8 text, stored in the cheapest way that its origin allows.

use std::{
    fmt::{self, Write as _},
    mem,
    ops::Range,
    str,
};

use bytes::Bytes;

/// Immutable UTF-8 text, in 40 bytes.
///
/// Invariant: the bytes of every variant are UTF-8. Text from a parser is stored as bytes, because
/// the parser has checked a whole chunk and not each text in it. `as_str` checks these bytes again:
/// without `unsafe` there is no other way from bytes to a `str`. The check costs a hundredth of a
/// nanosecond a byte.
#[derive(Clone)]
pub(crate) enum Text {
    /// A literal.
    Static(&'static str),
    /// Short text. Only the first `len` bytes belong to it; the others are arbitrary.
    Inline { len: u8, bytes: [u8; Self::INLINE] },
    /// Long text from the application.
    Owned(String),
    /// A slice of a larger buffer, for example of a parser's chunk. The buffer lives as long as any
    /// slice of it.
    Slice(Bytes),
    /// Long text that a parser has copied or joined.
    Joined(Vec<u8>),
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Static("");

    /// The maximum length of text that is stored without an allocation, in bytes. With its tag and
    /// its length it fills the five words that the `Slice` variant needs anyway.
    pub(super) const INLINE: usize = 38;

    /// Copies `text`, without an allocation if it fits inline.
    #[inline]
    pub(crate) fn copied(text: &str) -> Self {
        Self::inline(text).unwrap_or_else(|| Self::Owned(text.to_owned()))
    }

    /// Copies a range of a buffer, without an allocation if it fits inline. The range must be
    /// UTF-8.
    #[inline]
    pub(super) fn copied_range(source: &[u8], range: Range<usize>) -> Self {
        let mut text = Self::EMPTY;
        text.assign_copy(source, range);
        text
    }

    /// Formats `value`, without an allocation if the result fits inline.
    ///
    /// # Panics
    ///
    /// Panics if the value's `Display` returns an error, as [`ToString::to_string`] does.
    pub(crate) fn display(value: &impl fmt::Display) -> Self {
        let mut writer = TextWriter { text: Self::EMPTY };
        write!(writer, "{value}").expect("a Display implementation returned an error unexpectedly");
        writer.text
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(text) => text.as_bytes(),
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Owned(text) => text.as_bytes(),
            Self::Slice(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Inline { .. } => {
                str::from_utf8(self.as_bytes()).expect("inline text is copied from a `str`")
            }
            Self::Owned(text) => text,
            Self::Slice(_) | Self::Joined(_) => simdutf8::basic::from_utf8(self.as_bytes())
                .expect("bytes are checked before they become text"),
        }
    }

    /// Copies a range of a buffer inline. Returns false, and changes nothing, if it does not fit.
    /// The range must be UTF-8.
    ///
    /// If the buffer goes on after the range, this copies `INLINE` bytes in any case: a copy of a
    /// constant length takes a third of the time. The bytes after `len` are never read.
    #[inline]
    pub(super) fn assign_inline(&mut self, source: &[u8], range: Range<usize>) -> bool {
        debug_assert!(str::from_utf8(&source[range.clone()]).is_ok(), "the range is not UTF-8");
        let length = range.end - range.start;
        if length > Self::INLINE {
            return false;
        }
        *self = Self::Inline { len: length as u8, bytes: [0; Self::INLINE] };
        if let Self::Inline { bytes, .. } = self {
            let source = &source[range.start..];
            match source.first_chunk() {
                Some(inline) => *bytes = *inline,
                None => bytes[..length].copy_from_slice(&source[..length]),
            }
        }
        true
    }

    /// Copies a range of a buffer. The range must be UTF-8.
    #[inline]
    pub(super) fn assign_copy(&mut self, source: &[u8], range: Range<usize>) {
        if !self.assign_inline(source, range.clone()) {
            *self = Self::Joined(source[range].to_vec());
        }
    }

    /// Clones another text. Inline text is copied directly to its place: see
    /// [`FieldsMut`](super::value::FieldsMut).
    #[inline]
    pub(super) fn assign_clone(&mut self, other: &Self) {
        match other {
            Self::Inline { len, bytes } => {
                self.assign_inline(bytes, 0..usize::from(*len));
            }
            other => *self = other.clone(),
        }
    }

    /// Takes another text, which is empty or unchanged afterwards. Inline text is copied directly
    /// to its place: see [`FieldsMut`](super::value::FieldsMut).
    #[inline]
    pub(super) fn assign_take(&mut self, other: &mut Self) {
        match other {
            Self::Inline { len, bytes } => {
                self.assign_inline(bytes, 0..usize::from(*len));
            }
            other => *self = mem::replace(other, Self::EMPTY),
        }
    }

    /// Takes the buffer of a text that starts at byte `start`. The text must be UTF-8. Clones share
    /// the buffer.
    pub(super) fn from_vec(buffer: Vec<u8>, start: usize) -> Self {
        let mut inline = Self::EMPTY;
        if inline.assign_inline(&buffer, start..buffer.len()) {
            return inline;
        }
        Self::Slice(Bytes::from(buffer).slice(start..))
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

/// Collects formatted text inline, and moves it to a `String` when it does not fit any more.
struct TextWriter {
    text: Text,
}

impl fmt::Write for TextWriter {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if let Text::Owned(text) = &mut self.text {
            text.push_str(more);
            return Ok(());
        }
        if let Text::Inline { len, bytes } = &mut self.text {
            let start = usize::from(*len);
            if let Some(room) = bytes.get_mut(start..start + more.len()) {
                room.copy_from_slice(more.as_bytes());
                *len += u8::try_from(more.len()).expect("the text fits the inline buffer");
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
    fn displayed_text_moves_to_a_string_when_it_does_not_fit_inline() {
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
