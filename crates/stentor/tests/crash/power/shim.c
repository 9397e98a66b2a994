/* A shim between the server and its disk, loaded with LD_PRELOAD. For tests only.
 *
 * It records every call that changes a file or directory below SHIM_ROOT in SHIM_JOURNAL, in the order of the calls:
 * one lock covers the call and its entry, and a sync is recorded after it has succeeded. SHIM_CONTROL is mapped, and
 * says which calls are to fail. journal.rs and shim.rs repeat the format of both files.
 *
 * Files named *-shm are ignored: they are mapped, and created again by the first process that opens the log. */
#define _GNU_SOURCE
#include <dlfcn.h>
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, SIZE, SYNC, SYNC_DIR, UNLINK, RENAME, MKDIR, LOST_SYNC };
enum what { NOTHING, FAIL_SYNC, FAIL_WRITE, KILL };

struct note {
    uint32_t kind, name, data, unused;
    uint64_t file, at, time;
};

struct rule {
    uint32_t what, error;
    uint32_t times;      /* number of times; UINT32_MAX for always */
    uint32_t after;      /* number of calls that succeed first */
    uint32_t shortened;  /* if set, half of the first write succeeds */
    uint32_t drops;      /* if set, the system drops the data it could not sync */
    uint32_t fired;      /* number of times it was applied, read by the test */
    char name[20];       /* end of the file's name */
};

struct control {
    struct rule rules[4];
    int64_t space;       /* free space in bytes; negative for no limit */
};

enum { FILES = 4096 };
struct file {
    int kind; /* 0 not watched, 1 file, 2 directory */
    char name[240];
};

static struct file files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static struct control *control;

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(int, open64, const char *, int, ...);
REAL(int, openat64, int, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
REAL(int, ftruncate64, int, off64_t);
REAL(int, fallocate64, int, int, off64_t, off64_t);
REAL(int, posix_fallocate64, int, off64_t, off64_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, rename, const char *, const char *);
REAL(int, mkdir, const char *, mode_t);

__attribute__((constructor)) static void begin(void) {
#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)
    FIND(open64); FIND(openat64); FIND(close); FIND(write); FIND(writev); FIND(pwrite64);
    FIND(ftruncate64); FIND(fallocate64); FIND(posix_fallocate64); FIND(fsync); FIND(fdatasync);
    FIND(unlink); FIND(unlinkat); FIND(rename); FIND(mkdir);
    const char *below = getenv("SHIM_ROOT"), *into = getenv("SHIM_JOURNAL"), *by = getenv("SHIM_CONTROL");
    if (!below || !into || !by || !realpath(below, root)) return;
    root_length = strlen(root);
    int fd = real_open64(by, O_RDWR | O_CLOEXEC);
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    real_close(fd);
    journal = real_open64(into, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (control == MAP_FAILED || journal < 0) abort();
}

/* The name below the root, or NULL if the path is outside of it. */
static const char *below(const char *path) {
    if (journal < 0 || strncmp(path, root, root_length) || path[root_length] != '/') return NULL;
    const char *name = path + root_length + 1;
    size_t length = strlen(name);
    if (length >= sizeof files->name) abort();
    return length > 4 && !strcmp(name + length - 4, "-shm") ? NULL : name;
}

static void note(enum kind kind, uint64_t file, uint64_t at, const char *name, const void *data, size_t length) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct note head = { .kind = kind, .name = strlen(name), .data = length, .file = file, .at = at,
                         .time = now.tv_sec * 1000000000ull + now.tv_nsec };
    struct iovec parts[] = { { &head, sizeof head }, { (void *)name, head.name }, { (void *)data, length } };
    if (real_writev(journal, parts, 3) != (ssize_t)(sizeof head + head.name + length)) abort();
}

static struct file *of(int fd, int kind) {
    return fd >= 0 && fd < FILES && files[fd].kind == kind ? &files[fd] : NULL;
}

static struct stat64 look(int fd) {
    struct stat64 found;
    if (fstat64(fd, &found)) abort();
    return found;
}

static int ends(const char *name, const char *with) {
    size_t length = strlen(name), tail = strlen(with);
    return tail <= length && !strcmp(name + length - tail, with);
}

/* The rule that applies to this call, or NULL. */
static struct rule *rule(enum what what, const char *name) {
    for (int i = 0; i < 4; i++) {
        struct rule *rule = &control->rules[i];
        if (rule->what != (uint32_t)what || !ends(name, rule->name)) continue;
        if (rule->after) { rule->after--; continue; }
        if (rule->times != UINT32_MAX && --rule->times == 0) rule->what = NOTHING;
        rule->fired++;
        return rule;
    }
    return NULL;
}

/* Kills the process if a rule says so. */
static void die(const char *name) {
    if (rule(KILL, name)) { raise(SIGKILL); pause(); }
}

static void opened(int fd, int existed, int flags) {
    char link[64], path[PATH_MAX];
    if (fd < 0 || fd >= FILES || journal < 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    int is_root = !strcmp(path, root);
    const char *name = is_root ? "" : below(path);
    if (!name) return;
    struct stat64 found = look(fd);
    files[fd].kind = S_ISDIR(found.st_mode) ? 2 : 1;
    strcpy(files[fd].name, name);
    if (files[fd].kind == 2) return;
    if (!existed) note(CREATE, found.st_ino, 0, name, NULL, 0);
    else if (flags & O_TRUNC) note(SIZE, found.st_ino, 0, "", NULL, 0);
}

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    if (journal < 0) return real_openat64(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = !faccessat(dir, path, F_OK, 0);
    int fd = real_openat64(dir, path, flags, mode);
    int error = errno;
    opened(fd, existed, flags);
    errno = error;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FILES) files[fd].kind = 0;
    return real_close(fd);
}

/* The number of bytes of a write that succeed, or -1 for an error. */
static ssize_t room(struct file *file, uint64_t size, uint64_t at, size_t length) {
    struct rule *broken = rule(FAIL_WRITE, file->name);
    if (broken && broken->shortened) { broken->shortened = 0; return length / 2; }
    if (broken) { errno = broken->error; return -1; }
    int64_t growth = (int64_t)(at + length) - (int64_t)size;
    if (control->space < 0 || growth <= 0) return length;
    if (growth > control->space) {
        length -= growth - control->space;
        growth = control->space;
        if (at + length <= at) { errno = ENOSPC; return -1; }
    }
    control->space -= growth;
    return length;
}

static ssize_t write_at(int fd, struct file *file, const void *data, size_t length, uint64_t at, int moves) {
    pthread_mutex_lock(&lock);
    die(file->name);
    struct stat64 before = look(fd);
    ssize_t done = room(file, before.st_size, at, length);
    if (done >= 0) {
        done = moves ? real_write(fd, data, done) : real_pwrite64(fd, data, done, at);
        if (done > 0) note(WRITE, before.st_ino, at, "", data, done);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) {
    struct file *file = of(fd, 1);
    if (!file) return real_write(fd, data, length);
    int end = fcntl(fd, F_GETFL) & O_APPEND;
    return write_at(fd, file, data, length, lseek64(fd, 0, end ? SEEK_END : SEEK_CUR), 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!of(fd, 1)) return real_writev(fd, parts, count);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return write(fd, parts[i].iov_base, parts[i].iov_len);
    return 0;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    struct file *file = of(fd, 1);
    return file ? write_at(fd, file, data, length, at, 0) : real_pwrite64(fd, data, length, at);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

int ftruncate64(int fd, off64_t size) {
    struct file *file = of(fd, 1);
    if (!file) return real_ftruncate64(fd, size);
    pthread_mutex_lock(&lock);
    die(file->name);
    struct stat64 before = look(fd);
    int failed = real_ftruncate64(fd, size), error = errno;
    if (!failed) {
        note(SIZE, before.st_ino, size, "", NULL, 0);
        if (control->space >= 0 && size < before.st_size) control->space += before.st_size - size;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* The server reserves no space in watched files. If it starts to, the test must fail. */
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    if (of(fd, 1)) abort();
    return real_fallocate64(fd, mode, at, length);
}
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }
int posix_fallocate64(int fd, off64_t at, off64_t length) {
    if (of(fd, 1)) abort();
    return real_posix_fallocate64(fd, at, length);
}
int posix_fallocate(int fd, off_t at, off_t length) { return posix_fallocate64(fd, at, length); }

static int sync_with(int (*sync)(int), int fd) {
    struct file *file = of(fd, 1), *dir = of(fd, 2);
    if (!file && !dir) return sync(fd);
    pthread_mutex_lock(&lock);
    if (file) die(file->name);
    struct stat64 found = look(fd);
    struct rule *broken = file ? rule(FAIL_SYNC, file->name) : NULL;
    int failed = broken ? -1 : sync(fd), error = broken ? (int)broken->error : errno;
    if (broken && broken->drops) note(LOST_SYNC, found.st_ino, 0, "", NULL, 0);
    if (!failed && file) note(SYNC, found.st_ino, 0, "", NULL, 0);
    if (!failed && dir) note(SYNC_DIR, 0, 0, dir->name, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}
int fsync(int fd) { return sync_with(real_fsync, fd); }
int fdatasync(int fd) { return sync_with(real_fdatasync, fd); }

int unlinkat(int dir, const char *path, int flags) {
    char whole[PATH_MAX];
    const char *name = journal >= 0 && dir == AT_FDCWD && realpath(path, whole) ? below(whole) : NULL;
    if (!name) return real_unlinkat(dir, path, flags);
    pthread_mutex_lock(&lock);
    die(name);
    struct stat64 found;
    int unknown = stat64(whole, &found), failed = real_unlinkat(dir, path, flags), error = errno;
    if (!failed) {
        note(UNLINK, 0, 0, name, NULL, 0);
        if (control->space >= 0 && !unknown) control->space += found.st_size;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
    char whole[PATH_MAX], target[PATH_MAX];
    const char *name = journal >= 0 && realpath(from, whole) ? below(whole) : NULL;
    if (!name) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int failed = real_rename(from, to), error = errno;
    const char *now = failed || !realpath(to, target) ? NULL : below(target);
    if (now) note(RENAME, 0, 0, name, now, strlen(now));
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX];
    if (journal < 0) return real_mkdir(path, mode);
    pthread_mutex_lock(&lock);
    int failed = real_mkdir(path, mode), error = errno;
    const char *name = failed || !realpath(path, whole) ? NULL : below(whole);
    if (name) note(MKDIR, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}
