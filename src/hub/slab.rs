//! Values by small numbers, which are used again.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    ops::{Index, IndexMut},
};

/// The number of a value. It means the value only until that is removed.
pub(super) type Key = u32;

/// How many empty places are kept at least.
const SPARE: usize = 64;

/// Values that are found by the number that they were given: the smallest that is free, so that what
/// there was for a while leaves no memory behind.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Option<T>>,
    /// Free numbers, and some that are not any more.
    free: BinaryHeap<Reverse<Key>>,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        while let Some(Reverse(key)) = self.free.pop() {
            if let Some(slot @ None) = self.slots.get_mut(key as usize) {
                *slot = Some(value);
                return key;
            }
        }
        let used = self.slots.len();
        let key = Key::try_from(used).expect("four billion values do not fit memory");
        if used == self.slots.capacity() {
            // A slower growth than a vector's own, for there are few others of its size.
            self.slots.reserve_exact(used / 4 + 4);
        }
        self.slots.push(Some(value));
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let value = self.slots.get_mut(key as usize)?.take()?;
        self.len -= 1;
        self.free.push(Reverse(key));
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        let used = self.slots.len();
        if self.slots.capacity() > 4 * used + SPARE {
            self.slots.shrink_to(2 * used);
        }
        if self.free.len() > 2 * used + SPARE {
            self.free.retain(|Reverse(key)| (*key as usize) < used);
            self.free.shrink_to(2 * used);
        }
        Some(value)
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.slots).filter_map(|(key, slot)| Some((key, slot.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(Option::as_mut)
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: BinaryHeap::new(), len: 0 }
    }
}

impl<T> Index<Key> for Slab<T> {
    type Output = T;

    fn index(&self, key: Key) -> &T {
        self.slots[key as usize].as_ref().expect("a key is kept no longer than its value")
    }
}

impl<T> IndexMut<Key> for Slab<T> {
    fn index_mut(&mut self, key: Key) -> &mut T {
        self.slots[key as usize].as_mut().expect("a key is kept no longer than its value")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_that_gives_numbers_and_shrinks() {
        let mut slab = Slab::default();
        let mut map = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..20_000 {
            // Grows to some thousands, and shrinks again.
            let grows = if n % 10_000 < 6_000 { 7 } else { 1 };
            if random.u8(..8) < grows {
                let key = slab.insert(n);
                assert_eq!(map.insert(key, n), None);
            } else if let Some(key) = random.choice(map.keys().copied().collect::<Vec<_>>()) {
                assert_eq!(slab.remove(key), map.remove(&key));
                assert_eq!(slab.remove(key), None);
                assert!(slab.get(key).is_none());
            }
            assert_eq!(slab.len(), map.len());
        }
        let all: Vec<_> = slab.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, map.into_iter().collect::<Vec<_>>());
        let stays = slab.insert(0);
        for (key, _) in all {
            slab.remove(key);
        }
        assert!(slab.slots.len() <= stays as usize + 1);
        slab.remove(stays);
        assert!(slab.slots.capacity() <= SPARE && slab.free.capacity() <= 4 * SPARE);
    }
}
