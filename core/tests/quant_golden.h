/*
 * quant_golden.h - the quantizers' golden references: matrices, dequantized results, t^2
 */
#ifndef CORE_TESTS_QUANT_GOLDEN_H
#define CORE_TESTS_QUANT_GOLDEN_H

#include <endian.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

/* The float32 tensor `name` of core/tests/golden/quant/<file>.safetensors, to be freed; NULL where absent. */
static inline float *golden_tensor(const char *file, const char *name, int64_t *rows, int64_t *cols)
{
    char path[256];
    snprintf(path, sizeof path, "core/tests/golden/quant/%s.safetensors", file);
    FILE *stream = fopen(path, "rb");
    *rows = *cols = 0;
    if (!stream) return NULL;
    float *data = NULL;
    uint64_t length = 0;
    json_t *header = NULL;
    if (fread(&length, sizeof length, 1, stream) == 1) header = json_loadf(stream, JSON_DISABLE_EOF_CHECK, NULL);
    json_int_t begin, end, shape[2];
    if (header && json_unpack(json_object_get(header, name), "{s:[II], s:[II]}", "shape", &shape[0], &shape[1],
                              "data_offsets", &begin, &end) == 0) {
        data = xmalloc((size_t)(end - begin));
        size_t n = (size_t)(end - begin);
        if (fseek(stream, (long)(8 + le64toh(length)) + (long)begin, SEEK_SET) != 0 || fread(data, 1, n, stream) != n) abort();
        *rows = shape[0], *cols = shape[1];
    }
    json_decref(header);
    fclose(stream);
    return data;
}

/* `key` ("t2", "trace_EHE") of quantizer `name` on `matrix` from quant.json; -1 where absent. */
static inline double golden_value(const char *matrix, const char *name, const char *key)
{
    json_t *root = json_load_file("core/tests/golden/quant.json", 0, NULL);
    json_t *entry = json_object_get(json_object_get(json_object_get(root, matrix), "quantizers"), name);
    json_t *found = json_object_get(entry, key);
    double value = found ? json_number_value(found) : -1;
    json_decref(root);
    return value;
}

static inline double golden_t2(const char *matrix, const char *name) { return golden_value(matrix, name, "t2"); }

#endif
