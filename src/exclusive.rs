//! A wrapper that makes any `Send` value `Sync`, because it is only used through `&mut`.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// A value that can only be reached through `&mut`, and is therefore `Sync` if it is `Send`.
///
/// A mutex has this property without `unsafe`. It is never locked.
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Exclusive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exclusive")
    }
}
