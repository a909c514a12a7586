#include "core/model/random_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/model/model_build.h"
#include "core/model/rotary.h"

enum { PATTERN = 16 << 20 };            /* weights that repeat; their bytes are whole pages */

/* config.json of the models, as published. */
static const struct { const char *name; double theta; ModelShape shape; } known[] = {
    { "llama-3.1-8b",  500000, { "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 1e-5f, false, NULL, 0 } },
    { "llama-2-7b",    10000,  { "llama", 32, 4096, 32, 32, 128, 11008, 32000, 4096,   1e-5f, false, NULL, 0 } },
    { "llama-2-13b",   10000,  { "llama", 40, 5120, 40, 40, 128, 13824, 32000, 4096,   1e-5f, false, NULL, 0 } },
    { "llama-3.2-1b",  500000, { "llama", 16, 2048, 32, 8, 64,  8192,  128256, 131072, 1e-5f, true,  NULL, 0 } },
    { "smollm2-135m",  100000, { "llama", 30, 576,  9,  3, 64,  1536,  49152,  8192,   1e-5f, true,  NULL, 0 } },
    { "tiny",          10000,  { "llama", 2,  64,   4,  2, 16,  96,    300,    512,    1e-5f, true,  NULL, 0 } },
};
enum { KNOWN = sizeof known / sizeof *known };
const char *const random_model_names[] = { "llama-3.1-8b", "llama-2-7b", "llama-2-13b", "llama-3.2-1b", "smollm2-135m", "tiny", NULL };

struct RandomWeights {
    unsigned char *data;                /* [bytes] of the largest weight                        */
    size_t bytes;
    float *gain;                        /* ones                                                 */
    Tensor tensor[WEIGHT_COUNT];        /* one a kind of weight, which all blocks share         */
};

void random_weights_free(struct RandomWeights *r)
{
    if (!r) return;
    if (r->data) munmap(r->data, r->bytes);
    free(r->gain);
    free(r);
}

/* The pattern in a file in memory, mapped one copy after the other. */
static bool map_repeated(struct RandomWeights *r, size_t needed)
{
    const size_t pattern = 2 * (size_t)PATTERN;
    const int fd = memfd_create("random weights", 0);
    r->bytes = (needed + pattern - 1) / pattern * pattern;
    r->data = mmap(NULL, r->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool works = fd >= 0 && ftruncate(fd, (off_t)pattern) == 0 && r->data != MAP_FAILED;
    for (size_t at = 0; works && at < r->bytes; at += pattern)
        works = mmap(r->data + at, pattern, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    if (fd >= 0) close(fd);
    if (r->data == MAP_FAILED) r->data = NULL;
    return works;
}

static void fill_pattern(struct RandomWeights *r)
{
    float *values = xmalloc(sizeof *values * PATTERN);
    rng_normals(values, PATTERN, 1, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int i = 0; i < PATTERN; i++) values[i] *= 0.02f;
    dtype_from_float(r->data, values, PATTERN, DTYPE_BF16);
    free(values);
}

static bool is_gain(WeightKind kind) { return kind == WEIGHT_ATTENTION_NORM || kind == WEIGHT_FEED_FORWARD_NORM || kind == WEIGHT_FINAL_NORM; }

static bool is_there(WeightKind kind, const ModelShape *shape)
{
    return kind <= WEIGHT_DOWN || is_gain(kind) || kind == WEIGHT_EMBEDDING || (kind == WEIGHT_HEAD && !shape->tied);
}

static void make_weights(Model *model)
{
    struct RandomWeights *r = model->random;
    for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++) {
        if (!is_there(kind, &model->shape)) continue;
        int64_t rows, cols;
        model_weight_size(&rows, &cols, kind, &model->shape);
        Tensor *t = &r->tensor[kind];
        *t = (Tensor){ .name = "random", .dtype = is_gain(kind) ? DTYPE_F32 : DTYPE_BF16, .rank = cols ? 2 : 1, .shape = { rows, cols } };
        t->data = is_gain(kind) ? (const unsigned char *)r->gain : r->data;
        t->n_bytes = (size_t)(rows * (cols ? cols : 1)) * dtype_block_bytes(t->dtype);
        const int blocks = weight_has_block(kind) ? model->shape.n_blocks : 1;
        for (int b = 0; b < blocks; b++) model->weights[b * WEIGHT_COUNT + (int)kind] = t;
        model->shape.n_parameters += rows * (cols ? cols : 1) * blocks;
    }
}

static int make(Model *model, int which)
{
    ModelShape *s = &model->shape;
    struct RandomWeights *r = model->random = xcalloc(1, sizeof *r);
    *s = known[which].shape;
    s->rotary = xmalloc((size_t)(s->head_dim / 2) * sizeof *s->rotary);
    rotary_frequencies(s->rotary, s->head_dim, known[which].theta);
    const size_t widest = (size_t)(s->vocabulary > s->feed_forward ? s->vocabulary : s->feed_forward);
    if (!map_repeated(r, 2 * widest * (size_t)s->width)) FAIL(ERR_MEMORY, "there is no room for the random weights of %s", known[which].name);
    fill_pattern(r);
    r->gain = xmalloc(sizeof *r->gain * (size_t)s->width);
    for (int i = 0; i < s->width; i++) r->gain[i] = 1;
    model_lists(model);
    make_weights(model);
    return OK;
}

static int no_such_shape(const char *name)
{
    char *all = xstrdup(known[0].name);
    for (int i = 1; i < KNOWN; i++) {
        char *longer = xformat("%s%s%s", all, i + 1 < KNOWN ? ", " : " and ", known[i].name);
        free(all);
        all = longer;
    }
    err_set(ERR_ARGUMENT, "%s%s: there is no such shape; there are %s", RANDOM_MODEL, name, all);
    free(all);
    return ERR_ARGUMENT;
}

int model_random(Model **out, const char *name)
{
    int which = 0;
    while (which < KNOWN && strcmp(known[which].name, name)) which++;
    if (which == KNOWN) return no_such_shape(name);
    Model *model = xcalloc(1, sizeof *model);
    model->path = xformat("%s%s", RANDOM_MODEL, name);
    model->hash = xcalloc(1, HASH_TEXT);
    hash_bytes(model->hash, model->path, strlen(model->path));
    int status = make(model, which);
    if (status != OK) model_close(&model);
    *out = model;
    return status;
}
