//! Counts what a run takes from the heap, and ends the process when it is too much: no length that stands in a file may reserve memory by
//! itself. libFuzzer's own limits need a sanitizer's allocator, which stable Rust has not, and see only memory that is touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread may still take; `None` outside of a run.
    static LEFT: Cell<Option<isize>> = const { Cell::new(None) };
}

#[global_allocator]
static COUNTED: Counted = Counted;

struct Counted;

/// Runs `f`, which must not hold more than so many bytes at once. A finding ends the process.
pub fn within(bytes: usize, f: impl FnOnce()) {
    LEFT.set(Some(bytes as isize));
    f();
    LEFT.set(None);
}

fn take(bytes: isize) {
    // Other threads, and this one when it ends, are not counted.
    let _ = LEFT.try_with(|left| {
        let Some(before) = left.get() else { return };
        let after = before - bytes;
        left.set(Some(after));
        if after < 0 {
            // What follows may allocate.
            left.set(None);
            eprintln!(
                "a run takes {bytes} bytes from the heap, where {before} were left for its input"
            );
            std::process::abort();
        }
    });
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size() as isize);
        // SAFETY: the caller's promise is the one wanted here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        take(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
