/*
 * golden_gradients.h - whole gradients of the mean NLL of the tiny checkpoints, in float64
 */
#ifndef CORE_TESTS_GOLDEN_GRADIENTS_H
#define CORE_TESTS_GOLDEN_GRADIENTS_H

#include "core/tests/tiny_golden.h"

#include <stdio.h>

static const char *const golden_type[LAYER_TYPES] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                                      "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };

/* A safetensors file of float64, which is no weight format of the model reader. */
typedef struct { json_t *header; char *bytes; const char *data; } Doubles;

static inline Doubles doubles_open(const char *name)
{
    char path[256];
    Doubles d;
    snprintf(path, sizeof path, "core/tests/golden/tiny/%s/grads.safetensors", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    d.bytes = xmalloc(n);
    assert_int_equal(fread(d.bytes, 1, n, file), n);
    fclose(file);
    uint64_t length;
    memcpy(&length, d.bytes, sizeof length);
    d.header = json_loadb(d.bytes + 8, length, 0, NULL);
    d.data = d.bytes + 8 + length;
    assert_non_null(d.header);
    return d;
}

static inline void doubles_close(Doubles *d)
{
    json_decref(d->header);
    free(d->bytes);
}

static inline double *doubles_read(const Doubles *d, const char *tensor, int64_t n)
{
    const json_t *entry = json_object_get(d->header, tensor);
    assert_string_equal(json_string_value(json_object_get(entry, "dtype")), "F64");
    size_t start = (size_t)element(json_object_get(entry, "data_offsets"), 0), end = (size_t)element(json_object_get(entry, "data_offsets"), 1);
    assert_int_equal(end - start, (size_t)n * sizeof(double));
    double *out = xmalloc(end - start);
    memcpy(out, d->data + start, end - start);
    return out;
}

/* dL/dW of one layer [rows][cols], L the mean NLL of a golden sequence. */
static inline double *golden_gradient(const Doubles *d, int sequence, const Layer *layer)
{
    char name[64];
    snprintf(name, sizeof name, "seq%d.layers.%d.%s", sequence, layer->block, golden_type[layer->type]);
    return doubles_read(d, name, layer->rows * layer->cols);
}

#endif
