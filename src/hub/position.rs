//! The format of event IDs: epoch, topic tag and position.
//!
//! Outside of this file IDs are opaque text, so that another backend may have another format. An ID
//! of this hub is `epoch` `tag` `-` `position`:
//!
//! - The *epoch* is drawn when the hub is created. It tells the IDs of one hub, or process, from
//!   those of another.
//! - The *tag* is a keyed hash. In the ID of an event it is the hash of the event's topic. So an ID
//!   of another topic is recognized even if its event is no longer retained. Nobody without the key
//!   can find out by trial which positions belong to a topic.
//! - The *position* is decimal. The ID of an event ends with it.
//!
//! A reader that has received no event also needs an ID to resume from. Such an ID only states the
//! reader's position: it ends with `~`, and its tag is the hash of all topics and patterns that the
//! reader selects.

use std::{
    fmt::Write as _,
    hash::{BuildHasher, Hash, RandomState},
    ops::Range,
};

use bytes::{Bytes, BytesMut};

use crate::{encode::id_line, event::EventId};

/// The place of an event among all events of a hub, counted from 1. 0 is before the first.
pub(super) type Position = u64;

/// A keyed hash of a topic, or of a set of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

/// The longest ID of an event, in bytes.
pub(super) const MAX_EVENT_ID_BYTES: usize = EPOCH_DIGITS + TAG_DIGITS + 1 + MAX_POSITION_DIGITS;

/// How many digits an epoch has, of 5 bits each.
const EPOCH_DIGITS: usize = 6;
/// How many digits a tag has, of 5 bits each.
const TAG_DIGITS: usize = 5;
/// The number of decimal digits of `u64::MAX`.
const MAX_POSITION_DIGITS: usize = 20;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Ends an ID that states a reader's position.
const READER_SUFFIX: char = '~';

/// Writes and parses the IDs of one hub.
#[derive(Debug)]
pub(super) struct Ids {
    /// Starts every ID of this hub.
    epoch: [u8; EPOCH_DIGITS],
    /// Makes tags. Its key is random for each hub, so that a topic cannot be guessed from its tag.
    hasher: RandomState,
}

/// What an ID means to this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParsedId {
    /// The client has received the event at this position, on a topic with this tag.
    Event(Position, Tag),
    /// The client has received everything up to this position, of a selection with this tag.
    ReaderPosition(Position, Tag),
    /// Another hub has issued it, for example before a restart.
    OtherEpoch,
    /// It does not have the format of a hub's IDs.
    Unknown,
}

impl Ids {
    pub(super) fn new() -> Self {
        // Not drawn from the hasher of tags: an epoch is public, and must say nothing about its
        // key.
        let drawn = RandomState::new().hash_one(0);
        Self { epoch: digits(drawn), hasher: RandomState::new() }
    }

    pub(super) fn tag(&self, of: &impl Hash) -> Tag {
        Tag(self.hasher.hash_one(of) as u32 & ((1 << (5 * TAG_DIGITS)) - 1))
    }

    /// Writes the ID line in front of an event that was encoded after [`id_line::with_room`].
    /// Returns the whole, and the range of the ID in it.
    pub(super) fn prepend_id_line(
        &self,
        position: Position,
        tag: Tag,
        event: BytesMut,
    ) -> (Bytes, Range<usize>) {
        let mut decimal = itoa::Buffer::new();
        let position = decimal.format(position).as_bytes();
        let tag: [u8; TAG_DIGITS] = digits(tag.0.into());
        id_line::write_in_room([&self.epoch, &tag, b"-", position], MAX_EVENT_ID_BYTES, event)
    }

    /// Returns the ID that states a reader's position.
    pub(super) fn reader_id(&self, position: Position, tag: Tag) -> EventId {
        let mut text = String::with_capacity(MAX_EVENT_ID_BYTES + READER_SUFFIX.len_utf8());
        let tag: [u8; TAG_DIGITS] = digits(tag.0.into());
        text.extend(self.epoch.iter().chain(&tag).map(|digit| char::from(*digit)));
        write!(text, "-{position}{READER_SUFFIX}").expect("writing to a `String` does not fail");
        EventId::received(&text).expect("an ID of a hub has no line end")
    }

    pub(super) fn parse(&self, id: &str) -> ParsedId {
        let Some((start, position)) = id.split_once('-') else { return ParsedId::Unknown };
        let Some((epoch, tag)) = start.as_bytes().split_first_chunk::<EPOCH_DIGITS>() else {
            return ParsedId::Unknown;
        };
        let Some(tag) = parse_tag(tag) else { return ParsedId::Unknown };
        let (position, is_reader) = match position.strip_suffix(READER_SUFFIX) {
            Some(position) => (position, true),
            None => (position, false),
        };
        // Only the form that is written is accepted: without a sign and without leading zeros.
        let is_canonical = position == "0" || !position.starts_with(['0', '+']);
        let Some(position) = position.parse().ok().filter(|_| is_canonical) else {
            return ParsedId::Unknown;
        };
        if *epoch != self.epoch {
            ParsedId::OtherEpoch
        } else if is_reader {
            ParsedId::ReaderPosition(position, tag)
        } else {
            ParsedId::Event(position, tag)
        }
    }
}

/// Writes the lowest bits of a number, the lowest digit first.
fn digits<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| DIGITS[(number >> (5 * at)) as usize % DIGITS.len()])
}

/// Parses what `digits` has written of a tag.
fn parse_tag(tag: &[u8]) -> Option<Tag> {
    let tag: &[u8; TAG_DIGITS] = tag.try_into().ok()?;
    let digit = |digit: &u8| DIGITS.iter().position(|it| it == digit);
    let mut digits = tag.iter().rev().map(digit);
    digits.try_fold(0, |number, digit| Some(number << 5 | digit? as u32)).map(Tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_parsed_as_they_are_written() {
        let mut ids = Ids::new();
        ids.epoch = *b"0123ab";
        for (position, tag) in [(1, 0), (9, 1), (10, 0x1ff_ffff), (u64::MAX, 0x123_4567)] {
            let mut event = id_line::with_room(MAX_EVENT_ID_BYTES, 9);
            event.extend_from_slice(b"data: x\n\n");
            let (bytes, id) = ids.prepend_id_line(position, Tag(tag), event);
            let text = std::str::from_utf8(&bytes).unwrap();
            assert!(text.starts_with("id: 0123ab"), "{text}");
            assert!(text.ends_with(&format!("-{position}\ndata: x\n\n")), "{text}");
            assert_eq!(ids.parse(&text[id]), ParsedId::Event(position, Tag(tag)));
            let reader = ids.reader_id(position, Tag(tag));
            assert_eq!(ids.parse(reader.as_str()), ParsedId::ReaderPosition(position, Tag(tag)));
        }
        assert_eq!(ids.parse("0123ac00000-7"), ParsedId::OtherEpoch);
        for wrong in [
            "",
            "7",
            "-7",
            "0123ab00000",
            "0123ab00000-",
            "0123ab00000-07",
            "0123ab00000-+7",
            "0123ab00000-7 ",
            "0123ab00000--7",
            "0123ab00000-7~~",
            "0123ab0000-7",
            "0123ab000000-7",
            "0123ab0000w-7",
            "0123a\u{e4}0000-7",
            "0123ab00000-18446744073709551616",
        ] {
            assert_eq!(ids.parse(wrong), ParsedId::Unknown, "{wrong:?}");
        }
    }

    #[test]
    fn epochs_differ_and_so_do_tags() {
        let (one, other) = (Ids::new(), Ids::new());
        assert_ne!(one.epoch, other.epoch);
        assert_eq!(one.tag(&"a"), one.tag(&"a"));
        let tags = |ids: &Ids| ["a", "b", "c"].map(|topic| ids.tag(&topic));
        assert_ne!(tags(&one), tags(&other));
        assert_ne!(one.tag(&"a"), one.tag(&"b"));
    }
}
