/* Preloaded into a program, for tests: kills it before a chosen step in a chosen folder.
 *
 * A step is a call that changes the file system: a file opened for writing, a write, a sync, a rename, a removal.
 * Steps whose path contains DYING_PATH are counted; before step number DYING_AT the process is killed, as from outside.
 * Of a write, half is done first. With DYING_KIND=sync only syncs are counted: the moments at which something is on
 * its way to be durable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_last(const char *path)
{
    static int steps;
    const char *part = getenv("DYING_PATH"), *at = getenv("DYING_AT");
    if (!path || !part || !at || !strstr(path, part))
        return 0;
    return __atomic_add_fetch(&steps, 1, __ATOMIC_SEQ_CST) == atoi(at);
}

static int only_syncs(void)
{
    const char *kind = getenv("DYING_KIND");
    return kind && !strcmp(kind, "sync");
}

static void step(const char *path)
{
    if (!only_syncs() && is_last(path))
        kill(getpid(), SIGKILL);
}

static void sync_step(const char *path)
{
    if (is_last(path))
        kill(getpid(), SIGKILL);
}

static const char *path_of(int file, char *room, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, room, size - 1);
    if (length < 0)
        return NULL;
    room[length] = 0;
    return room;
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = va_arg(rest, mode_t);                     \
        va_end(rest);                                           \
        REAL(int, #name, const char *, int, mode_t);            \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT))              \
            step(path);                                         \
        return real(path, flags, mode);                         \
    }

OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *bytes, size_t count)
{
    char room[4096];
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!only_syncs() && is_last(path_of(file, room, sizeof room))) {
        if (real(file, bytes, count / 2) >= 0)
            kill(getpid(), SIGKILL);
    }
    return real(file, bytes, count);
}

#define PWRITE(name)                                                            \
    ssize_t name(int file, const void *bytes, size_t count, off_t at)           \
    {                                                                           \
        char room[4096];                                                        \
        REAL(ssize_t, #name, int, const void *, size_t, off_t);                 \
        if (!only_syncs() && is_last(path_of(file, room, sizeof room))) {       \
            if (real(file, bytes, count / 2, at) >= 0)                          \
                kill(getpid(), SIGKILL);                                        \
        }                                                                       \
        return real(file, bytes, count, at);                                    \
    }

PWRITE(pwrite)
PWRITE(pwrite64)

int fdatasync(int file)
{
    char room[4096];
    REAL(int, "fdatasync", int);
    sync_step(path_of(file, room, sizeof room));
    return real(file);
}

int fsync(int file)
{
    char room[4096];
    REAL(int, "fsync", int);
    sync_step(path_of(file, room, sizeof room));
    return real(file);
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    step(to);
    return real(from, to);
}

int unlink(const char *path)
{
    REAL(int, "unlink", const char *);
    step(path);
    return real(path);
}
