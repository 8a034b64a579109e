//! Sources and groups: what readers read, and how they are woken.
//!
//! A *source* is a topic or a pattern with its feed. A *group* is all readers of the same sources. A
//! reader that has nothing to read leaves its waker with its group. The group is *armed* at a source
//! while the source's next record has to wake it. A publisher takes all armed groups of a source at
//! once, so its work under a lock does not grow with their number.
//!
//! A reader that waits checks the window's head again after its group is armed. A publisher stores the
//! head before it takes the armed groups. So one of the two sees the other, and no wake-up is lost.
//!
//! A group's lock may be held while the lock of a source's list is taken, never the other way round.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Release, SeqCst},
        },
    },
    task::{Context, Waker},
};

use http::Extensions;

use super::{
    feed::Feed,
    keys::{PatternKey, ReaderKey, TopicKey},
    limits::MAX_STEPS,
    record::Seq,
    slab::Slab,
};
use crate::hub::{backend::Wanted, ids::Tag, pattern::Pattern, selection::TopicSet, topic::Topic};

/// A topic or pattern that readers read.
#[derive(Debug)]
pub(in crate::hub) struct Source {
    /// Its records.
    pub(super) feed: Feed,
    /// What it is.
    pub(super) origin: Origin,
    /// The place at which the topic ended. 0 if it has not. Always 0 for a pattern.
    end: AtomicU64,
    /// The window would have seen the end of the topic if it had ended. Otherwise only the backend knows.
    knows_end: AtomicBool,
    /// The groups that the next record has to wake.
    armed: Mutex<Armed>,
}

/// What a source is.
#[derive(Debug)]
pub(super) enum Origin {
    /// A topic.
    Topic {
        /// Its name.
        name: Topic,
        /// Its key in the topic table.
        key: TopicKey,
        /// The hash of its name, which the IDs of its records contain.
        tag: Tag,
        /// The place after which its feed was complete when it was created. A coverage above it
        /// means that records of the topic were trimmed.
        covered_from: Seq,
    },
    /// A pattern.
    Pattern {
        /// The pattern.
        pattern: Pattern,
        /// Its key in the pattern table.
        key: PatternKey,
        /// The newest record when the pattern was added: its feed has the records after it.
        since: Seq,
        /// The newest record of its topics that was trimmed.
        trimmed: AtomicU64,
        /// Set when the records up to `since` were added to the feed as well.
        filled: Box<tokio::sync::OnceCell<()>>,
    },
}

/// Groups that wait for a record, each with the index of the source among its sources. Most sources
/// have one group, which needs no map.
#[derive(Debug, Default)]
pub(in crate::hub) struct Armed {
    /// The first group.
    one: Option<(Arc<Group>, u32)>,
    /// The others, by the number of the group.
    more: BTreeMap<u64, (Arc<Group>, u32)>,
}

/// The groups that select a topic or pattern. Most have one, which needs no map.
#[derive(Debug, Default)]
pub(super) struct GroupList {
    /// The first group.
    one: Option<Arc<Group>>,
    /// The others, by their numbers.
    more: BTreeMap<u64, Arc<Group>>,
}

/// All readers of the same topics and patterns. It exists while it has readers.
#[derive(Debug)]
pub(in crate::hub) struct Group {
    /// Its number. No two groups of a window have the same.
    pub(in crate::hub) number: u64,
    /// The topics and patterns that it selects.
    pub(super) set: Arc<TopicSet>,
    /// The hash of `set` in the window's table of groups.
    pub(super) hash: u64,
    /// The hash of `set`, which the IDs of its readers' positions contain.
    pub(in crate::hub) tag: Tag,
    /// The topics and patterns, with their feeds.
    pub(super) sources: Box<[Arc<Source>]>,
    /// How many of its readers were disconnected.
    cuts: AtomicUsize,
    /// How many readers it has.
    len: AtomicUsize,
    /// Its readers.
    state: Mutex<Readers>,
}

/// The readers of a group.
#[derive(Debug)]
pub(super) struct Readers {
    /// The readers.
    pub(super) by_key: Slab<ReaderKey, Reader>,
    /// The readers that wait for a record. Each knows its index here (`Reader::waiting_at`).
    waiting: Vec<ReaderKey>,
    /// Counts how many times `waiting` was taken to be woken. Indexes of earlier rounds are void.
    round: u32,
    /// The indexes of the sources at which the group is not armed.
    disarmed: Vec<u32>,
}

/// A reader, without its place in the window, which its cursor has.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The waker of the task that waits: for a record while `waiting_at` has the present round,
    /// otherwise only for `Hub::disconnect`.
    waker: Option<Waker>,
    /// The round, and the index in `Readers::waiting`.
    waiting_at: Option<(u32, u32)>,
    /// `Hub::disconnect` has ended it. It reads nothing any more.
    is_cut: bool,
    /// The request's extensions, or those set by `Subscription::extensions`. `None` if there are
    /// none and the reader is not a body.
    session: Option<Arc<Extensions>>,
}

/// The answer to a reader that is about to wait.
pub(in crate::hub) enum Wait {
    /// Its waker is stored. The previous one is to be dropped without the lock.
    Stored(Option<Waker>),
    /// `Hub::disconnect` has ended it.
    Cut,
}

impl Source {
    /// `knows_end` states that the window has seen all ends of topics so far.
    pub(super) fn new(origin: Origin, coverage: Seq, knows_end: bool) -> Self {
        Self {
            feed: Feed::new(coverage),
            origin,
            end: AtomicU64::new(0),
            knows_end: AtomicBool::new(knows_end),
            armed: Mutex::default(),
        }
    }

    /// Returns the place at which the topic ended, or `None` if it has not.
    pub(super) fn end(&self) -> Option<Seq> {
        Some(self.end.load(Acquire)).filter(|end| *end > 0)
    }

    /// Forgets that the topic has ended, because the log is another one.
    pub(super) fn reset_end(&self) {
        self.knows_end.store(false, Release);
        self.end.store(0, Release);
    }

    /// Returns whether the window knows whether the topic has ended.
    pub(super) fn knows_end(&self) -> bool {
        self.knows_end.load(Acquire)
    }

    /// Records that the backend was asked whether the topic has ended.
    pub(super) fn set_knows_end(&self) {
        self.knows_end.store(true, Release);
    }

    pub(super) fn set_end(&self, end: Seq) {
        self.end.store(end, Release);
    }

    /// Raises the coverage: records up to this place may be gone. Called before they are marked as
    /// removed.
    pub(super) fn raise_coverage(&self, to: Seq) {
        if let Origin::Pattern { trimmed, .. } = &self.origin {
            trimmed.fetch_max(to, SeqCst);
        }
        self.feed.raise_coverage(to);
    }

    /// Returns the place up to which records may be gone that it had since it was created.
    fn lost_until(&self) -> Seq {
        let coverage = self.feed.coverage();
        match self.origin {
            Origin::Topic { covered_from, .. } if coverage <= covered_from => 0,
            Origin::Topic { .. } | Origin::Pattern { .. } => coverage,
        }
    }

    /// Takes all armed groups. The caller wakes them without the window's lock.
    pub(super) fn take_armed(&self) -> Armed {
        mem::take(&mut *self.armed())
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        // Nothing panics under this lock.
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn insert(&mut self, group: &Arc<Group>, index: u32) {
        match self.one {
            None => self.one = Some((group.clone(), index)),
            Some(_) => {
                self.more.insert(group.number, (group.clone(), index));
            }
        }
    }

    fn remove(&mut self, group: &Group) -> Option<Arc<Group>> {
        if self.one.as_ref().is_some_and(|(one, _)| one.number == group.number) {
            return self.one.take().map(|(group, _)| group);
        }
        self.more.remove(&group.number).map(|(group, _)| group)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.more.is_empty()
    }

    /// Wakes the readers of all groups that wait, and returns how many these were. Called without
    /// the window's lock. `wakers` is empty, and is left empty.
    pub(in crate::hub) fn wake(
        self,
        wakers: &mut Vec<Waker>,
        wake: impl Fn(&mut Vec<Waker>),
    ) -> usize {
        let Self { one, more } = self;
        let mut woken = 0;
        for (group, index) in one.into_iter().chain(more.into_values()) {
            woken += group.wake_waiting(Some(index), wakers, &wake);
        }
        woken
    }
}

impl GroupList {
    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none()
    }

    pub(super) fn insert(&mut self, group: &Arc<Group>) {
        match self.one {
            None => self.one = Some(group.clone()),
            Some(_) => {
                self.more.insert(group.number, group.clone());
            }
        }
    }

    /// Removes a group, which is in the list.
    pub(super) fn remove(&mut self, group: &Group) {
        let is_one = self.one.as_ref().is_some_and(|one| one.number == group.number);
        if is_one {
            self.one = self.more.pop_first().map(|(_, group)| group);
        } else {
            self.more.remove(&group.number);
        }
    }

    /// Returns the groups from a number on. The first group comes if the number is 0.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = &Arc<Group>> {
        let one = self.one.iter().filter(move |_| number == 0);
        one.chain(self.more.range(number..).map(|(_, group)| group))
    }
}

impl Group {
    pub(super) fn new(
        number: u64,
        (set, hash): (Arc<TopicSet>, u64),
        tag: Tag,
        sources: Box<[Arc<Source>]>,
    ) -> Self {
        let disarmed = (0..).take(sources.len()).collect();
        let state = Readers { by_key: Slab::default(), waiting: Vec::new(), round: 0, disarmed };
        let (cuts, len) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { number, set, hash, tag, sources, cuts, len, state: Mutex::new(state) }
    }

    pub(super) fn readers(&self) -> MutexGuard<'_, Readers> {
        // Only `Waker::clone` may panic under this lock, and it is called before anything changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reader.
    pub(super) fn add_reader(&self) -> ReaderKey {
        let key = self.readers().by_key.insert(Reader::default());
        self.len.fetch_add(1, SeqCst);
        key
    }

    /// Removes a reader, unless it is the last one. Returns what is to be dropped without the lock,
    /// or `None` if the reader is the last one: then the group must be removed as well.
    pub(in crate::hub) fn remove_unless_last(&self, key: ReaderKey) -> Option<impl Sized + use<>> {
        let mut readers = self.readers();
        (readers.by_key.len() > 1).then(|| self.remove_from(&mut readers, key))
    }

    /// Removes a reader. Returns whether it was the last one, and what is to be dropped without the
    /// lock: dropping a waker or extensions runs application code.
    pub(super) fn remove_reader(&self, key: ReaderKey) -> (bool, impl Sized + use<>) {
        let mut readers = self.readers();
        let gone = self.remove_from(&mut readers, key);
        (readers.by_key.len() == 0, gone)
    }

    fn remove_from(
        &self,
        readers: &mut Readers,
        key: ReaderKey,
    ) -> (Option<Waker>, Option<Arc<Extensions>>) {
        let waker = readers.stop_waiting(key);
        let Some(reader) = readers.by_key.remove(key) else { return (waker, None) };
        self.len.fetch_sub(1, SeqCst);
        if reader.is_cut {
            self.cuts.fetch_sub(1, SeqCst);
        }
        (waker, reader.session)
    }

    /// Takes the group out of the lists of its sources. Called when it has no readers any more.
    pub(super) fn disarm(&self) {
        for source in &self.sources {
            let _group = source.armed().remove(self);
        }
    }

    /// Returns the place after which the window is complete for all sources.
    pub(in crate::hub) fn coverage(&self) -> Seq {
        self.sources.iter().map(|source| source.feed.coverage()).max().unwrap_or(0)
    }

    /// Returns the place up to which records may be gone that the present topics and patterns had.
    /// Readers look at it when they have started. Records that an earlier topic
    /// with the same name has lost count for the [`coverage`](Self::coverage) alone: a reader is told
    /// of them when it starts.
    pub(in crate::hub) fn lost_until(&self) -> Seq {
        self.sources.iter().map(|source| source.lost_until()).max().unwrap_or(0)
    }

    /// Returns whether records may lie after a place. Both this and the coverage are read after the
    /// head.
    pub(in crate::hub) fn has_after(&self, after: Seq) -> bool {
        self.sources.iter().any(|source| source.feed.last() > after)
    }

    /// Returns whether a reader that has read everything up to this place has read the ends of all
    /// topics. A pattern never ends.
    pub(in crate::hub) fn is_finished(&self, at: Seq) -> bool {
        !self.sources.is_empty()
            && self.sources.iter().all(|source| source.end().is_some_and(|end| end <= at))
    }

    /// Returns whether a reader that has read everything up to the head has nothing to do but to
    /// wait. `false` is not certain. `superseded` is how many records it knows to be superseded.
    #[inline]
    pub(in crate::hub) fn is_quiet(&self, head: Seq, superseded: u64) -> bool {
        let [source] = &*self.sources else { return false };
        self.cuts.load(Acquire) == 0
            && source.feed.coverage() <= head
            && source.feed.superseded() == superseded
            && source.end().is_none()
    }

    /// Stores the waker of a reader, and arms the group. The caller then checks the head again.
    pub(in crate::hub) fn wait(self: &Arc<Self>, key: ReaderKey, cx: &Context<'_>) -> Wait {
        let mut guard = self.readers();
        let readers = &mut *guard;
        let Some(reader) = readers.by_key.get_mut(key).filter(|reader| !reader.is_cut) else {
            return Wait::Cut;
        };
        let is_current = reader.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let is_listed = reader.waiting_at.is_some_and(|(round, _)| round == readers.round);
        // `Waker::clone` is application code and may panic, so it is called before anything
        // changes.
        let old = if is_current { None } else { reader.waker.replace(cx.waker().clone()) };
        if !is_listed {
            let index = u32::try_from(readers.waiting.len()).ok();
            reader.waiting_at = index.map(|index| (readers.round, index));
            readers.waiting.push(key);
        }
        if !readers.disarmed.is_empty() {
            self.arm(&mut readers.disarmed);
        }
        Wait::Stored(old)
    }

    /// Arms the group at the sources at which it is not armed. Most readers that wait are not the
    /// first after a wake-up, and have nothing to arm.
    #[inline(never)]
    fn arm(self: &Arc<Self>, disarmed: &mut Vec<u32>) {
        for index in disarmed.drain(..) {
            if let Some(source) = self.sources.get(index as usize) {
                source.armed().insert(self, index);
            }
        }
    }

    /// Stores the waker of a reader that waits for nothing but [`cut`](Self::cut): its body holds
    /// events back, and must not be woken for each of them.
    pub(in crate::hub) fn wait_for_cut(&self, key: ReaderKey, cx: &Context<'_>) -> Wait {
        let mut readers = self.readers();
        let Some(reader) = readers.by_key.get_mut(key).filter(|reader| !reader.is_cut) else {
            return Wait::Cut;
        };
        Wait::Stored(reader.waker.replace(cx.waker().clone()))
    }

    /// Wakes the readers that wait, some thousand at a time, and returns how many these were.
    /// `fired` is the index of the source that has a record: it is not armed any more.
    pub(in crate::hub) fn wake_waiting(
        &self,
        fired: Option<u32>,
        wakers: &mut Vec<Waker>,
        wake: &impl Fn(&mut Vec<Waker>),
    ) -> usize {
        let mut readers = self.readers();
        readers.disarmed.extend(fired);
        if readers.waiting.len() <= MAX_STEPS {
            // The list keeps its capacity.
            let Readers { by_key, waiting, round, .. } = &mut *readers;
            let waker =
                |key| by_key.get_mut(key).and_then(|reader: &mut Reader| reader.waker.take());
            wakers.extend(waiting.drain(..).filter_map(waker));
            *round = round.wrapping_add(1);
            drop(readers);
            let woken = wakers.len();
            wake(wakers);
            return woken;
        }
        let (round, waiting) = readers.take_waiting();
        drop(readers);
        let mut woken = 0;
        for keys in waiting.chunks(MAX_STEPS) {
            {
                let mut readers = self.readers();
                wakers.extend(keys.iter().filter_map(|key| readers.take_waker(*key, round)));
            }
            woken += wakers.len();
            wake(wakers);
        }
        woken
    }

    /// Returns whether a reader was disconnected.
    #[inline]
    pub(in crate::hub) fn is_cut(&self, key: ReaderKey) -> bool {
        self.cuts.load(Acquire) > 0
            && self.readers().by_key.get(key).is_some_and(|reader| reader.is_cut)
    }

    /// Sets the extensions of a reader. Returns those to be dropped without the lock.
    pub(in crate::hub) fn set_session(
        &self,
        key: ReaderKey,
        extensions: Arc<Extensions>,
    ) -> Option<Arc<Extensions>> {
        let mut readers = self.readers();
        match readers.by_key.get_mut(key).map(|reader| &mut reader.session) {
            // Empty extensions do not replace those that the application has set.
            Some(Some(_)) if extensions.is_empty() => Some(extensions),
            Some(session) => session.replace(extensions),
            None => Some(extensions),
        }
    }

    /// Returns the extensions of a reader.
    pub(in crate::hub) fn session(&self, key: ReaderKey) -> Option<Arc<Extensions>> {
        self.readers().by_key.get(key)?.session.clone()
    }

    /// Returns the extensions of some of the readers, from an index on, and the index to continue
    /// at. `None` if there are no more.
    pub(in crate::hub) fn sessions(
        &self,
        from: usize,
        found: &mut Vec<(ReaderKey, Arc<Extensions>)>,
    ) -> Option<usize> {
        let readers = self.readers();
        let some = readers.by_key.some(from, MAX_STEPS);
        found.extend(some.filter_map(|(key, reader)| {
            Some((key, reader.session.clone().filter(|_| !reader.is_cut)?))
        }));
        let next = from + MAX_STEPS;
        (next < readers.by_key.slots()).then_some(next)
    }

    /// Disconnects a reader if it still has these extensions. Returns whether it does, and its
    /// waker.
    pub(in crate::hub) fn cut(
        &self,
        key: ReaderKey,
        session: &Arc<Extensions>,
    ) -> Option<Option<Waker>> {
        let mut readers = self.readers();
        // The reader may have left meanwhile, and its key may be another reader's. Its extensions
        // are held by the caller, so no others have their address.
        let reader = readers.by_key.get_mut(key).filter(|reader| {
            !reader.is_cut && reader.session.as_ref().is_some_and(|it| Arc::ptr_eq(it, session))
        })?;
        reader.is_cut = true;
        self.cuts.fetch_add(1, SeqCst);
        Some(readers.stop_waiting(key))
    }

    /// Records that the backend was asked whether a topic has ended.
    pub(in crate::hub) fn set_knows_end(&self, topic: &Topic) {
        if let Some(source) = self.topic(topic) {
            source.set_knows_end();
        }
    }

    fn topic(&self, topic: &Topic) -> Option<&Arc<Source>> {
        self.sources.iter().find(|source| match &source.origin {
            Origin::Topic { name, .. } => name == topic,
            Origin::Pattern { .. } => false,
        })
    }

    /// Records that a topic has ended at a place before the window.
    pub(in crate::hub) fn set_finished(&self, topic: &Topic) {
        if let Some(source) = self.topic(topic).filter(|it| it.end().is_none() && !it.knows_end()) {
            // Each reader is after this place.
            source.set_end(1);
        }
    }

    /// Returns the named topics of which the window does not know whether they have ended.
    pub(in crate::hub) fn with_unknown_end(&self) -> Vec<Topic> {
        let unknown = self.sources.iter().filter(|source| !source.knows_end());
        let names = unknown.filter_map(|source| match &source.origin {
            Origin::Topic { name, .. } => Some(name.clone()),
            Origin::Pattern { .. } => None,
        });
        names.collect()
    }

    /// Returns what a backend is asked for.
    pub(in crate::hub) fn wanted(&self) -> Wanted {
        Wanted::from_parts(self.set.names.clone(), self.set.patterns.clone())
    }

    /// Returns whether the group selects a topic.
    pub(in crate::hub) fn selects(&self, topic: &str) -> bool {
        self.set.selects(topic)
    }

    /// Returns how many readers the group has.
    pub(in crate::hub) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// Returns whether the group has several readers.
    #[inline]
    pub(in crate::hub) fn is_shared(&self) -> bool {
        self.len() > 1
    }
}

impl Readers {
    /// Takes the list of waiting readers, and its round.
    fn take_waiting(&mut self) -> (u32, Vec<ReaderKey>) {
        let round = self.round;
        self.round = round.wrapping_add(1);
        (round, mem::take(&mut self.waiting))
    }

    /// Takes the waker of a reader that was listed in this round.
    fn take_waker(&mut self, key: ReaderKey, round: u32) -> Option<Waker> {
        let reader = self.by_key.get_mut(key)?;
        let is_listed = reader.waiting_at.is_some_and(|(listed, _)| listed == round);
        reader.waker.take_if(|_| is_listed)
    }

    /// Takes a reader out of the list of waiting readers, and returns its waker.
    fn stop_waiting(&mut self, key: ReaderKey) -> Option<Waker> {
        let reader = self.by_key.get_mut(key)?;
        let waker = reader.waker.take();
        if let Some((round, index)) = reader.waiting_at.take() {
            if round == self.round {
                self.waiting.swap_remove(index as usize);
                // The last reader of the list has moved to this index, unless it was this one.
                if let Some(&moved) = self.waiting.get(index as usize) {
                    if let Some(moved) = self.by_key.get_mut(moved) {
                        moved.waiting_at = Some((round, index));
                    }
                }
            }
        }
        waker
    }
}
