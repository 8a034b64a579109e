//! Counts with a limit, and the permits that they give out.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::connect::Connect;

/// A place that is taken until this is dropped.
pub(super) type Permit = Box<dyn Send + Sync>;

/// A limit on the number of streams.
#[derive(Debug)]
pub(super) struct StreamLimit {
    max: usize,
    /// The number of permits that exist.
    taken: AtomicUsize,
}

impl StreamLimit {
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: AtomicUsize::new(0) }
    }

    /// Returns a permit, or `None` if the limit is reached.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        // Relaxed is enough: no other memory depends on the count.
        let add_one = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, add_one).ok()?;
        Some(Box::new(StreamPermit(self.clone())))
    }
}

struct StreamPermit(Arc<StreamLimit>);

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// A [`KeyedLimit`] with any type of key.
pub(super) trait AnyKeyedLimit: Send + Sync {
    fn try_acquire(self: Arc<Self>, connect: &Connect) -> Acquire;
}

/// The result of an attempt to take a place.
pub(super) enum Acquire {
    /// The request has no key, so it is not counted.
    NoKey,
    Full,
    Acquired(Permit),
}

/// A limit on the number of streams with the same key.
pub(super) struct KeyedLimit<F, K> {
    max: usize,
    /// Returns the key of a request.
    key: F,
    /// The number of permits of each key, never zero.
    taken: Mutex<HashMap<K, usize>>,
}

impl<F, K: Hash + Eq> KeyedLimit<F, K> {
    pub(super) fn new(max: usize, key: F) -> Self {
        Self { max, key, taken: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // `Hash` and `Eq` of a key may panic under the lock, but never in the middle of a change.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, K> AnyKeyedLimit for KeyedLimit<F, K>
where
    F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn try_acquire(self: Arc<Self>, connect: &Connect) -> Acquire {
        let Some(key) = (self.key)(connect) else { return Acquire::NoKey };
        // `Clone` of a key may panic, so the permit's copy is made before anything is counted.
        let mut permit = KeyedPermit { limit: self, key: None };
        let permit_key = key.clone();
        {
            let mut taken = permit.limit.lock();
            match taken.get_mut(&key) {
                Some(count) if *count >= permit.limit.max => return Acquire::Full,
                Some(count) => *count += 1,
                None if permit.limit.max == 0 => return Acquire::Full,
                None => drop(taken.insert(permit_key.clone(), 1)),
            }
        }
        permit.key = Some(permit_key);
        Acquire::Acquired(Box::new(permit))
    }
}

struct KeyedPermit<F, K: Hash + Eq> {
    limit: Arc<KeyedLimit<F, K>>,
    /// `Some` while the permit is counted.
    key: Option<K>,
}

impl<F, K: Hash + Eq> Drop for KeyedPermit<F, K> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        // The removed key is dropped after the lock is released: its `Drop` is application code.
        let _removed = {
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
