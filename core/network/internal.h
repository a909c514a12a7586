/*
 * internal.h - what the files of core/network share
 */
#ifndef CORE_NETWORK_INTERNAL_H
#define CORE_NETWORK_INTERNAL_H

#include "core/network/network.h"

enum {
    PATCH_BATCH = 8,                /* windows whose own weights are made together */
    SAMPLE_GROUP = 8,               /* windows that are sampled together           */
};

/* Activations of a chunk, in the memory of the back end. */
typedef struct {
    float *normed, *added;          /* [rows][width]                 */
    float *q, *attended;            /* [rows][n_heads * head_dim]    */
    float *k, *v;                   /* [rows][n_kv_heads * head_dim] */
    float *gate, *up;               /* [rows][feed_forward]          */
    float *head_normed;             /* [HEAD_ROWS][width]            */
} Scratch;

struct Network {
    const Model *model;
    const Kernels *kernels;
    const ModelShape *shape;
    NetworkPlan plan;
    bool other_rounding;                    /* null runs */
    float *(*weight)[WEIGHT_COUNT];         /* [n_blocks]: resident weights, NULL where absent or streamed */
    float *streamed[LAYER_TYPES];           /* the layers of streamed_block where they are not resident    */
    int streamed_block;
    float *shared[LAYER_TYPES];             /* patched weights of the current block, one for all windows   */
    float *per_window;                      /* patched weights of PATCH_BATCH windows                      */
    float *final_norm, *head;
    float *cosine, *sine;                   /* [positions][head_dim/2] */
    int positions;
    float *clean, *patched_host;            /* host copies while a patch is made; NULL before the first */
    int64_t largest;                        /* floats of the largest layer       */
    Scratch scratch;
};

int64_t layer_floats(const ModelShape *shape, WeightKind type);
void layer_size(int64_t *rows, int64_t *cols, const ModelShape *shape, WeightKind type);

/* The product that the current rounding asks for; arguments as Kernels.matmul. */
void multiply(const Network *net, float *out, const float *x, const float *w, int64_t w_stride, const float *bias,
              const Ragged *batch, int64_t cols, int64_t rows);

/* *out = the weight in the back end's memory; untouched where the model has none. */
int read_weight(float **out, Network *net, WeightKind kind, int block);
int upload_rows(float *device, Network *net, WeightKind kind, int block, int64_t rows, int64_t cols);

/* Rows [start, start + rows) on the host. */
int read_rows(float *out, const Model *model, WeightKind kind, int block, int64_t start, int64_t rows, int64_t cols);

/* Keys and values of the tokens that a growing text has already passed: room for `length` of them per
 * sequence, [n_blocks] of [sequences][length][n_kv_heads * head_dim]. */
typedef struct { float **keys, **values; int length; } Cache;

/* Rows that pass a block together, packed from row 0 of the scratch. */
typedef struct {
    Ragged batch;                   /* the sequences                                              */
    Ragged products;                /* the same rows as the matrix products take them: the sequences, or all as one */
    int64_t rows;
    const int *window;              /* [batch.n], for patches                                      */
    const Cache *cache;             /* NULL: every sequence starts here; otherwise each adds one token ... */
    const int *past;                /* ... to past[batch.n] earlier ones                           */
} Chunk;

/* Takes the rows x through a block.  Its weights must be ready (block_weights). */
int block_forward(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch);

/* The clean weights of a block, converted first if they are not resident. */
int block_weights(Network *net, int block);

#endif
