//! Counts with a limit.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::connect::Connect;

/// A place that is taken, until this is dropped.
pub(super) type Permit = Box<dyn Send + Sync>;

/// How many there are, and may be.
#[derive(Debug)]
pub(super) struct Limit {
    most: usize,
    taken: AtomicUsize,
}

impl Limit {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: AtomicUsize::new(0) }
    }

    pub(super) fn enter(self: &Arc<Self>) -> Option<Permit> {
        // The count guards nothing but itself, so it needs no order.
        let enter = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, enter).ok()?;
        Some(Box::new(Place(self.clone())))
    }
}

struct Place(Arc<Limit>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// A limit for each key of a request, whatever the key is.
pub(super) trait Keyed: Send + Sync {
    fn enter(self: Arc<Self>, connect: &Connect) -> Entry;
}

/// What became of one who wanted to enter.
pub(super) enum Entry {
    /// Nothing is known to count it by.
    NoKey,
    Full,
    Entered(Permit),
}

pub(super) struct KeyedLimit<F, K> {
    most: usize,
    key: F,
    taken: Mutex<HashMap<K, usize>>,
}

impl<F, K: Hash + Eq> KeyedLimit<F, K> {
    pub(super) fn new(most: usize, key: F) -> Self {
        Self { most, key, taken: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // A key's `Hash` and `Eq` may panic, but not in the middle of a change.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, K> Keyed for KeyedLimit<F, K>
where
    F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn enter(self: Arc<Self>, connect: &Connect) -> Entry {
        let Some(key) = (self.key)(connect) else { return Entry::NoKey };
        // Cloned for the permit before anything is counted: it is code that may panic.
        let mut place = KeyedPlace { limit: self, key: None };
        let kept = key.clone();
        {
            let mut taken = place.limit.lock();
            match taken.get_mut(&key) {
                Some(count) if *count >= place.limit.most => return Entry::Full,
                Some(count) => *count += 1,
                None if place.limit.most == 0 => return Entry::Full,
                None => drop(taken.insert(kept.clone(), 1)),
            }
        }
        place.key = Some(kept);
        Entry::Entered(Box::new(place))
    }
}

struct KeyedPlace<F, K: Hash + Eq> {
    limit: Arc<KeyedLimit<F, K>>,
    /// Some while it is counted.
    key: Option<K>,
}

impl<F, K: Hash + Eq> Drop for KeyedPlace<F, K> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        // Keys are dropped without the lock.
        let _gone = {
            let mut taken = self.limit.lock();
            match taken.get_mut(&key) {
                Some(count) if *count > 1 => {
                    *count -= 1;
                    None
                }
                _ => taken.remove_entry(&key),
            }
        };
    }
}
