//! The log in memory.

use std::{num::NonZeroUsize, time::Duration};

use tokio::time::{advance, timeout};
use tower_sse::hub::{
    History,
    backend::{
        Backend, EventParts, Fault, Located, MemoryBackend, Outgoing, Position, Tail, Wanted,
        testing,
    },
};

use crate::subject;

fn entry(append_id: u128) -> Outgoing {
    Outgoing::new("a".parse().unwrap(), EventParts::new(append_id.to_string()), append_id)
}

async fn append_some(backend: &MemoryBackend, ids: std::ops::Range<u128>) -> Vec<Position> {
    let entries: Vec<_> = ids.map(entry).collect();
    backend.append(&entries).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract() {
    let new = || async { subject(&MemoryBackend::default(), |memory| memory) };
    let report = testing::run_all(new).await;
    report.assert_all_kept();
    assert_eq!(report.skipped().count(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_on_several_threads() {
    let new = || async { subject(&MemoryBackend::default(), |memory| memory) };
    let report = testing::run_all(new).await;
    report.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn without_hooks_promises_are_skipped() {
    let new = || async { testing::Subject::new(MemoryBackend::default()) };
    let report = testing::run_all(new).await;
    report.assert_kept();
    let skipped: Vec<_> = report.skipped().map(|(promise, _)| promise).collect();
    assert_eq!(skipped, ["trimming", "recreation", "lost-end", "outage", "lost-answer"]);
    assert!(report.to_string().contains("trimming: skipped: the subject has no hook `on_trim`"));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_entries_are_removed_beyond_the_number() {
    let backend = MemoryBackend::new(History::events(3));
    let positions = append_some(&backend, 0..5).await;
    let bounds = backend.bounds().await.unwrap();
    assert_eq!((bounds.oldest, bounds.newest), (Some(positions[2]), positions[4]));
    let mut located = Vec::new();
    for at in [Position::START, positions[0], positions[1], positions[2]] {
        located.push(backend.locate(at, &Wanted::all()).await.unwrap());
    }
    // Everything after the newest removed entry is retained.
    let (trimmed, kept) = (Located::Trimmed, Located::Kept);
    assert_eq!(located, [trimmed, trimmed, kept, kept]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_entries_are_removed_beyond_the_bytes() {
    let backend = MemoryBackend::new(History::unlimited_events().max_bytes(10_000));
    let largest = backend.abilities().largest;
    let large = |id, size: usize| {
        Outgoing::new("a".parse().unwrap(), EventParts::new("x".repeat(size - 1)), id)
    };
    let first = backend.append(&[large(1, largest / 2)]).await.unwrap()[0];
    assert_eq!(backend.bounds().await.unwrap().oldest, Some(first));
    let second = backend.append(&[large(2, largest)]).await.unwrap()[0];
    assert_eq!(backend.bounds().await.unwrap().oldest, Some(second));
    let error = backend.append(&[entry(3), large(4, largest + 1)]).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Refused);
    assert_eq!(backend.bounds().await.unwrap().newest, second);
}

#[tokio::test(start_paused = true)]
async fn old_entries_are_removed() {
    let backend = MemoryBackend::new(History::events(100).max_age(Duration::from_secs(10)));
    let first = append_some(&backend, 0..5).await;
    advance(Duration::from_secs(6)).await;
    let second = append_some(&backend, 5..10).await;
    assert_eq!(backend.bounds().await.unwrap().oldest, Some(first[0]));
    advance(Duration::from_secs(6)).await;
    assert_eq!(backend.bounds().await.unwrap().oldest, Some(second[0]));
    advance(Duration::from_secs(6)).await;
    let bounds = backend.bounds().await.unwrap();
    assert_eq!((bounds.oldest, bounds.newest), (None, second[4]));
}

#[tokio::test(start_paused = true)]
async fn expired_entries_do_not_use_up_memory() {
    // The first entry stays, so the places of the others are empty until it is removed.
    let backend = MemoryBackend::new(History::unlimited_events().max_bytes(100_000));
    let first = append_some(&backend, 0..1).await[0];
    for round in 0..100 {
        let ids = 1 + round * 10..11 + round * 10;
        let short = ids.map(|id| entry(id).with_ttl(Duration::from_secs(1)));
        let entries: Vec<_> = short.collect();
        backend.append(&entries).await.unwrap();
        advance(Duration::from_secs(1)).await;
    }
    let bounds = backend.bounds().await.unwrap();
    // 1,000 empty slots cost more than the bytes, so the first entry had to be removed.
    assert_eq!(bounds.oldest, None);
    assert_eq!(backend.locate(first, &Wanted::all()).await.unwrap(), Located::Kept);
    assert_eq!(backend.locate(Position::START, &Wanted::all()).await.unwrap(), Located::Trimmed);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_recognized_for_two_minutes() {
    let backend = MemoryBackend::default();
    let first = append_some(&backend, 0..1).await;
    advance(Duration::from_secs(120)).await;
    assert_eq!(append_some(&backend, 0..1).await, first);
    advance(Duration::from_millis(1)).await;
    let again = append_some(&backend, 0..1).await;
    assert!(again[0] > first[0]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_connection_waits_and_another_node_goes_on() {
    let backend = MemoryBackend::default();
    let node = backend.node();
    let mut tail = backend.tail(Position::START).await.unwrap();
    backend.faults().set_stalled(true);
    let second = Duration::from_secs(1);
    assert!(timeout(second, backend.bounds()).await.is_err());
    let positions = append_some(&node, 0..1).await;
    assert!(timeout(second, tail.next()).await.is_err());
    let waiting = tokio::spawn(async move { tail.next().await });
    tokio::task::yield_now().await;
    backend.faults().set_stalled(false);
    assert_eq!(waiting.await.unwrap().unwrap().end(), Some(positions[0]));
    assert!(timeout(second, backend.bounds()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_refuses_appends_nothing() {
    let backend = MemoryBackend::default();
    backend.faults().set_refusing(true);
    let error = backend.append(&[entry(1)]).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Refused);
    backend.faults().set_refusing(false);
    assert_eq!(append_some(&backend, 1..2).await, [Position::new(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_is_overtaken_by_trimming_is_lost() {
    let backend = MemoryBackend::new(History::events(3));
    let mut tail = backend.tail(Position::START).await.unwrap();
    append_some(&backend, 0..4).await;
    for _ in 0..2 {
        assert_eq!(tail.next().await.unwrap_err().fault(), Fault::Lost);
    }
    // A new tail starts with the oldest retained entry.
    let mut tail = backend.tail(Position::START).await.unwrap();
    assert_eq!(tail.next().await.unwrap().entries.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_many_other_topics_ends_early_but_gets_on() {
    let backend = MemoryBackend::default();
    let positions = append_some(&backend, 0..10_000).await;
    let last = Outgoing::new("b".parse().unwrap(), EventParts::new("found"), 10_000);
    let upto = backend.append(&[last]).await.unwrap()[0];
    let wanted = Wanted::new(["b".parse().unwrap()], []).unwrap();
    let mut after = positions[0];
    let mut reads = 0;
    let found = loop {
        let page = backend.read(after, upto, &wanted, NonZeroUsize::MIN).await.unwrap();
        assert!(page.end() > Some(after));
        after = page.end().unwrap();
        reads += 1;
        if let Some(entry) = page.entries.first() {
            break entry.at;
        }
    };
    assert_eq!(found, upto);
    assert!(reads > 1);
}

#[tokio::test(start_paused = true)]
async fn a_state_of_many_keys_is_read_in_parts() {
    let backend = MemoryBackend::default();
    let entries: Vec<_> = (0..10_000).map(|id| entry(id).with_key(format!("{id}"))).collect();
    let upto = *backend.append(&entries).await.unwrap().last().unwrap();
    let state = backend.state(&Wanted::all(), upto).await.unwrap();
    let mut found: Vec<_> = state.iter().map(|entry| entry.at).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 10_000);
}
