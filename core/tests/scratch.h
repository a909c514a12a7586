/* scratch.h - small files for a test, in a folder of its own that scratch_remove takes away */
#ifndef CORE_TESTS_SCRATCH_H
#define CORE_TESTS_SCRATCH_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/tests/temporary.h"

static char scratch_folder[2048];

/* The path of a file in the folder; good for the next 64 calls. */
static inline const char *scratch_path(const char *name)
{
    enum { PATHS = 64 };
    static char path[PATHS][4096];
    static int next;
    static int made;
    if (!made) {
        snprintf(scratch_folder, sizeof scratch_folder, "%s/linearity-test-XXXXXX", temporary_place());
        made = mkdtemp(scratch_folder) != NULL;
    }
    assert(made);
    char *out = path[next++ % PATHS];
    snprintf(out, sizeof path[0], "%s/%s", scratch_folder, name);
    return out;
}

static inline const char *scratch_bytes(const char *name, const void *bytes, size_t n)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");
    assert(file);
    size_t written = fwrite(bytes, 1, n, file);
    int closed = fclose(file);
    assert(written == n && closed == 0);
    (void)written, (void)closed;
    return path;
}

static inline const char *scratch_text(const char *name, const char *text)
{
    return scratch_bytes(name, text, strlen(text));
}

static inline int scratch_unlink(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static inline void scratch_remove(void) { nftw(scratch_folder, scratch_unlink, 8, FTW_DEPTH | FTW_PHYS); }

/* The teardown of a group of tests. */
static inline int scratch_teardown(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

#endif
