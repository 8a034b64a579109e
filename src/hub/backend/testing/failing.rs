//! The promises about the life of a log: entries that end, and engines that fail.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    report::{Outcome, Unproven},
    subject::Subject,
    support::{
        MAX_WAIT, append, check_equal, check_located, check_log, collect, ensure, expected,
        numbered, outgoing, read_all, topic,
    },
};
use crate::hub::backend::{
    bounds::Located,
    entry::{LogEntry, Outgoing},
    error::{BackendError, Fault},
    position::Position,
    store::{Backend, Tail},
    wanted::Wanted,
};

/// The time to live of entries that are to expire.
const TTL: Duration = Duration::from_secs(2);
/// The delay between two attempts after an outage.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Checks that an entry is not returned after its time to live.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn expiry<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let mut tail = backend.tail(Position::START).await?;
    let entries = [
        outgoing("a", "first"),
        outgoing("a", "expires").with_ttl(TTL),
        outgoing("b", "stays"),
        outgoing("b", "expires").with_key("key").with_ttl(TTL),
        outgoing("b", "lives longer").with_key("other").with_ttl(100 * TTL),
    ];
    let positions = append(backend, &entries).await?;
    let all = expected(&entries, &positions);
    let found = collect(&mut tail, all.len()).await?;
    check_living(found, &all, "a tail before the entries expired")?;
    sleep(2 * TTL).await;
    let living: Vec<_> = [0, 2, 4].map(|at: usize| all[at].clone()).into();
    check_living(read_all(backend, positions[4]).await?, &living, "a read after entries expired")?;
    let mut late = subject.node.tail(Position::START).await?;
    check_living(collect(&mut late, 3).await?, &living, "a tail after entries expired")?;
    let state = backend.state(&Wanted::all(), positions[4]).await?;
    check_living(state, &living[2..], "the state after entries expired")?;
    for at in [0, 2, 4] {
        check_located(backend, positions[at], Located::Kept, "an entry next to expired ones")
            .await?;
    }
    Ok(())
}

/// Checks that the remaining time to live is at most the original one. Compares the rest.
fn check_living(mut found: Vec<LogEntry>, expected: &[LogEntry], by: &str) -> Result<(), Unproven> {
    for (found, expected) in found.iter_mut().zip(expected) {
        let is_fine = match (found.ttl, expected.ttl) {
            (None, None) => true,
            (Some(found), Some(max)) => !found.is_zero() && found <= max,
            _ => false,
        };
        ensure!(is_fine, "{by} returned a time to live of {:?}, not {:?}", found.ttl, expected.ttl);
        found.ttl = expected.ttl;
    }
    check_equal(&found, expected, by)
}

/// Checks that forgetting a topic changes no other topic, and no later entry.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn forget<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let of = |name: &str, data: &str| outgoing(name, data).with_key(format!("{name} {data}"));
    let entries: Vec<_> =
        (0..30).map(|n| of(["over", "over.not", "not"][n % 3], &n.to_string())).collect();
    let mut positions = append(backend, &entries).await?;
    // The topic also has the entry at 27, which stays.
    let upto = positions[26];
    let topics = [(topic("over"), upto), (topic("never used"), upto)];
    backend.forget(&topics).await?;
    subject.node.forget(&topics).await?;
    backend.forget(&[]).await?;
    let later = [of("over", "later"), of("not", "later")];
    positions.extend(append(backend, &later).await?);
    let all = expected(&[&entries[..], &later].concat(), &positions);
    // Whether the entries are removed is left to the backend.
    let is_retained = |entry: &LogEntry| entry.topic != "over" || entry.at > upto;
    let retained: Vec<_> = all.iter().filter(|entry| is_retained(entry)).cloned().collect();
    let mut found = read_all(backend, positions[31]).await?;
    found.retain(is_retained);
    check_equal(&found, &retained, "a read after a topic was forgotten")?;
    let mut state = backend.state(&Wanted::all(), positions[31]).await?;
    state.retain(is_retained);
    state.sort_by_key(|entry| entry.at);
    check_equal(&state, &retained, "the state after a topic was forgotten")?;
    for entry in &retained {
        check_located(backend, entry.at, Located::Kept, "an entry of another topic").await?;
    }
    Ok(())
}

/// Checks that a log that was made again has another identity, and that tails end.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped without [`Subject::on_recreate`].
pub async fn recreation<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let old = backend.bounds().await?.identity;
    let entries = numbered(5);
    let positions = append(backend, &entries).await?;
    // One tail has returned all entries, one has returned none.
    let mut tails = [backend.tail(Position::START).await?, subject.node.tail(positions[4]).await?];
    collect(&mut tails[0], 5).await?;
    subject.recreate().await?;
    let new = retried(|| backend.bounds()).await?;
    ensure!(new.identity != old, "the new log has the identity of the old one");
    let of_node = retried(|| subject.node.bounds()).await?.identity;
    ensure!(new.identity == of_node, "the nodes disagree about the identity of the new log");
    // More entries than before, so that the places of the old entries are given again.
    let entries = numbered(20);
    let positions = retried(|| backend.append(&entries)).await?;
    for tail in &mut tails {
        check_lost(tail).await?;
    }
    let mut tail = backend.tail(Position::START).await?;
    let expected = expected(&entries, &positions);
    check_equal(&collect(&mut tail, 20).await?, &expected, "a tail of the new log")
}

/// Checks that entries that an engine has lost are not mistaken for those at the same places.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped without [`Subject::on_lose_end`].
pub async fn lost_end<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(10);
    let old = append(backend, &entries).await?;
    let mut tail = backend.tail(Position::START).await?;
    collect(&mut tail, 10).await?;
    subject.lose_end(old[4]).await?;
    let bounds = retried(|| backend.bounds()).await?;
    ensure!(bounds.newest == old[4], "the newest entry is {:?}, not {:?}", bounds.newest, old[4]);
    let check_old = async || {
        for at in &old[..5] {
            check_located(backend, *at, Located::Kept, "an entry before the lost ones").await?;
        }
        for at in &old[5..] {
            check_located(backend, *at, Located::Unknown, "a lost entry").await?;
        }
        Ok::<_, Unproven>(())
    };
    check_old().await?;
    // The first ones are those that were lost: they are no longer in the log, so this is no retry.
    let entries = [&entries[5..], &numbered(15)].concat();
    let new = append(backend, &entries).await?;
    check_old().await?;
    for at in &new {
        check_located(backend, *at, Located::Kept, "an entry after the lost ones").await?;
    }
    check_lost(&mut tail).await?;
    let mut tail = backend.tail(old[4]).await?;
    let expected = expected(&entries, &new);
    check_equal(&collect(&mut tail, 20).await?, &expected, "a tail after the end was lost")
}

/// Checks that an outage loses nothing that was acknowledged, and adds nothing twice.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped without [`Subject::on_outage`].
pub async fn outage<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(9);
    let mut positions = append(backend, &entries[..3]).await?;
    let mut tail = backend.tail(Position::START).await?;
    let mut found = collect(&mut tail, 3).await?;
    subject.start_outage().await?;
    let failed = timeout(MAX_WAIT, tail.next()).await;
    let is_error = matches!(&failed, Ok(Err(_)));
    ensure!(is_error, "a tail returned {failed:?} during an outage, expected is an error");
    let failed = timeout(MAX_WAIT, backend.append(&entries[3..6])).await;
    let is_error = match &failed {
        Ok(Err(error)) => matches!(error.fault(), Fault::Unavailable | Fault::Unknown),
        _ => false,
    };
    ensure!(is_error, "an append returned {failed:?} during an outage, expected is an error");
    let failed = timeout(MAX_WAIT, backend.bounds()).await;
    let is_error = matches!(&failed, Ok(Err(_)));
    ensure!(is_error, "`bounds` returned {failed:?} during an outage, expected is an error");
    subject.end_outage().await?;
    positions.extend(retried(|| backend.append(&entries[3..6])).await?);
    let mut tail = retried(|| backend.tail(positions[2])).await?;
    positions.extend(append(backend, &entries[6..]).await?);
    found.extend(collect(&mut tail, 6).await?);
    let all = expected(&entries, &positions);
    check_equal(&found, &all, "the tails before and after an outage")?;
    check_log(backend, all, "a read after an outage").await
}

/// Checks that the retry of an append whose answer was lost adds nothing twice.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped without [`Subject::on_lose_answer`].
pub async fn lost_answer<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(4);
    let mut positions = append(backend, &entries[..1]).await?;
    subject.lose_answer().await?;
    let failed = timeout(MAX_WAIT, backend.append(&entries[1..])).await;
    let is_unknown = matches!(&failed, Ok(Err(error)) if error.fault() == Fault::Unknown);
    ensure!(is_unknown, "an append whose answer was lost returned {failed:?}");
    let retry: &[Outgoing] = &entries[1..];
    positions.extend(retried(|| backend.append(retry)).await?);
    let all = expected(&entries, &positions);
    check_log(backend, all, "a read after a lost answer").await
}

/// Checks that a tail returns no more entries and then [`Fault::Lost`].
async fn check_lost(tail: &mut impl Tail) -> Result<(), Unproven> {
    let wait = async {
        loop {
            match tail.next().await {
                Ok(batch) => {
                    let first = batch.entries.first();
                    ensure!(first.is_none(), "a tail whose log was lost returned {first:?}");
                }
                Err(error) => {
                    let fault = error.fault();
                    ensure!(fault == Fault::Lost, "a tail whose log was lost failed: {error}");
                    return Ok(());
                }
            }
        }
    };
    let text = "a tail whose log was lost did not return an error";
    timeout(MAX_WAIT, wait).await.unwrap_or_else(|_| Err(Unproven::Broken(text.into())))
}

/// Calls again while the engine is away, or until it has waited long enough.
async fn retried<T, F>(call: impl Fn() -> F) -> Result<T, Unproven>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let start = Instant::now();
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                let is_retried = matches!(error.fault(), Fault::Unavailable | Fault::Unknown);
                if !is_retried || start.elapsed() > MAX_WAIT {
                    return Err(error.into());
                }
            }
        }
        sleep(RETRY_DELAY).await;
    }
}
