/* A disk that remembers: preload it into a process, and it records what the process asks of the
 * file system below one folder, in order. clickledger.testing.power_cut rebuilds from the record
 * what a power cut at any moment would have left: bytes and names that were synced, and no others.
 *
 *     LD_PRELOAD=disk.so POWERCUT_ROOT=/data POWERCUT_LOG=/tmp/log program ...
 *
 * POWERCUT_SOCKETS=1   also record what is sent through sockets, before it is sent
 * POWERCUT_FAULT=FILE  while FILE exists, the disk fails. It holds one word:
 *     full    nothing that needs new space succeeds (ENOSPC); what is allocated can be overwritten
 *     sync    fsync and fdatasync fail (EIO), and what was written stays in the page cache
 *
 * Not recorded: writes through mmap (they count as lost, as they may be), C stdio, io_uring,
 * O_SYNC (it counts as nothing: harsher than the truth). Paths must not lead through
 * symbolic links. Any number of processes and threads may share one log.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, OPEN, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, RMDIR,
       ACKNOWLEDGE, SEND, LINK };

struct record { /* little endian, as power_cut.py reads it; two byte strings follow */
    uint32_t type;
    uint32_t pid;
    uint64_t inode;
    uint64_t number; /* offset, size, or the token of a sync */
    uint32_t first;  /* bytes of the first string: a path */
    uint32_t second; /* bytes of the second: data, or another path */
};

#define FILES 65536
static struct { uint64_t inode; char *path; int append; } files[FILES];
static char root[PATH_MAX];
static size_t root_length;
static char fault_path[PATH_MAX];
static int log_fd = -1;
static int sockets;
static pid_t self;
static uint64_t tokens;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;


static void before_fork(void) { pthread_mutex_lock(&order); }
static void after_fork(void) { pthread_mutex_unlock(&order); }
static void in_child(void) { self = getpid(); pthread_mutex_unlock(&order); }

__attribute__((constructor)) static void start(void)
{
    self = getpid();
    pthread_atfork(before_fork, after_fork, in_child);
    const char *folder = getenv("POWERCUT_ROOT"), *log = getenv("POWERCUT_LOG");
    const char *fault = getenv("POWERCUT_FAULT");
    if (!folder || !log) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    if (fault) snprintf(fault_path, sizeof fault_path, "%s", fault);
    sockets = getenv("POWERCUT_SOCKETS") != NULL;
    int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    log_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 800); /* out of the way of small numbers */
    if (log_fd < 0) {
        static const char words[] = "disk.so: POWERCUT_LOG cannot be opened\n";
        syscall(SYS_write, 2, words, sizeof words - 1);
        _exit(97);
    }
    syscall(SYS_close, fd);
}

static void note(uint32_t type, uint64_t inode, uint64_t number, const char *path,
                 const void *data, size_t size)
{
    struct record record = {type, (uint32_t)getpid(), inode, number,
                            path ? (uint32_t)strlen(path) : 0, (uint32_t)size};
    struct iovec parts[3] = {{&record, sizeof record},
                             {(void *)path, record.first},
                             {(void *)data, size}};
    /* One append: the kernel keeps the records of all threads and processes whole and in order. */
    ssize_t want = sizeof record + record.first + size;
    if (syscall(SYS_writev, log_fd, parts, 3) != want) {
        static const char words[] = "disk.so: the log cannot be written\n";
        syscall(SYS_write, 2, words, sizeof words - 1);
        _exit(97);
    }
}

static int failing(const char *word)
{
    if (!fault_path[0]) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, fault_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    char text[16] = "";
    ssize_t size = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    return size > 0 && strncmp(text, word, strlen(word)) == 0;
}

/* The path below the root, without it ("" is the root itself); NULL: it lies elsewhere. */
static char *inside(int folder, const char *path, char buffer[PATH_MAX])
{
    if (log_fd < 0 || !path) return NULL;
    if (path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t size = readlink(link, base, sizeof base - 1);
            if (size < 0) return NULL;
            base[size] = 0;
        }
        if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
    }
    size_t length = strlen(buffer);
    while (length > 1 && buffer[length - 1] == '/') buffer[--length] = 0;
    if (strncmp(buffer, root, root_length)) return NULL;
    if (buffer[root_length] == 0) return buffer + root_length;
    return buffer[root_length] == '/' ? buffer + root_length + 1 : NULL;
}

static int tracked(int fd) { return log_fd >= 0 && fd >= 0 && fd < FILES && files[fd].inode; }

static void track(int fd, const char *path, int flags)
{
    struct stat facts;
    if (fd < 0 || fd >= FILES || fstat(fd, &facts)) return;
    free(files[fd].path);
    files[fd].path = strdup(path);
    files[fd].append = flags & O_APPEND;
    files[fd].inode = facts.st_ino;
}

static void untrack(int fd)
{
    /* A child of vfork shares this table until it runs a program: it may not change it. */
    if (!tracked(fd) || getpid() != self) return;
    free(files[fd].path);
    files[fd].path = NULL;
    files[fd].inode = 0;
}

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    char buffer[PATH_MAX];
    char *name = inside(folder, path, buffer);
    if (!name) return syscall(SYS_openat, folder, path, flags, mode);
    struct stat facts;
    int error;
    pthread_mutex_lock(&order);
    int fresh = (flags & O_CREAT) && fstatat(folder, path, &facts, AT_SYMLINK_NOFOLLOW);
    int fd = -1;
    if (fresh && failing("full")) errno = ENOSPC;
    else fd = syscall(SYS_openat, folder, path, flags, mode);
    error = errno;
    if (fd >= 0) {
        track(fd, name, flags);
        note(fresh ? CREATE : OPEN, files[fd].inode, 0, name, NULL, 0);
        if (!fresh && (flags & O_TRUNC)) note(TRUNCATE, files[fd].inode, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags | O_LARGEFILE, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags | O_LARGEFILE, 0); }
int __openat_2(int folder, const char *path, int flags) { return opened(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags) { return opened(folder, path, flags | O_LARGEFILE, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd)
{
    if (fd == log_fd) return 0; /* a loop over all descriptors must not end the record */
    untrack(fd);
    return syscall(SYS_close, fd);
}

static int copied(int from, int to)
{
    if (to < 0 || from == to || getpid() != self) return to;
    untrack(to);
    if (tracked(from) && to < FILES) {
        files[to].path = strdup(files[from].path);
        files[to].append = files[from].append;
        files[to].inode = files[from].inode;
    }
    return to;
}

int dup(int fd) { return copied(fd, syscall(SYS_dup, fd)); }
int dup2(int fd, int to) { if (fd == to) return to; return copied(fd, syscall(SYS_dup3, fd, to, 0)); }
int dup3(int fd, int to, int flags) { return copied(fd, syscall(SYS_dup3, fd, to, flags)); }

/* What fits without new blocks, as far as the size tells. */
static int has_room(int fd, off_t end)
{
    struct stat facts;
    if (!failing("full")) return 1;
    if (!fstat(fd, &facts) && end <= facts.st_size) return 1;
    errno = ENOSPC;
    return 0;
}

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, int positioned)
{
    size_t size = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    pthread_mutex_lock(&order);
    off_t at = positioned ? offset : lseek(fd, 0, files[fd].append ? SEEK_END : SEEK_CUR);
    ssize_t done = -1;
    if (has_room(fd, at + (off_t)size))
        done = positioned ? syscall(SYS_pwritev, fd, parts, count, offset, 0)
                          : syscall(SYS_writev, fd, parts, count);
    int error = errno;
    if (done > 0) {
        char *data = malloc(done), *to = data;
        size_t left = done;
        for (int i = 0; i < count && left; i++) {
            size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
            memcpy(to, parts[i].iov_base, part);
            to += part;
            left -= part;
        }
        note(WRITE, files[fd].inode, at, NULL, data, done);
        free(data);
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return done;
}

static void sending(int fd, const struct iovec *parts, int count)
{
    struct stat facts;
    if (!sockets || log_fd < 0 || fd == log_fd || fstat(fd, &facts) || !S_ISSOCK(facts.st_mode))
        return;
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) note(SEND, 0, fd, NULL, parts[i].iov_base, parts[i].iov_len);
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct iovec part = {(void *)data, size};
    if (tracked(fd)) return written(fd, &part, 1, 0, 0);
    sending(fd, &part, 1);
    return syscall(SYS_write, fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (tracked(fd)) return written(fd, parts, count, 0, 0);
    sending(fd, parts, count);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    struct iovec part = {(void *)data, size};
    if (tracked(fd)) return written(fd, &part, 1, offset, 1);
    return syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (tracked(fd)) return written(fd, parts, count, offset, 1);
    return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    struct iovec part = {(void *)data, size};
    sending(fd, &part, 1);
    return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    struct iovec part = {(void *)data, size};
    sending(fd, &part, 1);
    return syscall(SYS_sendto, fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    sending(fd, message->msg_iov, (int)message->msg_iovlen);
    return syscall(SYS_sendmsg, fd, message, flags);
}

static int resized(int fd, off_t size)
{
    if (!tracked(fd)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&order);
    int result = syscall(SYS_ftruncate, fd, size);
    int error = errno;
    if (!result) note(TRUNCATE, files[fd].inode, size, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int ftruncate(int fd, off_t size) { return resized(fd, size); }
int ftruncate64(int fd, off64_t size) { return resized(fd, size); }

static int allocated(int fd, int mode, off_t offset, off_t size)
{
    if (!tracked(fd)) return syscall(SYS_fallocate, fd, mode, offset, size);
    pthread_mutex_lock(&order);
    int result = -1;
    struct stat facts;
    if (has_room(fd, offset + size)) result = syscall(SYS_fallocate, fd, mode, offset, size);
    int error = errno;
    if (!result && !mode && !fstat(fd, &facts)) note(TRUNCATE, files[fd].inode, facts.st_size, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t size) { return allocated(fd, mode, offset, size); }
int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return allocated(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) { return allocated(fd, 0, offset, size) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return allocated(fd, 0, offset, size) ? errno : 0; }

static int synced(int fd, long call)
{
    if (!tracked(fd)) return syscall(call, fd);
    if (failing("sync")) {
        errno = EIO;
        return -1;
    }
    /* What was written before the call is durable after it; a write in between may not be. */
    uint64_t token = __atomic_add_fetch(&tokens, 1, __ATOMIC_RELAXED), inode = files[fd].inode;
    pthread_mutex_lock(&order);
    note(SYNC_BEGIN, inode, token, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    int result = syscall(call, fd);
    int error = errno;
    if (!result) note(SYNC_END, inode, token, NULL, NULL, 0);
    errno = error;
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int renamed(int from, const char *old, int to, const char *new, unsigned flags)
{
    char old_buffer[PATH_MAX], new_buffer[PATH_MAX];
    char *old_name = inside(from, old, old_buffer), *new_name = inside(to, new, new_buffer);
    pthread_mutex_lock(&order);
    int result = syscall(SYS_renameat2, from, old, to, new, flags);
    int error = errno;
    if (!result && old_name && new_name) note(RENAME, 0, 0, old_name, new_name, strlen(new_name));
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) { return renamed(from, old, to, new, flags); }

static int linked(int from, const char *old, int to, const char *new, int flags)
{
    char old_buffer[PATH_MAX], new_buffer[PATH_MAX];
    char *old_name = inside(from, old, old_buffer), *new_name = inside(to, new, new_buffer);
    pthread_mutex_lock(&order);
    int result = syscall(SYS_linkat, from, old, to, new, flags);
    int error = errno;
    if (!result && old_name && new_name) note(LINK, 0, 0, old_name, new_name, strlen(new_name));
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int link(const char *old, const char *new) { return linked(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return linked(from, old, to, new, flags); }

static int unlinked(int folder, const char *path, int flags)
{
    char buffer[PATH_MAX];
    char *name = inside(folder, path, buffer);
    pthread_mutex_lock(&order);
    int result = syscall(SYS_unlinkat, folder, path, flags);
    int error = errno;
    if (!result && name) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlinked(folder, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path)
{
    int result = unlinked(AT_FDCWD, path, 0);
    return result && (errno == EISDIR || errno == EPERM) ? rmdir(path) : result;
}

static int made(int folder, const char *path, mode_t mode)
{
    char buffer[PATH_MAX];
    char *name = inside(folder, path, buffer);
    struct stat facts;
    pthread_mutex_lock(&order);
    int result = -1;
    if (name && failing("full")) errno = ENOSPC;
    else result = syscall(SYS_mkdirat, folder, path, mode);
    int error = errno;
    if (!result && name && !fstatat(folder, path, &facts, 0)) note(MKDIR, facts.st_ino, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return made(folder, path, mode); }
