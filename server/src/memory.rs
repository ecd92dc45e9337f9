//! How the process keeps memory that it has freed.
//!
//! The C library's allocator takes these two wishes by a call only, so this is one of the places of `unsafe`.

/// Allocations of this size are mapped on their own, and unmapped when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 1 << 20;
/// What an arena keeps at its end, which [`give_back`] does not reach in any arena but the first.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 1 << 20;

/// Bounds what the C library's allocator keeps for itself: one arena per core, instead of eight, and little at the end of each.
///
/// Threads that decode pictures or write segments allocate and free tens of megabytes; what they free stays in their arena. With
/// 8 arenas per core, the sample of 210 pictures left 51 to 61 MB resident on two cores, with one per core 48 to 50 MB, at the
/// same loading rate. Left alone, the allocator raises both sizes to those of what was freed, up to 32 and 64 MB: a collection of
/// 200,000 points that was loaded and deleted then left up to 37 MB. Does nothing with another C library. To be called before
/// threads are started.
pub fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let arenas = i32::try_from(cores.max(2)).unwrap_or(i32::MAX);
        for (setting, value) in [
            (libc::M_ARENA_MAX, arenas),
            (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
            (libc::M_TRIM_THRESHOLD, KEPT_BYTES),
        ] {
            // SAFETY: `mallopt` takes two integers by value, keeps no pointer, and may be called at any time by POSIX threads of glibc
            // (it takes the allocator's lock). A refused setting is reported by its result and changes nothing.
            if unsafe { libc::mallopt(setting, value) } == 0 {
                tracing::debug!(setting, value, "the allocator refused a setting");
            }
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
