//! Entries of a hub as entries of a Redis stream, and back.

use std::{str, time::Duration};

use bytes::Bytes;
use redis::Value;

use crate::hub::backend::{
    entry::{Batch, EntryKind, EventParts, LogEntry, Outgoing},
    position::Position,
    wanted::Wanted,
};

const TOPIC: &str = "topic";
const KEY: &str = "key";
const DATA: &str = "data";
const KIND: &str = "kind";
/// The ID of the append.
const APPEND: &str = "append";
/// When the entry is over, in milliseconds since 1970 by the clock of the server.
const EXPIRES: &str = "expires";
/// The fields of an event under names that a person would choose.
const PLAIN: [(&str, &str); 2] = [("event", "type"), ("retry", "retry")];
/// In front of the names of all other fields of an event.
const OTHER: char = '.';

/// Returns the fields of an entry, without the time at which it expires.
pub(super) fn fields(entry: &Outgoing) -> Vec<(String, Vec<u8>)> {
    let mut fields = vec![(TOPIC.to_owned(), entry.topic.as_str().into())];
    let mut add = |name: &str, value: &[u8]| fields.push((name.to_owned(), value.to_vec()));
    if let Some(key) = &entry.key {
        add(KEY, key.as_bytes());
    }
    if entry.kind != EntryKind::Event {
        add(KIND, entry.kind.name().as_bytes());
    }
    for (name, value) in &entry.event.fields {
        match PLAIN.iter().find(|(ours, _)| *ours == &**name) {
            Some((_, plain)) => add(plain, value.as_bytes()),
            None => add(&format!("{OTHER}{name}"), value.as_bytes()),
        }
    }
    add(APPEND, format!("{:032x}", entry.append_id).as_bytes());
    add(DATA, &entry.event.data);
    fields
}

/// The entries of a reply that are read from a stream.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) batch: Batch,
    /// How many entries the reply had.
    pub(super) count: usize,
    /// The bytes of their values.
    pub(super) bytes: usize,
    /// The position of the last one.
    pub(super) last: Option<Position>,
}

/// Reads the entries of a range of a stream. `now` is the time of the server.
pub(super) fn read(reply: Value, wanted: &Wanted, now: Duration) -> Read {
    let mut read = Read::default();
    let Value::Array(entries) = reply else { return read };
    for entry in entries {
        let Value::Array(parts) = entry else { continue };
        let mut parts = parts.into_iter();
        let (Some(id), Some(fields)) = (parts.next(), parts.next()) else { continue };
        let Some(at) = text(&id).and_then(parse_id) else { continue };
        read.count += 1;
        read.last = Some(at);
        // An entry that was removed has no fields.
        let Value::Array(fields) = fields else { continue };
        let at = at.with_check(fingerprint(&fields));
        read.last = Some(at);
        match parse(at, fields, now, &mut read.bytes) {
            Parsed::Entry(entry) if wanted.takes(entry.topic.as_str()) => {
                read.batch.entries.push(entry);
            }
            Parsed::Entry(_) | Parsed::Expired => {}
            Parsed::Junk => read.batch.junk += 1,
        }
    }
    read
}

enum Parsed {
    Entry(LogEntry),
    Expired,
    Junk,
}

fn parse(at: Position, fields: Vec<Value>, now: Duration, bytes: &mut usize) -> Parsed {
    match parse_fields(at, fields, now, bytes) {
        Some(Some(entry)) => Parsed::Entry(entry),
        Some(None) => Parsed::Expired,
        None => Parsed::Junk,
    }
}

/// Returns `None` if it is no entry of a hub, and `Some(None)` if it has expired.
fn parse_fields(
    at: Position,
    fields: Vec<Value>,
    now: Duration,
    bytes: &mut usize,
) -> Option<Option<LogEntry>> {
    let (mut topic, mut key, mut kind, mut expires) = (None, None, EntryKind::Event, None);
    let (mut append_id, mut event) = (None, EventParts::default());
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let Value::BulkString(value) = value else { return None };
        *bytes += value.len();
        let name = text(&name)?;
        if name == DATA {
            event.data = Bytes::from(value);
            continue;
        }
        let value = str::from_utf8(&value).ok();
        match name {
            TOPIC => topic = Some(value?.parse().ok()?),
            KEY => key = Some(value?.into()),
            KIND => kind = EntryKind::from_name(value?)?,
            EXPIRES => expires = Some(Duration::from_millis(value?.parse().ok()?)),
            // A foreign value is not the ID of an append of ours.
            APPEND => append_id = value.and_then(|id| u128::from_str_radix(id, 16).ok()),
            name => {
                let plain = PLAIN.iter().find(|(_, plain)| *plain == name).map(|(ours, _)| *ours);
                // Other fields belong to the program that has written them.
                if let Some(name) = plain.or_else(|| name.strip_prefix(OTHER)) {
                    event = event.with_field(name, value?);
                }
            }
        }
    }
    let mut entry = LogEntry::new(at, topic?, event).with_kind(kind);
    entry.age = Some(now.saturating_sub(Duration::from_millis(at.major())));
    entry.key = key;
    entry.append_id = append_id;
    if let Some(expires) = expires {
        match expires.checked_sub(now).filter(|ttl| !ttl.is_zero()) {
            Some(ttl) => entry = entry.with_ttl(ttl),
            None => return Some(None),
        }
    }
    Some(Some(entry))
}

/// Returns the fingerprint of the entry of an append.
///
/// A replica that is promoted may lack the newest entries. If its clock is slower than that of the lost
/// master, it gives their IDs again.
pub(super) fn fingerprint_of(append_id: u128) -> u32 {
    let [a, b] = [append_id as u64, (append_id >> 64) as u64].map(|half| half ^ (half >> 32));
    (a ^ b) as u32
}

/// Returns the fingerprint of an entry. That of an entry of another program is a hash of its fields (FNV-1a).
fn fingerprint(fields: &[Value]) -> u32 {
    for field in fields.chunks_exact(2) {
        if text(&field[0]) == Some(APPEND) {
            let append_id = text(&field[1]).and_then(|id| u128::from_str_radix(id, 16).ok());
            if let Some(append_id) = append_id {
                return fingerprint_of(append_id);
            }
        }
    }
    let mut hash = 0x811c_9dc5_u32;
    for field in fields {
        let Value::BulkString(bytes) = field else { continue };
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// Parses the ID of an entry of a stream: milliseconds and a number.
pub(super) fn parse_id(id: &str) -> Option<Position> {
    let (milliseconds, number) = id.split_once('-')?;
    Some(Position::new(milliseconds.parse().ok()?).with_minor(number.parse().ok()?))
}

pub(super) fn id(at: Position) -> String {
    let (milliseconds, number) = at.place();
    format!("{milliseconds}-{number}")
}

/// Parses the reply to `TIME`.
pub(super) fn time(reply: &Value) -> Option<Duration> {
    let Value::Array(parts) = reply else { return None };
    let [seconds, microseconds] = parts.as_slice() else { return None };
    let number = |value| text(value)?.parse::<u64>().ok();
    Some(Duration::from_secs(number(seconds)?) + Duration::from_micros(number(microseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: impl AsRef<[u8]>) -> Value {
        Value::BulkString(text.as_ref().to_vec())
    }

    fn stream_entry(fields: impl IntoIterator<Item = (String, Vec<u8>)>) -> Value {
        let fields = fields.into_iter().flat_map(|(name, value)| [bulk(name), bulk(value)]);
        Value::Array(vec![Value::Array(vec![bulk("7-1"), Value::Array(fields.collect())])])
    }

    #[test]
    fn an_entry_comes_back_unchanged() {
        let event = EventParts::new(&b"\xff\0\r\n"[..])
            .with_field("event", "t")
            .with_field(":", "a\nb")
            .with_field("type", "custom")
            .with_field("retry", "7")
            .with_field("topic", "x")
            .with_field(":no-data", "")
            .with_field("type", "again");
        let outgoing = Outgoing::new("a.b".parse().unwrap(), event, 3)
            .with_key("k\0")
            .with_kind(EntryKind::Tombstone);
        let now = Duration::from_millis(10);
        let read = read(stream_entry(fields(&outgoing)), &Wanted::all(), now);
        let at = Position::new(7).with_minor(1).with_check(fingerprint_of(outgoing.append_id));
        let age = Duration::from_millis(3);
        assert_eq!(read.batch.entries, [outgoing.into_entry(at).with_age(age)]);
        assert_eq!((read.last, read.count, read.batch.junk), (Some(at), 1, 0));
    }

    #[test]
    fn entries_with_the_same_id_have_different_fingerprints() {
        let check = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
            read(stream_entry(fields), &Wanted::all(), Duration::ZERO).last.unwrap().check()
        };
        let checks = [
            check(&[("topic", "a"), ("append", "1")]),
            check(&[("topic", "a"), ("append", "100000002")]),
            check(&[("topic", "a"), ("append", "not ours")]),
            check(&[("topic", "a"), ("data", "x")]),
            check(&[("topic", "ad"), ("ata", "x")]),
            check(&[("junk", "x")]),
        ];
        assert_eq!(checks[..2], [1, 3]);
        for (n, check) in checks.iter().enumerate() {
            assert!(!checks[..n].contains(check), "{checks:?}");
        }
    }

    #[test]
    fn foreign_entries_are_read_or_junk() {
        let read = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
            let read = read(stream_entry(fields), &Wanted::all(), Duration::from_secs(5));
            (read.batch.entries.len(), read.batch.junk)
        };
        assert_eq!(read(&[("topic", "orders"), ("data", "{}"), ("other", "x")]), (1, 0));
        assert_eq!(read(&[("topic", "orders"), ("append", "mine")]), (1, 0));
        assert_eq!(read(&[("topic", "orders"), ("expires", "5000")]), (0, 0));
        assert_eq!(read(&[("topic", "orders"), ("expires", "5001")]), (1, 0));
        for junk in [
            &[("data", "x")][..],
            &[("topic", "")],
            &[("topic", "a\n")],
            &[("topic", "a"), ("kind", "other")],
            &[("topic", "a"), ("expires", "soon")],
        ] {
            assert_eq!(read(junk), (0, 1), "{junk:?}");
        }
    }
}
