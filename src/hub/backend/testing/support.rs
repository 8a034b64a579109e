//! What several checks use.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::report::Unproven;
use crate::hub::{
    backend::{
        bounds::Located,
        entry::{EventParts, LogEntry, Outgoing},
        position::Position,
        store::{Backend, Tail},
        wanted::Wanted,
    },
    topic::Topic,
};

/// How long the suite waits for an entry, or for an error.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long the suite waits before it concludes that nothing comes.
pub(super) const QUIET: Duration = Duration::from_millis(200);
/// How many entries are read at a time.
const PAGE: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

/// Fails the check unless a condition is met.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::hub::backend::testing::Unproven::Broken(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// Returns an ID that no other append has, also not in another process with the same engine.
fn append_id() -> u128 {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(0));
    u128::from(*process) << 64 | u128::from(COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn topic(name: &str) -> Topic {
    name.parse().expect("the suite uses valid topics only")
}

pub(super) fn outgoing(name: &str, data: impl Into<String>) -> Outgoing {
    Outgoing::new(topic(name), EventParts::new(data.into()), append_id())
}

/// Creates entries on three topics, with the data 0, 1, 2 and so on.
pub(super) fn numbered(number: usize) -> Vec<Outgoing> {
    let names = ["a", "b.c", "b.d"];
    (0..number).map(|n| outgoing(names[n % names.len()], n.to_string())).collect()
}

/// Appends entries, and checks the number of positions and their order.
pub(super) async fn append<B: Backend>(
    backend: &B,
    entries: &[Outgoing],
) -> Result<Vec<Position>, Unproven> {
    let positions = backend.append(entries).await?;
    let (found, expected) = (positions.len(), entries.len());
    ensure!(found == expected, "{expected} entries were appended with {found} positions");
    Ok(positions)
}

/// Returns the entries as the log is to return them.
pub(super) fn expected(entries: &[Outgoing], positions: &[Position]) -> Vec<LogEntry> {
    entries.iter().zip(positions).map(|(entry, at)| entry.clone().into_entry(*at)).collect()
}

/// Checks that entries are equal to the expected ones. The append ID may be missing, and the age
/// is any.
pub(super) fn check_equal(
    found: &[LogEntry],
    expected: &[LogEntry],
    by: &str,
) -> Result<(), Unproven> {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let mut expected = expected.clone();
        if found.append_id.is_none() {
            expected.append_id = None;
        }
        expected.age = found.age;
        ensure!(
            *found == expected,
            "entry {at} that {by} returned is {found:?}, expected is {expected:?}"
        );
    }
    let (found, expected) = (found.len(), expected.len());
    ensure!(found == expected, "{by} returned {found} entries, expected are {expected}");
    Ok(())
}

/// Collects the next entries of a tail. An error if fewer come, or more.
pub(super) async fn collect(
    tail: &mut impl Tail,
    number: usize,
) -> Result<Vec<LogEntry>, Unproven> {
    let mut entries = Vec::new();
    while entries.len() < number {
        let Ok(batch) = timeout(MAX_WAIT, tail.next()).await else {
            let (seconds, found) = (MAX_WAIT.as_secs(), entries.len());
            ensure!(false, "a tail returned {found} of {number} entries within {seconds} s");
            break;
        };
        entries.extend(batch?.entries);
    }
    let found = entries.len();
    ensure!(found == number, "a tail returned {found} entries, expected are {number}");
    Ok(entries)
}

/// Checks that a tail returns no entry for some time. Drops its future then.
pub(super) async fn check_quiet(tail: &mut impl Tail) -> Result<(), Unproven> {
    let wait = async {
        loop {
            let batch = tail.next().await?;
            let first = batch.entries.first();
            ensure!(first.is_none(), "a tail returned {first:?}, expected is nothing");
        }
    };
    timeout(QUIET, wait).await.unwrap_or(Ok(()))
}

/// Reads a range page by page, and checks each page. Returns the wanted entries.
pub(super) async fn read_pages<B: Backend>(
    backend: &B,
    range: (Position, Position),
    wanted: &Wanted,
    most: NonZeroUsize,
) -> Result<Vec<LogEntry>, Unproven> {
    let (mut after, upto) = range;
    let mut all = Vec::new();
    while after.place() < upto.place() {
        let page = backend.read(after, upto, wanted, most).await?;
        let len = page.entries.len();
        ensure!(len <= most.get(), "a page has {len} entries, at most {most} were requested");
        let Some(end) = page.end() else {
            ensure!(false, "a page after {after:?} has no end");
            break;
        };
        ensure!(end.place() > after.place(), "a page after {after:?} ends at {end:?}");
        ensure!(end.place() <= upto.place(), "a page up to {upto:?} ends at {end:?}");
        let mut last = after;
        for entry in page.entries {
            let at = entry.at;
            ensure!(at.place() > last.place(), "a read returned {at:?} after {last:?}");
            ensure!(at.place() <= end.place(), "a page that ends at {end:?} contains {at:?}");
            last = at;
            if wanted.takes(entry.topic.as_str()) {
                all.push(entry);
            }
        }
        after = end;
    }
    Ok(all)
}

/// Reads the whole log up to a position.
pub(super) async fn read_all<B: Backend>(
    backend: &B,
    upto: Position,
) -> Result<Vec<LogEntry>, Unproven> {
    read_pages(backend, (Position::START, upto), &Wanted::all(), PAGE).await
}

/// Checks that the whole log has the expected entries and no more, also after the last position that
/// the check knows of. Appends an entry that marks the end.
pub(super) async fn check_log<B: Backend>(
    backend: &B,
    mut expected: Vec<LogEntry>,
    by: &str,
) -> Result<(), Unproven> {
    let mark = outgoing("end", "end");
    let end = append(backend, std::slice::from_ref(&mark)).await?[0];
    expected.push(mark.into_entry(end));
    check_equal(&read_all(backend, end).await?, &expected, by)
}

pub(super) async fn check_located<B: Backend>(
    backend: &B,
    at: Position,
    expected: Located,
    what: &str,
) -> Result<(), Unproven> {
    let found = backend.locate(at, &Wanted::all()).await?;
    ensure!(found == expected, "{what} ({at:?}) is {found:?}, expected is {expected:?}");
    Ok(())
}
