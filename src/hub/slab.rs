//! Values by small numbers, which are used again.

use std::ops::{Index, IndexMut};

/// The number of a value. It means the value only until that is removed.
pub(super) type Key = u32;

/// Values that are found by the number that they were given.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<Key>,
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(key) = self.free.pop() {
            self.slots[key as usize] = Some(value);
            return key;
        }
        let key = Key::try_from(self.slots.len()).expect("four billion values do not fit memory");
        self.slots.push(Some(value));
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let value = self.slots.get_mut(key as usize)?.take();
        if value.is_some() {
            self.free.push(key);
        }
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
        value
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
        Self { slots: Vec::new(), free: Vec::new() }
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
