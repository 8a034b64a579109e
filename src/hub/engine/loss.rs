//! The mark of a log that has lost its end.
//!
//! A server that restarts with older files, or a replica that is promoted, lacks the newest entries. A node
//! that has seen one of them finds out. A reader that has only seen entries before them cannot know, and
//! neither can the other nodes. So the node appends a mark: a reader at a position before it may lack entries.

use std::sync::Arc;

use super::{
    control::{LOSS, Mark, ORIGIN, control_topic, text},
    shared::Engine,
};
use crate::hub::backend::{BackendError, EntryKind, EventParts, Fault, Outgoing, Position, Wanted};

/// Returns the newest mark of the log. Without one, it is that at the start.
pub(super) async fn find_loss(engine: &Engine, upto: Position) -> Result<Mark, BackendError> {
    let wanted = Arc::new(Wanted::from_parts(vec![control_topic()?], Vec::new()));
    let state = engine.backend.clone().read_state(wanted, upto).await?;
    Ok(state.iter().filter_map(Mark::of).max_by_key(|mark| mark.at).unwrap_or_default())
}

/// Appends the origin to an empty log: an entry that no node removes. While it is retained, nothing was trimmed, so
/// the topics that were removed from the start of the log are not taken for a gap.
pub(super) async fn mark_origin(engine: &Engine) -> Result<(), BackendError> {
    let origin = Outgoing::new(control_topic()?, EventParts::new(""), fastrand::u128(..));
    let origin = origin.with_key(ORIGIN).with_kind(EntryKind::Control);
    engine.backend.clone().append_all([origin].into()).await.map(drop)
}

/// Appends a mark after the one that is known.
pub(super) async fn mark_loss(engine: &Engine, before: Position) -> Result<Mark, BackendError> {
    let append_id = fastrand::u128(..);
    let mark = Outgoing::new(control_topic()?, EventParts::new(text(before)), append_id);
    let mark = mark.with_key(LOSS).with_kind(EntryKind::Control);
    let positions = engine.backend.clone().append_all([mark].into()).await?;
    let at = positions.first().copied();
    let at = at.ok_or_else(|| BackendError::new(Fault::Unknown, "an entry got no position"))?;
    Ok(Mark::new(at, before))
}
