//! Records how long the window's lock is held, for `benches/hub_lock.rs`. Compiled with
//! `--cfg tower_sse_hold` only.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::window::Window;

/// The most holds that are kept until they are taken.
const MAX_HOLDS: usize = 1 << 16;

/// The holds since they were last taken, of all hubs.
static HOLDS: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

/// A guard of the window's lock that records how long it was held.
pub(super) struct WindowGuard<'a> {
    guard: MutexGuard<'a, Window>,
    since: Instant,
}

impl<'a> WindowGuard<'a> {
    pub(super) fn new(guard: MutexGuard<'a, Window>) -> Self {
        Self { guard, since: Instant::now() }
    }
}

impl Deref for WindowGuard<'_> {
    type Target = Window;

    fn deref(&self) -> &Window {
        &self.guard
    }
}

impl DerefMut for WindowGuard<'_> {
    fn deref_mut(&mut self) -> &mut Window {
        &mut self.guard
    }
}

impl Drop for WindowGuard<'_> {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        let mut holds = HOLDS.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() < MAX_HOLDS {
            holds.push(held);
        }
    }
}

/// Returns how long the lock was held, each time since this was last called.
#[must_use]
pub fn take_holds() -> Vec<Duration> {
    std::mem::take(&mut HOLDS.lock().unwrap_or_else(PoisonError::into_inner))
}
