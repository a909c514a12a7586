#include "core/model/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"

static int map_descriptor(FileMap *out, int descriptor, const char *path)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) FAIL(ERR_FILE, "%s: not a regular file", path);
    if (status.st_size == 0) FAIL(ERR_FORMAT, "%s: the file is empty", path);
    size_t n_bytes = (size_t)status.st_size;
    void *data = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) FAIL(ERR_FILE, "%s: cannot be mapped: %s", path, strerror(errno));
    *out = (FileMap){ data, n_bytes };
    return OK;
}

void file_map_close(FileMap *map)
{
    if (map->data) munmap((void *)map->data, map->n_bytes);
    *map = (FileMap){ 0 };
}

/* What a clone without Git LFS has in the place of large files. */
static int refuse_pointer(FileMap *map, const char *path)
{
    static const char start[] = "version https://git-lfs";
    if (map->n_bytes < sizeof start || memcmp(map->data, start, sizeof start - 1) != 0) return OK;
    file_map_close(map);
    FAIL(ERR_FORMAT, "%s: a Git LFS pointer, not the weights; run git lfs pull in its folder", path);
}

int file_map_open(FileMap *out, const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);     /* a FIFO must not block before it is refused */
    if (descriptor < 0) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    int status = map_descriptor(out, descriptor, path);
    close(descriptor);                                                  /* the mapping stays */
    return status == OK ? refuse_pointer(out, path) : status;
}
