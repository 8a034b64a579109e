//! Published events as the log stores them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::keys::TopicKey;
use crate::{
    encode::id_line,
    event::EventId,
    hub::{history::History, position::Position, topic::Topic},
};

/// A published event, shared by all readers.
#[derive(Debug)]
pub(in crate::hub) struct Record {
    /// Its position in the log.
    pub(in crate::hub) position: Position,
    /// The topic that it was published on.
    pub(in crate::hub) topic: Topic,
    /// The key of that topic in the topic table. The record keeps its topic alive while it is
    /// retained, so the key is valid as long as the record can be found in the log.
    pub(super) topic_key: TopicKey,
    /// The publication key, if it has one.
    pub(in crate::hub) key: Option<Arc<str>>,
    /// It has a key and is not a tombstone, so it is part of the state while it is retained. A
    /// newer record of the same key removes it.
    pub(super) is_state: bool,
    /// The encoded event. Its ID line is the first line.
    pub(in crate::hub) bytes: Bytes,
    /// The range of the ID in `bytes`.
    pub(in crate::hub) id: Range<usize>,
    /// When it was published.
    pub(super) published_at: Instant,
}

/// An event that is ready to be published, except for its position.
pub(in crate::hub) struct Draft {
    /// The topic to publish on.
    pub(in crate::hub) topic: Topic,
    /// The publication key, if it has one.
    pub(in crate::hub) key: Option<Arc<str>>,
    /// It has a key and is not a tombstone.
    pub(in crate::hub) is_state: bool,
    /// Room for the ID line (see [`id_line::with_room`]), then the encoded event.
    pub(in crate::hub) event: BytesMut,
}

/// The retained records, and the bounds of the history.
pub(super) struct RecordStore {
    /// What each topic may retain.
    pub(super) per_topic: History,
    /// What all topics may retain together.
    pub(super) total: History,
    /// All retained records, in the order of publication.
    pub(super) by_position: BTreeMap<Position, Arc<Record>>,
    /// The cost of all retained records, and of the topics that have some, in bytes.
    pub(super) bytes: usize,
    /// The position of the newest event. 0 before the first.
    pub(super) head: Position,
    /// The position of the last event that superseded another one. 0 if there was none.
    pub(super) superseded: Position,
}

impl Record {
    /// Returns about how much memory a record takes, in bytes.
    pub(in crate::hub) fn cost(bytes: usize, key: Option<&Arc<str>>) -> usize {
        // The record, its reference counts, those of its bytes and key, and its entries in three
        // maps.
        const RECORD: usize = 256;
        // A key also has an entry in the topic's map of keys.
        const KEY: usize = 96;
        bytes + RECORD + key.map_or(0, |key| key.len() + KEY)
    }

    pub(super) fn own_cost(&self) -> usize {
        Self::cost(self.bytes.len(), self.key.as_ref())
    }

    /// Returns the encoded event without its ID line, as a slice of `bytes`.
    pub(in crate::hub) fn bytes_without_id(&self) -> Bytes {
        self.bytes.slice(id_line::rest_range(&self.id))
    }

    pub(super) fn without_id(&self) -> &[u8] {
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

impl RecordStore {
    pub(super) fn new(per_topic: History, total: History) -> Self {
        Self { per_topic, total, by_position: BTreeMap::new(), bytes: 0, head: 0, superseded: 0 }
    }
}
