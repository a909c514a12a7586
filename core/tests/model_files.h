/*
 * model_files.h - files that tests make: a folder of their own, growing bytes, a GGUF writer
 */
#ifndef CORE_TESTS_MODEL_FILES_H
#define CORE_TESTS_MODEL_FILES_H

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/model/model.h"
#include "core/tests/temporary.h"

/* ---- a folder that is gone after the test ---- */

static inline char *folder_make(void)
{
    char *path = xformat("%s/linearity-test-XXXXXX", temporary_place());
    if (!mkdtemp(path)) abort();
    return path;
}

static inline int folder_forget(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static inline void folder_remove(char *path)
{
    nftw(path, folder_forget, 8, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* ---- bytes ---- */

typedef struct { unsigned char *data; size_t n; } Bytes;

static inline void bytes_add(Bytes *bytes, const void *data, size_t n)
{
    bytes->data = xrealloc(bytes->data, bytes->n + n);
    if (n) memcpy(bytes->data + bytes->n, data, n);
    bytes->n += n;
}

static inline void bytes_u32(Bytes *bytes, uint32_t value) { bytes_add(bytes, &value, sizeof value); }
static inline void bytes_u64(Bytes *bytes, uint64_t value) { bytes_add(bytes, &value, sizeof value); }
static inline void bytes_pad(Bytes *bytes, size_t multiple) { while (bytes->n % multiple) bytes_add(bytes, "", 1); }

static inline void bytes_free(Bytes *bytes)
{
    free(bytes->data);
    *bytes = (Bytes){ 0 };
}

static inline void bytes_write(const Bytes *bytes, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file || (bytes->n && fwrite(bytes->data, 1, bytes->n, file) != bytes->n) || fclose(file) != 0) abort();
}

static inline Bytes bytes_read(const char *path)
{
    Bytes bytes = { 0 };
    char buffer[4096];
    size_t n;
    FILE *file = fopen(path, "rb");
    if (!file) abort();
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) bytes_add(&bytes, buffer, n);
    fclose(file);
    return bytes;
}

/* ---- GGUF ---- */

typedef struct {
    Bytes pairs, entries, data;
    uint64_t n_pairs, n_tensors;
    Dtype dtype;                    /* of matrices: F32, F16 or BF16 */
} GgufWriter;

static inline void gguf_put_text(Bytes *bytes, const char *text)
{
    bytes_u64(bytes, strlen(text));
    bytes_add(bytes, text, strlen(text));
}

static inline void gguf_put(GgufWriter *writer, const char *key, uint32_t kind, const void *value, size_t n_bytes)
{
    gguf_put_text(&writer->pairs, key);
    bytes_u32(&writer->pairs, kind);
    bytes_add(&writer->pairs, value, n_bytes);
    writer->n_pairs++;
}

static inline void gguf_put_u32(GgufWriter *writer, const char *key, uint32_t value) { gguf_put(writer, key, 4, &value, 4); }
static inline void gguf_put_f32(GgufWriter *writer, const char *key, float value) { gguf_put(writer, key, 6, &value, 4); }

static inline void gguf_put_string(GgufWriter *writer, const char *key, const char *text)
{
    gguf_put(writer, key, 8, NULL, 0);
    gguf_put_text(&writer->pairs, text);
}

/* A tensor, vectors in F32; shape in our order, rows first. */
static inline void gguf_put_tensor(GgufWriter *writer, const char *name, const float *values, int rank, const int64_t *shape)
{
    size_t n = 1;
    gguf_put_text(&writer->entries, name);
    bytes_u32(&writer->entries, (uint32_t)rank);
    for (int i = rank - 1; i >= 0; i--) {
        bytes_u64(&writer->entries, (uint64_t)shape[i]);
        n *= (size_t)shape[i];
    }
    const Dtype dtype = rank > 1 ? writer->dtype : DTYPE_F32;
    unsigned char *converted = xmalloc(n * sizeof *values);
    dtype_from_float(converted, values, (int64_t)n, dtype);
    bytes_u32(&writer->entries, dtype == DTYPE_F32 ? 0 : dtype == DTYPE_F16 ? 1 : 30);
    bytes_pad(&writer->data, 32);
    bytes_u64(&writer->entries, writer->data.n);
    bytes_add(&writer->data, converted, n * dtype_block_bytes(dtype));
    writer->n_tensors++;
    free(converted);
}

static inline Bytes gguf_finish(GgufWriter *writer, uint32_t version)
{
    Bytes file = { 0 };
    bytes_add(&file, "GGUF", 4);
    bytes_u32(&file, version);
    bytes_u64(&file, writer->n_tensors);
    bytes_u64(&file, writer->n_pairs);
    bytes_add(&file, writer->pairs.data, writer->pairs.n);
    bytes_add(&file, writer->entries.data, writer->entries.n);
    bytes_pad(&file, 32);
    bytes_add(&file, writer->data.data, writer->data.n);
    bytes_free(&writer->pairs);
    bytes_free(&writer->entries);
    bytes_free(&writer->data);
    return file;
}

/* ---- a model as GGUF ---- */

static const char *const gguf_weight_names[WEIGHT_COUNT] = {
    "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
    "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias", "attn_norm.weight", "ffn_norm.weight",
    "attn_q_norm.weight", "attn_k_norm.weight", "token_embd.weight", "output_norm.weight", "output.weight",
};

/* As llama.cpp's converter: each head's [2][head_dim/2] rows transposed. */
static inline void pair_rows(float *out, const float *rows, int64_t n_rows, int64_t cols, int64_t head_dim)
{
    for (int64_t head = 0; head < n_rows / head_dim; head++)
        for (int64_t i = 0; i < head_dim / 2; i++)
            for (int64_t half = 0; half < 2; half++, out += cols)
                memcpy(out, rows + (head * head_dim + half * head_dim / 2 + i) * cols, (size_t)cols * sizeof *out);
}

static inline void gguf_put_weight(GgufWriter *writer, const Model *model, WeightKind kind, int block, bool pairs)
{
    const Tensor *tensor = model_tensor(model, kind, block);
    if (!tensor) return;
    int64_t rows = tensor->shape[0], cols = tensor->rank == 2 ? tensor->shape[1] : 1;
    size_t n = (size_t)(rows * cols);
    float *values = xmalloc(n * sizeof *values), *ordered = xmalloc(n * sizeof *values);
    if (model_read(values, model, kind, block, 0, rows) != OK) abort();
    memcpy(ordered, values, n * sizeof *values);
    if (pairs && (kind == WEIGHT_Q || kind == WEIGHT_K || kind == WEIGHT_Q_BIAS || kind == WEIGHT_K_BIAS))
        pair_rows(ordered, values, rows, cols, model_shape(model)->head_dim);
    char name[64];
    if (kind < WEIGHT_EMBEDDING) snprintf(name, sizeof name, "blk.%d.%s", block, gguf_weight_names[kind]);
    else snprintf(name, sizeof name, "%s", gguf_weight_names[kind]);
    gguf_put_tensor(writer, name, ordered, tensor->rank, tensor->shape);
    free(values);
    free(ordered);
}

static inline void gguf_put_dimension(GgufWriter *writer, const char *architecture, const char *name, int value)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    gguf_put_u32(writer, key, (uint32_t)value);
}

static inline void gguf_put_shape(GgufWriter *writer, const ModelShape *s, const char *architecture, double theta)
{
    char key[64];
    gguf_put_string(writer, "general.architecture", architecture);
    gguf_put_dimension(writer, architecture, "block_count", s->n_blocks);
    gguf_put_dimension(writer, architecture, "embedding_length", s->width);
    gguf_put_dimension(writer, architecture, "feed_forward_length", s->feed_forward);
    gguf_put_dimension(writer, architecture, "context_length", s->context);
    gguf_put_dimension(writer, architecture, "attention.head_count", s->n_heads);
    gguf_put_dimension(writer, architecture, "attention.head_count_kv", s->n_kv_heads);
    gguf_put_dimension(writer, architecture, "attention.key_length", s->head_dim);
    gguf_put_dimension(writer, architecture, "rope.dimension_count", s->head_dim);
    gguf_put_dimension(writer, architecture, "vocab_size", s->vocabulary);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", architecture);
    gguf_put_f32(writer, key, s->norm_epsilon);
    snprintf(key, sizeof key, "%s.rope.freq_base", architecture);
    gguf_put_f32(writer, key, (float)theta);
}

/* Everything of an open model under an architecture's name and order of rotation; gguf_finish is the caller's. */
static inline GgufWriter gguf_from_model_in(Dtype dtype, const Model *model, const char *architecture, double theta)
{
    GgufWriter writer = { .dtype = dtype };
    const ModelShape *shape = model_shape(model);
    gguf_put_shape(&writer, shape, architecture, theta);
    for (int block = 0; block < shape->n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q; kind < WEIGHT_COUNT; kind++)
            if (block == 0 || kind < WEIGHT_EMBEDDING)
                gguf_put_weight(&writer, model, kind, block, strcmp(architecture, "llama") == 0);
    return writer;
}

static inline GgufWriter gguf_from_model(const Model *model, const char *architecture, double theta)
{
    return gguf_from_model_in(DTYPE_F32, model, architecture, theta);
}

#endif
