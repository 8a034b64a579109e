//! An allocator that counts the allocations and the memory of each thread.
//!
//! Tests run side by side, so each thread is counted by itself: a test that counts must allocate
//! and free on its own thread.
#![allow(dead_code, reason = "every test target uses a part of it")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Returns how often this thread has allocated or reallocated.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// Returns how many bytes this thread has allocated and not freed.
pub(crate) fn bytes() -> usize {
    BYTES.get().unsigned_abs()
}

/// Forgets the maximum that [`most`] returns.
pub(crate) fn forget_most() {
    MOST.set(BYTES.get());
}

/// Returns the maximum of [`bytes`] since [`forget_most`].
pub(crate) fn most() -> usize {
    MOST.get().unsigned_abs()
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: isize) {
    let now = BYTES.try_with(|bytes| {
        bytes.set(bytes.get() + change);
        bytes.get()
    });
    // A thread that is ending has no counts any more.
    let Ok(now) = now else { return };
    let _ = MOST.try_with(|most| most.set(most.get().max(now)));
}

fn count_allocation() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

#[allow(unsafe_code, reason = "a global allocator is")]
// SAFETY: every call is passed on to the system's allocator, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation();
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_allocation();
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
