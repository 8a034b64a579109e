//! The promises about tails.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    report::{Outcome, Unproven},
    subject::Subject,
    support::{
        QUIET, append, check_equal, check_quiet, collect, ensure, expected, numbered, outgoing,
    },
};
use crate::hub::backend::{
    position::Position,
    store::{Backend, Tail},
};

/// Checks that a tail returns each entry after its position once, and waits for more.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn tail<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let mut early = backend.tail(Position::START).await?;
    check_quiet(&mut early).await?;
    let entries = numbered(300);
    let mut positions = append(backend, &entries[..5]).await?;
    let of_first = expected(&entries[..5], &positions);
    check_equal(&collect(&mut early, 5).await?, &of_first, "a tail of an empty log")?;
    for (at, position) in positions.iter().enumerate() {
        let mut tail = backend.tail(*position).await?;
        let rest = &of_first[at + 1..];
        check_equal(&collect(&mut tail, rest.len()).await?, rest, "a tail after an entry")?;
        check_quiet(&mut tail).await?;
    }
    let mut late = subject.node.tail(positions[4]).await?;
    for part in entries[5..].chunks(59) {
        positions.extend(append(backend, part).await?);
    }
    let of_rest = expected(&entries[5..], &positions[5..]);
    check_equal(&collect(&mut early, of_rest.len()).await?, &of_rest, "a tail that waited")?;
    check_equal(&collect(&mut late, of_rest.len()).await?, &of_rest, "a tail of another node")?;
    check_quiet(&mut early).await?;
    // The same call waits before and after the append, so the entry has to wake it.
    let waiting =
        [early, late].map(|mut tail| tokio::spawn(async move { collect(&mut tail, 1).await }));
    sleep(QUIET).await;
    let last = [outgoing("a", "last")];
    let of_last = expected(&last, &append(backend, &last).await?);
    for task in waiting {
        check_equal(&joined(task).await?, &of_last, "a tail that was woken")?;
    }
    Ok(())
}

/// Checks that a call of `next` that is dropped loses nothing.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn cancellation<B: Backend>(subject: &Subject<B>) -> Outcome {
    /// How long a call may take before it is dropped, in microseconds.
    const LIMITS: [u64; 6] = [0, 1, 100, 300, 1000, 3000];
    let entries = numbered(200);
    let mut tail = subject.backend.tail(Position::START).await?;
    let appending = {
        let (backend, entries) = (subject.backend.clone(), entries.clone());
        tokio::spawn(async move {
            let mut positions = Vec::new();
            for part in entries.chunks(4) {
                positions.extend(append(&*backend, part).await?);
                sleep(Duration::from_micros(500)).await;
            }
            Ok::<_, Unproven>(positions)
        })
    };
    let mut found = Vec::new();
    for limit in LIMITS.iter().cycle().take(400) {
        if let Ok(batch) = timeout(Duration::from_micros(*limit), tail.next()).await {
            found.extend(batch?.entries);
        }
        if found.len() >= entries.len() {
            break;
        }
        // Also with a limit of 0, the task that appends gets its turn.
        tokio::task::yield_now().await;
    }
    let positions = joined(appending).await?;
    let missing = entries.len().saturating_sub(found.len());
    found.extend(collect(&mut tail, missing).await?);
    let expected = expected(&entries, &positions);
    check_equal(&found, &expected, "a tail whose calls were dropped")
}

/// Checks that all tails have one order while several tasks append.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn one_order<B: Backend>(subject: &Subject<B>) -> Outcome {
    const TASKS: usize = 4;
    const APPENDS: usize = 40;
    let mut tails =
        [subject.backend.tail(Position::START).await?, subject.node.tail(Position::START).await?];
    let append_some = |task: usize| {
        let backend = if task % 2 == 0 { &subject.backend } else { &subject.node }.clone();
        tokio::spawn(async move {
            let mut appended = Vec::new();
            for n in 0..APPENDS {
                let name = ["a", "b", "c"][n % 3];
                let count = 1 + n % 3;
                let entries: Vec<_> =
                    (0..count).map(|m| outgoing(name, format!("{task} {n} {m}"))).collect();
                let positions = append(&*backend, &entries).await?;
                appended.extend(expected(&entries, &positions));
                tokio::task::yield_now().await;
            }
            Ok::<_, Unproven>(appended)
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(append_some).collect();
    let mut all = Vec::new();
    for task in tasks {
        let appended = joined(task).await?;
        let is_ordered = appended.is_sorted_by(|a, b| a.at.place() < b.at.place());
        ensure!(is_ordered, "the positions of one task are not in the order of its appends");
        all.extend(appended);
    }
    all.sort_by_key(|entry| entry.at);
    let is_unique = all.is_sorted_by(|a, b| a.at.place() < b.at.place());
    ensure!(is_unique, "two entries have the same place");
    for tail in &mut tails {
        check_equal(&collect(tail, all.len()).await?, &all, "a tail during concurrent appends")?;
    }
    let mut late = subject.node.tail(Position::START).await?;
    check_equal(&collect(&mut late, all.len()).await?, &all, "a tail after concurrent appends")
}

/// Returns the result of a task, or its panic.
async fn joined<T>(task: tokio::task::JoinHandle<Result<T, Unproven>>) -> Result<T, Unproven> {
    task.await.unwrap_or_else(|error| Err(Unproven::Broken(format!("a task failed: {error}"))))
}
