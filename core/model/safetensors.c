#include "core/model/safetensors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/json.h"

/* What follows the header of a file: where the tensors' offsets count from. */
typedef struct { const unsigned char *data; size_t n_bytes; } DataArea;

static int read_dtype(Dtype *out, const json_t *value)
{
    const char *name = json_string_value(value);
    if (!name) FAIL(ERR_FORMAT, "it has no dtype");
    for (Dtype dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++)
        if (strcmp(name, dtype_name(dtype)) == 0) {
            *out = dtype;
            return OK;
        }
    FAIL(ERR_UNSUPPORTED, "its dtype is %s; we read F32, F16 and BF16", name);
}

static int read_shape(Tensor *tensor, const json_t *shape)
{
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > 4) FAIL(ERR_FORMAT, "its shape is not a list of at most 4 numbers");
    tensor->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size)) FAIL(ERR_FORMAT, "its shape is not a list of at most 4 numbers");
        tensor->shape[i] = json_integer_value(size);
    }
    return tensor_measure(tensor);
}

static int read_place(Tensor *tensor, const json_t *offsets, DataArea area)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        FAIL(ERR_FORMAT, "its data_offsets are not two numbers");
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > area.n_bytes)
        FAIL(ERR_FORMAT, "its data_offsets [%lld, %lld] lie outside the file's %zu bytes of data; the file is damaged or incomplete",
             (long long)begin, (long long)end, area.n_bytes);
    if ((uint64_t)(end - begin) != tensor->n_bytes)
        FAIL(ERR_FORMAT, "it has %lld bytes, its shape and dtype need %zu", (long long)(end - begin), tensor->n_bytes);
    tensor->data = area.data + begin;
    return OK;
}

static int read_tensor(Tensor *tensor, const json_t *entry, DataArea area)
{
    TRY(read_dtype(&tensor->dtype, json_object_get(entry, "dtype")));
    TRY(read_shape(tensor, json_object_get(entry, "shape")));
    return read_place(tensor, json_object_get(entry, "data_offsets"), area);
}

static int read_entries(TensorSet *set, json_t *header, DataArea area, const char *path)
{
    const char *name;
    json_t *entry;
    size_t covered = 0;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        Tensor tensor = { 0 };
        int status = read_tensor(&tensor, entry, area);
        if (status != OK) return err_context(status, "%s: tensor '%.200s'", path, name);
        covered += tensor.n_bytes;
        tensor_set_add(set, &tensor, name, strlen(name));
    }
    if (covered < area.n_bytes)
        FAIL(ERR_FORMAT, "%s: %zu bytes of the data belong to no tensor; the file is damaged", path, area.n_bytes - covered);
    return OK;
}

static int read_header(TensorSet *set, const FileMap *map, const char *path)
{
    enum { LENGTH_BYTES = 8 };
    uint64_t length;
    if (map->n_bytes < LENGTH_BYTES) FAIL(ERR_FORMAT, "%s: too short for a safetensors file", path);
    memcpy(&length, map->data, LENGTH_BYTES);
    if (length > map->n_bytes - LENGTH_BYTES)
        FAIL(ERR_FORMAT, "%s: not a safetensors file, or incomplete (a header of %llu bytes does not fit into %zu)", path,
             (unsigned long long)length, map->n_bytes);
    json_t *header;
    TRY(json_object_from_text(&header, (const char *)map->data + LENGTH_BYTES, (size_t)length, path));
    size_t data_start = LENGTH_BYTES + (size_t)length;
    int status = read_entries(set, header, (DataArea){ map->data + data_start, map->n_bytes - data_start }, path);
    json_decref(header);
    return status;
}

static int add_file(Safetensors *files, const char *path)
{
    FileMap map;
    TRY(file_map_open(&map, path));
    files->maps = xrealloc(files->maps, (size_t)(files->n_maps + 1) * sizeof *files->maps);
    files->maps[files->n_maps++] = map;
    return read_header(&files->tensors, &map, path);
}

int safetensors_open(Safetensors *out, const char *path)
{
    Safetensors files = { 0 };
    int status = add_file(&files, path);
    if (status == OK) status = tensor_set_finish(&files.tensors, path);
    if (status != OK) safetensors_close(&files);
    else *out = files;
    return status;
}

/* ---- several files under one index ---- */

/* The index comes from outside: a shard's name must not lead out of the directory. */
static int check_shard_name(const json_t *value, const char *tensor, const char *index_path)
{
    const char *name = json_string_value(value);
    if (!name || !*name || strchr(name, '/'))
        FAIL(ERR_FORMAT, "%s: the shard of '%.200s' is not the name of a file beside the index", index_path, tensor);
    return OK;
}

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return xformat("%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
}

/* Maps every shard that weight_map names, in the order of first mention; shard_of[name] = its number. */
static int open_shards(Safetensors *files, json_t *weight_map, json_t *shard_of, const char *index_path)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(weight_map, tensor, value) {
        TRY(check_shard_name(value, tensor, index_path));
        const char *name = json_string_value(value);
        if (json_object_get(shard_of, name)) continue;
        json_object_set_new(shard_of, name, json_integer(files->n_maps));
        char *path = beside(index_path, name);
        int status = add_file(files, path);
        free(path);
        TRY(status);
    }
    return tensor_set_finish(&files->tensors, index_path);
}

static bool lies_in(const Tensor *tensor, const FileMap *map)
{
    return tensor->data >= map->data && tensor->data + tensor->n_bytes <= map->data + map->n_bytes;
}

static int check_places(const Safetensors *files, json_t *weight_map, const json_t *shard_of, const char *index_path)
{
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        const Tensor *tensor = tensor_set_find(&files->tensors, name);
        const char *shard = json_string_value(value);
        if (!tensor || !lies_in(tensor, &files->maps[json_integer_value(json_object_get(shard_of, shard))]))
            FAIL(ERR_FORMAT, "%s: tensor '%.200s' is not in %s, where the index says", index_path, name, shard);
    }
    for (int i = 0; i < files->tensors.n; i++)
        if (!json_object_get(weight_map, files->tensors.tensors[i].name))
            FAIL(ERR_FORMAT, "%s: tensor '%.200s' of a shard is not in the index", index_path, files->tensors.tensors[i].name);
    return OK;
}

static int open_indexed(Safetensors *files, const json_t *index, const char *index_path)
{
    json_t *weight_map = json_object_get(index, "weight_map");
    if (!json_is_object(weight_map)) FAIL(ERR_FORMAT, "%s: no weight_map object", index_path);
    json_t *shard_of = json_object();
    int status = open_shards(files, weight_map, shard_of, index_path);
    if (status == OK) status = check_places(files, weight_map, shard_of, index_path);
    json_decref(shard_of);
    return status;
}

int safetensors_open_index(Safetensors *out, const char *index_path)
{
    json_t *index;
    Safetensors files = { 0 };
    TRY(json_object_from_file(&index, index_path));
    int status = open_indexed(&files, index, index_path);
    json_decref(index);
    if (status != OK) safetensors_close(&files);
    else *out = files;
    return status;
}

void safetensors_close(Safetensors *files)
{
    tensor_set_free(&files->tensors);
    for (int i = 0; i < files->n_maps; i++) file_map_close(&files->maps[i]);
    free(files->maps);
    *files = (Safetensors){ 0 };
}
