//! What the whole process has on the heap, counted by its allocator. A test target that counts has
//! one test.
#![allow(dead_code, reason = "every test target uses a part of it")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed},
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

/// Returns how often anything was allocated or grown.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Returns how many bytes are allocated.
pub(crate) fn bytes() -> usize {
    BYTES.load(Relaxed).unsigned_abs()
}

/// Begins to look for the most that is allocated at once.
pub(crate) fn forget_most() {
    MOST.store(BYTES.load(Relaxed), Relaxed);
}

/// Returns the most bytes that were allocated at once since [`forget_most`].
pub(crate) fn most() -> usize {
    MOST.load(Relaxed).unsigned_abs()
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: isize) {
    let now = BYTES.fetch_add(change, Relaxed) + change;
    MOST.fetch_max(now, Relaxed);
}

#[allow(unsafe_code, reason = "a global allocator is")]
// SAFETY: every call is passed on to the system's allocator, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
