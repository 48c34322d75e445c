//! A heap that only grows: a program answers one question and is gone.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

unsafe extern "C" {
    /// Where the linker's layout has the heap begin.
    static __heap: u8;
}

/// From the end of the program's data to the question.
pub(crate) struct Heap {
    /// Bytes that are given out.
    used: Cell<usize>,
    /// Where the heap has to end; 0 until the program has started.
    end: Cell<usize>,
}

// SAFETY: there is one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
pub(crate) static HEAP: Heap = Heap { used: Cell::new(0), end: Cell::new(0) };

impl Heap {
    pub(crate) fn ends_at(&self, end: usize) {
        self.end.set(end);
    }

    /// Once, and not wherever something is allocated.
    #[inline(never)]
    fn take(&self, size: usize, align: usize) -> *mut u8 {
        let bottom = (&raw const __heap).addr();
        let begin = (bottom + self.used.get()).next_multiple_of(align);
        // Neither sum overflows: a size is below 2^31, and memory ends far below that.
        let end = begin + size;
        if end > self.end.get() {
            return ptr::null_mut();
        }
        self.used.set(end - bottom);
        begin as *mut u8
    }
}

// SAFETY: every allocation begins where the one before it ended, or later, and ends before the question begins.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    /// Memory is zero before it is first given out, and is given out once.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
