//! Backends that each break one promise.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::timeout;
use tower_sse::hub::{
    Topic,
    backend::{
        Abilities, Backend, BackendError, Batch, Bounds, EntryKind, Fault, Identity, Located,
        LogEntry, MemoryBackend, MemoryTail, Outgoing, Position, Tail, Wanted, state_by_reading,
        testing,
    },
};

use crate::subject;

/// What a backend does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    ReversesBatches,
    ReversesAppends,
    AcknowledgesOtherPositions,
    ChangesTopics,
    DropsFields,
    AppendsRetriesAgain,
    AppendsHalfOfBatches,
    TailDropsAnEntry,
    TailRepeatsAnEntry,
    TailIsNotWoken,
    TailLosesCancelledBatches,
    TailHasAnOrderOfItsOwn,
    ReadsWithoutTheLast,
    ReadsBeforeTheRange,
    IgnoresThePageSize,
    LocatesEverything,
    LocatesTrimmedEntries,
    LocatesWithoutFingerprint,
    StateIgnoresTombstones,
    StateHasOldEntries,
    StateIgnoresItsEnd,
    NewIdentityForEachCall,
    NewestIsOldest,
    KeepsExpiredEntries,
    EndsOfTopicsBelow,
    NewestAreOldest,
    NewestAreOfAllTopics,
    WarmStartsAtTheEnd,
    ForgetsMoreTopics,
    ForgetsLaterEntries,
    KeepsTheIdentity,
    TailSurvivesLostEntries,
    HidesOutages,
    LosesTheAnswersTwice,
}

/// A backend that makes one mistake.
struct Broken {
    inner: MemoryBackend,
    mistake: Mistake,
}

struct BrokenTail {
    inner: MemoryTail,
    backend: MemoryBackend,
    mistake: Mistake,
    at: Position,
}

/// Draws a number that no other append has.
fn drawn() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | 1 << 127
}

impl Broken {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }
}

impl Backend for Broken {
    type Tail = BrokenTail;

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        let mut bounds = match self.inner.bounds().await {
            Err(_) if self.makes(Mistake::HidesOutages) => {
                Bounds::new(Identity::new([0; 16]), None, Position::START)
            }
            bounds => bounds?,
        };
        match self.mistake {
            Mistake::NewIdentityForEachCall => bounds.identity = Identity::random(),
            Mistake::KeepsTheIdentity => bounds.identity = Identity::new([0; 16]),
            Mistake::NewestIsOldest => bounds.newest = bounds.oldest.unwrap_or(bounds.newest),
            _ => {}
        }
        Ok(bounds)
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        let mut entries = entries.to_vec();
        match self.mistake {
            Mistake::ReversesAppends => {
                entries.reverse();
                let mut positions = self.inner.append(&entries).await?;
                positions.reverse();
                return Ok(positions);
            }
            Mistake::AcknowledgesOtherPositions => {
                let positions = self.inner.append(&entries).await?;
                return Ok(positions.iter().map(|at| Position::new(at.major() + 1)).collect());
            }
            Mistake::ChangesTopics => {
                for entry in &mut entries {
                    let topic = entry.topic.as_str().to_lowercase();
                    entry.topic = topic.parse().unwrap_or_else(|_| entry.topic.clone());
                }
            }
            Mistake::DropsFields => {
                for entry in &mut entries {
                    entry.event.fields.retain(|(name, _)| name.is_ascii());
                }
            }
            Mistake::AppendsRetriesAgain => {
                entries.iter_mut().for_each(|entry| entry.append_id = drawn());
            }
            Mistake::AppendsHalfOfBatches => {
                let mut positions = Vec::new();
                for entry in &entries {
                    positions.extend(self.inner.append(std::slice::from_ref(entry)).await?);
                }
                return Ok(positions);
            }
            Mistake::LosesTheAnswersTwice => {
                return match self.inner.append(&entries).await {
                    Err(error) if error.fault() == Fault::Unknown => {
                        entries.iter_mut().for_each(|entry| entry.append_id = drawn());
                        self.inner.append(&entries).await?;
                        Err(error)
                    }
                    result => result,
                };
            }
            _ => {}
        }
        self.inner.append(&entries).await
    }

    async fn tail(&self, after: Position) -> Result<BrokenTail, BackendError> {
        let inner = self.inner.tail(after).await?;
        let (backend, mistake) = (self.inner.clone(), self.mistake);
        Ok(BrokenTail { inner, backend, mistake, at: after })
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        let (after, most) = match self.mistake {
            Mistake::ReadsBeforeTheRange if after != Position::START => {
                (Position::new(after.major() - 1), most)
            }
            Mistake::IgnoresThePageSize => (after, NonZeroUsize::MAX),
            _ => (after, most),
        };
        let mut batch = self.inner.read(after, upto, wanted, most).await?;
        match self.mistake {
            Mistake::ReversesBatches => batch.entries.reverse(),
            Mistake::ReadsWithoutTheLast => batch.entries.retain(|entry| entry.at != upto),
            Mistake::KeepsExpiredEntries => {
                // As if all entries lived forever.
                batch.entries.iter_mut().for_each(|entry| entry.ttl = None);
            }
            _ => {}
        }
        Ok(batch)
    }

    async fn locate(&self, at: Position, wanted: &Wanted) -> Result<Located, BackendError> {
        let at = match self.mistake {
            Mistake::LocatesWithoutFingerprint => {
                let newest = self.inner.bounds().await?.newest;
                let page = self.inner.read(Position::START, newest, wanted, NonZeroUsize::MAX);
                let entries = page.await?.entries;
                entries.iter().map(|it| it.at).find(|it| it.place() == at.place()).unwrap_or(at)
            }
            _ => at,
        };
        let located = self.inner.locate(at, wanted).await?;
        Ok(match (self.mistake, located) {
            (Mistake::LocatesEverything, _)
            | (Mistake::LocatesTrimmedEntries, Located::Trimmed) => Located::Kept,
            (_, located) => located,
        })
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        let newest = self.inner.bounds().await?.newest;
        let read = self.inner.read(Position::START, newest, wanted, NonZeroUsize::MAX);
        match self.mistake {
            Mistake::StateIgnoresTombstones => {
                let mut entries = read.await?.entries;
                entries.retain(|entry| entry.kind != EntryKind::Tombstone && entry.at <= upto);
                let mut state: Vec<LogEntry> = Vec::new();
                for entry in entries.into_iter().filter(|entry| entry.key.is_some()) {
                    state.retain(|old| (&old.topic, &old.key) != (&entry.topic, &entry.key));
                    state.push(entry);
                }
                Ok(state)
            }
            Mistake::StateHasOldEntries => {
                let mut entries = read.await?.entries;
                entries.retain(|entry| entry.key.is_some() && entry.kind != EntryKind::Tombstone);
                Ok(entries)
            }
            Mistake::StateIgnoresItsEnd => self.inner.state(wanted, newest).await,
            _ => state_by_reading(&self.inner, wanted, upto).await,
        }
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        if self.makes(Mistake::EndsOfTopicsBelow) {
            let below = topics.iter().map(|topic| format!("{topic}.c").parse().unwrap());
            let below: Vec<_> = below.collect();
            return self.inner.ends(&below).await;
        }
        self.inner.ends(topics).await
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        match self.mistake {
            Mistake::NewestAreOldest => {
                let mut all = self.inner.newest(topics, upto, NonZeroUsize::MAX).await?;
                all.truncate(most.get());
                Ok(all)
            }
            Mistake::NewestAreOfAllTopics => {
                let mut all = self.inner.newest(topics, upto, NonZeroUsize::MAX).await?;
                all.sort_by_key(|entry| entry.at);
                Ok(all.split_off(all.len().saturating_sub(most.get())))
            }
            _ => self.inner.newest(topics, upto, most).await,
        }
    }

    async fn warm_start(&self, most: NonZeroUsize) -> Result<Position, BackendError> {
        if self.makes(Mistake::WarmStartsAtTheEnd) {
            return Ok(self.inner.bounds().await?.newest);
        }
        self.inner.warm_start(most).await
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        let mut topics = topics.to_vec();
        if self.makes(Mistake::ForgetsMoreTopics) {
            let below = topics.iter().map(|(topic, at)| (format!("{topic}.not"), *at));
            let below: Vec<_> = below.map(|(name, at)| (name.parse().unwrap(), at)).collect();
            topics.extend(below);
        }
        if self.makes(Mistake::ForgetsLaterEntries) {
            let newest = self.inner.bounds().await?.newest;
            topics.iter_mut().for_each(|(_, at)| *at = newest);
        }
        self.inner.forget(&topics).await
    }
}

impl Tail for BrokenTail {
    async fn next(&mut self) -> Result<Batch, BackendError> {
        if self.mistake == Mistake::TailIsNotWoken {
            // Looks once, and then waits without being woken.
            return match timeout(Duration::ZERO, self.inner.next()).await {
                Ok(batch) => batch,
                Err(_) => std::future::pending().await,
            };
        }
        let mut batch = match self.inner.next().await {
            Err(error)
                if error.fault() == Fault::Lost
                    && self.mistake == Mistake::TailSurvivesLostEntries =>
            {
                // Goes on at the old place, as a client library may do.
                let newest = self.backend.bounds().await?.newest;
                let at = newest.max(self.at);
                self.inner = self.backend.tail(newest).await?;
                Batch::default().with_upto(at)
            }
            Err(_) if self.mistake == Mistake::HidesOutages => std::future::pending().await,
            batch => batch?,
        };
        self.at = batch.end().unwrap_or(self.at);
        match self.mistake {
            Mistake::ReversesBatches => batch.entries.reverse(),
            Mistake::TailDropsAnEntry => batch.entries.retain(|entry| entry.at.major() != 7),
            Mistake::TailRepeatsAnEntry => {
                let last = batch.entries.last().cloned();
                batch.entries.extend(last.filter(|last| last.at.major() == 5));
            }
            Mistake::TailLosesCancelledBatches => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Mistake::TailHasAnOrderOfItsOwn => {
                batch.entries.sort_by(|a, b| (&a.topic, a.at).cmp(&(&b.topic, b.at)));
            }
            Mistake::KeepsExpiredEntries => {
                batch.entries.iter_mut().for_each(|entry| entry.ttl = None);
            }
            _ => {}
        }
        Ok(batch)
    }
}

/// Checks that the suite finds that a mistake breaks a promise.
async fn check(mistake: Mistake, promise: &str) {
    let new = || async {
        let memory = MemoryBackend::default();
        subject(&memory, |inner| Broken { inner, mistake })
    };
    let report = testing::run_all(new).await;
    let broken: Vec<_> = report.broken().map(|(promise, _)| promise).collect();
    assert!(broken.contains(&promise), "{mistake:?} does not break {promise}\n{report}");
    assert!(testing::PROMISES.contains(&promise));
    assert!(report.skipped().next().is_none(), "{report}");
}

macro_rules! mistakes {
    ($($name:ident: $mistake:ident breaks $promise:literal;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            check(Mistake::$mistake, $promise).await;
        }
    )*};
}

mistakes! {
    reversed_batches: ReversesBatches breaks "order";
    reversed_appends: ReversesAppends breaks "order";
    other_positions: AcknowledgesOtherPositions breaks "acknowledgement";
    changed_topics: ChangesTopics breaks "content";
    dropped_fields: DropsFields breaks "content";
    retries_appended_again: AppendsRetriesAgain breaks "retries";
    batches_appended_by_half: AppendsHalfOfBatches breaks "batches";
    a_tail_that_drops_an_entry: TailDropsAnEntry breaks "tail";
    a_tail_that_repeats_an_entry: TailRepeatsAnEntry breaks "tail";
    a_tail_that_is_not_woken: TailIsNotWoken breaks "tail";
    a_tail_that_loses_cancelled_batches: TailLosesCancelledBatches breaks "cancellation";
    a_tail_with_an_order_of_its_own: TailHasAnOrderOfItsOwn breaks "one-order";
    reads_without_the_last_entry: ReadsWithoutTheLast breaks "ranges";
    reads_before_the_range: ReadsBeforeTheRange breaks "ranges";
    pages_that_are_too_large: IgnoresThePageSize breaks "pages";
    positions_that_do_not_exist_are_located: LocatesEverything breaks "locate";
    trimmed_entries_are_located: LocatesTrimmedEntries breaks "trimming";
    lost_entries_are_located: LocatesWithoutFingerprint breaks "lost-end";
    other_fingerprints_are_located: LocatesWithoutFingerprint breaks "locate";
    a_state_that_ignores_tombstones: StateIgnoresTombstones breaks "state";
    a_state_with_old_entries: StateHasOldEntries breaks "state";
    a_state_that_ignores_its_end: StateIgnoresItsEnd breaks "state";
    a_new_identity_for_each_call: NewIdentityForEachCall breaks "bounds";
    the_oldest_position_as_the_newest: NewestIsOldest breaks "bounds";
    entries_without_their_time_to_live: KeepsExpiredEntries breaks "expiry";
    ends_of_other_topics: EndsOfTopicsBelow breaks "ends";
    the_oldest_as_the_newest: NewestAreOldest breaks "newest";
    the_newest_of_all_topics: NewestAreOfAllTopics breaks "newest";
    a_start_that_is_the_end: WarmStartsAtTheEnd breaks "warm-start";
    more_topics_are_forgotten: ForgetsMoreTopics breaks "forget";
    later_entries_are_forgotten: ForgetsLaterEntries breaks "forget";
    an_identity_that_stays: KeepsTheIdentity breaks "recreation";
    a_tail_that_survives_a_new_log: TailSurvivesLostEntries breaks "recreation";
    a_tail_that_survives_a_lost_end: TailSurvivesLostEntries breaks "lost-end";
    hidden_outages: HidesOutages breaks "outage";
    appended_twice_after_a_lost_answer: LosesTheAnswersTwice breaks "lost-answer";
}
