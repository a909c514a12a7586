#include "core/model/safetensors_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/store/durable.h"

enum { PIECE = 1 << 17 };               /* values that are converted and written at a time */

struct SafetensorsFile {
    char *path;
    int fd;
    const Tensor *tensors;
    int n, current;                     /* tensors; the one that is not full yet */
    size_t filled;                      /* bytes of it */
    int64_t at;                         /* where the next byte goes */
    unsigned char *piece;               /* [PIECE] of the widest dtype */
};

static json_t *shape_of(const Tensor *tensor)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    return shape;
}

/* The length and the header, blanks and all; *data = bytes of the tensors.  The caller frees. */
static char *header_text(size_t *length, uint64_t *data, const Tensor *tensors, int n)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    *data = 0;
    for (int i = 0; i < n; i++) {
        json_int_t begin = (json_int_t)*data, end = begin + (json_int_t)tensors[i].n_bytes;
        json_object_set_new(header, tensors[i].name, json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(tensors[i].dtype),
                                                               "shape", shape_of(&tensors[i]), "data_offsets", begin, end));
        *data = (uint64_t)end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    const size_t used = strlen(text), padded = (used + 7) / 8 * 8;
    const uint64_t written = padded;
    char *all = xmalloc(sizeof written + padded);
    memcpy(all, &written, sizeof written);
    memcpy(all + sizeof written, text, used);
    memset(all + sizeof written + used, ' ', padded - used);
    free(text);
    *length = sizeof written + padded;
    return all;
}

/* A file system that cannot say is no failure; one that is full is. */
static int take_space(const SafetensorsFile *file, uint64_t n_bytes)
{
    if (fallocate(file->fd, 0, 0, (off_t)n_bytes) == 0 || (errno != ENOSPC && errno != EFBIG && errno != EDQUOT)) return OK;
    FAIL(ERR_FILE, "%s: there is no room for its %llu bytes (%s)", file->path, (unsigned long long)n_bytes, strerror(errno));
}

static int write_header(SafetensorsFile *file)
{
    size_t length;
    uint64_t data;
    char *text = header_text(&length, &data, file->tensors, file->n);
    int status = take_space(file, length + data);
    if (status == OK) status = durable_write(file->fd, file->path, text, length, 0);
    free(text);
    file->at = (int64_t)length;
    return status;
}

int safetensors_create(SafetensorsFile **out, const char *path, const Tensor *tensors, int n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) FAIL(ERR_FILE, "%s: cannot be created (%s)", path, strerror(errno));
    SafetensorsFile *file = xmalloc(sizeof *file);
    *file = (SafetensorsFile){ .path = xstrdup(path), .fd = fd, .tensors = tensors, .n = n, .piece = xmalloc(PIECE * sizeof(float)) };
    int status = write_header(file);
    if (status != OK) safetensors_abandon(&file);
    else *out = file;
    return status;
}

static int put_piece(SafetensorsFile *file, const float *values, int64_t n)
{
    const Tensor *tensor = &file->tensors[file->current];
    const size_t n_bytes = (size_t)n * dtype_block_bytes(tensor->dtype);
    if (!dtype_from_float(file->piece, values, n, tensor->dtype))
        FAIL(ERR_ARGUMENT, "tensor '%s' has a value that %s cannot hold", tensor->name, dtype_name(tensor->dtype));
    TRY(durable_write(file->fd, file->path, file->piece, n_bytes, file->at));
    file->at += (int64_t)n_bytes;
    file->filled += n_bytes;
    return OK;
}

int safetensors_put(SafetensorsFile *file, const float *values, int64_t n)
{
    while (file->current < file->n && file->filled == file->tensors[file->current].n_bytes) {
        file->current++;
        file->filled = 0;
    }
    assert(file->current < file->n);
    for (int64_t done = 0; done < n; done += PIECE) TRY(put_piece(file, values + done, n - done < PIECE ? n - done : PIECE));
    assert(file->filled <= file->tensors[file->current].n_bytes);
    return OK;
}

int safetensors_finish(SafetensorsFile **file)
{
    SafetensorsFile *f = *file;
    assert(f->n == 0 || (f->current == f->n - 1 && f->filled == f->tensors[f->current].n_bytes));
    int status = fsync(f->fd) == 0 ? OK : err_set(ERR_FILE, "%s: cannot be flushed to disk (%s)", f->path, strerror(errno));
    if (close(f->fd) != 0 && status == OK) status = err_set(ERR_FILE, "%s: cannot be written (%s)", f->path, strerror(errno));
    f->fd = -1;
    safetensors_abandon(file);
    return status;
}

void safetensors_abandon(SafetensorsFile **file)
{
    SafetensorsFile *f = *file;
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    free(f->path);
    free(f->piece);
    free(f);
    *file = NULL;
}
