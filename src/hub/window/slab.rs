//! A table of values that are found by small numbers, which are reused.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// A typed number of a value. It identifies the value only until that is removed.
pub(in crate::hub) trait SlabKey: Copy {
    fn from_index(index: u32) -> Self;

    fn index(self) -> usize;
}

/// Declares a key type.
macro_rules! slab_key {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::hub) struct $name(u32);

        impl $crate::hub::window::slab::SlabKey for $name {
            fn from_index(index: u32) -> Self {
                Self(index)
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

pub(super) use slab_key;

/// How much unused capacity is always kept.
const SPARE: usize = 64;

/// A slab that reuses the smallest free key, so that it can shrink.
#[derive(Debug)]
pub(in crate::hub) struct Slab<K, T> {
    /// The values by their keys. The last slot is never empty.
    slots: Vec<Option<T>>,
    /// The free keys, the smallest first. Some may be in use or beyond the slots: a key is checked
    /// when it is taken, because it cannot be removed from the middle of a heap.
    free: BinaryHeap<Reverse<u32>>,
    /// How many slots have a value.
    len: usize,
    /// Only the type of the keys.
    keys: PhantomData<fn(K)>,
}

impl<K: SlabKey, T> Slab<K, T> {
    pub(in crate::hub) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> K {
        self.insert_with(|_| value)
    }

    /// Inserts a value that is made with its key.
    pub(super) fn insert_with(&mut self, value: impl FnOnce(K) -> T) -> K {
        self.len += 1;
        while let Some(Reverse(index)) = self.free.pop() {
            if let Some(slot @ None) = self.slots.get_mut(index as usize) {
                let key = K::from_index(index);
                *slot = Some(value(key));
                return key;
            }
        }
        let used = self.slots.len();
        let index = u32::try_from(used).expect("four billion values do not fit in memory");
        if used == self.slots.capacity() {
            // Grows by a quarter, where a vector doubles: some slabs are large.
            self.slots.reserve_exact(used / 4 + 1);
        }
        let key = K::from_index(index);
        self.slots.push(Some(value(key)));
        key
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let value = self.slots.get_mut(key.index())?.take()?;
        self.len -= 1;
        self.free.push(Reverse(key.index() as u32));
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        let used = self.slots.len();
        if self.slots.capacity() > 4 * used + SPARE {
            self.slots.shrink_to(2 * used);
        }
        if self.free.len() > 2 * used + SPARE {
            self.free.retain(|Reverse(index)| (*index as usize) < used);
            self.free.shrink_to(2 * used);
        }
        Some(value)
    }

    pub(in crate::hub) fn get(&self, key: K) -> Option<&T> {
        self.slots.get(key.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slots.get_mut(key.index())?.as_mut()
    }

    /// Returns how many slots there are, with and without a value.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Visits `most` slots, from an index on, and returns the values in them.
    pub(super) fn some(&self, from: usize, most: usize) -> impl Iterator<Item = (K, &T)> {
        let slots = self.slots.iter().enumerate().skip(from).take(most);
        slots.filter_map(|(index, slot)| Some((K::from_index(index as u32), slot.as_ref()?)))
    }
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: BinaryHeap::new(), len: 0, keys: PhantomData }
    }
}

impl<K: SlabKey, T> Index<K> for Slab<K, T> {
    type Output = T;

    fn index(&self, key: K) -> &T {
        self.slots[key.index()].as_ref().expect("a key is kept no longer than its value")
    }
}

impl<K: SlabKey, T> IndexMut<K> for Slab<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.slots[key.index()].as_mut().expect("a key is kept no longer than its value")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    slab_key! {
        TestKey
    }

    #[test]
    fn it_acts_as_a_map_that_chooses_its_keys_and_shrinks() {
        let mut slab = Slab::<TestKey, i32>::default();
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
        let all: Vec<_> = slab.some(0, usize::MAX).map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, map.into_iter().collect::<Vec<_>>());
        let stays = slab.insert(0);
        for (key, _) in all {
            slab.remove(key);
        }
        assert!(slab.slots.len() <= stays.index() + 1);
        slab.remove(stays);
        assert!(slab.slots.capacity() <= SPARE && slab.free.capacity() <= 4 * SPARE);
    }
}
