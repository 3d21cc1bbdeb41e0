/* Preloaded into the program (LD_PRELOAD): records what it does to files below a folder, in order.
 *
 * RECORD_ROOT is the folder, RECORD_LOG the file that gets a record for each call that succeeded:
 * a line with the operation, an offset and the lengths of two paths and of the data, then these
 * bytes. Each call and its record are made under one lock, so the log has the order of the calls.
 *
 * The real calls are made by number, without the C library's own functions. What was written is
 * read back from the file, whichever call wrote it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH 4096

static int record = -1;
static char root[PATH];
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("RECORD_LOG"), *folder = getenv("RECORD_ROOT");
    if (!log || !folder) return;
    snprintf(root, sizeof root, "%s", folder);
    int low = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    record = fcntl(low, F_DUPFD_CLOEXEC, 500);
    syscall(SYS_close, low);
}

/* The path of a file that is open; empty when it has none any more. */
static void path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH - 1);
    path[length < 0 ? 0 : length] = 0;
    if (strstr(path, " (deleted)")) path[0] = 0;
}

static void absolute(int folder, const char *name, char *path) {
    char base[PATH] = "";
    if (name[0] == '/') {
        snprintf(path, PATH, "%s", name);
        return;
    }
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) base[0] = 0;
    } else {
        path_of(folder, base);
    }
    if (snprintf(path, PATH, "%s/%s", base, name) >= PATH) path[0] = 0;
}

static int inside(const char *path) {
    size_t length = strlen(root);
    return record >= 0 && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static void note(const char *what, long long offset, const char *path, const char *other,
                 const char *data, size_t bytes) {
    if (!inside(path) && !inside(other)) return;
    size_t first = strlen(path), second = strlen(other);
    char *text = malloc(128 + first + second + bytes);
    int head = sprintf(text, "%s %lld %zu %zu %zu\n", what, offset, first, second, bytes);
    memcpy(text + head, path, first);
    memcpy(text + head + first, other, second);
    if (bytes) memcpy(text + head + first + second, data, bytes);
    size_t left = head + first + second + bytes, done = 0;
    while (done < left) {
        long count = syscall(SYS_write, record, text + done, left - done);
        if (count <= 0) abort();
        done += count;
    }
    free(text);
}

/* `bytes` were written to the file before `end`; -1: before its present position. */
static void wrote(int file, long long end, size_t bytes) {
    char path[PATH], link[64];
    path_of(file, path);
    if (!inside(path)) return;
    if (end < 0) end = syscall(SYS_lseek, file, 0, SEEK_CUR);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int again = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    char *data = malloc(bytes + 1);
    if (syscall(SYS_pread64, again, data, bytes, end - (long long)bytes) != (long)bytes) abort();
    syscall(SYS_close, again);
    note("write", end - (long long)bytes, path, "", data, bytes);
    free(data);
}

static void of_file(const char *what, int file, long long offset) {
    char path[PATH];
    path_of(file, path);
    note(what, offset, path, "", NULL, 0);
}

static void of_path(const char *what, int folder, const char *name) {
    char path[PATH];
    absolute(folder, name, path);
    note(what, 0, path, "", NULL, 0);
}

static void of_two(const char *what, int first, const char *from, int second, const char *to) {
    char path[PATH], other[PATH];
    absolute(first, from, path);
    absolute(second, to, other);
    note(what, 0, path, other, NULL, 0);
}

/* Makes the call, and notes it when it succeeded. */
#define CALL(type, call, condition, then)     \
    do {                                      \
        if (record < 0) return (call);        \
        pthread_mutex_lock(&order);           \
        type result = (call);                 \
        int error = errno;                    \
        if (condition) then;                  \
        errno = error;                        \
        pthread_mutex_unlock(&order);         \
        return result;                        \
    } while (0)

static int opened(int folder, const char *name, int flags, mode_t mode) {
    CALL(int, syscall(SYS_openat, folder, name, flags, mode), result >= 0, {
        if (flags & O_CREAT) of_path("create", folder, name);
        if (flags & O_TRUNC) of_file("truncate", result, 0);
        if ((flags & O_TMPFILE) == O_TMPFILE) of_file("unknown", result, 0);
    });
}

#define OPEN(name)                                      \
    int name(const char *path, int flags, ...) {        \
        va_list rest;                                   \
        va_start(rest, flags);                          \
        mode_t mode = va_arg(rest, int);                \
        va_end(rest);                                   \
        return opened(AT_FDCWD, path, flags, mode);     \
    }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name)                                           \
    int name(int folder, const char *path, int flags, ...) {    \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = va_arg(rest, int);                        \
        va_end(rest);                                           \
        return opened(folder, path, flags, mode);               \
    }
OPEN_AT(openat)
OPEN_AT(openat64)

int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ssize_t write(int file, const void *data, size_t bytes) {
    CALL(ssize_t, syscall(SYS_write, file, data, bytes), result > 0, wrote(file, -1, result));
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    CALL(ssize_t, syscall(SYS_writev, file, parts, count), result > 0, wrote(file, -1, result));
}
ssize_t pwrite(int file, const void *data, size_t bytes, off_t at) {
    CALL(ssize_t, syscall(SYS_pwrite64, file, data, bytes, at), result > 0,
         wrote(file, at + result, result));
}
ssize_t pwrite64(int file, const void *data, size_t bytes, off64_t at) {
    return pwrite(file, data, bytes, at);
}
ssize_t copy_file_range(int from, off64_t *at, int file, off64_t *to, size_t bytes, unsigned flags) {
    CALL(ssize_t, syscall(SYS_copy_file_range, from, at, file, to, bytes, flags), result > 0,
         wrote(file, to ? *to : -1, result));
}
ssize_t sendfile(int file, int from, off_t *at, size_t bytes) {
    CALL(ssize_t, syscall(SYS_sendfile, file, from, at, bytes), result > 0, wrote(file, -1, result));
}
ssize_t sendfile64(int file, int from, off64_t *at, size_t bytes) {
    return sendfile(file, from, at, bytes);
}

int ftruncate(int file, off_t length) {
    CALL(int, syscall(SYS_ftruncate, file, length), !result, of_file("truncate", file, length));
}
int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

int fsync(int file) {
    CALL(int, syscall(SYS_fsync, file), !result, of_file("sync", file, 0));
}
int fdatasync(int file) {
    CALL(int, syscall(SYS_fdatasync, file), !result, of_file("sync", file, 0));
}

int renameat2(int first, const char *from, int second, const char *to, unsigned flags) {
    CALL(int, syscall(SYS_renameat2, first, from, second, to, flags), !result,
         of_two(flags & ~RENAME_NOREPLACE ? "unknown" : "rename", first, from, second, to));
}
int renameat(int first, const char *from, int second, const char *to) {
    return renameat2(first, from, second, to, 0);
}
int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int first, const char *from, int second, const char *to, int flags) {
    CALL(int, syscall(SYS_linkat, first, from, second, to, flags), !result,
         of_two("link", first, from, second, to));
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int folder, const char *name, int flags) {
    CALL(int, syscall(SYS_unlinkat, folder, name, flags), !result, of_path("remove", folder, name));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode) {
    CALL(int, syscall(SYS_mkdirat, folder, name, mode), !result, of_path("folder", folder, name));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What the model of the disk doesn't have. */
int symlinkat(const char *target, int folder, const char *name) {
    CALL(int, syscall(SYS_symlinkat, target, folder, name), !result,
         of_path("unknown", folder, name));
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
int fallocate(int file, int mode, off_t offset, off_t length) {
    CALL(int, syscall(SYS_fallocate, file, mode, offset, length), !result,
         of_file("unknown", file, 0));
}
int fallocate64(int file, int mode, off64_t offset, off64_t length) {
    return fallocate(file, mode, offset, length);
}
int posix_fallocate(int file, off_t offset, off_t length) {
    return fallocate(file, 0, offset, length) ? errno : 0;
}
int posix_fallocate64(int file, off64_t offset, off64_t length) {
    return posix_fallocate(file, offset, length);
}
