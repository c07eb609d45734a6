//! How the allocator keeps memory.

/// Has glibc take memory from one heap, and give back what was large.
///
/// By itself it has a heap for every thread. One thread reads what another keeps and a third frees:
/// holes are left in all of them, and an agent with thousands of Services takes half as much again.
/// Nothing here allocates so often that threads would wait for each other.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt is a function of C")]
pub(crate) fn keep_together() {
    const LARGE: libc::c_int = 128 << 10;
    let options = [
        (libc::M_ARENA_MAX, 1),
        // Said once, they stay: they would grow with what is freed, and a list would be kept for ever.
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
    ];
    for (option, value) in options {
        // SAFETY: it is called before there is a second thread, with options that glibc documents. One
        // that it refuses is without effect.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Other libraries have one heap.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_together() {}
