//! How the process keeps memory that it has freed.
//!
//! The C library's allocator takes these two wishes by a call only, so this is one of the places of `unsafe`.

/// Bounds what the C library's allocator keeps for itself: one arena per core, instead of eight.
///
/// Threads that decode pictures or write segments allocate and free tens of megabytes; what they free stays in their arena. With
/// 8 arenas per core, the sample of 210 pictures left 51 to 61 MB resident on two cores, with one per core 48 to 50 MB, at the
/// same loading rate. Does nothing with another C library. To be called before threads are started.
pub fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let arenas = i32::try_from(cores.max(2)).unwrap_or(i32::MAX);
        // SAFETY: `mallopt` takes two integers by value, keeps no pointer, and may be called at any time by POSIX threads of glibc
        // (it takes the allocator's lock). A refused setting is reported by its result and changes nothing.
        if unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) } == 0 {
            tracing::debug!(arenas, "the allocator refused its limit of arenas");
        }
    }
}

/// Asks the C library's allocator to hand what is free to the operating system. Takes milliseconds, in which others who allocate may wait.
///
/// Without it, what a deleted collection or a merge has freed stays with the process: of 100 MB loaded and deleted, more than half.
/// Does nothing with another C library.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `malloc_trim` takes an integer by value and may be called at any time by POSIX threads of glibc (it takes the locks of the
        // arenas); it touches only pages that are free.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
