//! What an id says: a position in the log, whose log that is, and what it is of.
//!
//! Everything outside of this file takes ids for opaque text, so that another backend may have
//! others. The memory backend's are `epoch` `tag` `-` `position`. The epoch is drawn when the hub is
//! made, so that ids of a process before this one are known for what they are. The tag is a hash of
//! the event's topic, so that an id of another topic is known whether its event is kept or not. An id
//! of an event ends with its position; one that tells only where a reader stands ends with `~`, and
//! its tag is of all that the reader reads.

use std::{
    fmt::Write as _,
    hash::{BuildHasher, Hash, RandomState},
    ops::Range,
};

use bytes::{Buf, Bytes, BytesMut};

use crate::event::EventId;

/// The place of an event among all of a hub; 0 is before the first.
pub(super) type Position = u64;

/// What tells topics, or what readers read, from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

/// How much room an id line has in front of an encoded event, in bytes.
pub(super) const ROOM: usize = LINE.len() + EPOCH + TAG + 1 + 20 + 1;

const LINE: &str = "id: ";
/// How many digits an epoch has, of 5 bits each.
const EPOCH: usize = 6;
/// How many digits a tag has.
const TAG: usize = 5;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const STANDING: char = '~';

/// Writes and reads the ids of one hub.
#[derive(Debug)]
pub(super) struct Ids {
    epoch: [u8; EPOCH],
    /// Seeded anew for each hub, by the system: what a topic is cannot be guessed from its tag.
    hasher: RandomState,
}

/// What an id says to this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// The reader has the event of this position, of a topic of this tag.
    Event(Position, Tag),
    /// The reader has all there was up to this position, of topics that together have this tag.
    Standing(Position, Tag),
    OtherEpoch,
    Unknown,
}

impl Ids {
    pub(super) fn new() -> Self {
        // Apart from the one that makes tags.
        let drawn = RandomState::new().hash_one(0);
        Self { epoch: digits(drawn), hasher: RandomState::new() }
    }

    pub(super) fn tag(&self, of: &impl Hash) -> Tag {
        Tag(self.hasher.hash_one(of) as u32 & ((1 << (5 * TAG)) - 1))
    }

    /// Writes the id line into the room in front of an encoded event, and returns the whole, and
    /// where the id stands in it.
    pub(super) fn put_in_front(
        &self,
        position: Position,
        tag: Tag,
        mut event: BytesMut,
    ) -> (Bytes, Range<usize>) {
        let mut decimal = itoa::Buffer::new();
        let position = decimal.format(position).as_bytes();
        let tag: [u8; TAG] = digits(tag.0.into());
        let id = LINE.len()..LINE.len() + EPOCH + TAG + 1 + position.len();
        let start = ROOM - (id.end + 1);
        let mut at = start;
        for part in [LINE.as_bytes(), &self.epoch, &tag, b"-", position, b"\n"] {
            event[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        event.advance(start);
        (event.freeze(), id)
    }

    /// Returns the id that tells where a reader stands.
    pub(super) fn standing(&self, position: Position, tag: Tag) -> EventId {
        let mut text = String::with_capacity(ROOM);
        let tag: [u8; TAG] = digits(tag.0.into());
        text.extend(self.epoch.iter().chain(&tag).map(|digit| char::from(*digit)));
        write!(text, "-{position}{STANDING}").expect("a `String` takes everything");
        EventId::received(&text).expect("there is no line end in it")
    }

    pub(super) fn read(&self, id: &str) -> Says {
        let Some((start, position)) = id.split_once('-') else { return Says::Unknown };
        let Some((epoch, tag)) = start.as_bytes().split_first_chunk::<EPOCH>() else {
            return Says::Unknown;
        };
        let Some(tag) = number(tag) else { return Says::Unknown };
        let (position, standing) = match position.strip_suffix(STANDING) {
            Some(position) => (position, true),
            None => (position, false),
        };
        // Only what is written here is read: no sign, no zero in front.
        let canonical = position == "0" || !position.starts_with(['0', '+']);
        let Some(position) = position.parse().ok().filter(|_| canonical) else {
            return Says::Unknown;
        };
        if *epoch != self.epoch {
            Says::OtherEpoch
        } else if standing {
            Says::Standing(position, tag)
        } else {
            Says::Event(position, tag)
        }
    }
}

/// Writes the lowest bits of a number.
fn digits<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| DIGITS[(number >> (5 * at)) as usize % DIGITS.len()])
}

/// Reads a tag.
fn number(tag: &[u8]) -> Option<Tag> {
    let tag: &[u8; TAG] = tag.try_into().ok()?;
    let digit = |digit: &u8| DIGITS.iter().position(|it| it == digit);
    let mut digits = tag.iter().rev().map(digit);
    digits.try_fold(0, |number, digit| Some(number << 5 | digit? as u32)).map(Tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let mut ids = Ids::new();
        ids.epoch = *b"0123ab";
        for (position, tag) in [(1, 0), (9, 1), (10, 0x1ff_ffff), (u64::MAX, 0x123_4567)] {
            let mut event = BytesMut::zeroed(ROOM);
            event.extend_from_slice(b"data: x\n\n");
            let (bytes, id) = ids.put_in_front(position, Tag(tag), event);
            let text = std::str::from_utf8(&bytes).unwrap();
            assert!(text.starts_with("id: 0123ab"), "{text}");
            assert!(text.ends_with(&format!("-{position}\ndata: x\n\n")), "{text}");
            assert_eq!(ids.read(&text[id]), Says::Event(position, Tag(tag)));
            let standing = ids.standing(position, Tag(tag));
            assert_eq!(ids.read(standing.as_str()), Says::Standing(position, Tag(tag)));
        }
        assert_eq!(ids.read("0123ac00000-7"), Says::OtherEpoch);
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
            assert_eq!(ids.read(wrong), Says::Unknown, "{wrong:?}");
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
