//! An allocator that counts, thread by thread, what a piece of code holds at once and asks for at
//! once: the limits that reading untrusted files promises are measured with it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted.
pub struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn count(more: isize, asked: usize) {
    // A thread that ends has no counters any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + more);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(asked)));
    });
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        System.dealloc(at, layout);
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize, size);
        System.realloc(at, layout, size)
    }
}

/// What a piece of code took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Bytes held at once at the most, beyond what was held before.
    pub peak: usize,
    /// Bytes of the largest single allocation.
    pub largest: usize,
}

/// Runs `f` on this thread and counts.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Took) {
    let before = LIVE.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = f();
    (result, Took { peak: (PEAK.get() - before).max(0) as usize, largest: LARGEST.get() })
}
