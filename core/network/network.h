/*
 * network.h - the forward pass of a decoder-only transformer, written once over the Kernels table
 *
 *     x_0 = E[ids];   per block:  x += O attention(rotate(Q n), rotate(K n), V n),  n = rms_norm(x)
 *                                 x += Down (silu(Gate m) * Up m),                  m = rms_norm(x)
 *     logits = Head rms_norm(x)
 *
 * (LLaMA, arXiv 2302.13971; biases of Qwen2 and the per-head norms of Qwen3 where the model has them.)
 *
 * Layer-major: all segments pass block b before block b+1, in chunks of whole segments, so that each
 * weight is made ready once a pass.  What is computed on a device is checked (ERR_DEVICE) before it is returned.  The residual stream of all segments is the caller's.  What comes
 * out for a segment depends on that segment and the weights alone.
 */
#ifndef CORE_NETWORK_NETWORK_H
#define CORE_NETWORK_NETWORK_H

#include "core/model/model.h"
#include "core/text/corpus.h"
#include "kernels/kernels.h"

typedef struct Network Network;

/* How the rows of a residual stream lie: segments one after another. */
typedef struct {
    int n;                          /* segments */
    int *length, *window;           /* [n] */
    int64_t *offset;                /* [n] */
    int64_t rows;
} Layout;

void layout_init(Layout *out, const Corpus *corpus);
void layout_free(Layout *layout);

/* Weights that stand in for a layer's own. */
typedef enum { PATCH_NONE, PATCH_SHARED, PATCH_PER_WINDOW } PatchMode;
typedef struct {
    void *context;
    PatchMode (*mode)(void *context, int layer);
    /* out [rows][cols] = the weights of this layer for this window (0 when shared); clean = its own.
     * Called from several threads at once for different windows. */
    int (*weights)(void *context, float *out, const float *clean, int layer, int window);
    /* The same in the back end's memory, out and clean there: *made = true where it can, and weights is not asked then.
     * NULL: never. */
    int (*device_weights)(void *context, bool *made, float *out, const float *clean, int layer, int window);
} Patch;

typedef struct {
    bool resident;                  /* keep all block weights as float32; otherwise convert a block at a time */
    bool headless;                  /* no logits will be asked for: the head is not read                            */
    int64_t chunk_rows;             /* rows of the residual stream that pass a block together (at least a segment) */
} NetworkPlan;

/* Bytes that a network of this plan takes on a back end, its scratch for segments of `longest` rows included; on a device those of the device. */
int64_t network_bytes(const ModelShape *shape, const Kernels *kernels, const NetworkPlan *plan, int longest);

/* And what is added once weights are patched, on a device for so many segments that pass together: each may have weights of its own. */
int64_t network_patch_bytes(const ModelShape *shape, const Kernels *kernels, int together);

/* Reads what stays resident.  The model must outlive the network. */
int  network_open(Network **out, const Model *model, const Kernels *kernels, const NetworkPlan *plan, int longest);
void network_close(Network **network);

/* x [layout->rows][width] = the embeddings of all inputs. */
int network_embed(Network *network, float *x, const Layout *layout, const Corpus *corpus);

/* Takes x through one block, with patched weights where patch (may be NULL) says so. */
int network_block(Network *network, float *x, const Layout *layout, int block, const Patch *patch);

/* logits [rows][vocabulary] of so many consecutive rows at x; at most the back end's head_rows. */
int network_logits(Network *network, float *logits, const float *x, int rows);

/* The same by another way from states to the vocabulary: the embedding matrix in the place of the head (one and the same where they are tied),
 * the final norm left out.  The embedding is read when it is first asked for, and stays. */
typedef struct { bool embedding, unnormed; } Projection;
int network_project(Network *network, float *logits, const float *x, int rows, Projection projection);
int64_t network_project_bytes(const ModelShape *shape, const Kernels *kernels, Projection projection);      /* beside network_bytes */

/* Samples windows [window, window + windows) of `length` ids at temperature 1, each continuing its own first[i]; out is
 * [windows][length] with out[i][0] = first[i].  Id t of window w uses the uniform number at (seed,
 * stream of w, t), so more windows do not change the earlier ones, nor do they depend on where a call begins: at a
 * multiple of SAMPLE_GROUP, since so many are sampled together. */
enum { SAMPLE_GROUP = 8 };
int64_t network_sample_bytes(const ModelShape *shape, int length);      /* keys and values, beside network_bytes */
int network_sample(int32_t *out, Network *network, const int32_t *first, int window, int windows, int length, uint64_t seed);

/* Null runs: every product with the back end's other legitimate rounding (Kernels.matmul_halves).
 * Returns what was set before. */
bool network_set_rounding(Network *network, bool other);

const Kernels *network_kernels(const Network *network);
const Model *network_model(const Network *network);

/* Multiplications and additions of one pass over `tokens` rows of mean segment length `length`, for
 * blocks [first, n_blocks) and `scored` rows of the head. */
double network_flops(const ModelShape *shape, int64_t tokens, double length, int first_block, int64_t scored);

#endif
