//! UTF-8 decoding over chunks: "UTF-8 decode" of the
//! [Encoding standard](https://encoding.spec.whatwg.org/#utf-8-decode).
//!
//! The decoder finds the ranges of a chunk that are valid UTF-8 (text); most often this is the
//! whole chunk. It checks a chunk once as a whole, which costs less than a check of each line.
//! Everything between two ranges is returned as single characters: replacement characters, and
//! characters that the end of a chunk splits.

use std::{collections::VecDeque, mem, str};

use bytes::Bytes;

use super::input::Input;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Decodes the pushed chunks. The current chunk is in the [`Input`].
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    /// Whether the current chunk contains invalid UTF-8.
    has_invalid: bool,
    /// The chunks after the current one.
    next_chunks: VecDeque<Bytes>,
    /// A character of which not all bytes have been received.
    partial_char: PartialChar,
    /// Whether a character has been decoded, so that a byte order mark is not at the start any
    /// more.
    started: bool,
}

/// A result of the decoder.
#[derive(Debug)]
pub(super) enum Decoded {
    /// The input has unread text.
    Text,
    /// One character that does not end a line, and the offset of its first byte.
    Character(char, u64),
}

impl Decoder {
    /// Adds the next chunk. `read` is the number of its bytes that have been read. It may be
    /// greater than 0 only if the decoder [is drained](Self::is_drained).
    #[inline]
    pub(super) fn push(&mut self, input: &mut Input, chunk: Bytes, read: usize) {
        if read == chunk.len() {
            input.skip(read);
        } else if input.is_empty() && self.next_chunks.is_empty() {
            input.set_chunk(chunk, read);
            self.has_invalid = false;
        } else {
            self.next_chunks.push_back(chunk);
        }
    }

    /// Returns whether there is no chunk to decode.
    #[inline]
    pub(super) fn needs_chunk(&self, input: &Input) -> bool {
        input.is_empty() && self.next_chunks.is_empty()
    }

    /// Decodes the bytes after those that have been read. Returns `None` if another chunk is
    /// needed.
    #[inline]
    pub(super) fn decode(&mut self, input: &mut Input) -> Option<Decoded> {
        if self.needs_chunk(input) { None } else { self.decode_chunks(input) }
    }

    /// A function of its own, so that the inlined check in `decode` stays small.
    #[inline(never)]
    fn decode_chunks(&mut self, input: &mut Input) -> Option<Decoded> {
        loop {
            if input.unread().is_empty() {
                input.release_chunk();
                input.set_chunk(self.next_chunks.pop_front()?, 0);
                self.has_invalid = false;
                continue;
            }
            let decoded = if self.partial_char.len == 0 {
                self.decode_text(input)
            } else {
                self.decode_char(input)
            };
            if let Some(decoded) = decoded {
                return Some(decoded);
            }
        }
    }

    /// Returns whether all pushed bytes have been decoded, and the last chunk is released.
    #[inline]
    pub(super) fn is_drained(&self, input: &Input) -> bool {
        self.needs_chunk(input) && self.partial_char.len == 0
    }

    /// Returns whether the bytes so far end with a partial character. At the end of the stream it
    /// is replaced.
    pub(super) fn has_partial_char(&self) -> bool {
        self.partial_char.len > 0
    }

    /// Finds the end of the text. Without any text it starts a partial character instead.
    fn decode_text(&mut self, input: &mut Input) -> Option<Decoded> {
        let length = self.valid_length(input.unread());
        if length == 0 {
            self.partial_char.take_byte(input);
            return None;
        }
        input.text_end = input.position + length;
        // WHATWG 9.2.5: one byte order mark at the start of the stream is removed.
        if !mem::replace(&mut self.started, true) {
            let mut bytes = [0; 4];
            let mark = BYTE_ORDER_MARK.encode_utf8(&mut bytes).as_bytes();
            if input.text().starts_with(mark) {
                input.position += mark.len();
            }
        }
        (!input.text().is_empty()).then_some(Decoded::Text)
    }

    /// Returns the length of the valid UTF-8 at the start of the unread bytes.
    ///
    /// The fast check reads all bytes before it fails, so it runs once a chunk. After it has
    /// failed, the slow check is used, which stops at the first invalid byte: otherwise a chunk
    /// with many invalid bytes would take quadratic time.
    fn valid_length(&mut self, unread: &[u8]) -> usize {
        let bytes = &unread[..unread.len() - partial_char_at_end(unread)];
        self.has_invalid = self.has_invalid || simdutf8::basic::from_utf8(bytes).is_err();
        if !self.has_invalid {
            return bytes.len();
        }
        str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len)
    }

    /// Completes the partial character, or replaces it if it is invalid.
    fn decode_char(&mut self, input: &mut Input) -> Option<Decoded> {
        let (character, length) = loop {
            match self.partial_char.decode() {
                Some(decoded) => break decoded,
                None => match input.unread().first() {
                    None => return None,
                    Some(0x80..=0xbf) => self.partial_char.take_byte(input),
                    // Not a continuation byte: the character ends before it.
                    Some(_) => break (char::REPLACEMENT_CHARACTER, self.partial_char.len),
                },
            }
        };
        let offset = input.offset_of(input.position) - self.partial_char.len as u64;
        self.partial_char.remove(length);
        if !mem::replace(&mut self.started, true) && character == BYTE_ORDER_MARK {
            return None;
        }
        Some(Decoded::Character(character, offset))
    }
}

/// Returns how many bytes at the end may be the start of a longer character: at most three.
fn partial_char_at_end(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let needed = match bytes[bytes.len() - back] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if back < needed { back } else { 0 };
    }
    0
}

/// The bytes of a character that is not complete yet, or that must be replaced. None of them is
/// ASCII, so none of them ends a line.
#[derive(Clone, Copy, Debug, Default)]
struct PartialChar {
    bytes: [u8; 4],
    len: usize,
}

impl PartialChar {
    /// Appends the next byte of the input.
    fn take_byte(&mut self, input: &mut Input) {
        if let Some(&byte) = input.unread().first() {
            self.bytes[self.len] = byte;
            self.len += 1;
            input.position += 1;
            input.text_end = input.position;
        }
    }

    /// Returns the first character and its length in bytes, or `None` if more bytes are needed.
    fn decode(&self) -> Option<(char, usize)> {
        let bytes = &self.bytes[..self.len];
        let valid = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.valid_up_to() == 0 => {
                // As in the standard's UTF-8 decoder: one U+FFFD for each longest start of a
                // character.
                return error.error_len().map(|length| (char::REPLACEMENT_CHARACTER, length));
            }
            Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        valid.chars().next().map(|character| (character, character.len_utf8()))
    }

    fn remove(&mut self, length: usize) {
        self.bytes.copy_within(length.., 0);
        self.len -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes chunks to text. A partial character at the end is replaced.
    fn decoded<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut decoder, mut input) = (Decoder::default(), Input::default());
        let mut text = String::new();
        for chunk in chunks {
            decoder.push(&mut input, Bytes::copy_from_slice(chunk), 0);
            while let Some(decoded) = decoder.decode(&mut input) {
                match decoded {
                    Decoded::Text => text.push_str(&read_text(&mut input)),
                    Decoded::Character(character, _) => text.push(character),
                }
            }
        }
        if decoder.has_partial_char() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        text
    }

    /// Reads all text of the input.
    fn read_text(input: &mut Input) -> String {
        let text = str::from_utf8(input.text()).unwrap().to_owned();
        input.position = input.text_end;
        text
    }

    #[test]
    fn invalid_bytes_are_replaced_as_in_the_standard_wherever_chunks_end() {
        for bytes in [
            &b"plain"[..],
            "ä漢😀\u{feff}".as_bytes(),
            b"a\xffb\xc0\x80c\xe0\x80\x80d\xed\xa0\x80e",
            b"\xf0\x9f\x98x\xf0\x9f\xf0\x9f\x98\x80\xf4\x90\x80\x80\xf8\x88",
            b"\xe6\xbc\r\xe6\n\x80\x80\xc3",
            b"\xff\xff\xff\xff\xfe\xfd",
            b"\xef\xbb\xef\xbb\xbf",
        ] {
            let expected = String::from_utf8_lossy(bytes);
            assert_eq!(decoded([bytes]), expected);
            assert_eq!(decoded(bytes.chunks(1)), expected, "byte by byte");
            for at in 0..=bytes.len() {
                let (one, other) = bytes.split_at(at);
                assert_eq!(decoded([one, other]), expected, "cut at {at}");
            }
        }
    }

    #[test]
    fn one_byte_order_mark_is_removed_only_at_the_start() {
        let bytes = "\u{feff}\u{feff}a\u{feff}".as_bytes();
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(decoded([one, other]), "\u{feff}a\u{feff}", "cut at {at}");
        }
        assert_eq!(decoded(["\u{feff}".as_bytes()]), "");
        assert_eq!(decoded([&b"\xff\xef\xbb\xbf"[..]]), "\u{fffd}\u{feff}");
    }

    #[test]
    fn offsets_are_those_of_the_bytes() {
        let (mut decoder, mut input) = (Decoder::default(), Input::default());
        decoder.push(&mut input, Bytes::from_static(b"\xef\xbb\xbfab\xffcd\xe6"), 0);
        decoder.push(&mut input, Bytes::from_static(b"\xbc\xa2e"), 0);
        let mut all = Vec::new();
        while let Some(decoded) = decoder.decode(&mut input) {
            let offset = input.offset_of(input.position);
            all.push(match decoded {
                Decoded::Text => (read_text(&mut input), offset),
                Decoded::Character(character, offset) => (character.to_string(), offset),
            });
        }
        let expected = [("ab", 3), ("\u{fffd}", 5), ("cd", 6), ("漢", 8), ("e", 11)];
        assert_eq!(all, expected.map(|(text, offset)| (text.to_owned(), offset)));
    }
}
