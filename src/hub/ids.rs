//! The format of event IDs: epoch, tag and position.
//!
//! Outside of this file IDs are opaque text. An ID of a hub is `epoch` `tag` `-` `position`, and a
//! suffix that states its kind:
//!
//! - The *epoch* is a hash of the identity of the log. It tells the IDs of one log from those of
//!   another. All nodes of a hub have the same epoch.
//! - The *tag* is a keyed hash. In the ID of an event it is the hash of the event's topic. So an ID
//!   of another topic is recognized even if its event is no longer retained. Nobody without the key
//!   can find out by trial which positions belong to a topic.
//! - The *position* is its major number, then `.` and the minor number unless the rest is 0, then
//!   `.` and the fingerprint unless it is 0. The numbers are decimal.
//!
//! There are three kinds:
//!
//! - The ID of an *event* has no suffix.
//! - The ID of a *reader's position* ends with `~`. A reader that has received no event also needs
//!   an ID to resume from. Its tag is the hash of all topics and patterns that the reader selects.
//! - The ID of a *position of the log* ends with `*`. It resumes a reader of any selection. Its tag
//!   is the hash of the position, so that a client cannot make such an ID.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    backend::{Identity, Position},
    sip_hash::SipHash,
    topic::Topic,
};
use crate::{encode::id_line, event::EventId};

/// A keyed hash of a topic, of a set of topics and patterns, or of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(u32);

/// The longest ID of an event, in bytes.
pub(super) const MAX_EVENT_ID_BYTES: usize =
    MEMORY_EVENT_ID_BYTES + 1 + MAX_U64_DIGITS + 1 + MAX_U32_DIGITS;
/// The longest ID of an event whose position is a major number only, in bytes.
pub(super) const MEMORY_EVENT_ID_BYTES: usize = EPOCH_DIGITS + TAG_DIGITS + 1 + MAX_U64_DIGITS;

/// How many digits an epoch has, of 5 bits each.
const EPOCH_DIGITS: usize = 6;
/// How many digits a tag has, of 5 bits each.
const TAG_DIGITS: usize = 5;
/// The number of decimal digits of `u64::MAX`.
const MAX_U64_DIGITS: usize = 20;
/// The number of decimal digits of `u32::MAX`.
const MAX_U32_DIGITS: usize = 10;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Ends an ID that states a reader's position.
const READER_SUFFIX: &str = "~";
/// Ends an ID that states a position of the whole log.
const LOG_SUFFIX: &str = "*";

/// The keys under which the identity becomes the epoch, and the halves of the tags' key. They are
/// public. That they differ keeps the epoch from revealing the key of the tags.
const EPOCH_KEY: &[u8; 16] = b"tower-sse  epoch";
const TAG_KEYS: [&[u8; 16]; 2] = [b"tower-sse tag  0", b"tower-sse tag  1"];

/// Writes and parses the IDs of one log.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// Starts every ID of this log.
    epoch: [u8; EPOCH_DIGITS],
    /// The key of the tags.
    key: [u8; 16],
}

/// What an ID means to this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParsedId {
    /// The client has received the event at this position, on a topic with this tag.
    Event(Position, Tag),
    /// The client has received everything up to this position, of a selection with this tag.
    ReaderPosition(Position, Tag),
    /// The client has received everything up to this position, of any selection.
    LogPosition(Position),
    /// It is an ID of another log, for example of a hub in memory before a restart.
    OtherEpoch,
    /// It does not have the format of a hub's IDs, or its tag was made up.
    Unknown,
}

/// What a tag is a hash of. The first byte of each hash, so that the hashes of two kinds differ.
#[derive(Clone, Copy)]
#[repr(u8)]
enum TagKind {
    Topic,
    Set,
    Position,
}

/// The decimal numbers of a position, with the dots before them.
struct PositionText {
    major: itoa::Buffer,
    minor: itoa::Buffer,
    check: itoa::Buffer,
}

impl Ids {
    /// Creates the IDs of a log. They are the same on each node, and in each process, that has the
    /// same identity and the same secret.
    pub(super) fn new(identity: Identity, secret: Option<&[u8]>) -> Self {
        let half = |key: &[u8; 16]| {
            let mut hash = SipHash::new(key);
            // The identity has a fixed length, so no other pair gives the same bytes.
            hash.write(identity.as_bytes());
            hash.write(secret.unwrap_or_default());
            hash.finish().to_le_bytes()
        };
        let halves = TAG_KEYS.map(half);
        Self {
            epoch: digits(SipHash::hash(EPOCH_KEY, identity.as_bytes())),
            key: std::array::from_fn(|at| halves[at / 8][at % 8]),
        }
    }

    pub(super) fn topic_tag(&self, topic: &Topic) -> Tag {
        let mut hash = self.hash(TagKind::Topic);
        hash.write(topic.as_str().as_bytes());
        Tag::new(hash)
    }

    /// Returns the tag of a selection. Give names and patterns in a fixed order: the same names in
    /// another order have another tag.
    pub(super) fn set_tag<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        patterns: impl Iterator<Item = &'a str>,
    ) -> Tag {
        let mut hash = self.hash(TagKind::Set);
        // The marks and lengths keep two selections from giving the same bytes.
        let marked = names.map(|name| (b'n', name)).chain(patterns.map(|it| (b'p', it)));
        for (mark, text) in marked {
            hash.write(&[mark]);
            hash.write(&(text.len() as u64).to_le_bytes());
            hash.write(text.as_bytes());
        }
        Tag::new(hash)
    }

    /// Writes the ID line in front of an event that was encoded after [`id_line::with_room`], which
    /// was called with `room`: [`MAX_EVENT_ID_BYTES`] or [`MEMORY_EVENT_ID_BYTES`]. Returns the
    /// whole, and the range of the ID in it.
    pub(super) fn prepend_id_line(
        &self,
        position: Position,
        tag: Tag,
        room: usize,
        event: BytesMut,
    ) -> (Bytes, Range<usize>) {
        let tag = tag.digits();
        let mut text = PositionText::new();
        let [major, dot, minor, second_dot, check] = text.parts(position);
        let parts: [&[u8]; 8] = [&self.epoch, &tag, b"-", major, dot, minor, second_dot, check];
        id_line::write_in_room(parts, room, event)
    }

    /// Returns whether these are the IDs of a log. Two logs have the same epoch with a probability
    /// of one in a billion.
    pub(super) fn are_of(&self, identity: Identity) -> bool {
        self.epoch == digits(SipHash::hash(EPOCH_KEY, identity.as_bytes()))
    }

    /// Returns the ID of an event on a topic with this tag.
    pub(super) fn event_id(&self, position: Position, tag: Tag) -> EventId {
        self.id(position, tag, "")
    }

    /// Returns the ID that states a reader's position, for a selection with this tag.
    pub(super) fn reader_id(&self, position: Position, tag: Tag) -> EventId {
        self.id(position, tag, READER_SUFFIX)
    }

    /// Returns the ID that states a position of the log, for any selection.
    pub(super) fn log_id(&self, position: Position) -> EventId {
        self.id(position, self.position_tag(position), LOG_SUFFIX)
    }

    pub(super) fn parse(&self, id: &str) -> ParsedId {
        let Some((start, position)) = id.split_once('-') else { return ParsedId::Unknown };
        let Some((epoch, tag)) = start.as_bytes().split_first_chunk::<EPOCH_DIGITS>() else {
            return ParsedId::Unknown;
        };
        let Some(tag) = parse_tag(tag) else { return ParsedId::Unknown };
        let (position, suffix) = match position.as_bytes() {
            [.., b'~'] => (&position[..position.len() - 1], READER_SUFFIX),
            [.., b'*'] => (&position[..position.len() - 1], LOG_SUFFIX),
            _ => (position, ""),
        };
        let Some(position) = parse_position(position) else { return ParsedId::Unknown };
        if !epoch.iter().all(|digit| DIGITS.contains(digit)) {
            ParsedId::Unknown
        } else if *epoch != self.epoch {
            ParsedId::OtherEpoch
        } else if suffix == READER_SUFFIX {
            ParsedId::ReaderPosition(position, tag)
        } else if suffix.is_empty() {
            ParsedId::Event(position, tag)
        } else if tag == self.position_tag(position) {
            ParsedId::LogPosition(position)
        } else {
            ParsedId::Unknown
        }
    }

    fn position_tag(&self, position: Position) -> Tag {
        let mut hash = self.hash(TagKind::Position);
        hash.write(&position.major().to_le_bytes());
        hash.write(&position.minor().to_le_bytes());
        hash.write(&position.check().to_le_bytes());
        Tag::new(hash)
    }

    fn hash(&self, kind: TagKind) -> SipHash {
        let mut hash = SipHash::new(&self.key);
        hash.write(&[kind as u8]);
        hash
    }

    fn id(&self, position: Position, tag: Tag, suffix: &str) -> EventId {
        let mut id = Vec::with_capacity(MAX_EVENT_ID_BYTES + suffix.len());
        id.extend_from_slice(&self.epoch);
        id.extend_from_slice(&tag.digits());
        id.push(b'-');
        for part in PositionText::new().parts(position) {
            id.extend_from_slice(part);
        }
        id.extend_from_slice(suffix.as_bytes());
        EventId::from_line(&id, 0..id.len())
    }
}

impl ParsedId {
    /// Returns the position up to which the client has received everything.
    pub(super) fn position(self) -> Option<Position> {
        match self {
            Self::Event(position, _)
            | Self::ReaderPosition(position, _)
            | Self::LogPosition(position) => Some(position),
            Self::OtherEpoch | Self::Unknown => None,
        }
    }
}

impl Tag {
    fn new(hash: SipHash) -> Self {
        Self(hash.finish() as u32 & ((1 << (5 * TAG_DIGITS)) - 1))
    }

    fn digits(self) -> [u8; TAG_DIGITS] {
        digits(self.0.into())
    }
}

impl PositionText {
    fn new() -> Self {
        Self { major: itoa::Buffer::new(), minor: itoa::Buffer::new(), check: itoa::Buffer::new() }
    }

    /// Returns the parts of a position's text. A part that is not written is empty.
    fn parts(&mut self, position: Position) -> [&[u8]; 5] {
        let mut parts: [&[u8]; 5] = [&[]; 5];
        parts[0] = self.major.format(position.major()).as_bytes();
        if position.minor() != 0 || position.check() != 0 {
            parts[1] = b".";
            parts[2] = self.minor.format(position.minor()).as_bytes();
        }
        if position.check() != 0 {
            parts[3] = b".";
            parts[4] = self.check.format(position.check()).as_bytes();
        }
        parts
    }
}

/// Writes the lowest bits of a number, the lowest digit first.
fn digits<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| DIGITS[(number >> (5 * at)) as usize % DIGITS.len()])
}

/// Parses the digits of a tag.
fn parse_tag(tag: &[u8]) -> Option<Tag> {
    let tag: &[u8; TAG_DIGITS] = tag.try_into().ok()?;
    let digit = |digit: &u8| DIGITS.iter().position(|it| it == digit);
    let mut digits = tag.iter().rev().map(digit);
    digits.try_fold(0, |number, digit| Some(number << 5 | digit? as u32)).map(Tag)
}

/// Parses the text of a position. Only the text that [`PositionText`] writes is accepted.
fn parse_position(text: &str) -> Option<Position> {
    let mut parts = text.split('.');
    let position = Position::new(parse_number(parts.next()?, MAX_U64_DIGITS)?);
    let Some(minor) = parts.next() else { return Some(position) };
    let minor = parse_number(minor, MAX_U64_DIGITS)?;
    let position = position.with_minor(minor);
    let Some(check) = parts.next() else { return (minor != 0).then_some(position) };
    let check = parse_number(check, MAX_U32_DIGITS)?;
    let is_whole = check != 0 && parts.next().is_none();
    is_whole.then(|| u32::try_from(check).ok().map(|check| position.with_check(check)))?
}

/// Parses a decimal number without a sign and without leading zeros.
fn parse_number(text: &str, max_digits: usize) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    if is_canonical && text.len() <= max_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(identity: u8) -> Ids {
        Ids::new(Identity::new([identity; 16]), None)
    }

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    /// Positions of each form.
    fn positions() -> Vec<Position> {
        let mut positions = Vec::new();
        for major in [0, 1, 9, 10, u64::MAX] {
            for minor in [0, 1, 10, u64::MAX] {
                for check in [0, 1, u32::MAX] {
                    positions.push(Position::new(major).with_minor(minor).with_check(check));
                }
            }
        }
        positions
    }

    fn event_id(ids: &Ids, position: Position, tag: Tag, room: usize) -> String {
        let mut event = id_line::with_room(room, 9);
        event.extend_from_slice(b"data: x\n\n");
        let (bytes, id) = ids.prepend_id_line(position, tag, room, event);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("id: ") && text.ends_with("\ndata: x\n\n"), "{text}");
        text[id].to_owned()
    }

    #[test]
    fn ids_are_parsed_as_they_are_written() {
        let ids = ids(1);
        for position in positions() {
            for tag in [0, 1, 0x1ff_ffff, 0x123_4567].map(Tag) {
                let id = event_id(&ids, position, tag, MAX_EVENT_ID_BYTES);
                assert!(id.len() <= MAX_EVENT_ID_BYTES, "{id}");
                assert_eq!(ids.parse(&id), ParsedId::Event(position, tag), "{id}");
                let id = ids.reader_id(position, tag);
                assert_eq!(ids.parse(id.as_str()), ParsedId::ReaderPosition(position, tag));
            }
            let id = ids.log_id(position);
            assert_eq!(ids.parse(id.as_str()), ParsedId::LogPosition(position), "{id:?}");
        }
    }

    #[test]
    fn the_longest_ids_have_the_declared_length() {
        let ids = ids(1);
        let memory = Position::new(u64::MAX);
        let id = event_id(&ids, memory, Tag(0), MEMORY_EVENT_ID_BYTES);
        assert_eq!(id.len(), MEMORY_EVENT_ID_BYTES);
        let longest = memory.with_minor(u64::MAX).with_check(u32::MAX);
        let id = event_id(&ids, longest, Tag(0), MAX_EVENT_ID_BYTES);
        assert_eq!(id.len(), MAX_EVENT_ID_BYTES);
    }

    #[test]
    fn the_format_does_not_change_between_versions() {
        // Nodes with different versions of the crate share a log. A change here breaks them.
        let ids = Ids::new(Identity::new(*b"0123456789abcdef"), Some(b"secret"));
        let position = Position::new(12).with_minor(3).with_check(4);
        let tag = ids.topic_tag(&topic("orders"));
        let set = ids.set_tag(["orders"].into_iter(), ["a.*"].into_iter());
        assert_eq!(event_id(&ids, position, tag, MAX_EVENT_ID_BYTES), "vfqn9escqv3-12.3.4");
        assert_eq!(ids.reader_id(position, set), "vfqn9eaiagl-12.3.4~");
        assert_eq!(ids.log_id(position), "vfqn9edt9m1-12.3.4*");
    }

    #[test]
    fn only_the_canonical_form_is_parsed() {
        let mut ids = ids(1);
        ids.epoch = *b"0123ab";
        assert_eq!(ids.parse("0123ab00000-7"), ParsedId::Event(Position::new(7), Tag(0)));
        for other in ["0123ac00000-7", "0123ac00000-7.1~", "0123ac00000-7*"] {
            assert_eq!(ids.parse(other), ParsedId::OtherEpoch, "{other}");
        }
        for wrong in [
            "",
            "7",
            "-7",
            "0123ab00000",
            "0123ab00000-",
            "0123ab00000-07",
            "0123ab00000-+7",
            "0123ab00000--7",
            "0123ab00000-7 ",
            "0123ab00000-7~~",
            "0123ab00000-7~*",
            "0123ab00000-~",
            "0123ab00000-*",
            "0123ab00000-7.",
            "0123ab00000-.7",
            "0123ab00000-7.0",
            "0123ab00000-7.01",
            "0123ab00000-7.+1",
            "0123ab00000-7.1.0",
            "0123ab00000-7.0.0",
            "0123ab00000-7..1",
            "0123ab00000-7.1.01",
            "0123ab00000-7.1.1.",
            "0123ab00000-7.1.1.1",
            "0123ab00000-7.1.4294967296",
            "0123ab00000-18446744073709551616",
            "0123ab00000-7.18446744073709551616",
            "0123ab00000-7\u{e4}",
            "0123ab0000-7",
            "0123ab000000-7",
            "0123ab0000w-7",
            "0123a\u{e4}0000-7",
            "0123aB00000-7",
        ] {
            assert_eq!(ids.parse(wrong), ParsedId::Unknown, "{wrong:?}");
        }
    }

    #[test]
    fn a_position_of_the_log_cannot_be_made_from_another_id() {
        let ids = ids(1);
        let position = Position::new(7).with_minor(1);
        let log = ids.log_id(position);
        let of_log = log.as_str();
        let forged = [
            of_log.replace("-7.1*", "-8.1*"),
            of_log.replace("-7.1*", "-7.2*"),
            of_log.replace("-7.1*", "-7.1.1*"),
            of_log.replace("-7.1*", "-7*"),
            event_id(&ids, position, ids.topic_tag(&topic("a")), MAX_EVENT_ID_BYTES) + LOG_SUFFIX,
        ];
        for forged in forged {
            assert_eq!(ids.parse(&forged), ParsedId::Unknown, "{forged}");
        }
    }

    #[test]
    fn identity_and_secret_make_the_tags_and_identity_alone_the_epoch() {
        let new = |identity: u8, secret: Option<&[u8]>| {
            let ids = Ids::new(Identity::new([identity; 16]), secret);
            (ids.epoch, ["a", "b", "c"].map(|name| ids.topic_tag(&topic(name))))
        };
        assert_eq!(new(1, None), new(1, None));
        assert_eq!(new(1, Some(b"s")), new(1, Some(b"s")));
        let (epoch, tags) = new(1, None);
        assert_ne!(tags[0], tags[1]);
        let (same_epoch, other_tags) = new(1, Some(b"s"));
        assert_eq!(epoch, same_epoch);
        assert_ne!(tags, other_tags);
        let (other_epoch, tags_of_other) = new(2, Some(b"s"));
        assert_ne!(epoch, other_epoch);
        assert_ne!(other_tags, tags_of_other);
    }

    #[test]
    fn selections_that_differ_have_different_tags() {
        let ids = ids(1);
        let sets: [(&[&str], &[&str]); 8] = [
            (&[], &[]),
            (&["a"], &[]),
            (&[], &["a"]),
            (&["a", "b"], &[]),
            (&["ab"], &[]),
            (&["a"], &["b"]),
            (&[], &["a", "b"]),
            (&["b", "a"], &[]),
        ];
        let tag = |(names, patterns): (&[&'static str], &[&'static str])| {
            ids.set_tag(names.iter().copied(), patterns.iter().copied())
        };
        for (at, one) in sets.iter().enumerate() {
            assert_eq!(tag(*one), tag(*one));
            for other in &sets[at + 1..] {
                assert_ne!(tag(*one), tag(*other), "{one:?} {other:?}");
            }
            assert_ne!(tag(*one), ids.topic_tag(&topic("a")));
        }
    }
}
