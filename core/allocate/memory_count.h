/*
 * memory_count.h - bytes of the parts of a model on a device: what a plan of memory adds up
 *
 * A block at b bits: every layer [rows][cols] of it rounded to nearest per output row (rtn with group 0: core/quantize/uniform.h), each
 * buffer in whole bytes,
 *
 *     codes ceil(b rows cols / 8)      scales 2 rows      zero points ceil(z rows / 8)
 *
 * z = b where every row has weights of both signs (or 0 among them), else 8, 16, 32 or 64.  16 bits are half floats, 2 rows cols, with no
 * scale.  Whether rows have both signs is in the weights: counts by the shape take it for granted and say how much more it could be at most (z = 64
 * everywhere); counts by the model read every row once and are those of the packed buffers, to the byte.
 *
 * What every plan needs:
 *
 *     embedding     vocabulary width r / 8          r bits a number, 16 unless stated; so norms and biases
 *     head          the same, 0 where it is tied to the embedding
 *     KV cache      2 blocks kv_heads head_dim context sequences k / 8        k bits a number, 16 unless stated
 *     activations   2 step (3 width + 2 heads head_dim + 2 kv_heads head_dim + 2 feed_forward)  +  4 sequences vocabulary
 *
 * activations: one forward step takes `step` tokens (a whole context unless stated) through one block after the other, in 16-bit numbers: the
 * residual stream, its norm and what is added to it; q and the attention's output; k and v; gate and up.  Scores of the attention are not
 * stored, nor is an unpacked copy of a matrix; logits are float32, one row a sequence.
 */
#ifndef CORE_ALLOCATE_MEMORY_COUNT_H
#define CORE_ALLOCATE_MEMORY_COUNT_H

#include "core/model/model.h"

enum { MOST_WIDTHS = 8, HALF_FLOATS = 16 };

/* more: what zero points could take beyond `zeros`; 0 where the weights were read. */
typedef struct { int64_t codes, scales, zeros, more; } BlockBytes;

typedef struct {
    int n_blocks, n_widths;
    int width[MOST_WIDTHS];         /* [n_widths] bits of a code, falling: 16 or 2 .. 8 */
    BlockBytes *block;              /* [n_blocks][n_widths]                              */
} BlockCounts;

/* Of this shape, rows taken to have both signs; or of this model, whose weights are read (ERR_FORMAT where they are not finite).  Each
 * width is 16 or 2 .. 8, and the next is smaller.  The caller frees. */
void block_counts_of_shape(BlockCounts *out, const ModelShape *shape, const int *width, int n_widths);
int  block_counts_of_model(BlockCounts *out, const Model *model, const int *width, int n_widths);
void block_counts_free(BlockCounts *counts);

static inline int64_t block_bytes(const BlockCounts *counts, int block, int width)
{
    const BlockBytes *b = &counts->block[block * counts->n_widths + width];
    return b->codes + b->scales + b->zeros;
}

/* How the model will be used. */
typedef struct {
    int64_t context, sequences;     /* tokens of a sequence; sequences at a time                   */
    int64_t step;                   /* tokens of a forward step; 0: the context                    */
    int kv_bits, other_bits;        /* of a number of the KV cache; of embedding, head, norms, biases */
} MemoryUse;

typedef struct { int64_t embedding, head, norms, kv_cache, activations; } FixedBytes;

/* Sums that no machine could hold come back as MEMORY_ENDLESS. */
#define MEMORY_ENDLESS ((int64_t)1 << 60)
FixedBytes fixed_bytes(const ModelShape *shape, const MemoryUse *use);
int64_t    fixed_bytes_sum(const FixedBytes *bytes);

#endif
