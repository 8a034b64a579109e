//! The state of keys, for backends without an index of keys.

use std::{collections::HashMap, num::NonZeroUsize};

use super::{
    entry::{EntryKind, LogEntry},
    error::BackendError,
    position::Position,
    store::Backend,
    wanted::Wanted,
};

/// How many entries are read at a time.
const PAGE: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

/// Implements [`Backend::state`] by reading the whole log up to a position.
///
/// It takes as long as reading everything that is retained. It holds one entry of each key in
/// memory.
///
/// # Errors
///
/// Returns the errors of [`Backend::read`].
pub async fn state_by_reading<B: Backend>(
    backend: &B,
    wanted: &Wanted,
    upto: Position,
) -> Result<Vec<LogEntry>, BackendError> {
    let mut newest = HashMap::new();
    let mut after = Position::START;
    while after.place() < upto.place() {
        let page = backend.read(after, upto, wanted, PAGE).await?;
        // A page that gets no further would be read forever.
        let Some(end) = page.end().filter(|end| end.place() > after.place()) else { break };
        after = end;
        for entry in page.entries {
            if !wanted.takes(entry.topic.as_str()) {
                continue;
            }
            let Some(key) = &entry.key else { continue };
            let name = (entry.topic.clone(), key.clone());
            if entry.kind == EntryKind::Tombstone {
                newest.remove(&name);
            } else {
                newest.insert(name, entry);
            }
        }
    }
    Ok(newest.into_values().collect())
}
