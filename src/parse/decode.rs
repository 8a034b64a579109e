//! Chunks of bytes as pieces of text: the UTF-8 decode of the
//! [Encoding standard](https://encoding.spec.whatwg.org/#utf-8-decode), over chunks.
//!
//! A piece is a part of a chunk that is text as it stands, most often all of it. It is checked as a
//! whole, once, which costs less than a check of each line. What stands between pieces is given as
//! single characters: replaced bytes, and characters that are cut by the edge of a chunk.

use std::{collections::VecDeque, mem, str};

use bytes::Bytes;

use super::input::Input;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Decodes what is pushed.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    /// Whether the current chunk holds what is not UTF-8.
    is_faulty: bool,
    /// The chunks behind it.
    later: VecDeque<Bytes>,
    /// The first bytes of a character whose rest is in the next chunk.
    cut: Cut,
    /// Whether a byte order mark would be behind the start.
    started: bool,
}

/// The next of the text.
#[derive(Debug)]
pub(super) enum Decoded {
    /// A piece: what the input has for text, not empty.
    Piece,
    /// One character, which ends no line, and the offset of its first byte.
    Character(char, u64),
}

impl Decoder {
    /// Takes the next chunk, whose first bytes may be read already, if all before it is decoded.
    #[inline]
    pub(super) fn push(&mut self, input: &mut Input, chunk: Bytes, read: usize) {
        if read == chunk.len() {
            input.pass(read);
        } else if input.is_empty() && self.later.is_empty() {
            input.put(chunk, read);
            self.is_faulty = false;
        } else {
            self.later.push_back(chunk);
        }
    }

    /// Returns whether there is no chunk.
    #[inline]
    pub(super) fn is_waiting(&self, input: &Input) -> bool {
        input.is_empty() && self.later.is_empty()
    }

    /// Goes on behind what was read; returns none if another chunk is needed.
    #[inline]
    pub(super) fn decode(&mut self, input: &mut Input) -> Option<Decoded> {
        if self.is_waiting(input) { None } else { self.decode_on(input) }
    }

    /// Apart, so that the look whether there is a chunk stays small.
    #[inline(never)]
    fn decode_on(&mut self, input: &mut Input) -> Option<Decoded> {
        loop {
            if input.rest().is_empty() {
                input.give_up();
                input.put(self.later.pop_front()?, 0);
                self.is_faulty = false;
                continue;
            }
            let decoded = if self.cut.len == 0 { self.piece(input) } else { self.character(input) };
            if let Some(decoded) = decoded {
                return Some(decoded);
            }
        }
    }

    /// Returns whether all that was pushed was decoded, and is given up.
    #[inline]
    pub(super) fn is_done(&self, input: &Input) -> bool {
        self.is_waiting(input) && self.cut.len == 0
    }

    /// Returns whether the bytes so far end with a part of a character, which, if nothing more
    /// comes, is replaced.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.len > 0
    }

    /// Looks how far there is text, and sets aside a character that the chunk's end cuts.
    fn piece(&mut self, input: &mut Input) -> Option<Decoded> {
        let length = self.valid_length(input.rest());
        if length == 0 {
            self.cut.take_from(input);
            return None;
        }
        input.text_end = input.position + length;
        if !mem::replace(&mut self.started, true) {
            let mut bytes = [0; 4];
            let mark = BYTE_ORDER_MARK.encode_utf8(&mut bytes).as_bytes();
            if input.text().starts_with(mark) {
                input.position += mark.len();
            }
        }
        (!input.text().is_empty()).then_some(Decoded::Piece)
    }

    /// How many bytes at the start of what is left of a chunk are UTF-8.
    ///
    /// The fast check looks at all of them before it says no, so it is asked once a chunk; the slow
    /// one stops where it fails.
    fn valid_length(&mut self, rest: &[u8]) -> usize {
        let bytes = &rest[..rest.len() - cut_at_the_end(rest)];
        self.is_faulty = self.is_faulty || simdutf8::basic::from_utf8(bytes).is_err();
        if !self.is_faulty {
            return bytes.len();
        }
        str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len)
    }

    /// Completes the character that is cut, or replaces what cannot be one.
    fn character(&mut self, input: &mut Input) -> Option<Decoded> {
        let (character, length) = loop {
            match self.cut.decode() {
                Some(decoded) => break decoded,
                None => match input.rest().first() {
                    None => return None,
                    Some(0x80..=0xbf) => self.cut.take_from(input),
                    Some(_) => break (char::REPLACEMENT_CHARACTER, self.cut.len),
                },
            }
        };
        let offset = input.offset_of(input.position) - self.cut.len as u64;
        self.cut.remove(length);
        if !mem::replace(&mut self.started, true) && character == BYTE_ORDER_MARK {
            return None;
        }
        Some(Decoded::Character(character, offset))
    }
}

/// How many bytes at the end may be the start of a character that goes on: three at most.
fn cut_at_the_end(bytes: &[u8]) -> usize {
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

/// Up to four bytes, none of them ASCII, the first of which start a character, or are to be
/// replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    bytes: [u8; 4],
    len: usize,
}

impl Cut {
    /// Takes the next byte.
    fn take_from(&mut self, input: &mut Input) {
        if let Some(&byte) = input.rest().first() {
            self.bytes[self.len] = byte;
            self.len += 1;
            input.position += 1;
            input.text_end = input.position;
        }
    }

    /// Returns the first character and its length in bytes; none if more bytes are needed.
    fn decode(&self) -> Option<(char, usize)> {
        let bytes = &self.bytes[..self.len];
        let valid = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.valid_up_to() == 0 => {
                // One for each maximal part of what could have been a character.
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

    /// Decodes chunks to their text, an unfinished character at the end included.
    fn decoded<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut decoder, mut input) = (Decoder::default(), Input::default());
        let mut text = String::new();
        for chunk in chunks {
            decoder.push(&mut input, Bytes::copy_from_slice(chunk), 0);
            while let Some(decoded) = decoder.decode(&mut input) {
                match decoded {
                    Decoded::Piece => text.push_str(&read(&mut input)),
                    Decoded::Character(character, _) => text.push(character),
                }
            }
        }
        if decoder.is_cut() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        text
    }

    /// Reads the piece that there is.
    fn read(input: &mut Input) -> String {
        let piece = str::from_utf8(input.text()).unwrap().to_owned();
        input.position = input.text_end;
        piece
    }

    #[test]
    fn bytes_are_replaced_as_the_standard_has_it_wherever_they_are_cut() {
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
    fn one_byte_order_mark_is_taken_off_at_the_start_alone() {
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
                Decoded::Piece => (read(&mut input), offset),
                Decoded::Character(character, offset) => (character.to_string(), offset),
            });
        }
        let expected = [("ab", 3), ("\u{fffd}", 5), ("cd", 6), ("漢", 8), ("e", 11)];
        assert_eq!(all, expected.map(|(text, offset)| (text.to_owned(), offset)));
    }
}
