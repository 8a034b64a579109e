//! Published events as the window holds them.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::keys::TopicKey;
use crate::{
    encode::id_line,
    event::EventId,
    hub::{backend::Position, topic::Topic},
};

/// The place of a record in a node's window: 1 for the first record, and one more for each that
/// follows. 0 is before the first.
///
/// It has a meaning in this process only. IDs contain the [`Position`] instead.
pub(in crate::hub) type Seq = u64;

/// A published event, shared by all readers.
#[derive(Debug)]
pub(in crate::hub) struct Record {
    /// Its place in the window.
    pub(in crate::hub) seq: Seq,
    /// Its place in the log, which its ID contains.
    pub(in crate::hub) position: Position,
    /// The topic that it was published on.
    pub(in crate::hub) topic: Topic,
    /// The key of that topic in the topic table. The record keeps its topic alive while it is
    /// retained, so the key is valid as long as the record can be found in the window.
    pub(super) topic_key: TopicKey,
    /// The publication key, if it has one.
    pub(in crate::hub) key: Option<Arc<str>>,
    /// What it is besides an event.
    pub(super) kind: RecordKind,
    /// The encoded event. Its ID line is the first line. Empty if a topic ended without an event:
    /// such a record is not given to readers.
    pub(in crate::hub) bytes: Bytes,
    /// The range of the ID in `bytes`.
    pub(in crate::hub) id: Range<usize>,
    /// When it was published. It does not decrease from one record to the next.
    pub(super) published_at: Instant,
    /// From when on it is not given to readers any more.
    pub(in crate::hub) expires_at: Option<Instant>,
    /// It was trimmed, superseded or has expired. A reader that finds it in a feed skips it.
    is_removed: AtomicBool,
}

/// What a record is besides an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum RecordKind {
    /// It has no key.
    Event,
    /// It is the entry of its key in the state, until a newer record of the key is published.
    State,
    /// It has removed its key from the state.
    Tombstone,
    /// It is the last one of its topic.
    End,
}

/// An event that is ready to be published, except for its position.
pub(in crate::hub) struct Draft {
    /// The topic to publish on.
    pub(in crate::hub) topic: Topic,
    /// The publication key.
    pub(in crate::hub) key: Option<Arc<str>>,
    /// What it is besides an event.
    pub(in crate::hub) kind: RecordKind,
    /// From when on it is not given to readers any more.
    pub(in crate::hub) expires_at: Option<Instant>,
    /// Room for the ID line (see [`id_line::with_room`]), then the encoded event. `None` if the
    /// topic ends without an event.
    pub(in crate::hub) event: Option<BytesMut>,
}

impl Record {
    /// Makes the record of a draft.
    pub(super) fn new(
        draft: Draft,
        seq: Seq,
        position: Position,
        topic_key: TopicKey,
        (bytes, id): (Bytes, Range<usize>),
        published_at: Instant,
    ) -> Self {
        let Draft { topic, key, kind, expires_at, event: _ } = draft;
        let is_removed = AtomicBool::new(false);
        Self {
            seq,
            position,
            topic,
            topic_key,
            key,
            kind,
            bytes,
            id,
            published_at,
            expires_at,
            is_removed,
        }
    }

    /// Returns about how much memory a record takes, in bytes.
    pub(in crate::hub) fn cost(bytes: usize, key: Option<&Arc<str>>) -> usize {
        // The record, its reference counts, those of its bytes and key, and its places in the
        // order and in feeds.
        const RECORD: usize = 256;
        // A key also has an entry in the topic's map of keys.
        const KEY: usize = 96;
        bytes + RECORD + key.map_or(0, |key| key.len() + KEY)
    }

    pub(super) fn own_cost(&self) -> usize {
        Self::cost(self.bytes.len(), self.key.as_ref())
    }

    /// Returns the key of its topic in the topic table.
    pub(in crate::hub) fn topic_key(&self) -> TopicKey {
        self.topic_key
    }

    /// Returns whether the record is the last one of its topic.
    pub(in crate::hub) fn is_end(&self) -> bool {
        self.kind == RecordKind::End
    }

    /// Returns whether readers are given this record: a topic may end without an event.
    pub(in crate::hub) fn is_given(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Returns whether the record was trimmed, superseded or has expired.
    pub(in crate::hub) fn is_removed(&self) -> bool {
        self.is_removed.load(Acquire)
    }

    /// Marks the record as removed. If that is a loss for readers, the coverage of its feeds must
    /// have been raised before: a reader that sees this mark must also see the coverage.
    pub(super) fn set_removed(&self) {
        self.is_removed.store(true, Release);
    }

    /// Returns the encoded event without its ID line, as a slice of `bytes`.
    pub(in crate::hub) fn bytes_without_id(&self) -> Bytes {
        self.bytes.slice(id_line::rest_range(&self.id))
    }

    pub(in crate::hub) fn without_id(&self) -> &[u8] {
        &self.bytes[id_line::rest_range(&self.id)]
    }

    pub(in crate::hub) fn event_id(&self) -> EventId {
        EventId::from_line(&self.bytes, self.id.clone())
    }

    /// Returns the ID as a slice of `bytes`, which keeps all of them in memory.
    pub(super) fn id_bytes(&self) -> Bytes {
        self.bytes.slice(self.id.clone())
    }
}
