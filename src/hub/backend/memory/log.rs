//! The log in memory: what is done under its lock.
//!
//! Entries have the major numbers 1, 2, 3 and so on. An entry that expires or is forgotten leaves an
//! empty slot, so that an entry is found by its number. Empty slots count as entries of the history,
//! and are removed once they are the oldest.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    num::NonZeroUsize,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::hub::{
    backend::{
        bounds::{Bounds, Located},
        entry::{Batch, EntryKind, LogEntry, Outgoing},
        error::{BackendError, Fault},
        identity::Identity,
        position::Position,
        wanted::Wanted,
    },
    history::History,
    topic::Topic,
};

/// What an entry costs in addition to its text, in bytes.
pub(super) const ENTRY_OVERHEAD: usize = 256;
/// How long a retry of an append is recognized.
pub(super) const DEDUP_WINDOW: Duration = Duration::from_secs(120);
/// How many append IDs are remembered at most.
pub(super) const MAX_APPEND_IDS: usize = 1 << 16;
/// How many slots, keys or expired entries are looked at under the lock.
pub(super) const MAX_STEPS: usize = 4096;
/// How many entries a batch of a tail has at most.
const MAX_BATCH_ENTRIES: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");
/// A batch ends with the entry that reaches this size, in bytes.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// A topic and a key.
pub(super) type KeyName = (Topic, Arc<str>);

#[derive(Debug)]
pub(super) struct Log {
    identity: Identity,
    history: History,
    /// The slots from number `first` on.
    slots: VecDeque<Slot>,
    first: u64,
    /// The number of the newest entry that was removed to keep the log within its bounds. 0 if
    /// nothing was removed. Everything after it is retained.
    trimmed: u64,
    /// The cost of all slots, in bytes.
    bytes: usize,
    /// The fingerprints of positions, each with the number from which it applies, ascending. The log
    /// gets another one when it loses its end, which happens in tests only.
    checks: Vec<(u64, u32)>,
    /// When entries expire, and their numbers. May contain entries that were removed.
    expiries: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The number of the newest entry of each key that has one and no tombstone. Sorted, so that it
    /// can be read in parts.
    keys: BTreeMap<KeyName, u64>,
    /// The number of the newest end of each topic that has ended.
    ends: HashMap<Topic, u64>,
    /// The numbers of the entries that were appended with these IDs.
    append_ids: HashMap<u128, u64>,
    /// The same IDs, the oldest first, and when they were used.
    append_order: VecDeque<(Instant, u128)>,
}

#[derive(Debug)]
struct Slot {
    /// `None` if the entry has expired or was forgotten.
    stored: Option<Stored>,
    appended_at: Instant,
}

#[derive(Debug)]
struct Stored {
    entry: LogEntry,
    /// `None` if the entry does not expire.
    expires_at: Option<Instant>,
}

impl Slot {
    /// Returns the entry with its age and the time that it still lives, or `None` if it is gone or has
    /// expired.
    fn live(&self, now: Instant) -> Option<LogEntry> {
        let Stored { entry, expires_at } = self.stored.as_ref()?;
        let mut entry = entry.clone();
        entry.age = Some(now.saturating_duration_since(self.appended_at));
        if let Some(at) = expires_at {
            entry.ttl = Some(at.checked_duration_since(now).filter(|ttl| !ttl.is_zero())?);
        }
        Some(entry)
    }

    fn cost(&self) -> usize {
        size_of::<Self>() + self.stored.as_ref().map_or(0, |it| it.entry.size() + ENTRY_OVERHEAD)
    }
}

impl Log {
    pub(super) fn new(history: History) -> Self {
        Self {
            identity: Identity::random(),
            history,
            slots: VecDeque::new(),
            first: 1,
            trimmed: 0,
            bytes: 0,
            checks: vec![(0, 0)],
            expiries: BinaryHeap::new(),
            keys: BTreeMap::new(),
            ends: HashMap::new(),
            append_ids: HashMap::new(),
            append_order: VecDeque::new(),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn newest(&self) -> Position {
        self.position(self.next() - 1)
    }

    /// Returns the largest size of an entry.
    pub(super) fn largest(history: &History) -> usize {
        history.bytes.saturating_sub(ENTRY_OVERHEAD + size_of::<Slot>())
    }

    /// The number of the next entry.
    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn position(&self, number: u64) -> Position {
        let at = self.checks.partition_point(|(from, _)| *from <= number);
        Position::new(number).with_check(self.checks[at - 1].1)
    }

    /// Returns whether the position was given to an entry that was not lost, or is the start.
    fn is_known(&self, at: Position) -> bool {
        at.major() < self.next() && at == self.position(at.major())
    }

    pub(super) fn bounds(&mut self, now: Instant) -> Bounds {
        self.maintain(now);
        let oldest = self.slots.iter().position(|slot| slot.stored.is_some());
        let oldest = oldest.map(|index| self.position(self.first + index as u64));
        Bounds::new(self.identity, oldest, self.newest())
    }

    pub(super) fn locate(&mut self, at: Position, now: Instant) -> Located {
        self.maintain(now);
        if !self.is_known(at) {
            Located::Unknown
        } else if at.major() < self.trimmed {
            Located::Trimmed
        } else {
            Located::Kept
        }
    }

    pub(super) fn append(
        &mut self,
        entries: &[Outgoing],
        now: Instant,
    ) -> Result<Vec<Position>, BackendError> {
        let max = Self::largest(&self.history);
        if let Some(size) = entries.iter().map(Outgoing::size).find(|size| *size > max) {
            let text = format!("an entry has {size} bytes, but at most {max} are allowed");
            return Err(BackendError::new(Fault::Refused, text));
        }
        self.forget_append_ids(now);
        let positions = entries.iter().map(|entry| self.append_one(entry, now)).collect();
        self.maintain(now);
        Ok(positions)
    }

    fn append_one(&mut self, entry: &Outgoing, now: Instant) -> Position {
        if let Some(number) = self.append_ids.get(&entry.append_id) {
            return self.position(*number);
        }
        let number = self.next();
        let at = self.position(number);
        self.append_ids.insert(entry.append_id, number);
        self.append_order.push_back((now, entry.append_id));
        self.index(&entry.topic, entry.key.as_ref(), entry.kind, number);
        let expires_at = entry.ttl.and_then(|ttl| now.checked_add(ttl));
        if let Some(at) = expires_at {
            self.expiries.push(Reverse((at, number)));
        }
        let stored = Stored { entry: entry.clone().into_entry(at), expires_at };
        let slot = Slot { stored: Some(stored), appended_at: now };
        self.bytes += slot.cost();
        self.slots.push_back(slot);
        at
    }

    /// Records that an entry is the newest one of its key, or the end of its topic.
    fn index(&mut self, topic: &Topic, key: Option<&Arc<str>>, kind: EntryKind, number: u64) {
        if kind == EntryKind::End {
            self.ends.insert(topic.clone(), number);
        }
        let Some(key) = key else { return };
        let name = (topic.clone(), key.clone());
        if kind == EntryKind::Tombstone {
            self.keys.remove(&name);
        } else {
            self.keys.insert(name, number);
        }
    }

    fn forget_append_ids(&mut self, now: Instant) {
        while let Some((used_at, id)) = self.append_order.front() {
            let is_over = now.saturating_duration_since(*used_at) > DEDUP_WINDOW;
            if !is_over && self.append_order.len() <= MAX_APPEND_IDS {
                break;
            }
            self.append_ids.remove(id);
            self.append_order.pop_front();
        }
    }

    /// Removes expired entries, and the oldest ones while the log is out of its bounds.
    pub(super) fn maintain(&mut self, now: Instant) {
        for _ in 0..MAX_STEPS {
            let Some(Reverse((at, number))) = self.expiries.peek() else { break };
            if *at > now {
                break;
            }
            let number = *number;
            self.expiries.pop();
            self.empty_slot(number);
        }
        // Each append adds a slot, so the number of slots and bytes is met at once. Only the slots
        // that are too old may be many.
        let mut aged = 0;
        while let Some(oldest) = self.slots.front() {
            let age = now.saturating_duration_since(oldest.appended_at);
            let is_aged = self.history.age.is_some_and(|max| age >= max) && aged < MAX_STEPS;
            let is_over = self.slots.len() > self.history.events || self.bytes > self.history.bytes;
            if oldest.stored.is_some() && !is_aged && !is_over {
                break;
            }
            aged += usize::from(!is_over);
            self.trim_oldest();
        }
    }

    /// Removes the oldest slot.
    fn trim_oldest(&mut self) {
        let number = self.first;
        // Readers do not miss an entry that has expired or was forgotten.
        if self.slots.front().is_some_and(|slot| slot.stored.is_some()) {
            self.trimmed = number;
        }
        self.empty_slot(number);
        if let Some(slot) = self.slots.pop_front() {
            self.bytes -= slot.cost();
            self.first += 1;
        }
    }

    /// Removes the entry with this number, if it is retained, and leaves an empty slot.
    fn empty_slot(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return };
        let before = slot.cost();
        let Some(stored) = slot.stored.take() else { return };
        self.bytes -= before - slot.cost();
        let LogEntry { topic, key, .. } = stored.entry;
        if self.ends.get(&topic) == Some(&number) {
            self.ends.remove(&topic);
        }
        let Some(key) = key else { return };
        let name = (topic, key);
        if self.keys.get(&name) == Some(&number) {
            self.keys.remove(&name);
        }
    }

    /// Returns the position from which a tail starts that is to start after this one.
    pub(super) fn tail_start(&mut self, after: Position) -> Result<Position, BackendError> {
        if !self.is_known(after) {
            return Err(Fault::Lost.into());
        }
        Ok(after.max(self.position(self.trimmed)))
    }

    /// Returns the batch of a tail after a position, or `None` if there is nothing yet.
    pub(super) fn tail_batch(
        &mut self,
        identity: Identity,
        after: Position,
        now: Instant,
    ) -> Result<Option<Batch>, BackendError> {
        self.maintain(now);
        let is_intact = identity == self.identity && self.is_known(after);
        if !is_intact || after.major() < self.trimmed {
            return Err(Fault::Lost.into());
        }
        let newest = self.newest();
        if after == newest {
            return Ok(None);
        }
        Ok(Some(self.collect(after, newest, &Wanted::all(), MAX_BATCH_ENTRIES, now)))
    }

    pub(super) fn read(
        &mut self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
        now: Instant,
    ) -> Result<Batch, BackendError> {
        self.maintain(now);
        if !self.is_known(after) || !self.is_known(upto) {
            return Err(Fault::Lost.into());
        }
        Ok(self.collect(after, upto, wanted, most, now))
    }

    /// Returns entries of a range whose ends are known.
    fn collect(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
        now: Instant,
    ) -> Batch {
        let start = after.major().max(self.first - 1);
        if start >= upto.major() {
            return Batch::default().with_upto(upto);
        }
        let index = (start + 1 - self.first) as usize;
        let mut end = start;
        let mut bytes = 0;
        let mut entries = Vec::new();
        for slot in self.slots.range(index..).take(MAX_STEPS) {
            if end == upto.major() || entries.len() == most.get() || bytes >= MAX_BATCH_BYTES {
                break;
            }
            end += 1;
            let Some(stored) = &slot.stored else { continue };
            if !wanted.takes(stored.entry.topic.as_str()) {
                continue;
            }
            let Some(entry) = slot.live(now) else { continue };
            bytes += entry.size();
            entries.push(entry);
        }
        Batch::new(entries).with_upto(self.position(end))
    }

    /// Returns a part of the state, and the key after which the next part starts. `None` if this is
    /// the last part.
    pub(super) fn state(
        &mut self,
        after: Option<&KeyName>,
        upto: Position,
        wanted: &Wanted,
        now: Instant,
    ) -> Result<(Vec<LogEntry>, Option<KeyName>), BackendError> {
        self.maintain(now);
        if !self.is_known(upto) {
            return Err(Fault::Lost.into());
        }
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys = self.keys.range::<KeyName, _>((start, Bound::Unbounded));
        let mut entries = Vec::new();
        let mut last = None;
        for (name, number) in keys.by_ref().take(MAX_STEPS) {
            last = Some(name);
            if *number > upto.major() || !wanted.takes(name.0.as_str()) {
                continue;
            }
            let slot = self.slots.get((number - self.first) as usize);
            entries.extend(slot.and_then(|slot| slot.live(now)));
        }
        let has_more = keys.next().is_some();
        Ok((entries, last.filter(|_| has_more).cloned()))
    }

    /// Returns the positions of the ends of topics.
    pub(super) fn ends(&mut self, topics: &[Topic], now: Instant) -> Vec<Option<Position>> {
        self.maintain(now);
        let end = |topic| self.ends.get(topic).map(|number| self.position(*number));
        topics.iter().map(end).collect()
    }

    /// Returns the position of an entry that has this many slots after it.
    pub(super) fn warm_start(&mut self, most: NonZeroUsize, now: Instant) -> Position {
        self.maintain(now);
        let skipped = self.slots.len().saturating_sub(most.get());
        if skipped == 0 { Position::START } else { self.position(self.first + skipped as u64 - 1) }
    }

    /// Removes the entries of topics, each up to a number, from a number on and at most up to another
    /// one. Returns the number from which to go on, or `None` after the last one.
    pub(super) fn forget(
        &mut self,
        topics: &HashMap<&Topic, u64>,
        from: u64,
        upto: u64,
        now: Instant,
    ) -> Option<u64> {
        let from = from.max(self.first);
        let end =
            from.saturating_add(MAX_STEPS as u64).min(upto.saturating_add(1)).min(self.next());
        for number in from..end {
            let slot = self.slots.get((number - self.first) as usize);
            let stored = slot.and_then(|slot| slot.stored.as_ref());
            let last = stored.and_then(|stored| topics.get(&stored.entry.topic));
            if last.is_some_and(|last| number <= *last) {
                self.empty_slot(number);
            }
        }
        self.maintain(now);
        (end <= upto && end < self.next()).then_some(end)
    }
}

/// What engines suffer, for tests.
#[cfg(feature = "backend-testing")]
impl Log {
    /// Removes all entries before a place.
    pub(super) fn trim_before(&mut self, at: Position, now: Instant) {
        self.maintain(now);
        while !self.slots.is_empty() && Position::new(self.first).place() < at.place() {
            self.trim_oldest();
        }
    }

    /// Removes all entries after a place. Their places are given again.
    pub(super) fn lose_after(&mut self, at: Position) {
        let retained = at.major().saturating_add(1).saturating_sub(self.first);
        let retained = self.slots.len().min(usize::try_from(retained).unwrap_or(usize::MAX));
        for slot in self.slots.split_off(retained) {
            self.bytes -= slot.cost();
        }
        let next = self.next();
        let last_check = self.checks.last().map_or(0, |(_, check)| *check);
        self.checks.retain(|(from, _)| *from < next);
        self.checks.push((next, last_check + 1));
        self.expiries.retain(|Reverse((_, number))| *number < next);
        self.append_ids.retain(|_, number| *number < next);
        self.append_order.retain(|(_, id)| self.append_ids.contains_key(id));
        self.keys.clear();
        self.ends.clear();
        let stored = |slot: &Slot| {
            let LogEntry { at, topic, key, kind, .. } = &slot.stored.as_ref()?.entry;
            Some((topic.clone(), key.clone(), *kind, at.major()))
        };
        let retained: Vec<_> = self.slots.iter().filter_map(stored).collect();
        for (topic, key, kind, number) in retained {
            self.index(&topic, key.as_ref(), kind, number);
        }
    }

    /// Deletes the log and makes it again.
    pub(super) fn recreate(&mut self) {
        *self = Self::new(self.history);
    }
}
