/*
 * bf16.cu - the back end of lower precision: rounded weights, products of rounded inputs, parts of a block as one operation
 *
 * Every input of a product is rounded to bf16, sums and the stream are float32.  Inside a part, what is only read by another product or
 * goes into one through rotation or silu (n, q, k, v, m, gate, up) is stored as bf16, which halves the bytes of everything between
 * the products; the two products that end a part add to the float32 stream in their epilogue.  Bytes a row of an 8B model's block: about
 * 250 KB, .06 us at 4 TB/s, against .65 us for its products at 700 TFLOP/s.
 */
#include <map>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/product/product.cuh"

/* ---- rounded weights ---- */

typedef struct { int64_t n; bf16 *rounded; } Settled;
static std::map<const float *, Settled> settled;

void settle_bf16(const float *w, int64_t n)
{
    Settled *s = &settled[w];
    if (s->rounded && s->n != n) {
        release_cuda((float *)s->rounded);
        s->rounded = NULL;
    }
    if (!s->rounded) s->rounded = (bf16 *)alloc_cuda((n + 1) / 2);
    s->n = n;
    to_bf16_cuda(s->rounded, w, n);
}

void release_bf16(float *p)
{
    auto it = settled.find(p);
    if (it != settled.end()) {
        release_cuda((float *)it->second.rounded);
        settled.erase(it);
    }
    release_cuda(p);
}

const bf16 *rounded_of(const float *p, int64_t n)
{
    auto it = settled.upper_bound(p);
    if (it != settled.begin()) {
        --it;
        if (p + n <= it->first + it->second.n) return it->second.rounded + (p - it->first);
    }
    bf16 *made = scratch<bf16>(n);
    to_bf16_cuda(made, p, n);
    return made;
}

static const bf16 *rounded_weights(const Linear *l, int sequences, int C, int N)
{
    return rounded_of(l->w, (l->stride ? l->stride * (sequences - 1) : 0) + (int64_t)C * N);
}

int64_t end_of(const Ragged *batch)
{
    int64_t end = 0;
    for (int b = 0; b < batch->n; b++)
        if (batch->length[b] > 0 && batch->offset[b] + batch->length[b] > end) end = batch->offset[b] + batch->length[b];
    return end;
}

/* ---- products from and to float32 ---- */

void matmul_bf16(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N)
{
    if (end_of(batch) == 0 || device_failed()) return;
    scratch_reset();
    const Linear l = { w, w_stride, bias };
    const bf16 *in = rounded_of(x, end_of(batch) * C);
    RowProduct p = { true, false, false, out, out_stride, in, C, rounded_weights(&l, batch->n, C, N), C, w_stride, bias, C, N };
    row_product(&p, batch);
}

void matmul_halves_bf16(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N)
{
    if (end_of(batch) == 0 || device_failed()) return;
    scratch_reset();
    const Linear l = { w, w_stride, bias };
    const int half = C / 2;
    const bf16 *in = rounded_of(x, end_of(batch) * C), *weights = rounded_weights(&l, batch->n, C, N);
    RowProduct first = { true, false, false, out, out_stride, in, C, weights, C, w_stride, NULL, half, N };
    RowProduct second = { true, false, half > 0, out, out_stride, in + half, C, weights + half, C, w_stride, bias, C - half, N };
    if (half > 0) row_product(&first, batch);
    row_product(&second, batch);
}

/* Tensor cores take as many keys as queries and heads of a multiple of 16 numbers; sampling has one query to many keys. */
static bool takes_tensor_cores(const Ragged *queries, const Ragged *keys, int D)
{
    for (int b = 0; b < queries->n; b++)
        if (queries->length[b] != keys->length[b] || queries->offset[b] != keys->offset[b]) return false;
    return D % 16 == 0 && D <= 128;
}

void attention_rounded(float *out, const float *q, const float *k, const float *v, const Ragged *queries, const Ragged *keys, int H, int G, int D)
{
    const int64_t rows = end_of(queries), wide = (int64_t)H * D, narrow = (int64_t)G * D;
    if (!takes_tensor_cores(queries, keys, D)) {
        attention_cuda(out, q, k, v, queries, keys, H, G, D);
        return;
    }
    if (rows == 0 || device_failed()) return;
    scratch_reset();
    bf16 *made = scratch<bf16>(rows * wide);
    attention_bf16(made, rounded_of(q, rows * wide), wide, rounded_of(k, rows * narrow), rounded_of(v, rows * narrow), narrow, queries, H, G, D);
    for (int b = 0; b < queries->n; b++)        /* rows of no sequence keep what they have */
        to_float_cuda(out + queries->offset[b] * wide, made + queries->offset[b] * wide, queries->length[b] * wide);
}

/* ---- parts of a block ---- */

/* out = x W', bf16 into rows of `stride` numbers; a bias of a bf16 product is bf16. */
static void to_columns(bf16 *out, int64_t stride, const bf16 *x, const Linear *l, const Ragged *batch, int C, int N, int halves)
{
    const bf16 *w = rounded_weights(l, batch->n, C, N);
    if (!halves) {
        RowProduct p = { true, true, false, out, stride, x, C, w, C, l->stride, l->bias ? rounded_of(l->bias, N) : NULL, C, N };
        row_product(&p, batch);
        return;
    }
    float *sum = scratch<float>(end_of(batch) * N);
    RowProduct first = { true, false, false, sum, N, x, C, w, C, l->stride, NULL, C / 2, N };
    RowProduct second = { true, false, true, sum, N, x + C / 2, C, w + C / 2, C, l->stride, l->bias, C - C / 2, N };
    row_product(&first, batch);
    row_product(&second, batch);
    to_bf16_rows(out, stride, sum, end_of(batch), N);
}

/* stream += x W' + bias */
static void to_stream(float *stream, const bf16 *x, const Linear *l, const Ragged *batch, int C, int N, int halves)
{
    const bf16 *w = rounded_weights(l, batch->n, C, N);
    const int half = halves ? C / 2 : 0;
    RowProduct first = { true, false, true, stream, N, x, C, w, C, l->stride, NULL, half, N };
    RowProduct rest = { true, false, true, stream, N, x + half, C, w + half, C, l->stride, l->bias, C - half, N };
    if (half > 0) row_product(&first, batch);
    row_product(&rest, batch);
}

void attention_part_bf16(float *x, const AttentionPart *a, const Ragged *batch)
{
    const int64_t rows = end_of(batch), q = (int64_t)a->H * a->D, kv = (int64_t)a->G * a->D, all = q + 2 * kv;
    if (rows == 0 || device_failed()) return;
    scratch_reset();
    bf16 *n = scratch<bf16>(rows * a->C), *qkv = scratch<bf16>(rows * all), *attended = scratch<bf16>(rows * q);
    rms_norm_bf16(n, x, a->gain, rows, a->C, a->epsilon);
    to_columns(qkv, all, n, &a->q, batch, a->C, (int)q, a->halves);
    to_columns(qkv + q, all, n, &a->k, batch, a->C, (int)kv, a->halves);
    to_columns(qkv + q + kv, all, n, &a->v, batch, a->C, (int)kv, a->halves);
    norm_rotate_bf16(qkv, all, a->q_gain, a->epsilon, a->cosine, a->sine, batch, a->H, a->D);
    norm_rotate_bf16(qkv + q, all, a->k_gain, a->epsilon, a->cosine, a->sine, batch, a->G, a->D);
    attention_bf16(attended, qkv, all, qkv + q, qkv + q + kv, all, batch, a->H, a->G, a->D);
    to_stream(x, attended, &a->o, batch, (int)q, a->C, a->halves);
}

void feed_forward_part_bf16(float *x, const FeedForwardPart *f, const Ragged *batch)
{
    const int64_t rows = end_of(batch);
    if (rows == 0 || device_failed()) return;
    scratch_reset();
    bf16 *m = scratch<bf16>(rows * f->C), *gate = scratch<bf16>(rows * f->F), *up = scratch<bf16>(rows * f->F);
    rms_norm_bf16(m, x, f->gain, rows, f->C, f->epsilon);
    to_columns(gate, f->F, m, &f->gate, batch, f->C, f->F, f->halves);
    to_columns(up, f->F, m, &f->up, batch, f->C, f->F, f->halves);
    swiglu_bf16(gate, gate, up, rows * f->F);
    to_stream(x, gate, &f->down, batch, f->F, f->C, f->halves);
}
