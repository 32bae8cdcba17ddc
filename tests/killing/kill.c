/* Ends its process without warning before its Nth call that the disk or a file could notice, N from KILL_AT; for tests
 * of what is left. From the Nth call on, N from FULL_AT, nothing more can be written: the disk is full. Counts those calls
 * into the file KILL_COUNT when the process ends by itself. Preloaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static void count(void) {
    static long at = -1;
    if (at == -1) {
        const char *text = getenv("KILL_AT");
        at = text ? atol(text) : 0;
    }
    if (atomic_fetch_add(&calls, 1) + 1 == at) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("KILL_COUNT");
    FILE *out = path ? fopen(path, "w") : NULL;
    if (out) {
        fprintf(out, "%ld\n", (long)calls);
        fclose(out);
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_full(void) {
    static long at = -1;
    if (at == -1) {
        const char *text = getenv("FULL_AT");
        at = text ? atol(text) : 0;
    }
    return at > 0 && calls >= at;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    count();
    if (is_full()) {
        errno = ENOSPC;
        return -1;
    }
    return REAL(pwrite64)(fd, data, size, offset);
}

int fsync(int fd) {
    count();
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    count();
    return REAL(fdatasync)(fd);
}

int unlink(const char *path) {
    count();
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to) {
    count();
    return REAL(rename)(from, to);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    count();
    return REAL(open64)(path, flags, mode);
}
