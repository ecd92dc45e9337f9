/* Preloaded into a process under test: records what it does to the files of one folder.
 *
 * Every call that changes a file, a name or what is durable is done by a system call of our own and then told to a journal, under one
 * lock, so that the journal's order is the order of the effects. The journal alone says what a power loss may take away: the harness
 * replays it, and decides. So fsync need not reach the disk here: it takes a moment, as a disk would, and is told.
 *
 *   VECINO_RECORD_ROOT         folder to watch, absolute
 *   VECINO_RECORD_JOURNAL      file that the records are appended to
 *   VECINO_RECORD_SYNC_US      how long an fsync takes at most, in microseconds
 *   VECINO_RECORD_FAIL_SYNC    the n-th fsync or fdatasync of a path with FAIL_IN in it (1, 2, ...) fails with EIO; absent or 0: none
 *   VECINO_RECORD_FAIL_IN      part of a path
 *   VECINO_RECORD_KILL_AT      the process gets SIGKILL when it has told so many records; absent or 0: never
 *   VECINO_RECORD_KILL_IN      only those of a path with this text in it are counted; absent: all
 *   VECINO_RECORD_KILL_ON      only those of this kind are counted; absent: all
 *   VECINO_RECORD_KILL_FROM    they are counted from when it writes this text elsewhere, as to stdout; absent: from its begin
 *
 * A record is five little-endian u64 (kind, a, b, c, bytes that follow) and those bytes. Kinds:
 *
 *   o  opened     a: fd, b: flags                 bytes: path
 *   c  closed     a: fd
 *   d  duplicated a: old fd, b: new fd
 *   w  written    a: fd, b: offset                bytes: data
 *   t  truncated  a: fd, b: size
 *   z  zeroed     a: fd, b: offset, c: length (size stays)
 *   S  sync begun a: fd, b: number of the sync
 *   E  sync ended a: fd, b: number of the sync
 *   F  sync failed, as E
 *   m  folder made                                bytes: path
 *   x  folder removed                             bytes: path
 *   u  unlinked                                   bytes: path
 *   r  renamed                                    bytes: old path, 0, new path
 *   l  linked                                     bytes: old path, 0, new path
 *   !  something that this file does not follow   bytes: what
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[FDS], may_fail[FDS], counted[FDS];
static int journal = -1;
static char root[PATH_MAX];
static size_t root_bytes;
static const char *fail_in = "", *kill_in = "", *kill_on, *kill_from;
static unsigned long sync_us, fail_sync, fail_syncs, syncs, kill_at, told;
static uint64_t noise = 88172645463325252ull;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("VECINO_RECORD_ROOT"), *file = getenv("VECINO_RECORD_JOURNAL"), *number;
    if (!folder || !file) return;
    root_bytes = strlen(folder);
    if (root_bytes >= sizeof root) abort();
    memcpy(root, folder, root_bytes + 1);
    if ((number = getenv("VECINO_RECORD_SYNC_US"))) sync_us = strtoul(number, 0, 10);
    if ((number = getenv("VECINO_RECORD_FAIL_SYNC"))) fail_sync = strtoul(number, 0, 10);
    if ((number = getenv("VECINO_RECORD_KILL_AT"))) kill_at = strtoul(number, 0, 10);
    kill_from = getenv("VECINO_RECORD_KILL_FROM");
    if ((number = getenv("VECINO_RECORD_KILL_IN"))) kill_in = number;
    kill_on = getenv("VECINO_RECORD_KILL_ON");
    if ((number = getenv("VECINO_RECORD_FAIL_IN"))) fail_in = number;
    noise ^= (uint64_t)getpid() << 20;
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    journal = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    if (journal < 0) abort();
    syscall(SYS_close, fd);
}

/* Whether a record brings the kill nearer. */
static int counts(int kind, uint64_t a, const void *text, size_t bytes) {
    if (kill_from || (kill_on && kind != *kill_on)) return 0;
    if (strchr("omxurl!", kind)) return memmem(text, bytes, kill_in, strlen(kill_in)) != 0;
    return a < FDS && counted[a];
}

/* Nothing follows `bytes` of `text`. Called with the lock held; keeps errno. */
static void tell(int kind, uint64_t a, uint64_t b, uint64_t c, const void *text, size_t bytes) {
    int kept = errno;
    uint64_t head[5] = {kind, a, b, c, bytes};
    struct iovec parts[2] = {{head, sizeof head}, {(void *)text, bytes}};
    if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof head + bytes)) {
        static const char full[] = "recorder: the journal takes no more\n";
        syscall(SYS_write, 2, full, sizeof full - 1);
        abort();
    }
    if (counts(kind, a, text, bytes) && ++told == kill_at) syscall(SYS_kill, getpid(), SIGKILL);
    errno = kept;
}

static void enter(void) { pthread_mutex_lock(&lock); }
static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
}

static int is_watched(int fd) { return journal >= 0 && fd >= 0 && fd < FDS && watched[fd]; }

/* The absolute form of `path`, if it is in the folder; paths are absolute or seen from a folder that is open. */
static int resolve(int folder, const char *path, char *out) {
    if (journal < 0 || !path) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(out, path);
    } else {
        char link[64], base[PATH_MAX];
        ssize_t got;
        if (folder == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        got = readlink(link, base, sizeof base - 1);
        if (got < 0) return 0;
        base[got] = 0;
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return !strncmp(out, root, root_bytes) && (out[root_bytes] == '/' || !out[root_bytes]);
}

static void told_unknown(const char *what) {
    enter();
    tell('!', 0, 0, 0, what, strlen(what));
    leave();
}

/* Files. */

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(folder, path, full)) return syscall(SYS_openat, folder, path, flags, mode);
    enter();
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= FDS) abort();
    if (fd >= 0) {
        watched[fd] = 1;
        may_fail[fd] = strstr(full, fail_in) != 0;
        counted[fd] = strstr(full, kill_in) != 0;
        tell('o', fd, flags, 0, full, strlen(full));
    }
    leave();
    return fd;
}

#define OPEN_BODY(folder) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
    return open_any(folder, path, flags, mode)
int open(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD); }
int openat(int folder, const char *path, int flags, ...) { OPEN_BODY(folder); }
int openat64(int folder, const char *path, int flags, ...) { OPEN_BODY(folder); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (!is_watched(fd)) return syscall(SYS_close, fd);
    enter();
    watched[fd] = 0;
    int result = syscall(SYS_close, fd);
    tell('c', fd, 0, 0, 0, 0);
    leave();
    return result;
}

static int duplicated(int old, int fd) {
    if (fd >= FDS) abort();
    if (fd >= 0) {
        watched[fd] = 1;
        may_fail[fd] = may_fail[old];
        counted[fd] = counted[old];
        tell('d', old, fd, 0, 0, 0);
    }
    return fd;
}

int dup(int fd) {
    if (!is_watched(fd)) return syscall(SYS_dup, fd);
    enter();
    int result = duplicated(fd, syscall(SYS_dup, fd));
    leave();
    return result;
}
int dup3(int fd, int other, int flags) {
    if (is_watched(fd) || is_watched(other)) told_unknown("dup3");
    return syscall(SYS_dup3, fd, other, flags);
}
int dup2(int fd, int other) {
    if (is_watched(fd) || is_watched(other)) told_unknown("dup2");
    return fd == other ? fd : syscall(SYS_dup3, fd, other, 0);
}
static int fcntl_any(int fd, int what, void *argument) {
    if (!is_watched(fd) || (what != F_DUPFD && what != F_DUPFD_CLOEXEC)) return syscall(SYS_fcntl, fd, what, argument);
    enter();
    int result = duplicated(fd, syscall(SYS_fcntl, fd, what, argument));
    leave();
    return result;
}
#define FCNTL_BODY va_list more; va_start(more, what); void *argument = va_arg(more, void *); va_end(more); return fcntl_any(fd, what, argument)
int fcntl(int fd, int what, ...) { FCNTL_BODY; }
int fcntl64(int fd, int what, ...) { FCNTL_BODY; }

/* Data. */

ssize_t write(int fd, const void *data, size_t bytes) {
    if (!is_watched(fd)) {
        if (kill_from && memmem(data, bytes, kill_from, strlen(kill_from))) kill_from = 0;
        return syscall(SYS_write, fd, data, bytes);
    }
    enter();
    ssize_t done = syscall(SYS_write, fd, data, bytes);
    if (done > 0) tell('w', fd, syscall(SYS_lseek, fd, 0, SEEK_CUR) - done, 0, data, done);
    leave();
    return done;
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
    if (!is_watched(fd)) return syscall(SYS_pwrite64, fd, data, bytes, at);
    enter();
    ssize_t done = syscall(SYS_pwrite64, fd, data, bytes, at);
    if (done > 0) tell('w', fd, at, 0, data, done);
    leave();
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) { return pwrite64(fd, data, bytes, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_watched(fd)) return syscall(SYS_writev, fd, parts, count);
    /* A short write is a write: the caller goes on with the rest. */
    for (int at = 0; at < count; at++)
        if (parts[at].iov_len) return write(fd, parts[at].iov_base, parts[at].iov_len);
    return 0;
}
static ssize_t pwritev_any(int fd, const struct iovec *parts, int count, off64_t at) {
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return pwrite64(fd, parts[i].iov_base, parts[i].iov_len, at);
    return 0;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev_any(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev_any(fd, parts, count, at); }

int ftruncate64(int fd, off64_t size) {
    if (!is_watched(fd)) return syscall(SYS_ftruncate, fd, size);
    enter();
    int result = syscall(SYS_ftruncate, fd, size);
    if (!result) tell('t', fd, size, 0, 0, 0);
    leave();
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int truncate64(const char *path, off64_t size) {
    char full[PATH_MAX];
    if (resolve(AT_FDCWD, path, full)) told_unknown("truncate");
    return syscall(SYS_truncate, path, size);
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }

int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
    if (!is_watched(fd)) return syscall(SYS_fallocate, fd, mode, at, bytes);
    enter();
    int result = syscall(SYS_fallocate, fd, mode, at, bytes);
    if (!result) {
        struct stat stat;
        if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) tell('!', 0, 0, 0, "fallocate", 9);
        if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) tell('z', fd, at, bytes, 0, 0);
        if (!(mode & FALLOC_FL_KEEP_SIZE) && !fstat(fd, &stat)) tell('t', fd, stat.st_size, 0, 0, 0);
    }
    leave();
    return result;
}
int fallocate(int fd, int mode, off_t at, off_t bytes) { return fallocate64(fd, mode, at, bytes); }
int posix_fallocate64(int fd, off64_t at, off64_t bytes) { return fallocate64(fd, 0, at, bytes) ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t bytes) { return posix_fallocate64(fd, at, bytes); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes, unsigned flags) {
    if (is_watched(out)) { errno = ENOSYS; return -1; }
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, bytes, flags);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t bytes) {
    if (is_watched(out)) { errno = ENOSYS; return -1; }
    return syscall(SYS_sendfile, out, in, at, bytes);
}
ssize_t sendfile(int out, int in, off_t *at, size_t bytes) { return sendfile64(out, in, at, bytes); }

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
    if (is_watched(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) told_unknown("a shared mapping that can be written");
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, bytes, protection, flags, fd, offset);
}

/* Durability. What was written before a sync begins is durable when it has ended. */

static int sync_any(int fd, int call) {
    if (!is_watched(fd)) return syscall(call, fd);
    enter();
    unsigned long number = ++syncs;
    int failed = may_fail[fd] && ++fail_syncs == fail_sync;
    noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
    unsigned long us = sync_us ? noise % sync_us : 0;
    tell('S', fd, number, 0, 0, 0);
    leave();
    if (us) nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, 0);
    enter();
    tell(failed ? 'F' : 'E', fd, number, 0, 0, 0);
    leave();
    if (failed) errno = EIO;
    return failed ? -1 : 0;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }
/* Begins to write pages out, but makes neither the size nor the disk's cache durable: it promises nothing. */
int sync_file_range(int fd, off64_t at, off64_t bytes, unsigned flags) {
    return is_watched(fd) ? 0 : syscall(SYS_sync_file_range, fd, at, bytes, flags);
}

/* Names. */

static int one_name(int kind, int call_result, const char *full) {
    if (!call_result) tell(kind, 0, 0, 0, full, strlen(full));
    return call_result;
}
int unlinkat(int folder, const char *path, int flags) {
    char full[PATH_MAX];
    if (!resolve(folder, path, full)) return syscall(SYS_unlinkat, folder, path, flags);
    enter();
    int result = one_name(flags & AT_REMOVEDIR ? 'x' : 'u', syscall(SYS_unlinkat, folder, path, flags), full);
    leave();
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat stat;
    return lstat(path, &stat) ? -1 : unlinkat(AT_FDCWD, path, S_ISDIR(stat.st_mode) ? AT_REMOVEDIR : 0);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(folder, path, full)) return syscall(SYS_mkdirat, folder, path, mode);
    enter();
    int result = one_name('m', syscall(SYS_mkdirat, folder, path, mode), full);
    leave();
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static void two_names(int kind, const char *from, const char *to) {
    char both[2 * PATH_MAX];
    size_t first = strlen(from) + 1, second = strlen(to);
    memcpy(both, from, first);
    memcpy(both + first, to, second);
    tell(kind, 0, 0, 0, both, first + second);
}
int renameat2(int folder, const char *path, int other, const char *name, unsigned flags) {
    char from[PATH_MAX], to[PATH_MAX];
    int ours = resolve(folder, path, from);
    if (ours != resolve(other, name, to) || (ours && (flags & ~RENAME_NOREPLACE))) told_unknown("a rename into or out of the folder");
    if (!ours) return syscall(SYS_renameat2, folder, path, other, name, flags);
    enter();
    int result = syscall(SYS_renameat2, folder, path, other, name, flags);
    if (!result) two_names('r', from, to);
    leave();
    return result;
}
int renameat(int folder, const char *path, int other, const char *name) { return renameat2(folder, path, other, name, 0); }
int rename(const char *path, const char *name) { return renameat2(AT_FDCWD, path, AT_FDCWD, name, 0); }
int linkat(int folder, const char *path, int other, const char *name, int flags) {
    char from[PATH_MAX], to[PATH_MAX];
    int ours = resolve(folder, path, from);
    if (ours != resolve(other, name, to)) told_unknown("a link into or out of the folder");
    if (!ours) return syscall(SYS_linkat, folder, path, other, name, flags);
    enter();
    int result = syscall(SYS_linkat, folder, path, other, name, flags);
    if (!result) two_names('l', from, to);
    leave();
    return result;
}
int link(const char *path, const char *name) { return linkat(AT_FDCWD, path, AT_FDCWD, name, 0); }
