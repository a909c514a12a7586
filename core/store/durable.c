#include "core/store/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"

int durable_write(int fd, const char *path, const void *data, size_t n, int64_t offset)
{
    const char *at = data;
    while (n > 0) {
        ssize_t written = pwrite(fd, at, n, offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) FAIL(ERR_FILE, "%s: cannot be written (%s)", path, strerror(errno));
        at += written;
        offset += written;
        n -= (size_t)written;
    }
    return OK;
}

int durable_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? xformat("%.*s", (int)(slash - path) + 1, path) : xstrdup(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = OK;
    /* EINVAL: a file system that cannot flush a folder needs no flushing of it */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        status = err_set(ERR_FILE, "%s: the folder cannot be flushed to disk (%s)", folder, strerror(errno));
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

static int write_and_flush(const char *path, mode_t mode, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) FAIL(ERR_FILE, "%s: cannot be created (%s)", path, strerror(errno));
    int status = durable_write(fd, path, data, n, 0);
    if (status == OK && mode) (void)!fchmod(fd, mode);          /* a nicety: its failure loses nothing */
    if (status == OK && fsync(fd) != 0) status = err_set(ERR_FILE, "%s: cannot be flushed to disk (%s)", path, strerror(errno));
    if (close(fd) != 0 && status == OK) status = err_set(ERR_FILE, "%s: cannot be written (%s)", path, strerror(errno));
    return status;
}

int durable_replace(const char *path, const void *data, size_t n)
{
    char *temporary = xformat("%s.tmp", path);
    struct stat old;
    int status = write_and_flush(temporary, stat(path, &old) == 0 ? old.st_mode & 07777 : 0, data, n);
    if (status == OK && rename(temporary, path) != 0)
        status = err_set(ERR_FILE, "%s: cannot be renamed to %s (%s)", temporary, path, strerror(errno));
    if (status != OK) unlink(temporary);
    free(temporary);
    return status == OK ? durable_folder(path) : status;
}

static int read_all(int fd, const char *path, uint8_t *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, data + done, n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) FAIL(ERR_FILE, "%s: cannot be read (%s)", path, strerror(errno));
        if (got == 0) FAIL(ERR_FILE, "%s: became shorter while it was read", path);
        done += (size_t)got;
    }
    return OK;
}

int durable_read(uint8_t **data, size_t *n, const char *path)
{
    *data = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return OK;
    if (fd < 0) FAIL(ERR_FILE, "%s: cannot be read (%s)", path, strerror(errno));
    struct stat info;
    int status = OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = err_set(ERR_FILE, "%s: not a regular file", path);
    uint8_t *bytes = status == OK ? xmalloc((size_t)info.st_size) : NULL;
    if (status == OK) status = read_all(fd, path, bytes, (size_t)info.st_size);
    close(fd);
    if (status != OK) {
        free(bytes);
        return status;
    }
    *data = bytes;
    *n = (size_t)info.st_size;
    return OK;
}

static int lock_held_by(const char *path, const char *what)
{
    long pid = 0;
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%ld", &pid) != 1) pid = 0;
        fclose(file);
    }
    if (pid > 0) FAIL(ERR_FILE, "%s: process %ld is writing to it; wait for it, or choose another output", what, pid);
    FAIL(ERR_FILE, "%s: another process is writing to it; wait for it, or choose another output", what);
}

/* Whoever held the lock removes the file, so the one that we locked may have lost its name since. */
static int still_named(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

int lock_take(int *out, const char *path, const char *what)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) FAIL(ERR_FILE, "%s: cannot be written: %s cannot be created (%s)", what, path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            close(fd);
            if (reason == EWOULDBLOCK) return lock_held_by(path, what);
            if (reason == EINTR) continue;
            FAIL(ERR_FILE, "%s: cannot be locked (%s)", path, strerror(reason));
        }
        if (still_named(fd, path)) {
            (void)!ftruncate(fd, 0);                            /* the pid only serves a message */
            (void)!dprintf(fd, "%ld\n", (long)getpid());
            *out = fd;
            return OK;
        }
        close(fd);
    }
}

void lock_release(int fd, const char *path)
{
    unlink(path);                   /* while it is still ours */
    close(fd);
}
