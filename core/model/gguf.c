#include "core/model/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/gguf_directory.h"

int gguf_open(Gguf **out, const char *path)
{
    FileMap map;
    TRY(file_map_open(&map, path));
    Gguf *gguf = xcalloc(1, sizeof *gguf);
    gguf->map = map;
    int status = gguf_read_directory(gguf, path);
    if (status != OK) gguf_close(&gguf);
    else *out = gguf;
    return status;
}

void gguf_close(Gguf **gguf)
{
    Gguf *closing = *gguf;
    if (!closing) return;
    for (int i = 0; i < closing->n_pairs; i++) free(closing->pairs[i].strings);
    free(closing->pairs);
    tensor_set_free(&closing->tensors);
    file_map_close(&closing->map);
    free(closing);
    *gguf = NULL;
}

/* X(kind, C type) for every number of fixed width */
#define INTEGERS(X)                                                                        \
    X(KIND_U8, uint8_t) X(KIND_I8, int8_t) X(KIND_U16, uint16_t) X(KIND_I16, int16_t)      \
    X(KIND_U32, uint32_t) X(KIND_I32, int32_t) X(KIND_BOOL, uint8_t) X(KIND_I64, int64_t)
#define NUMBERS(X) INTEGERS(X) X(KIND_U64, uint64_t) X(KIND_F32, float) X(KIND_F64, double)
#define READ(kind, Type) case kind: { Type value; memcpy(&value, from, sizeof value); *out = value; return true; }

static bool read_integer(int64_t *out, const unsigned char *from, GgufKind kind)
{
    uint64_t large;
    switch (kind) {
    INTEGERS(READ)
    case KIND_U64:
        memcpy(&large, from, sizeof large);
        if (large > INT64_MAX) return false;
        *out = (int64_t)large;
        return true;
    default: return false;
    }
}

static bool read_number(double *out, const unsigned char *from, GgufKind kind)
{
    switch (kind) {
    NUMBERS(READ)
    default: return false;
    }
}

static GgufString read_string(const unsigned char *from)
{
    uint64_t length;
    memcpy(&length, from, sizeof length);
    return (GgufString){ (const char *)from + sizeof length, (size_t)length };
}

bool gguf_integer(const Gguf *gguf, const char *key, int64_t *out)
{
    const GgufPair *pair = gguf_find_pair(gguf, key);
    return pair && read_integer(out, pair->value, pair->kind);
}

bool gguf_number(const Gguf *gguf, const char *key, double *out)
{
    const GgufPair *pair = gguf_find_pair(gguf, key);
    return pair && read_number(out, pair->value, pair->kind);
}

bool gguf_string(const Gguf *gguf, const char *key, GgufString *out)
{
    const GgufPair *pair = gguf_find_pair(gguf, key);
    if (!pair || pair->kind != KIND_STRING) return false;
    *out = read_string(pair->value);
    return true;
}

int64_t gguf_array_length(const Gguf *gguf, const char *key)
{
    const GgufPair *pair = gguf_find_pair(gguf, key);
    return pair && pair->kind == KIND_ARRAY ? pair->n : -1;
}

/* The array of that name if it has such an element. */
static const GgufPair *array_with(const Gguf *gguf, const char *key, int64_t index)
{
    const GgufPair *pair = gguf_find_pair(gguf, key);
    return pair && pair->kind == KIND_ARRAY && index >= 0 && index < pair->n ? pair : NULL;
}

bool gguf_array_string(const Gguf *gguf, const char *key, int64_t index, GgufString *out)
{
    const GgufPair *pair = array_with(gguf, key, index);
    if (!pair || pair->element != KIND_STRING) return false;
    *out = read_string(pair->strings[index]);
    return true;
}

bool gguf_array_number(const Gguf *gguf, const char *key, int64_t index, double *out)
{
    const GgufPair *pair = array_with(gguf, key, index);
    return pair && read_number(out, pair->value + (size_t)index * gguf_kind_bytes(pair->element), pair->element);
}

int gguf_tensor_count(const Gguf *gguf) { return gguf->tensors.n; }
const Tensor *gguf_find(const Gguf *gguf, const char *name) { return tensor_set_find(&gguf->tensors, name); }
