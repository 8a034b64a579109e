//! The log in memory, under random calls, against a list of everything that was appended.

use std::{collections::HashMap, num::NonZeroUsize, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::time::{Instant, advance, timeout};
use tower_sse::hub::{
    History,
    backend::{
        Backend, EntryKind, EventParts, Fault, Located, LogEntry, MemoryBackend, Outgoing,
        Position, Tail, Wanted,
    },
};

const MAX_ENTRIES: usize = 12;
const TOPICS: [&str; 3] = ["a", "b.c", "b.d"];

#[derive(Clone, Debug)]
enum Call {
    Append(Vec<Draft>),
    /// Appends an entry again: the one at this index, counted from the newest.
    Retry(usize),
    Advance(u64),
    Next,
    Forget(usize),
    /// The numbers are counted from the newest entry.
    TrimBefore(usize),
    LoseAfter(usize),
    Recreate,
    Read(usize, usize, usize, usize),
}

#[derive(Clone, Debug)]
struct Draft {
    topic: usize,
    key: Option<u8>,
    is_tombstone: bool,
    ttl: Option<u64>,
}

/// An entry that was appended.
struct Appended {
    outgoing: Outgoing,
    at: Position,
    expires_at: Option<Instant>,
    is_forgotten: bool,
}

impl Appended {
    /// Returns whether readers must receive it, unless it was trimmed.
    fn is_alive(&self) -> bool {
        !self.is_forgotten && self.expires_at.is_none_or(|at| at > Instant::now())
    }
}

struct Model {
    backend: MemoryBackend,
    /// All entries of the log, also those that were trimmed.
    all: Vec<Appended>,
    /// Entries that the log has lost.
    lost: Vec<Position>,
    tail: <MemoryBackend as Backend>::Tail,
    /// The end of the last batch of the tail.
    tail_at: Position,
    was_recreated: bool,
    next_id: u128,
}

impl Model {
    async fn new() -> Self {
        let backend = MemoryBackend::new(History::events(MAX_ENTRIES));
        let tail = backend.tail(Position::START).await.unwrap();
        let (all, lost, tail_at) = (Vec::new(), Vec::new(), Position::START);
        Self { backend, all, lost, tail, tail_at, was_recreated: false, next_id: 0 }
    }

    fn newest(&self) -> Position {
        self.all.last().map_or(Position::START, |entry| entry.at)
    }

    fn nth_newest(&self, index: usize) -> Option<usize> {
        self.all.len().checked_sub(1 + index)
    }

    /// Returns all living entries of a range.
    fn alive(&self, after: Position, upto: Position) -> Vec<&Appended> {
        let is_in_range = |entry: &&Appended| entry.at > after && entry.at <= upto;
        self.all.iter().filter(is_in_range).filter(|entry| entry.is_alive()).collect()
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: usize,
    ) -> Vec<LogEntry> {
        let most = NonZeroUsize::new(most).unwrap();
        let mut found = Vec::new();
        let mut at = after;
        while at < upto {
            let page = self.backend.read(at, upto, wanted, most).await.unwrap();
            assert!(page.entries.len() <= most.get());
            assert!(page.end() > Some(at) && page.end() <= Some(upto));
            at = page.end().unwrap();
            found.extend(page.entries);
        }
        found
    }

    async fn call(&mut self, call: &Call) {
        match call {
            Call::Append(drafts) => {
                let mut entries = Vec::new();
                for draft in drafts {
                    self.next_id += 1;
                    let topic = TOPICS[draft.topic].parse().unwrap();
                    let parts = EventParts::new(self.next_id.to_string());
                    let mut entry = Outgoing::new(topic, parts, self.next_id);
                    entry.key = draft.key.map(|key| key.to_string().into());
                    entry.ttl = draft.ttl.map(Duration::from_secs);
                    if draft.is_tombstone {
                        entry.kind = EntryKind::Tombstone;
                    }
                    entries.push(entry);
                }
                let positions = self.backend.append(&entries).await.unwrap();
                assert_eq!(positions.len(), entries.len());
                for (outgoing, at) in entries.into_iter().zip(positions) {
                    assert!(at > self.newest() && !self.lost.contains(&at));
                    let expires_at = outgoing.ttl.map(|ttl| Instant::now() + ttl);
                    self.all.push(Appended { outgoing, at, expires_at, is_forgotten: false });
                }
            }
            Call::Retry(index) => {
                let Some(index) = self.nth_newest(*index) else { return };
                let Appended { outgoing, at, .. } = &self.all[index];
                let positions = self.backend.append(std::slice::from_ref(outgoing)).await.unwrap();
                assert_eq!(positions, [*at]);
            }
            Call::Advance(millis) => advance(Duration::from_millis(*millis)).await,
            Call::Next => self.next().await,
            Call::Forget(topic) => {
                let topic: tower_sse::hub::Topic = TOPICS[*topic].parse().unwrap();
                self.backend.forget(&[(topic.clone(), self.newest())]).await.unwrap();
                let of_topic = self.all.iter_mut().filter(|entry| entry.outgoing.topic == topic);
                of_topic.for_each(|entry| entry.is_forgotten = true);
            }
            Call::TrimBefore(index) => {
                let Some(index) = self.nth_newest(*index) else { return };
                self.backend.faults().trim_before(self.all[index].at);
            }
            Call::LoseAfter(index) => {
                let Some(index) = self.nth_newest(*index) else { return };
                // Entries that were trimmed cannot be lost.
                let oldest = self.backend.bounds().await.unwrap().oldest;
                if oldest.is_some_and(|oldest| oldest <= self.all[index].at) {
                    self.backend.faults().lose_after(self.all[index].at);
                    self.lost.extend(self.all.drain(index + 1..).map(|entry| entry.at));
                }
            }
            Call::Recreate => {
                self.backend.faults().recreate();
                self.all.clear();
                self.lost.clear();
                self.was_recreated = true;
            }
            Call::Read(after, upto, topic, most) => {
                let (Some(after), Some(upto)) = (self.nth_newest(*after), self.nth_newest(*upto))
                else {
                    return;
                };
                let (after, upto) = (self.all[after].at, self.all[upto].at);
                let wanted = [
                    Wanted::all(),
                    Wanted::new(["a".parse().unwrap()], []).unwrap(),
                    Wanted::new([], ["b.*"]).unwrap(),
                ];
                let wanted = &wanted[*topic];
                let whole = self.read(Position::START, self.newest(), &Wanted::all(), 100).await;
                let expected = whole.into_iter().filter(|entry| {
                    entry.at > after && entry.at <= upto && wanted.takes(entry.topic.as_str())
                });
                let expected: Vec<_> = expected.collect();
                assert_eq!(self.read(after, upto, wanted, *most).await, expected);
            }
        }
    }

    async fn next(&mut self) {
        match timeout(Duration::ZERO, self.tail.next()).await {
            Err(_) => {
                assert!(!self.was_recreated);
                assert!(self.alive(self.tail_at, self.newest()).is_empty());
            }
            Ok(Ok(batch)) => {
                let end = batch.end().unwrap();
                assert!(!self.was_recreated && end > self.tail_at);
                let found: Vec<_> = batch.entries.iter().map(|entry| entry.at).collect();
                let alive = self.alive(self.tail_at, end);
                let alive: Vec<_> = alive.iter().map(|entry| entry.at).collect();
                assert_eq!(found, alive);
                self.tail_at = end;
            }
            Ok(Err(error)) => {
                assert_eq!(error.fault(), Fault::Lost);
                let located = self.backend.locate(self.tail_at, &Wanted::all()).await.unwrap();
                assert!(self.was_recreated || located != Located::Kept, "{:?}", self.tail_at);
                self.tail_at = self.newest();
                self.tail = self.backend.tail(self.tail_at).await.unwrap();
                self.was_recreated = false;
            }
        }
    }

    /// Checks all that can be asked about the log.
    async fn check(&self) {
        let newest = self.newest();
        let whole = self.read(Position::START, newest, &Wanted::all(), 100).await;
        assert!(whole.len() <= MAX_ENTRIES);
        let bounds = self.backend.bounds().await.unwrap();
        assert_eq!((bounds.oldest, bounds.newest), (whole.first().map(|it| it.at), newest));
        let retained: Vec<_> = whole.iter().map(|entry| entry.at).collect();
        for entry in &whole {
            let appended = self.all.iter().find(|appended| appended.at == entry.at).unwrap();
            assert!(appended.is_alive());
            let mut found = entry.clone();
            assert_eq!(found.ttl.is_some(), appended.expires_at.is_some());
            assert!(found.ttl <= appended.outgoing.ttl);
            found.ttl = appended.outgoing.ttl;
            found.age = None;
            assert_eq!(found, appended.outgoing.clone().into_entry(entry.at));
        }
        let mut positions = vec![Position::START];
        positions.extend(self.all.iter().map(|entry| entry.at));
        for at in positions {
            let after: Vec<_> = retained.iter().copied().filter(|it| *it > at).collect();
            let alive: Vec<_> = self.alive(at, newest).iter().map(|entry| entry.at).collect();
            match self.backend.locate(at, &Wanted::all()).await.unwrap() {
                Located::Kept => assert_eq!(after, alive, "{at:?}"),
                // The entry that is missing may have expired since it was trimmed.
                Located::Trimmed => assert!(!retained.contains(&at), "{at:?}"),
                Located::Unknown => panic!("{at:?} is unknown"),
            }
        }
        for at in &self.lost {
            assert_eq!(
                self.backend.locate(*at, &Wanted::all()).await.unwrap(),
                Located::Unknown,
                "{at:?}"
            );
        }
        let mut current = HashMap::new();
        for entry in &self.all {
            if let Some(key) = &entry.outgoing.key {
                current.insert((entry.outgoing.topic.clone(), key.clone()), entry);
            }
        }
        let state = self.backend.state(&Wanted::all(), newest).await.unwrap();
        for entry in &state {
            let newest = current[&(entry.topic.clone(), entry.key.clone().unwrap())];
            assert!(entry.at == newest.at || !retained.contains(&newest.at));
            assert!(whole.contains(entry) && entry.kind != EntryKind::Tombstone);
        }
        let is_state = |entry: &&&Appended| {
            retained.contains(&entry.at) && entry.outgoing.kind != EntryKind::Tombstone
        };
        for newest in current.values().filter(is_state) {
            assert!(state.iter().any(|entry| entry.at == newest.at), "{:?}", newest.at);
        }
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let ttl = proptest::option::weighted(0.3, 1..5u64);
    (0..TOPICS.len(), proptest::option::of(0..2u8), any::<bool>(), ttl)
        .prop_map(|(topic, key, is_tombstone, ttl)| Draft { topic, key, is_tombstone, ttl })
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => vec(draft(), 0..4).prop_map(Call::Append),
        2 => (0..4usize).prop_map(Call::Retry),
        3 => (1..2000u64).prop_map(Call::Advance),
        4 => Just(Call::Next),
        1 => (0..TOPICS.len()).prop_map(Call::Forget),
        1 => (0..MAX_ENTRIES).prop_map(Call::TrimBefore),
        1 => (0..4usize).prop_map(Call::LoseAfter),
        1 => prop_oneof![9 => Just(Call::Next), 1 => Just(Call::Recreate)],
        4 => (0..20usize, 0..20usize, 0..3usize, 1..5usize)
            .prop_map(|(after, upto, topic, most)| Call::Read(after, upto, topic, most)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_returns_everything_that_it_does_not_report_as_missing(calls in vec(call(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for call in &calls {
                model.call(call).await;
                model.check().await;
            }
        });
    }
}
