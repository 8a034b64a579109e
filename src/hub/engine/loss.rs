//! The mark of a log that has lost its end.
//!
//! A server that restarts with older files, or a replica that is promoted, lacks the newest entries. A node
//! that has seen one of them finds out. A reader that has only seen entries before them cannot know, and
//! neither can the other nodes. So the node appends a mark: a reader at a position before it may lack entries.

use std::sync::Arc;

use super::shared::Engine;
use crate::hub::{
    backend::{
        BackendError, EntryKind, EventParts, Fault, Located, LogEntry, Outgoing, Position, Wanted,
    },
    disconnect::CONTROL_TOPIC,
    topic::Topic,
};

/// The key of a mark, so that the newest one is part of the state of the log.
const KEY: &str = "loss";

/// Returns whether an entry is the mark of a loss.
pub(super) fn is_loss(entry: &LogEntry) -> bool {
    let is_mark = entry.kind == EntryKind::Control && entry.key.as_deref() == Some(KEY);
    is_mark && entry.topic == CONTROL_TOPIC
}

/// Returns the position of the newest mark. [`Position::START`] if the log has no mark.
pub(super) async fn find_loss(engine: &Engine, upto: Position) -> Result<Position, BackendError> {
    let wanted = Arc::new(Wanted::from_parts(vec![topic()?], Vec::new()));
    let state = engine.backend.clone().read_state(wanted, upto).await?;
    let mark = state.iter().filter(|entry| is_loss(entry)).map(|entry| entry.at).max();
    Ok(mark.unwrap_or(Position::START))
}

/// Appends a mark, and returns its position.
pub(super) async fn mark_loss(engine: &Engine) -> Result<Position, BackendError> {
    let append_id = fastrand::u128(..);
    let mark = Outgoing::new(topic()?, EventParts::default(), append_id);
    let mark = mark.with_key(KEY).with_kind(EntryKind::Control);
    let positions = engine.backend.clone().append_all([mark].into()).await?;
    let position = positions.first().copied();
    position.ok_or_else(|| BackendError::new(Fault::Unknown, "an entry got no position"))
}

/// Returns what became of an entry, regardless of its topic.
pub(super) async fn locate(engine: &Engine, at: Position) -> Result<Located, BackendError> {
    engine.backend.clone().locate_entry(at, Arc::new(Wanted::all())).await
}

fn topic() -> Result<Topic, BackendError> {
    Topic::try_from(CONTROL_TOPIC).map_err(|error| BackendError::new(Fault::Refused, error))
}
