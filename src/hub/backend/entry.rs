//! The entries of a log, before and after they have a position.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::position::Position;
use crate::{
    event::{Event, EventData, EventType, FieldName},
    hub::topic::Topic,
};

/// The field of a comment. No custom field has this name, since names contain no colon.
const COMMENT: &str = ":";
/// The field of an event without data, with an empty value. An event with empty data has none.
const NO_DATA: &str = ":no-data";
/// The field of the type.
const TYPE: &str = "event";
/// The field of the reconnection time, in milliseconds.
const RETRY: &str = "retry";

/// What an entry of a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// An event. With a key it is the state of the key until a newer entry has the same topic and
    /// key.
    #[default]
    Event,
    /// An event that removes its key from the state.
    Tombstone,
    /// The end of a topic.
    End,
    /// A message of a hub to the hubs on other nodes. Readers do not receive it.
    Control,
}

impl EntryKind {
    /// Returns a name that a backend can store: `event`, `tombstone`, `end` or `control`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Tombstone => "tombstone",
            Self::End => "end",
            Self::Control => "control",
        }
    }

    /// Returns the kind with this [`name`](Self::name), or `None` if there is no such kind.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Event, Self::Tombstone, Self::End, Self::Control]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// The content of an [`Event`], in a form that a backend can store.
///
/// A backend stores the fields and the data, and returns them unchanged. It need not know their
/// meaning:
///
/// | field | value |
/// |---|---|
/// | `event` | the type |
/// | `retry` | the reconnection time, in milliseconds |
/// | `:` | a comment |
/// | `:no-data` | empty: the event has no data, not even empty data |
/// | any other | a custom field |
///
/// Names may occur several times, and their order counts. Names contain no line end. Values and
/// data may contain any character.
///
/// ```
/// use tower_sse::{Event, hub::backend::EventParts};
///
/// let event = Event::new("42").with_type("price").with_comment("late");
/// let parts = EventParts::from(&event);
/// assert_eq!(parts.data, "42");
/// assert_eq!(parts.to_event(), Some(event));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventParts {
    /// Names and values. Most events have none or one.
    pub fields: Vec<(Box<str>, Box<str>)>,
    /// The data. An entry that a hub has appended contains UTF-8, another one may contain any bytes.
    pub data: Bytes,
}

impl EventParts {
    /// Creates the parts of an event with this data and without fields.
    #[must_use]
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { fields: Vec::new(), data: data.into() }
    }

    /// Adds a field after the existing ones.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Creates the event, without an ID. Returns `None` if a field has an invalid name or value, or
    /// if the data is not UTF-8. This never happens with the parts of an event.
    #[must_use]
    pub fn to_event(&self) -> Option<Event> {
        let mut event = Event::default();
        let mut has_data = true;
        for (name, value) in &self.fields {
            let value = &**value;
            event = match &**name {
                TYPE => event.with_type(EventType::try_from(value).ok()?),
                RETRY => event.with_retry(Duration::from_millis(value.parse().ok()?)),
                COMMENT => event.with_comment(value),
                NO_DATA => {
                    has_data = false;
                    event
                }
                name => event.with_field(FieldName::try_from(name).ok()?, value),
            };
        }
        if !has_data {
            return Some(event);
        }
        Some(event.with_data(EventData::try_from(self.data.clone()).ok()?))
    }

    /// Returns the number of bytes of all names and values, and of the data.
    fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        fields.sum::<usize>() + self.data.len()
    }
}

impl From<&Event> for EventParts {
    /// Takes the event apart. Its ID is not part of the result: in a hub, the position makes the ID.
    fn from(event: &Event) -> Self {
        let mut parts = Self::new(Bytes::copy_from_slice(event.data().as_bytes()));
        if let Some(event_type) = event.type_field() {
            parts = parts.with_field(TYPE, event_type.as_str());
        }
        if let Some(retry) = event.retry_millis() {
            parts = parts.with_field(RETRY, retry.to_string());
        }
        for comment in event.comments() {
            parts = parts.with_field(COMMENT, comment);
        }
        if !event.has_data() {
            parts = parts.with_field(NO_DATA, "");
        }
        for (name, value) in event.fields() {
            parts = parts.with_field(name.as_str(), value);
        }
        parts
    }
}

/// An entry that is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The topic.
    pub topic: Topic,
    /// The key, if it has one. Any text.
    pub key: Option<Arc<str>>,
    /// What the entry is.
    pub kind: EntryKind,
    /// The event.
    pub event: EventParts,
    /// After this time, counted from the append, the entry is no longer returned. `None` is no
    /// limit.
    pub ttl: Option<Duration>,
    /// The identity of this append. A retry has the same one, so that the backend recognizes it.
    /// Every other append has another one.
    pub append_id: u128,
}

impl Outgoing {
    /// Creates an entry of the kind [`EntryKind::Event`], without a key and a time to live.
    #[must_use]
    pub fn new(topic: Topic, event: EventParts, append_id: u128) -> Self {
        Self { topic, key: None, kind: EntryKind::Event, event, ttl: None, append_id }
    }

    /// Sets the key. By default there is no key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the kind. Defaults to [`EntryKind::Event`].
    #[must_use]
    pub fn with_kind(mut self, kind: EntryKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the time to live. Defaults to no limit.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Returns the number of bytes of topic, key, fields and data.
    /// [`Abilities::largest`](super::Abilities::largest) limits it.
    #[must_use]
    pub fn size(&self) -> usize {
        size(&self.topic, self.key.as_deref(), &self.event)
    }

    /// Returns the entry of a log that this becomes at a position.
    #[must_use]
    pub fn into_entry(self, at: Position) -> LogEntry {
        let Self { topic, key, kind, event, ttl, append_id } = self;
        LogEntry { at, topic, key, kind, event, ttl, age: None, append_id: Some(append_id) }
    }
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEntry {
    /// Where it is in the log.
    pub at: Position,
    /// The topic.
    pub topic: Topic,
    /// The key, if it has one.
    pub key: Option<Arc<str>>,
    /// What the entry is.
    pub kind: EntryKind,
    /// The event.
    pub event: EventParts,
    /// How much of the time to live remains when the backend returns the entry. `None` is no limit.
    pub ttl: Option<Duration>,
    /// How long ago the entry was appended, by the clock of the engine. `None` if the backend does not
    /// know: then a hub counts from when it receives the entry.
    pub age: Option<Duration>,
    /// The identity of the append. `None` if the entry was not appended by a hub, or if the backend
    /// does not return it.
    pub append_id: Option<u128>,
}

impl LogEntry {
    /// Creates an entry of the kind [`EntryKind::Event`], without a key, a time to live, an age and the
    /// identity of its append.
    #[must_use]
    pub fn new(at: Position, topic: Topic, event: EventParts) -> Self {
        let kind = EntryKind::Event;
        Self { at, topic, key: None, kind, event, ttl: None, age: None, append_id: None }
    }

    /// Sets the key. By default there is no key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the kind. Defaults to [`EntryKind::Event`].
    #[must_use]
    pub fn with_kind(mut self, kind: EntryKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the remaining time to live. Defaults to no limit.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets how long ago the entry was appended. Defaults to `None`.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Sets the identity of the append. Defaults to `None`.
    #[must_use]
    pub fn with_append_id(mut self, append_id: u128) -> Self {
        self.append_id = Some(append_id);
        self
    }

    /// Returns the number of bytes of topic, key, fields and data.
    #[must_use]
    pub fn size(&self) -> usize {
        size(&self.topic, self.key.as_deref(), &self.event)
    }
}

fn size(topic: &Topic, key: Option<&str>, event: &EventParts) -> usize {
    topic.as_str().len() + key.map_or(0, str::len) + event.size()
}

/// Entries that follow each other in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The entries, in order.
    pub entries: Vec<LogEntry>,
    /// The position up to which the backend has looked. The batch contains all wanted entries up to
    /// there. `None` is the position of the last entry.
    pub upto: Option<Position>,
    /// How many entries of the engine were skipped because they are no entries of a hub, for example
    /// because another program has written them.
    pub junk: u64,
}

impl Batch {
    /// Creates a batch of entries, which ends with the last of them.
    #[must_use]
    pub fn new(entries: Vec<LogEntry>) -> Self {
        Self { entries, upto: None, junk: 0 }
    }

    /// Sets the position up to which the backend has looked.
    #[must_use]
    pub fn with_upto(mut self, upto: Position) -> Self {
        self.upto = Some(upto);
        self
    }

    /// Sets how many entries of the engine were skipped. Defaults to 0.
    #[must_use]
    pub fn with_junk(mut self, junk: u64) -> Self {
        self.junk = junk;
        self
    }

    /// Returns the position up to which the batch is complete: [`upto`](Self::upto), or the position
    /// of the last entry. `None` if there is neither.
    #[must_use]
    pub fn end(&self) -> Option<Position> {
        self.upto.or_else(|| self.entries.last().map(|entry| entry.at))
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_rebuilt_from_its_parts() {
        let events = [
            Event::default(),
            Event::new(""),
            Event::new("two\nlines\r\n\r"),
            Event::comment("only a comment"),
            Event::default().with_retry(Duration::from_millis(7)),
            Event::new("x")
                .with_type("a type")
                .with_retry(Duration::MAX)
                .with_comment("one\ntwo")
                .with_field("trace", "1")
                .with_field("no-data", "2")
                .with_field("trace", "3\n4")
                .with_comment(""),
        ];
        for event in events {
            let parts = EventParts::from(&event);
            assert_eq!(parts.to_event().as_ref(), Some(&event), "{parts:?}");
        }
    }

    #[test]
    fn invalid_parts_are_no_event() {
        let fine = EventParts::new("x");
        for (name, value) in
            [("event", "a\nb"), ("retry", "soon"), ("a:b", ""), ("id", "7"), ("", "")]
        {
            assert_eq!(fine.clone().with_field(name, value).to_event(), None, "{name}");
        }
        assert_eq!(EventParts::new(&b"\xff"[..]).to_event(), None);
    }

    #[test]
    fn kinds_are_found_by_their_names() {
        for kind in [EntryKind::Event, EntryKind::Tombstone, EntryKind::End, EntryKind::Control] {
            assert_eq!(EntryKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EntryKind::from_name("Event"), None);
    }

    #[test]
    fn a_size_counts_all_text() {
        let topic: Topic = "ab".parse().unwrap();
        let outgoing = Outgoing::new(topic, EventParts::new("12345").with_field("n", "v"), 1);
        assert_eq!(outgoing.size(), 2 + 5 + 2);
        let outgoing = outgoing.with_key("key");
        assert_eq!(outgoing.size(), 2 + 5 + 2 + 3);
        assert_eq!(outgoing.clone().into_entry(Position::new(1)).size(), outgoing.size());
    }
}
