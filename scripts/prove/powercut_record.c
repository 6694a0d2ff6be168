/* Records what a process does to the files below RECORD_DIR, in order, into RECORD_LOG.
 *
 *   cc -O2 -shared -fPIC -o record.so powercut_record.c -ldl;  LD_PRELOAD=record.so …
 *
 * A record is: kind (1 byte), length of the path (2), offset (8), length of the data (4), path,
 * data; numbers little-endian as the machine has them. Kinds: 'w' write, 't' truncate to offset,
 * 's' sync of a file, 'd' sync of a directory, 'c' created, 'u' unlinked, 'r' renamed (data: the
 * new path). A mutex keeps the records in the order of the calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
#define PATH 512
static char path[FILES][PATH];
static char is_directory[FILES];
static int log_fd = -1;
static const char *dir;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);

#define REAL(type, name, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void start(void)
{
    const char *log = getenv("RECORD_LOG");
    real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if (!real_open) real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    dir = getenv("RECORD_DIR");
    if (log) log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void emit(char kind, const char *p, uint64_t offset, const void *data, uint32_t length)
{
    uint16_t path_length = (uint16_t)strlen(p);
    size_t size = 15 + path_length + length, done = 0;
    char *record = malloc(size);
    if (log_fd < 0 || !record) abort();
    record[0] = kind;
    memcpy(record + 1, &path_length, 2);
    memcpy(record + 3, &offset, 8);
    memcpy(record + 11, &length, 4);
    memcpy(record + 15, p, path_length);
    if (length) memcpy(record + 15 + path_length, data, length);
    while (done < size) {
        ssize_t n = real_write(log_fd, record + done, size - done);
        if (n <= 0) abort();
        done += (size_t)n;
    }
    free(record);
}

static int mine(const char *p)
{
    pthread_once(&once, start);
    return dir && p && strncmp(p, dir, strlen(dir)) == 0;
}

static int watched(int fd)
{
    pthread_once(&once, start);
    return fd >= 0 && fd < FILES && path[fd][0];
}

static int opened(int fd, const char *p, int existed)
{
    struct stat about;
    if (fd < 0 || fd >= FILES) return fd;
    path[fd][0] = 0;
    if (!mine(p) || fstat(fd, &about)) return fd;
    snprintf(path[fd], PATH, "%s", p);
    is_directory[fd] = S_ISDIR(about.st_mode);
    if (!existed) emit('c', p, 0, NULL, 0);
    return fd;
}

static int open_recorded(const char *p, int flags, mode_t mode)
{
    struct stat about;
    int existed, fd;
    if (!mine(p)) {
        fd = real_open(p, flags, mode);
        if (fd >= 0 && fd < FILES) path[fd][0] = 0;
        return fd;
    }
    pthread_mutex_lock(&order);
    existed = stat(p, &about) == 0;
    fd = opened(real_open(p, flags, mode), p, existed);
    if (fd >= 0 && existed && (flags & O_TRUNC)) emit('t', p, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN(name)                                      \
    int name(const char *p, int flags, ...)             \
    {                                                   \
        va_list rest;                                   \
        mode_t mode;                                    \
        pthread_once(&once, start);                     \
        va_start(rest, flags);                          \
        mode = (mode_t)va_arg(rest, int);               \
        va_end(rest);                                   \
        return open_recorded(p, flags, mode);           \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                            \
    int name(int at, const char *p, int flags, ...)                             \
    {                                                                           \
        va_list rest;                                                           \
        mode_t mode;                                                            \
        int fd;                                                                 \
        REAL(int, name, int, const char *, int, ...);                           \
        pthread_once(&once, start);                                             \
        va_start(rest, flags);                                                  \
        mode = (mode_t)va_arg(rest, int);                                       \
        va_end(rest);                                                           \
        if (p[0] == '/') return open_recorded(p, flags, mode);                  \
        fd = real(at, p, flags, mode);                                          \
        if (fd >= 0 && fd < FILES) path[fd][0] = 0;                             \
        return fd;                                                              \
    }
OPENAT(openat)
OPENAT(openat64)

#define PWRITE(name, offset_t)                                                  \
    ssize_t name(int fd, const void *data, size_t length, offset_t offset)      \
    {                                                                           \
        ssize_t n;                                                              \
        REAL(ssize_t, name, int, const void *, size_t, offset_t);               \
        if (!watched(fd)) return real(fd, data, length, offset);                \
        pthread_mutex_lock(&order);                                             \
        n = real(fd, data, length, offset);                                     \
        if (n > 0) emit('w', path[fd], (uint64_t)offset, data, (uint32_t)n);    \
        pthread_mutex_unlock(&order);                                           \
        return n;                                                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t length)
{
    ssize_t n;
    if (!watched(fd)) return real_write(fd, data, length);
    pthread_mutex_lock(&order);
    n = real_write(fd, data, length);
    if (n > 0) emit('w', path[fd], (uint64_t)(lseek(fd, 0, SEEK_CUR) - n), data, (uint32_t)n);
    pthread_mutex_unlock(&order);
    return n;
}

#define TRUNCATE(name, offset_t)                                        \
    int name(int fd, offset_t length)                                   \
    {                                                                   \
        int result;                                                     \
        REAL(int, name, int, offset_t);                                 \
        if (!watched(fd)) return real(fd, length);                      \
        pthread_mutex_lock(&order);                                     \
        result = real(fd, length);                                      \
        if (!result) emit('t', path[fd], (uint64_t)length, NULL, 0);    \
        pthread_mutex_unlock(&order);                                   \
        return result;                                                  \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                              \
    int name(int fd)                                                            \
    {                                                                           \
        int result;                                                             \
        REAL(int, name, int);                                                   \
        if (!watched(fd)) return real(fd);                                      \
        pthread_mutex_lock(&order);                                             \
        result = real(fd);                                                      \
        if (!result) emit(is_directory[fd] ? 'd' : 's', path[fd], 0, NULL, 0);  \
        pthread_mutex_unlock(&order);                                           \
        return result;                                                          \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *p)
{
    int result;
    REAL(int, unlink, const char *);
    if (!mine(p)) return real(p);
    pthread_mutex_lock(&order);
    result = real(p);
    if (!result) emit('u', p, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}

int rename(const char *from, const char *to)
{
    int result;
    REAL(int, rename, const char *, const char *);
    if (!mine(from)) return real(from, to);
    pthread_mutex_lock(&order);
    result = real(from, to);
    if (!result) emit('r', from, 0, to, (uint32_t)strlen(to));
    pthread_mutex_unlock(&order);
    return result;
}

/* Not recorded, so not allowed: what would pass by the record must not pass unseen. */
#define REFUSE(what)                                                    \
    do {                                                                \
        fprintf(stderr, "powercut: %s is not recorded\n", what);        \
        abort();                                                        \
    } while (0)

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    if (watched(fd)) REFUSE("pwritev");
    return real(fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (watched(fd)) REFUSE("writev");
    return real(fd, parts, count);
}

int close(int fd)
{
    REAL(int, close, int);
    if (watched(fd)) path[fd][0] = 0;
    return real(fd);
}
