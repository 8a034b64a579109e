//! The state of keys, the newest entries and the ends of topics, for backends without an index of them.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
};

use super::{
    entry::{EntryKind, LogEntry},
    error::BackendError,
    position::Position,
    store::Backend,
    wanted::Wanted,
};
use crate::hub::topic::Topic;

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
    for_each(backend, wanted, upto, |entry| {
        let Some(key) = &entry.key else { return };
        let name = (entry.topic.clone(), key.clone());
        if entry.kind == EntryKind::Tombstone {
            newest.remove(&name);
        } else {
            newest.insert(name, entry);
        }
    })
    .await?;
    Ok(newest.into_values().collect())
}

/// Implements [`Backend::ends`] by reading everything that is retained of the topics.
///
/// # Errors
///
/// Returns the errors of [`Backend::bounds`] and [`Backend::read`].
pub async fn ends_by_reading<B: Backend>(
    backend: &B,
    topics: &[Topic],
) -> Result<Vec<Option<Position>>, BackendError> {
    let wanted = Wanted::from_parts(topics.to_vec(), Vec::new());
    let upto = backend.bounds().await?.newest;
    let mut ends = HashMap::new();
    for_each(backend, &wanted, upto, |entry| {
        if entry.kind == EntryKind::End {
            ends.insert(entry.topic, entry.at);
        }
    })
    .await?;
    Ok(topics.iter().map(|topic| ends.get(topic).copied()).collect())
}

/// Implements [`Backend::newest`] by reading everything that is retained of the topics. Holds the entries that
/// it returns in memory.
///
/// # Errors
///
/// Returns the errors of [`Backend::read`].
pub async fn newest_by_reading<B: Backend>(
    backend: &B,
    topics: &[Topic],
    upto: Position,
    most: NonZeroUsize,
) -> Result<Vec<LogEntry>, BackendError> {
    let wanted = Wanted::from_parts(topics.to_vec(), Vec::new());
    let mut newest: HashMap<Topic, VecDeque<LogEntry>> = HashMap::new();
    for_each(backend, &wanted, upto, |entry| {
        let of_topic = newest.entry(entry.topic.clone()).or_default();
        if of_topic.len() == most.get() {
            of_topic.pop_front();
        }
        of_topic.push_back(entry);
    })
    .await?;
    Ok(newest.into_values().flatten().collect())
}

/// Calls a function with each wanted entry up to a position, in order.
async fn for_each<B: Backend>(
    backend: &B,
    wanted: &Wanted,
    upto: Position,
    mut call: impl FnMut(LogEntry),
) -> Result<(), BackendError> {
    let mut after = Position::START;
    while after.place() < upto.place() {
        let page = backend.read(after, upto, wanted, PAGE).await?;
        // A page that gets no further would be read forever.
        let Some(end) = page.end().filter(|end| end.place() > after.place()) else { break };
        after = end;
        page.entries.into_iter().filter(|it| wanted.takes(it.topic.as_str())).for_each(&mut call);
    }
    Ok(())
}
