//! Entries as NATS messages, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{HeaderMap, Message};

use super::subject::Subjects;
use crate::hub::{
    backend::{
        entry::{EntryKind, EventParts, LogEntry, Outgoing},
        position::Position,
    },
    sip_hash::SipHash,
};

/// The identity of an append: 32 hexadecimal digits. The server recognizes a retry by it.
pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The server appends the message only if the newest message of the stream has this ID.
pub(super) const EXPECTED_ID: &str = "Nats-Expected-Last-Msg-Id";
/// With `sub`, the server removes the older messages of the subject.
const ROLLUP: &str = "Nats-Rollup";
/// After this number of seconds the server removes the message. Known since 2.11.
const SERVER_TTL: &str = "Nats-TTL";
/// A random number of this attempt to append. If a server loses the end of its log, and an entry is
/// appended again with the same message ID, it may get the same place. This tells the two apart.
pub(super) const ATTEMPT: &str = "Sse-Attempt";
/// The name of the kind, unless it is an event.
const KIND: &str = "Sse-Kind";
/// Names and values: a JSON array of pairs. JSON escapes line ends, which no header may contain, and
/// keeps order and duplicates, which a map of headers does not.
const FIELDS: &str = "Sse-Fields";
/// When the entry expires, in milliseconds since 1970.
const EXPIRES: &str = "Sse-Expires";

/// The longest subject. A server cuts the connection of a client whose command, which contains the
/// subject and that of the answer, is longer than 4,096 bytes.
pub(super) const MAX_SUBJECT: usize = 3400;

/// Keys the fingerprints of entries. They only have to be equal on all nodes.
const CHECK_KEY: &[u8; 16] = b"tower-sse  check";

/// What is appended with an entry, if the stream can do it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    /// Older entries of a key are removed.
    pub(super) compacts_keys: bool,
    /// Entries that have expired are removed.
    pub(super) message_ttl: bool,
}

/// An entry as it is published.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    /// The message ID.
    pub(super) id: String,
    /// The fingerprint of the position that it is going to have.
    pub(super) check: u32,
}

impl Encoded {
    pub(super) fn new(entry: &Outgoing, subjects: &Subjects, features: Features) -> Self {
        let topic = entry.topic.as_str();
        let subject = match (entry.kind, &entry.key) {
            (EntryKind::End, None) => subjects.end(topic),
            (_, key) => subjects.encode(topic, key.as_deref()),
        };
        let id = format!("{:032x}", entry.append_id);
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, id.as_str());
        let attempt = format!("{:08x}", fastrand::u32(..));
        headers.insert(ATTEMPT, attempt.as_str());
        if entry.kind != EntryKind::Event {
            headers.insert(KIND, entry.kind.name());
        }
        if !entry.event.fields.is_empty() {
            headers.insert(FIELDS, serde_json::json!(entry.event.fields).to_string());
        }
        if entry.key.is_some() && features.compacts_keys {
            headers.insert(ROLLUP, "sub");
        }
        if let Some(ttl) = entry.ttl {
            let expires = since_1970().saturating_add(ttl).as_millis();
            let expires = u64::try_from(expires).unwrap_or(u64::MAX);
            headers.insert(EXPIRES, expires.to_string());
            // The server knows whole seconds, from one second up. A longer time does no harm.
            let seconds = ttl.as_secs().saturating_add(1);
            if features.message_ttl && i32::try_from(seconds).is_ok() {
                headers.insert(SERVER_TTL, seconds.to_string());
            }
        }
        let check = check(Some(&id), Some(&attempt), 0);
        Self { subject, headers, id, check }
    }

    /// Returns the size of the message without its data, as the server counts it. `EXPECTED_ID` may
    /// be added later.
    pub(super) fn headers_size(&self) -> usize {
        let later = EXPECTED_ID.len() + self.id.len() + 4;
        let lines = self.headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| name.len() + value.as_str().len() + 4)
        });
        "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>() + later
    }
}

/// A message that a consumer has delivered.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) at: Position,
    /// The number of messages that the consumer has delivered, with this one.
    pub(super) count: u64,
    /// When the server has stored it, since 1970.
    pub(super) stored: Duration,
    pub(super) content: Content,
}

/// The content of a message.
#[derive(Debug)]
pub(super) enum Content {
    Entry(LogEntry),
    /// Its time to live is over.
    Expired,
    /// It is no entry.
    Junk,
}

impl Delivered {
    /// Returns `None` if no consumer has delivered the message.
    pub(super) fn new(message: Message, subjects: &Subjects) -> Option<Self> {
        let Source { sequence, count, nanos } = Source::parse(message.reply.as_deref()?)?;
        let at = position(sequence, message.headers.as_ref(), nanos);
        let stored = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
        Some(Self { at, count, stored, content: content(at, stored, message, subjects) })
    }
}

/// Where a message comes from: the subject that it would be acknowledged on.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    sequence: u64,
    count: u64,
    /// When the server has stored it, in nanoseconds since 1970.
    nanos: i64,
}

impl Source {
    /// Parses `$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.COUNT.NANOS.PENDING`. Some servers write a
    /// domain and an account after `ACK`, and a random segment at the end.
    fn parse(subject: &str) -> Option<Self> {
        let segments: Vec<_> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let start = if segments.len() == 7 { 3 } else { 5 };
        let [sequence, count, nanos] = segments.get(start..start + 3)?.try_into().ok()?;
        let (sequence, count) = (sequence.parse().ok()?, count.parse().ok()?);
        Some(Self { sequence, count, nanos: nanos.parse().ok()? })
    }
}

fn position(sequence: u64, headers: Option<&HeaderMap>, nanos: i64) -> Position {
    let text = |name: &str| Some(headers?.get(name)?.as_str());
    Position::new(sequence).with_check(check(text(MESSAGE_ID), text(ATTEMPT), nanos))
}

/// Returns the fingerprint of an entry: of its message ID and attempt, since a publisher knows them
/// before the server has stored the entry. Without a message ID it is that of the time at which the
/// server has stored it.
pub(super) fn check(id: Option<&str>, attempt: Option<&str>, nanos: i64) -> u32 {
    let mut hash = SipHash::new(CHECK_KEY);
    match id {
        Some(id) => {
            hash.write(id.as_bytes());
            hash.write(attempt.unwrap_or_default().as_bytes());
        }
        None => hash.write(&nanos.to_be_bytes()),
    }
    fingerprint(hash.finish())
}

/// Shortens a hash. 0 is left for places without an entry.
fn fingerprint(hash: u64) -> u32 {
    ((hash >> 32) as u32).max(1)
}

fn content(at: Position, stored: Duration, message: Message, subjects: &Subjects) -> Content {
    if message.status.is_some() {
        return Content::Junk;
    }
    let end = subjects.decode_end(&message.subject);
    let is_end = end.is_some();
    let decoded = end.map(|topic| (topic, None)).or_else(|| subjects.decode(&message.subject));
    let Some((topic, key)) = decoded else { return Content::Junk };
    let mut entry = LogEntry::new(at, topic, EventParts::new(message.payload));
    entry.key = key.map(Into::into);
    if is_end {
        entry.kind = EntryKind::End;
    }
    entry.age = Some(since_1970().saturating_sub(stored));
    let Some(headers) = message.headers else { return Content::Entry(entry) };
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    if let Some(id) = text(MESSAGE_ID) {
        entry.append_id = parse_id(id);
    }
    if let Some(name) = text(KIND) {
        let Some(kind) = EntryKind::from_name(name) else { return Content::Junk };
        if is_end && kind != EntryKind::End {
            return Content::Junk;
        }
        entry.kind = kind;
    }
    if let Some(fields) = text(FIELDS) {
        let Ok(fields) = serde_json::from_str(fields) else { return Content::Junk };
        entry.event.fields = fields;
    }
    if let Some(expires) = text(EXPIRES) {
        let Ok(expires) = expires.parse() else { return Content::Junk };
        let remaining = Duration::from_millis(expires).saturating_sub(since_1970());
        if remaining.is_zero() {
            return Content::Expired;
        }
        entry.ttl = Some(remaining);
    }
    Content::Entry(entry)
}

/// Returns the identity of an append. A message ID of another program may be any text.
fn parse_id(id: &str) -> Option<u128> {
    let is_ours =
        id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u128::from_str_radix(id, 16).ok())?
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("events").unwrap()
    }

    /// Returns the message that a consumer delivers of an entry.
    fn delivered(encoded: &Encoded, data: &bytes::Bytes) -> Message {
        Message {
            subject: encoded.subject.as_str().into(),
            reply: Some("$JS.ACK.S.C.1.7.3.1795980063493794629.0".into()),
            payload: data.clone(),
            headers: Some(encoded.headers.clone()),
            status: None,
            description: None,
            length: 0,
        }
    }

    fn foreign(subject: &str, headers: &[(&str, &str)]) -> Content {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse().unwrap(), value.parse::<async_nats::HeaderValue>().unwrap())
        });
        let encoded = Encoded {
            subject: subject.into(),
            headers: headers.collect(),
            id: String::new(),
            check: 0,
        };
        let message = delivered(&encoded, &"x".into());
        Delivered::new(message, &subjects()).unwrap().content
    }

    #[test]
    fn an_entry_comes_back() {
        let event = EventParts::new("data")
            .with_field("event", "a type")
            .with_field(":", "two\r\nlines\0\u{2028}")
            .with_field("\u{e4} \"b\"", "")
            .with_field("event", "again");
        let entry = Outgoing::new("a.b".parse().unwrap(), event, 7)
            .with_key("k\n")
            .with_kind(EntryKind::Tombstone)
            .with_ttl(Duration::from_secs(1000));
        let encoded = Encoded::new(&entry, &subjects(), Features::default());
        let found = Delivered::new(delivered(&encoded, &entry.event.data), &subjects()).unwrap();
        assert_eq!((found.at.major(), found.count), (7, 3));
        assert_eq!(found.at.check(), encoded.check);
        let Content::Entry(mut found) = found.content else { panic!("{found:?}") };
        assert!(found.ttl.unwrap() <= Duration::from_secs(1000));
        found.ttl = entry.ttl;
        assert!(found.age.take().is_some());
        assert_eq!(found, entry.into_entry(found.at));
    }

    #[test]
    fn the_end_of_a_topic_has_a_subject_of_its_own() {
        let entry = Outgoing::new("a.=b".parse().unwrap(), EventParts::new("last"), 7);
        let end = entry.clone().with_kind(EntryKind::End);
        let encoded = Encoded::new(&end, &subjects(), Features::default());
        assert_eq!(encoded.subject, "events.a.%3Db.=.=");
        let found = Delivered::new(delivered(&encoded, &end.event.data), &subjects()).unwrap();
        let Content::Entry(found) = found.content else { panic!("{found:?}") };
        assert_eq!((found.kind, found.key, found.topic), (EntryKind::End, None, end.topic));
        // Other programs may end a topic. Another kind does not fit the subject.
        let Content::Entry(foreign_end) = foreign("events.a.=.=", &[]) else { panic!("an entry") };
        assert_eq!(foreign_end.kind, EntryKind::End);
        assert!(matches!(foreign("events.a.=.=", &[(KIND, "event")]), Content::Junk));
        // No key has this subject.
        let keyed = entry.with_key("=");
        let encoded = Encoded::new(&keyed, &subjects(), Features::default());
        assert_eq!(encoded.subject, "events.a.%3Db.=.%3D");
    }

    #[test]
    fn an_entry_that_is_appended_again_has_another_fingerprint() {
        let entry = Outgoing::new("a".parse().unwrap(), EventParts::new("x"), 7);
        let [one, other] = [(); 2].map(|()| Encoded::new(&entry, &subjects(), Features::default()));
        assert_eq!(one.id, other.id);
        assert_ne!(one.check, other.check);
    }

    #[test]
    fn features_of_the_stream_add_headers() {
        let entry = Outgoing::new("a".parse().unwrap(), EventParts::default(), 7)
            .with_key("k")
            .with_ttl(Duration::from_millis(1500));
        let names = |features| {
            let encoded = Encoded::new(&entry, &subjects(), features);
            [ROLLUP, SERVER_TTL].map(|it| encoded.headers.get(it).map(ToString::to_string))
        };
        assert_eq!(names(Features::default()), [None, None]);
        let features = Features { compacts_keys: true, message_ttl: true };
        assert_eq!(names(features), [Some("sub".into()), Some("2".into())]);
    }

    #[test]
    fn a_plain_message_of_another_program_is_an_event() {
        let Content::Entry(mut entry) = foreign("events.orders", &[("trace", "1")]) else {
            panic!("it is an entry")
        };
        assert!(entry.age.take().is_some());
        let expected = LogEntry::new(entry.at, "orders".parse().unwrap(), EventParts::new("x"));
        assert_eq!(entry, expected);
        assert_ne!(entry.at.check(), 0);
        let headers = [(MESSAGE_ID, "mine"), (FIELDS, r#"[["event","price"]]"#)];
        let Content::Entry(entry) = foreign("events.orders", &headers) else {
            panic!("it is an entry")
        };
        assert_eq!(entry.append_id, None);
        assert_eq!(entry.at.check(), check(Some("mine"), None, 0));
        assert_eq!(entry.event, EventParts::new("x").with_field("event", "price"));
    }

    #[test]
    fn broken_headers_are_junk() {
        for header in [
            (KIND, "Event"),
            (FIELDS, "event"),
            (FIELDS, r#"[["event"]]"#),
            (FIELDS, r#"{"event":"a"}"#),
            (EXPIRES, "soon"),
            (EXPIRES, "-1"),
        ] {
            assert!(matches!(foreign("events.a", &[header]), Content::Junk), "{header:?}");
        }
        assert!(matches!(foreign("other.a", &[]), Content::Junk));
        assert!(matches!(foreign("events.a", &[(EXPIRES, "1000")]), Content::Expired));
    }

    #[test]
    fn the_source_is_read_in_each_form() {
        let expected = Source { sequence: 7, count: 3, nanos: 99 };
        for subject in [
            "$JS.ACK.S.C.1.7.3.99.0",
            "$JS.ACK.domain.account.S.C.1.7.3.99.0",
            "$JS.ACK._.account.S.C.1.7.3.99.0.random",
        ] {
            assert_eq!(Source::parse(subject).as_ref(), Some(&expected), "{subject}");
        }
        for wrong in ["", "$JS.ACK.S.C.1.7", "_INBOX.a.b", "$JS.ACK.S.C.1.x.3.99.0"] {
            assert_eq!(Source::parse(wrong), None, "{wrong}");
        }
    }
}
