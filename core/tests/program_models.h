/* program_models.h - copies of a tiny model with one thing wrong */
#ifndef CORE_TESTS_PROGRAM_MODELS_H
#define CORE_TESTS_PROGRAM_MODELS_H

#include <jansson.h>

#include "core/tests/program.h"

/* Sets a key of NAME/config.json, or takes it away (value NULL); takes over the value. */
static inline void config_set(const char *name, const char *key, json_t *value)
{
    char *path = xformat("%s/config.json", scratch_path(name));
    json_t *root = json_load_file(path, 0, NULL);
    assert(root);
    if (value) json_object_set_new(root, key, value);
    else json_object_del(root, key);
    int failed = json_dump_file(root, path, 0);
    assert(!failed);
    (void)failed;
    json_decref(root);
    free(path);
}

/* Where a tensor of an F32 safetensors file lies among its bytes, and its number of values. */
static inline char *tensor_find(int64_t *n, char *bytes, const char *tensor)
{
    uint64_t header;
    memcpy(&header, bytes, 8);
    json_t *root = json_loadb(bytes + 8, header, 0, NULL), *offsets = json_object_get(json_object_get(root, tensor), "data_offsets");
    assert(offsets);
    int64_t begin = json_integer_value(json_array_get(offsets, 0)), end = json_integer_value(json_array_get(offsets, 1));
    json_decref(root);
    *n = (end - begin) / 4;
    return bytes + 8 + header + begin;
}

enum { POKED = 7 };

/* Sets value POKED of a tensor in NAME/model.safetensors; returns what it was, and ||W||^2 from before in *norm. */
static inline float tensor_poke(double *norm, const char *name, const char *tensor, float value)
{
    char *path = xformat("%s/model.safetensors", name);
    size_t n;
    int64_t count;
    char *bytes = file_read(scratch_path(path), &n), *data = tensor_find(&count, bytes, tensor);
    float w, old;
    *norm = 0;
    for (int64_t i = 0; i < count; i++) {
        memcpy(&w, data + 4 * i, 4);
        *norm += (double)w * w;
    }
    memcpy(&old, data + 4 * POKED, 4);
    memcpy(data + 4 * POKED, &value, 4);
    scratch_bytes(path, bytes, n);
    free(bytes);
    free(path);
    return old;
}

/* The first n bytes of a file (all but -n where n is negative), as scratch/NAME. */
static inline void file_cut(const char *name, const char *from, long n)
{
    size_t length;
    char *bytes = file_read(from, &length);
    assert(bytes);
    scratch_bytes(name, bytes, n < 0 ? length - (size_t)-n : (size_t)n);
    free(bytes);
}

#endif
