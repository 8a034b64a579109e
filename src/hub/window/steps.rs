//! In tests, counts the visits under one hold of the window's lock. Otherwise it does nothing.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    /// The visits since this thread took the lock last.
    static VISITED: Cell<usize> = const { Cell::new(0) };
    /// The most visits under one hold.
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// Records that the lock is taken.
#[inline(always)]
pub(in crate::hub) fn start_hold() {
    #[cfg(test)]
    VISITED.set(0);
}

/// Counts topics, patterns, groups, readers or records that are visited.
#[inline(always)]
pub(super) fn visit(_number: usize) {
    #[cfg(test)]
    {
        VISITED.set(VISITED.get() + _number);
        MOST.set(MOST.get().max(VISITED.get()));
    }
}

/// Returns the most that this thread has visited under one hold since the last call.
#[cfg(test)]
pub(super) fn take_most() -> usize {
    MOST.take()
}
