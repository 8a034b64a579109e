//! Limits, and the places within them.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connect::Connect;

/// Holds a place until it is dropped.
pub(super) type Permit = Box<dyn Send + Sync>;

/// Resolves to the next freed place, in the order of waiting.
pub(super) type NextPlace = Pin<Box<dyn Future<Output = Permit> + Send>>;

/// A place, or the next one if the limit is reached.
pub(super) type Acquire = Result<Permit, NextPlace>;

/// A limit on the number of streams.
#[derive(Clone, Debug)]
pub(super) struct StreamLimit(Arc<Semaphore>);

impl StreamLimit {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(semaphore(max)))
    }

    pub(super) fn try_acquire(&self) -> Acquire {
        match self.0.clone().try_acquire_owned() {
            Ok(permit) => Ok(Box::new(permit)),
            Err(_full) => {
                let places = self.0.clone();
                Err(Box::pin(async { Box::new(places.acquire_owned().await) as _ }))
            }
        }
    }
}

fn semaphore(max: usize) -> Semaphore {
    Semaphore::new(max.min(Semaphore::MAX_PERMITS))
}

/// A [`KeyedLimit`] with any type of key.
pub(super) trait AnyKeyedLimit: Send + Sync {
    /// Returns `None` if the request has no key, so that it is not counted.
    fn try_acquire(self: Arc<Self>, connect: &Connect) -> Option<Acquire>;
}

/// A limit on the number of streams with the same key.
pub(super) struct KeyedLimit<F, K> {
    max: usize,
    /// Returns the key of a request.
    key: F,
    /// The places of each key, while a request holds one or waits for one.
    places: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<F, K: Hash + Eq> KeyedLimit<F, K> {
    pub(super) fn new(max: usize, key: F) -> Self {
        Self { max, key, places: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        // `Hash` and `Eq` of a key may panic under the lock, but never in the middle of a change.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, K> AnyKeyedLimit for KeyedLimit<F, K>
where
    F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn try_acquire(self: Arc<Self>, connect: &Connect) -> Option<Acquire> {
        let key = (self.key)(connect)?;
        // `Clone` of a key may panic, so the copy is made before the map is changed.
        let own_key = key.clone();
        let places = {
            let max = self.max;
            let mut all = self.lock();
            all.entry(key).or_insert_with(|| Arc::new(semaphore(max))).clone()
        };
        let permit = places.clone().try_acquire_owned().ok();
        let mut place = KeyedPlace { limit: self, key: own_key, places: Some(places), permit };
        if place.permit.is_some() {
            return Some(Ok(Box::new(place)));
        }
        Some(Err(Box::pin(async move {
            if let Some(places) = place.places.clone() {
                place.permit = places.acquire_owned().await.ok();
            }
            Box::new(place) as _
        })))
    }
}

/// A place of a key, or a request that waits for one.
struct KeyedPlace<F, K: Hash + Eq> {
    limit: Arc<KeyedLimit<F, K>>,
    key: K,
    /// `None` once this is dropped.
    places: Option<Arc<Semaphore>>,
    /// `None` while the request waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl<F, K: Hash + Eq> Drop for KeyedPlace<F, K> {
    fn drop(&mut self) {
        self.permit = None;
        // The removed key is dropped after the lock is released: its `Drop` is application code.
        let _removed = {
            let mut all = self.limit.lock();
            // For the last place of a key there are two references: its own and the map's. Places add and drop
            // theirs under the lock, so of two that end together the second one removes the key.
            match self.places.take() {
                Some(places) if Arc::strong_count(&places) <= 2 => all.remove_entry(&self.key),
                _ => None,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[tokio::test]
    async fn a_key_is_kept_only_while_a_request_has_a_place_or_waits() {
        let limit = Arc::new(KeyedLimit::new(1, |_: &Connect| Some("ann")));
        let (request, ()) = Request::new(()).into_parts();
        let connect = Connect::new(request, None);
        let acquire = || limit.clone().try_acquire(&connect).unwrap();
        let keys = || limit.lock().len();
        let Ok(first) = acquire() else { panic!("there is a place") };
        let (Err(mut second), Err(third)) = (acquire(), acquire()) else {
            panic!("there is one place");
        };
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(third);
        assert_eq!(keys(), 1);
        drop(first);
        assert_eq!(keys(), 1, "a request waits");
        let second = second.await;
        assert!(acquire().is_err());
        drop(second);
        assert_eq!(keys(), 0);
        let Ok(first) = acquire() else { panic!("there is a place again") };
        let Err(waiting) = acquire() else { panic!("there is one place") };
        drop(waiting);
        drop(first);
        assert_eq!(keys(), 0);
    }
}
