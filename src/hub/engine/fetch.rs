//! Entries that the window does not have, read from the backend.

use std::{future::Future, num::NonZeroUsize, sync::Arc};

use tokio::time::{Instant, timeout};

use super::{
    shared::{Backoff, Engine},
    tail::draft,
};
use crate::hub::{
    backend::{BackendError, Batch, Fault, Located, LogEntry, Position, Wanted},
    node::Node,
    topic::Topic,
    window::{Group, Record},
};

/// Some of the entries after a position.
pub(in crate::hub) struct Page {
    /// The entries.
    pub(in crate::hub) records: Vec<Arc<Record>>,
    /// The position up to which the log was searched.
    pub(in crate::hub) end: Position,
    /// What became of the entry after which was read. Asked after the page was read, so that an
    /// entry which is still kept proves that the page is complete.
    pub(in crate::hub) located: Located,
}

/// The entries of a page.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct PageRange {
    /// The position after which they lie.
    pub(in crate::hub) after: Position,
    /// The position of the last one.
    pub(in crate::hub) upto: Position,
    /// How many there are at most.
    pub(in crate::hub) most: NonZeroUsize,
    /// It is the first page of its reader. Entries may be missing that the log has lost.
    pub(in crate::hub) is_first: bool,
}

/// Reads the wanted entries of a range. Waits while the backend cannot be reached. Returns `None` if
/// the last handle of the hub was dropped.
pub(in crate::hub) async fn fetch_page(
    node: Arc<Node>,
    engine: Arc<Engine>,
    wanted: Arc<Wanted>,
    range: PageRange,
) -> Option<Page> {
    let (batch, located) = until_answered(&engine, || read_page(&engine, &wanted, range)).await?;
    let end = batch.end().unwrap_or(range.upto);
    Some(Page { records: records(&node, &wanted, batch.entries), end, located })
}

async fn read_page(
    engine: &Engine,
    wanted: &Arc<Wanted>,
    PageRange { after, upto, most, is_first }: PageRange,
) -> Result<(Batch, Located), BackendError> {
    let nothing = || Batch::default().with_upto(upto);
    let read = match after.place() < upto.place() {
        true => engine.backend.clone().read_page(after, upto, wanted.clone(), most).await,
        // The log is shorter than it was, or another one.
        false => Ok(nothing()),
    };
    engine.health.replayed();
    let located = engine.backend.clone().locate_entry(after, wanted.clone()).await?;
    let batch = match read {
        Err(error) if error.fault() == Fault::Lost && located != Located::Kept => nothing(),
        read => read?,
    };
    // Entries were lost before a mark. A reader that starts from the start misses none if the topics have
    // nothing from before the mark: as far as the log shows, they have begun after it.
    let loss = engine.losses().place();
    let oldest = match after {
        Position::START => batch.entries.first().map(|entry| entry.at).or(batch.end()),
        after => Some(after),
    };
    let has_lost =
        is_first && located == Located::Kept && oldest.is_some_and(|oldest| oldest.place() < loss);
    Ok((batch, if has_lost { Located::Trimmed } else { located }))
}

/// Reads the newest entry of each key. Waits while the backend cannot be reached. Returns `None` if the
/// last handle of the hub was dropped.
pub(in crate::hub) async fn fetch_state(
    node: Arc<Node>,
    engine: Arc<Engine>,
    wanted: Arc<Wanted>,
    upto: Position,
) -> Option<Vec<Arc<Record>>> {
    let read = || engine.backend.clone().read_state(wanted.clone(), upto);
    let mut entries = until_answered(&engine, read).await?;
    entries.sort_unstable_by_key(|entry| entry.at);
    Some(records(&node, &wanted, entries))
}

/// Reads the newest entries of each topic. Waits while the backend cannot be reached. Returns `None` if the
/// last handle of the hub was dropped.
pub(in crate::hub) async fn fetch_newest(
    node: Arc<Node>,
    engine: Arc<Engine>,
    topics: Vec<Topic>,
    upto: Position,
    most: NonZeroUsize,
) -> Option<Vec<Arc<Record>>> {
    let wanted = Wanted::from_parts(topics.clone(), Vec::new());
    let topics: Arc<[Topic]> = topics.into();
    // It is never closed.
    let _permit = engine.newest.acquire().await.ok()?;
    let read = || engine.backend.clone().read_newest(topics.clone(), upto, most);
    let mut entries = until_answered(&engine, read).await?;
    entries.sort_unstable_by_key(|entry| entry.at);
    Some(records(&node, &wanted, entries))
}

/// Finds out which of the topics that readers name have ended, as far as the window does not know. If the
/// backend does not answer in time, the topics count as not ended, and the next reader asks again.
pub(in crate::hub) async fn fetch_ends(node: &Node, engine: &Engine, group: &Group) {
    let topics = group.with_unknown_end();
    if topics.is_empty() {
        return;
    }
    let find = || engine.backend.clone().find_ends(topics.clone());
    let found = timeout(engine.publish_timeout, until_answered(engine, find)).await;
    let Ok(Some(ends)) = found else { return };
    let head = node.counters.head().position;
    for (topic, end) in topics.iter().zip(ends) {
        match end {
            Some(end) if end.place() <= head.place() => group.set_finished(topic),
            // The tail has yet to come to the end.
            Some(_) => {}
            None => group.set_knows_end(topic),
        }
    }
}

/// Repeats a call of the backend until it succeeds, and records its failures. Returns `None` if the last
/// handle of the hub was dropped.
async fn until_answered<T, F>(engine: &Engine, call: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let answered = async {
        let mut backoff = Backoff::new();
        loop {
            match call().await {
                Ok(answer) => {
                    engine.health.answered();
                    return answer;
                }
                Err(error) => engine.health.failed(&error),
            }
            backoff.wait().await;
        }
    };
    engine.until_stopped(answered).await
}

/// Makes records of entries. They are in no feed. A backend may return entries that are not wanted.
fn records(node: &Node, wanted: &Wanted, entries: Vec<LogEntry>) -> Vec<Arc<Record>> {
    let now = Instant::now();
    let wanted = entries.into_iter().filter(|entry| wanted.takes(entry.topic.as_str()));
    let records = wanted.filter_map(|entry| {
        let at = entry.at;
        Some(Arc::new(node.record(draft(entry)?, at, now)))
    });
    records.collect()
}
