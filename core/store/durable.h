/*
 * durable.h - writes that are on the disk when they return, and the lock that keeps two writers apart
 */
#ifndef CORE_STORE_DURABLE_H
#define CORE_STORE_DURABLE_H

#include <stddef.h>
#include <stdint.h>

/* Writes all n bytes at this offset, or fails (what stands after the offset is then undefined). */
int durable_write(int fd, const char *path, const void *data, size_t n, int64_t offset);

/* Makes the names in the folder of this file durable: after a file is created or renamed there. */
int durable_folder(const char *path);

/* Puts a whole new file in the place of path, or leaves path as it was: PATH.tmp, flushed, renamed.
 * Keeps the permissions of the old file. */
int durable_replace(const char *path, const void *data, size_t n);

/* The whole of a regular file; the caller frees.  *data = NULL where there is no such file. */
int durable_read(uint8_t **data, size_t *n, const char *path);

/* The lock file at path is ours until lock_release, which removes it.  ERR_FILE where another process
 * holds it (`what` names what it protects, and the message the pid). */
int  lock_take(int *fd, const char *path, const char *what);
void lock_release(int fd, const char *path);

#endif
