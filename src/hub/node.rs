//! What the handles of a hub share with its readers.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

#[cfg(tower_sse_hold)]
use super::hold::WindowGuard;
use super::{
    backend::Position,
    engine::shared::Engine,
    gap::{Gap, Lagging},
    hooks::Hooks,
    ids::Ids,
    selection::{Selection, TopicSet},
    subscribe_error::SubscribeError,
    topic::Topic,
    window::{
        Armed, ChunkCache, Counters, Draft, Group, ReaderKey, Record, TooManyNamedTopics, Wakes,
        Window, WindowBounds, start_hold,
    },
};
use crate::{
    catch_panic::catch_and_log,
    event::EventId,
    metrics::{self, HubMetrics},
    trace,
};

/// A guard of the window's lock.
#[cfg(not(tower_sse_hold))]
type WindowGuard<'a> = MutexGuard<'a, Window>;

/// A hub in this process: its window, and its settings.
pub(super) struct Node {
    /// The state of the hub. See [`window`](super::window) for the rules that hold under this lock.
    window: Mutex<Window>,
    /// How many threads wait for that lock.
    waiting: AtomicUsize,
    /// Held by a publisher from its first record to its last, so that no other event comes between
    /// the events of a batch. Readers never take it. It is taken before the window's lock.
    publishing: Mutex<()>,
    /// What readers see of the window without its lock.
    pub(super) counters: Arc<Counters>,
    /// The chunks that were joined last.
    chunks: Mutex<ChunkCache>,
    /// Parses IDs without the lock. Replaced when the log of a backend turns out to be another one.
    ids: RwLock<Arc<Ids>>,
    /// The backend. `None` if the window is the log.
    engine: OnceLock<Arc<Engine>>,
    /// Hashes selections, to find their groups.
    hasher: RandomState,
    /// Counts published events.
    pub(super) metrics: HubMetrics,
    /// What happens to readers that lag.
    pub(super) lagging: Lagging,
    /// The age from which an event is not given to readers any more.
    max_age: Option<Duration>,
    /// There is a bound in age, so readers look at the clock.
    pub(super) has_max_age: bool,
    /// The largest cost of an event, in bytes. Larger events are rejected.
    pub(super) max_event_cost: usize,
    /// What a subscription may select.
    limits: SubscriptionLimits,
    /// The application's hooks.
    pub(super) hooks: Hooks,
}

/// What a subscription may select.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubscriptionLimits {
    /// The most topics that it names.
    pub(super) topics: usize,
    /// The most patterns.
    pub(super) patterns: usize,
}

/// The settings of a node.
pub(super) struct NodeConfig {
    pub(super) ids: Arc<Ids>,
    pub(super) bounds: WindowBounds,
    pub(super) lagging: Lagging,
    pub(super) limits: SubscriptionLimits,
    pub(super) hooks: Hooks,
    /// The window is the log.
    pub(super) is_log: bool,
}

/// The index of a draft whose topic has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicFinished(pub(super) usize);

/// The most records that are appended under the lock in one step.
const MAX_APPENDS: usize = 256;

/// How many hooks a caller calls for changes that happen while it calls hooks.
const NESTED_HOOKS: usize = 8;

impl Node {
    pub(super) fn new(config: NodeConfig) -> Self {
        let NodeConfig { ids, bounds, lagging, limits, hooks, is_log } = config;
        let counters = Arc::new(Counters::new(is_log));
        let max_age = bounds.max_age();
        let window = Window::new(ids.clone(), counters.clone(), bounds, hooks.track_presence());
        Self {
            window: Mutex::new(window),
            waiting: AtomicUsize::new(0),
            publishing: Mutex::new(()),
            counters,
            chunks: Mutex::default(),
            ids: RwLock::new(ids),
            engine: OnceLock::new(),
            hasher: RandomState::new(),
            metrics: HubMetrics::new(),
            lagging,
            max_age,
            has_max_age: max_age.is_some(),
            max_event_cost: Window::max_event_cost(&bounds),
            limits,
            hooks,
        }
    }

    /// Lets threads that wait for the window's lock take it, between two steps of the same work. The
    /// lock alone would not: this thread takes it again before a waiting one has woken up.
    fn let_others_in(&self) {
        const MAX_YIELDS: usize = 1000;
        let waiting = self.waiting.load(Relaxed);
        let mut yields = 0;
        while waiting > 0 && self.waiting.load(Relaxed) >= waiting && yields < MAX_YIELDS {
            std::thread::yield_now();
            yields += 1;
        }
    }

    pub(super) fn lock(&self) -> WindowGuard<'_> {
        // No application code runs under this lock, so nothing panics there. Poison is ignored.
        let guard = match self.window.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.waiting.fetch_add(1, Relaxed);
                let guard = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                self.waiting.fetch_sub(1, Relaxed);
                guard
            }
        };
        #[cfg(tower_sse_hold)]
        let guard = WindowGuard::new(guard);
        start_hold();
        guard
    }

    /// Returns what parses and writes IDs.
    pub(super) fn ids(&self) -> Arc<Ids> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what parses and writes IDs, because the log is another one.
    pub(super) fn set_ids(&self, ids: Ids) {
        let ids = Arc::new(ids);
        self.lock().set_ids(ids.clone());
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// Returns the backend. `None` if the window is the log.
    pub(super) fn engine(&self) -> Option<&Arc<Engine>> {
        self.engine.get()
    }

    /// Sets the backend, once.
    pub(super) fn set_engine(&self, engine: Arc<Engine>) {
        let _once = self.engine.set(engine);
    }

    /// Returns the ID of an event on a topic.
    pub(super) fn event_id(&self, position: Position, topic: &Topic) -> EventId {
        let ids = self.ids();
        ids.event_id(position, ids.topic_tag(topic))
    }

    /// Returns the ID of a record: that of its event, or of its position if it has none.
    pub(super) fn id_of(&self, record: &Record) -> EventId {
        match record.is_given() {
            true => record.event_id(),
            false => self.ids().log_id(record.position),
        }
    }

    /// Makes a record that is in no feed.
    pub(super) fn record(&self, draft: Draft, at: Position, now: Instant) -> Record {
        Window::detached_record(&self.ids(), draft, at, now)
    }

    /// Returns the index of the first topic that has ended.
    pub(super) fn finished_topic<'a>(
        &self,
        mut topics: impl Iterator<Item = &'a Topic>,
    ) -> Option<usize> {
        let mut window = self.lock();
        window.maintain(Instant::now());
        topics.position(|topic| window.is_finished(topic))
    }

    /// Returns the topics of which the window does not know whether they have ended.
    pub(super) fn with_unknown_end<'a>(
        &self,
        topics: impl Iterator<Item = &'a Topic>,
    ) -> Vec<Topic> {
        self.lock().with_unknown_end(topics)
    }

    /// Records that the backend was asked about these topics, and that they have not ended.
    pub(super) fn set_know_ends(&self, topics: &[Topic]) {
        let window = self.lock();
        topics.iter().for_each(|topic| window.set_knows_end(topic));
    }

    /// Returns how many readers name a topic.
    pub(super) fn readers_that_name(&self, topic: &Topic) -> usize {
        let (mut readers, mut from) = (0, Some(0));
        while let Some(number) = from {
            from = self.lock().readers_that_name(topic, number, &mut readers);
        }
        readers
    }

    /// Begins the window at a position of the log.
    pub(super) fn begin_at(&self, position: Position) {
        self.lock().begin_at(position);
    }

    /// Removes what has expired, some at a time. Returns the topics whose time to live was over.
    pub(super) async fn expire(&self) -> Vec<(Topic, Position)> {
        loop {
            let (is_done, expired) = {
                let mut window = self.lock();
                let now = Instant::now();
                let is_done = window.maintain(now) && !window.has_expired(now);
                (is_done, window.take_expired_topics())
            };
            if is_done || !expired.is_empty() {
                return expired;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Appends entries of the log, which came by the tail, and wakes the readers that wait for
    /// them. Returns how many these were.
    pub(super) fn append_delivered(&self, append: impl FnOnce(&mut Window)) -> usize {
        let mut window = self.lock();
        let before = window.newest();
        append(&mut window);
        let published = window.newest() - before;
        let wakes = self.commit(window, Instant::now());
        self.wake_all(wakes, published as usize)
    }

    /// Records that the log has nothing for the window up to a position.
    pub(super) fn set_head_position(&self, position: Position) {
        self.lock().set_head_position(position);
    }

    /// Forgets all records, because the log is another one or has lost entries. All readers are told
    /// of a gap.
    pub(super) fn lose_all(&self, position: Position, is_other: bool) {
        let mut step = self.lock().start_to_lose_all(position, is_other);
        while let Some(next) = self.lock().lose_some(step) {
            step = next;
        }
        let now = Instant::now();
        let window = self.lock();
        let wakes = self.commit(window, now);
        self.wake_all(wakes, 0);
        self.wake_everyone();
    }

    /// Returns the cache of joined chunks, which has a lock of its own.
    pub(super) fn chunks(&self) -> MutexGuard<'_, ChunkCache> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time from which on events are young enough. `None` if there is no bound in age.
    #[inline]
    pub(super) fn too_old(&self) -> Option<Instant> {
        self.max_age.and_then(|age| Instant::now().checked_sub(age))
    }

    pub(super) fn hash(&self, set: &TopicSet) -> u64 {
        self.hasher.hash_one(set)
    }

    pub(super) fn check_limits(&self, selection: &Selection) -> Result<(), SubscribeError> {
        let SubscriptionLimits { topics, patterns } = self.limits;
        let (names, selected) = (selection.set.names.len(), selection.set.patterns.len());
        if names > topics {
            return Err(SubscribeError::too_many_topics(names, topics));
        }
        if selected > patterns {
            return Err(SubscribeError::too_many_patterns(selected, patterns));
        }
        Ok(())
    }

    /// Appends drafts in one step for readers, and wakes those that wait for them. Returns the
    /// records, and how many readers were woken. Appends nothing if one of the topics has ended.
    pub(super) fn append(
        &self,
        drafts: Vec<Draft>,
        room: usize,
    ) -> Result<(Vec<Arc<Record>>, usize), TopicFinished> {
        let now = Instant::now();
        let publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing else is published before the drafts are, so no topic ends in between.
        for (step, drafts) in drafts.chunks(MAX_APPENDS).enumerate() {
            if let Some(index) = first_finished(&mut self.lock(), drafts, now) {
                return Err(TopicFinished(step * MAX_APPENDS + index));
            }
        }
        let mut records = Vec::with_capacity(drafts.len());
        let mut drafts = drafts.into_iter();
        let wakes = loop {
            let mut window = self.lock();
            window.start_step();
            // An event may be in the feeds of many patterns.
            for draft in drafts.by_ref().take(MAX_APPENDS) {
                records.push(window.append(draft, None, room, now));
                if window.is_step_full() {
                    break;
                }
            }
            if drafts.len() == 0 {
                break self.commit(window, now);
            }
            drop(window);
            self.let_others_in();
        };
        drop(publishing);
        let count = records.len();
        Ok((records, self.wake_all(wakes, count)))
    }

    /// Appends one draft. As [`append`](Self::append), with less work.
    pub(super) fn append_one(
        &self,
        draft: Draft,
        room: usize,
    ) -> Result<(Arc<Record>, usize), TopicFinished> {
        let now = Instant::now();
        let publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = self.lock();
        if first_finished(&mut window, std::slice::from_ref(&draft), now).is_some() {
            return Err(TopicFinished(0));
        }
        let record = window.append(draft, None, room, now);
        let wakes = self.commit(window, now);
        drop(publishing);
        Ok((record, self.wake_all(wakes, 1)))
    }

    /// Shows the appended records to readers, and removes what exceeds the bounds.
    fn commit(&self, mut window: WindowGuard<'_>, now: Instant) -> Wakes {
        let mut wakes = window.take_spare_wakes();
        let mut has_more = window.commit(&mut wakes.armed);
        let mut is_within = window.maintain(now);
        drop(window);
        while has_more {
            self.let_others_in();
            has_more = self.lock().commit(&mut wakes.armed);
        }
        while !is_within {
            self.let_others_in();
            is_within = self.lock().maintain(now);
        }
        wakes
    }

    /// Wakes the readers that wait for records, and returns how many these were.
    fn wake_all(&self, mut wakes: Wakes, published: usize) -> usize {
        // A recorder of metrics and a waker are foreign code, so they run without the lock.
        self.metrics.published(published);
        let Wakes { armed, wakers } = &mut wakes;
        let woken = armed.drain(..).map(|armed: Armed| armed.wake(wakers, Self::wake)).sum();
        if woken > 0 {
            self.lock().put_spare_wakes(wakes);
        }
        woken
    }

    /// Wakes all wakers, also those after one that panics. Must not be called under the lock.
    pub(super) fn wake(wakers: &mut Vec<Waker>) {
        let mut rest = wakers.drain(..);
        while rest.len() > 0 {
            catch_and_log("a waker", || rest.by_ref().for_each(Waker::wake));
        }
    }

    /// Adds a reader that reads a selection. With many patterns, that takes several steps.
    pub(super) fn join(
        &self,
        set: TopicSet,
    ) -> Result<(Arc<Group>, ReaderKey), TooManyNamedTopics> {
        let hash = self.hash(&set);
        let now = Instant::now();
        let set = Arc::new(set);
        let mut reserved = Vec::new();
        for patterns in Window::first_patterns(&set) {
            self.lock().reserve_patterns(patterns, &mut reserved);
        }
        let joined = {
            let mut window = self.lock();
            window.maintain(now);
            window.join(&set, hash, &reserved, now)
        };
        for sources in reserved.chunks(MAX_APPENDS) {
            self.lock().release_patterns(sources);
        }
        joined
    }

    /// Removes a reader.
    pub(super) fn leave(self: &Arc<Self>, group: &Arc<Group>, reader: ReaderKey) {
        if let Some(_gone) = group.remove_unless_last(reader) {
            self.counters.remove_reader();
            return;
        }
        // Dropped after the lock is released: it holds application values.
        let (has_more, _gone) = {
            let mut window = self.lock();
            window.leave(group, reader)
        };
        let mut step = has_more.then_some(1);
        while let Some(this) = step {
            let (next, _gone) = {
                let mut window = self.lock();
                window.leave_sources(group, this)
            };
            step = next;
        }
        self.run_presence_hooks();
    }

    /// Ends all readers once they have read everything, because nothing will be published any more.
    pub(super) fn close(&self) {
        self.counters.close();
        if let Some(engine) = self.engine() {
            engine.stop();
        }
        self.wake_everyone();
    }

    /// Wakes all readers that wait.
    fn wake_everyone(&self) {
        let mut last = None;
        loop {
            let groups = self.lock().all_groups(last.as_ref());
            let Some(group) = groups.last().cloned() else { return };
            let mut wakers = Vec::new();
            for group in &groups {
                group.wake_waiting(None, &mut wakers, &Self::wake);
            }
            last = Some(group);
        }
    }

    /// Records a gap in metrics and logs. Must not be called under the lock: the recorder is
    /// foreign code.
    pub(super) fn record_gap(reason: &'static str, gap: &Gap) {
        metrics::gap(reason);
        trace::gap(reason, gap.missed);
    }

    /// Calls the presence hooks, one at a time, in order and without the lock. If another thread is
    /// calling them, it also calls these.
    ///
    /// A caller only calls the hooks for the changes that it has found. It hands later ones on to a
    /// task, or to a thread if there is no runtime, so that others do not keep it.
    pub(super) fn run_presence_hooks(self: &Arc<Self>) {
        if !self.hooks.track_presence() {
            return;
        }
        let Some(share) = self.lock().presence.start() else { return };
        let mut calls = HookCalls { node: self.clone(), is_done: false };
        // A hook may subscribe as well.
        for _ in 0..share + NESTED_HOOKS {
            if !calls.call_next() {
                return;
            }
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                while calls.call_next() {
                    tokio::task::yield_now().await;
                }
            })),
            Err(_) => drop(std::thread::Builder::new().spawn(move || while calls.call_next() {})),
        }
    }
}

/// Returns the index of the first draft whose topic has ended.
fn first_finished(window: &mut Window, drafts: &[Draft], now: Instant) -> Option<usize> {
    let first = |window: &Window| drafts.iter().position(|it| window.is_finished(&it.topic));
    first(window)?;
    // Its time to live may be over. A hub to which nothing else is published must find out as well.
    window.maintain(now);
    first(window)
}

/// Calls presence hooks, until none is left or this is dropped.
struct HookCalls {
    node: Arc<Node>,
    /// All changes have been handled.
    is_done: bool,
}

impl HookCalls {
    /// Calls the hook of the next change. Returns false if there is no change.
    fn call_next(&mut self) -> bool {
        let next = self.node.lock().presence.next();
        match next {
            Some((topic, presence)) => self.node.hooks.call_presence(&topic, presence),
            None => self.is_done = true,
        }
        !self.is_done
    }
}

impl Drop for HookCalls {
    fn drop(&mut self) {
        if !self.is_done {
            // Another caller continues.
            self.node.lock().presence.stop();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("lagging", &self.lagging).finish_non_exhaustive()
    }
}
