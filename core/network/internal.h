/*
 * internal.h - what the files of core/network share
 */
#ifndef CORE_NETWORK_INTERNAL_H
#define CORE_NETWORK_INTERNAL_H

#include "core/network/backward.h"
#include "core/network/device.h"
#include "core/network/network.h"

enum {
    PATCH_BATCH = BACKWARD_SEGMENTS,    /* segments whose own weights are made together */
    STREAMED_SETS = 2,                  /* weights that are not resident: a block at work, and one that comes meanwhile */
};

/* The first failure among threads: the record of what went wrong belongs to the thread that failed.  failure_status makes it the caller's. */
typedef struct { int status; char *sentence; } Failure;
void failure_note(Failure *failure, int status);
int  failure_status(Failure *failure);

/* What a block computes on its way, in the memory of the back end.  Those of the second part outlive the block
 * only where a backward pass follows; they are NULL otherwise. */
typedef struct {
    float *normed, *added;          /* [rows][width]                                            */
    float *q, *attended;            /* [rows][n_heads * head_dim], q normed and rotated         */
    float *k, *v;                   /* [rows][n_kv_heads * head_dim]                            */
    float *gate, *up;               /* [rows][feed_forward]; gate becomes hidden where there is none */

    float *input, *middle;          /* [rows][width] the stream before the block, and before its feed-forward part */
    float *raw_q, *raw_k;           /* before their per-head norms, where the model has such    */
    float *hidden;                  /* [rows][feed_forward] silu(gate) up                       */
} Activations;

struct Network {
    const Model *model;
    const Kernels *kernels;
    const ModelShape *shape;
    NetworkPlan plan;
    bool other_rounding;                    /* null runs */
    float *(*weight)[WEIGHT_COUNT];         /* [n_blocks]: resident weights, NULL where absent or streamed */
    struct { float *layer[LAYER_TYPES]; int block; } streamed[STREAMED_SETS];   /* layers of a block where they are not resident; -1: of none */
    float *shared[LAYER_TYPES];             /* patched weights of the current block, one for all windows   */
    float *per_window[LAYER_TYPES];         /* patched weights of `windows` windows; all in the first where the back end has no parts */
    int windows[LAYER_TYPES];               /* as many as have been asked for at once, at most PATCH_BATCH */
    float *final_norm, *head;
    float *embedding;                       /* for projections; NULL until asked for, or where it is the head */
    float *cosine, *sine;                   /* [positions][head_dim/2] */
    int positions;
    float *clean, *patched_host;            /* host copies while a patch is made; NULL before the first */
    int64_t largest;                        /* floats of the largest layer       */
    Activations scratch;
    float *head_normed;                     /* [head_rows of the back end][width] */
};

int64_t layer_floats(const ModelShape *shape, WeightKind type);
void layer_size(int64_t *rows, int64_t *cols, const ModelShape *shape, WeightKind type);

/* NULL where the layer has none; the model's own weights in the back end's memory, once block_weights has been called. */
const float *layer_bias(const Network *network, int block, WeightKind type);
const float *clean_weights(const Network *network, int block, WeightKind type);

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

/* Sets of weights that this back end streams with: a second one only where uploads go beside what is computed. */
int streamed_sets(const Kernels *kernels);

/* The clean weights of a block, converted first if they are not resident, and those patched for all windows. */
int block_weights(Network *net, int block, const Patch *patch);

/* Once all operations of a block have been asked for: lets the weights of another one come while they run, where the back end can. */
void weights_ahead(Network *net, int block);

/* Takes the rows x through a block whose weights are ready.  What it computes on its way is left in a. */
int block_forward(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, Activations *a);

/* The same up to gate and up: all that a backward pass needs of a block.  x becomes its middle. */
int block_activations(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, Activations *a);

/* Does the current pass use the back end's parts of a block?  The rows x through both of them, in the place of block_forward. */
bool takes_parts(const Network *network);
int  block_parts(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch);

/* The weights that a layer of this chunk works with: with *stride != 0 each segment's own, made anew in net->per_window
 * for segments [first, first + n), n <= PATCH_BATCH. */
int layer_weights(const float **w, int64_t *stride, Network *net, const Chunk *chunk, int first, int n, int block, WeightKind type,
                  const Patch *patch);
PatchMode patch_mode(const Patch *patch, int block, WeightKind type);

/* Whole segments from `first` on, as many as pass together; offset is scratch for their first rows. */
Chunk chunk_from(const Layout *layout, int first, int64_t limit, int64_t *offset);

#endif
