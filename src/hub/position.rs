//! What an id says: a position in the log, and whose log that is.
//!
//! Everything outside of this file takes ids for opaque text, so that another backend may have
//! others. The memory backend's are `epoch-position`: the epoch is drawn when the hub is made, so
//! that ids of a process before this one are known for what they are. An id of an event ends with
//! its position; one that tells only where a reader stands ends with `~`, so that it can be told
//! from one that claims to have an event.

use std::{fmt::Write as _, ops::Range};

use bytes::{Buf, Bytes, BytesMut};

use crate::event::EventId;

/// The place of an event among all of a hub; 0 is before the first.
pub(super) type Position = u64;

/// How much room an id line has in front of an encoded event, in bytes.
pub(super) const ROOM: usize = LINE.len() + EPOCH + 1 + 20 + 1;

const LINE: &str = "id: ";
const EPOCH: usize = 8;
const STANDING: char = '~';

/// Writes and reads the ids of one hub.
#[derive(Debug)]
pub(super) struct Ids {
    epoch: String,
}

/// What an id says to this hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// The reader has the event of this position.
    Event(Position),
    /// The reader has all there was of its topics up to this position.
    Standing(Position),
    OtherEpoch,
    Unknown,
}

impl Ids {
    pub(super) fn new() -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let digit = |_| char::from(DIGITS[fastrand::usize(..DIGITS.len())]);
        Self { epoch: (0..EPOCH).map(digit).collect() }
    }

    /// Writes the id line into the room in front of an encoded event, and returns the whole, and
    /// where the id stands in it.
    pub(super) fn put_in_front(
        &self,
        position: Position,
        mut event: BytesMut,
    ) -> (Bytes, Range<usize>) {
        let mut digits = itoa::Buffer::new();
        let position = digits.format(position).as_bytes();
        let id = LINE.len()..LINE.len() + EPOCH + 1 + position.len();
        let start = ROOM - (id.end + 1);
        let mut at = start;
        for part in [LINE.as_bytes(), self.epoch.as_bytes(), b"-", position, b"\n"] {
            event[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        event.advance(start);
        (event.freeze(), id)
    }

    /// Returns the id that tells where a reader stands.
    pub(super) fn standing(&self, position: Position) -> EventId {
        let mut text = String::with_capacity(ROOM);
        write!(text, "{}-{position}{STANDING}", self.epoch).expect("a `String` takes everything");
        EventId::received(&text).expect("there is no line end in it")
    }

    pub(super) fn read(&self, id: &str) -> Says {
        let Some((epoch, position)) = id.split_once('-') else { return Says::Unknown };
        let (position, standing) = match position.strip_suffix(STANDING) {
            Some(position) => (position, true),
            None => (position, false),
        };
        // Only what is written here is read: no sign, no zero in front.
        let canonical = position == "0" || !position.starts_with(['0', '+']);
        let Some(position) = position.parse().ok().filter(|_| canonical) else {
            return Says::Unknown;
        };
        if epoch.len() != EPOCH {
            Says::Unknown
        } else if epoch != self.epoch {
            Says::OtherEpoch
        } else if standing {
            Says::Standing(position)
        } else {
            Says::Event(position)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let ids = Ids { epoch: "0123abcd".into() };
        for position in [1, 9, 10, u64::MAX] {
            let mut event = BytesMut::zeroed(ROOM);
            event.extend_from_slice(b"data: x\n\n");
            let (bytes, id) = ids.put_in_front(position, event);
            assert_eq!(bytes, format!("id: 0123abcd-{position}\ndata: x\n\n"));
            let id = std::str::from_utf8(&bytes[id]).unwrap();
            assert_eq!(ids.read(id), Says::Event(position));
            assert_eq!(ids.read(ids.standing(position).as_str()), Says::Standing(position));
        }
        assert_eq!(ids.read("0123abce-7"), Says::OtherEpoch);
        for wrong in [
            "",
            "7",
            "-7",
            "0123abcd",
            "0123abcd-",
            "0123abcd-07",
            "0123abcd-+7",
            "0123abcd-7 ",
            "0123abcd--7",
            "0123abcd-7~~",
            "123abcd-7",
            "0123abcd-18446744073709551616",
        ] {
            assert_eq!(ids.read(wrong), Says::Unknown, "{wrong:?}");
        }
    }

    #[test]
    fn epochs_differ() {
        assert_ne!(Ids::new().epoch, Ids::new().epoch);
    }
}
