/*
 * resources.h - memory that is free right now, of the host or of a device, and where the number came from
 *
 *     host:    least of  MemAvailable of /proc/meminfo,
 *                        limit - (usage - inactive file pages)  of every control group that the process is in, and of those above them
 *     device:  what its driver still gives
 *
 * Control groups are what limits a container or a batch job: version 2 (memory.max, memory.current, memory.stat) and version 1
 * (memory.limit_in_bytes, memory.usage_in_bytes).  Files that nobody has read for a while are given back before anything is refused, so
 * these pages count as free, as they do in MemAvailable.
 */
#ifndef CORE_BASE_RESOURCES_H
#define CORE_BASE_RESOURCES_H

#include "kernels/kernels.h"

typedef struct {
    int64_t bytes;
    char source[256];               /* for people: "MemAvailable of /proc/meminfo", "limit of the control group /job (memory.max)" */
} FreeMemory;

/* The folders proc and sys are looked for in root: "" on a machine, a copy of them in tests.  ERR_FILE, ERR_FORMAT where /proc/meminfo does not
 * tell; groups whose files are not there limit nothing. */
int free_memory_of_host(FreeMemory *out, const char *root);

/* Of whatever these kernels compute in.  ERR_DEVICE where the device does not answer. */
int free_memory_of(FreeMemory *out, const Kernels *kernels);

#endif
