/*
 * attention.c - strips of 64 queries against the keys they see: scores by sgemm, softmax in place,
 * values by sgemm; a thread holds 64 x keys scores (backward: two such strips), never keys x keys
 *
 * Keys that a query does not see have weight 0 in the second product, so a NaN or infinity among a strip's
 * values shows in all of its queries, those before it too.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { STRIP = 64 };

/* score[0..seen) = exp(scale (score - max)), zeros up to width; returns the sum. */
SIMD static double softmax_row(float *score, int seen, int width, float scale)
{
    float largest = largest_of(score, seen);
    for (int s = 0; s < seen; s++) score[s] = simd_expf(scale * (score[s] - largest));
    double lane[LANES] = { 0 }, sum = 0;
    int whole = seen - seen % LANES;
    for (int s = 0; s < whole; s += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += score[s + l];
    for (int s = whole; s < seen; s++) sum += score[s];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    for (int s = seen; s < width; s++) score[s] = 0;
    return sum;
}

typedef struct { int sequence, head, first, rows; } Strip;

static void attend_strip(float *out, const float *q, const float *k, const float *v, float *score,
                         int rows, int seen_by_first, int H, int G, int D)
{
    int width = seen_by_first + rows - 1;
    double sum[STRIP];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, width, D, 1, q, H * D, k, G * D, 0, score, width);
    for (int t = 0; t < rows; t++)
        sum[t] = softmax_row(score + (int64_t)t * width, seen_by_first + t, width, (float)(1 / sqrt(D)));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, D, width, 1, score, width, v, G * D, 0, out, H * D);
    for (int t = 0; t < rows; t++)
        for (int i = 0; i < D; i++) out[(int64_t)t * H * D + i] = (float)(out[(int64_t)t * H * D + i] / sum[t]);
}

/* All strips of a batch, the longest first inside each sequence so that dynamic scheduling ends even. */
static Strip *all_strips(const Ragged *queries, int H, int *n_strips)
{
    int n = 0;
    for (int b = 0; b < queries->n; b++) n += H * ((queries->length[b] + STRIP - 1) / STRIP);
    Strip *strip = malloc((size_t)(n ? n : 1) * sizeof *strip);
    if (!strip) abort();
    n = 0;
    for (int b = 0; b < queries->n; b++) {
        int T = queries->length[b];
        for (int i = (T + STRIP - 1) / STRIP - 1; i >= 0; i--)
            for (int h = 0; h < H; h++) strip[n++] = (Strip){ b, h, i * STRIP, T - i * STRIP < STRIP ? T - i * STRIP : STRIP };
    }
    *n_strips = n;
    return strip;
}

void attention_cpu(float *out, const float *q, const float *k, const float *v,
                   const Ragged *queries, const Ragged *keys, int H, int G, int D)
{
    int n_strips, longest = 0;
    Strip *strip = all_strips(queries, H, &n_strips);
    for (int b = 0; b < keys->n; b++) longest = keys->length[b] > longest ? keys->length[b] : longest;
#pragma omp parallel num_threads(kernels_threads())
    {
        float *score = malloc(sizeof *score * STRIP * (size_t)(longest ? longest : 1));
        if (!score) abort();
#pragma omp for schedule(dynamic)
        for (int i = 0; i < n_strips; i++) {
            Strip s = strip[i];
            int64_t row = queries->offset[s.sequence] + s.first, key = keys->offset[s.sequence];
            int past = keys->length[s.sequence] - queries->length[s.sequence], group = s.head / (H / G);
            attend_strip(out + (row * H + s.head) * D, q + (row * H + s.head) * D, k + (key * G + group) * D,
                         v + (key * G + group) * D, score, s.rows, past + s.first + 1, H, G, D);
        }
        free(score);
    }
    free(strip);
}

/* p[0..seen): weights that sum to `sum`, made to sum to 1; dp becomes dS = p (dp - sum of p dp), zeros up to width. */
SIMD static void score_gradient_row(float *p, float *dp, int seen, int width, double sum)
{
    float scale = (float)(1 / sum);
    double lane[LANES] = { 0 }, mean = 0;
    int whole = seen - seen % LANES;
    for (int s = 0; s < seen; s++) p[s] *= scale;
    for (int s = 0; s < whole; s += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += p[s + l] * dp[s + l];
    for (int s = whole; s < seen; s++) mean += p[s] * dp[s];
    for (int l = 0; l < LANES; l++) mean += lane[l];
    float shift = (float)mean;
    for (int s = 0; s < seen; s++) dp[s] = p[s] * (dp[s] - shift);
    for (int s = seen; s < width; s++) dp[s] = 0;
}

/* One head of one sequence.  dk and dv are the head's own, [T][D]; the rest lies as in attention. */
typedef struct { float *dq, *dk, *dv; const float *dout, *q, *k, *v; } HeadGradient;

/* Queries [first, first + rows), which see the first `width` keys or fewer: adds to dk and dv but where `start` is set. */
static void backward_strip(const HeadGradient *a, float *p, float *dp, int first, int rows, int start, int H, int G, int D)
{
    int width = first + rows, queries = H * D, keys = G * D;
    float scale = (float)(1 / sqrt(D)), add = start ? 0 : 1;
    const float *q = a->q + (int64_t)first * queries, *dout = a->dout + (int64_t)first * queries;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, width, D, 1, q, queries, a->k, keys, 0, p, width);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, width, D, 1, dout, queries, a->v, keys, 0, dp, width);
    for (int t = 0; t < rows; t++) {
        float *row = p + (int64_t)t * width;
        double sum = softmax_row(row, first + t + 1, width, scale);
        score_gradient_row(row, dp + (int64_t)t * width, first + t + 1, width, sum);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, D, width, scale, dp, width, a->k, keys, 0,
                a->dq + (int64_t)first * queries, queries);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, width, D, rows, scale, dp, width, q, queries, add, a->dk, D);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, width, D, rows, 1, p, width, dout, queries, add, a->dv, D);
}

/* out[t][i] = sum of the `heads` matrices [T][D] that lie one after the other */
static void sum_heads(float *out, int64_t stride, const float *of_head, int heads, int T, int D)
{
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D; i++) {
            float sum = of_head[(int64_t)t * D + i];
            for (int h = 1; h < heads; h++) sum += of_head[((int64_t)h * T + t) * D + i];
            out[t * stride + i] = sum;
        }
}

/* The last strip sees all keys: it comes first and starts the sums. */
static void backward_head(const HeadGradient *a, float *strips, int T, int H, int G, int D)
{
    for (int i = (T - 1) / STRIP; i >= 0; i--) {
        int first = i * STRIP, rows = T - first < STRIP ? T - first : STRIP;
        backward_strip(a, strips, strips + (int64_t)STRIP * T, first, rows, first + rows == T, H, G, D);
    }
}

void attention_backward_cpu(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                            const Ragged *batch, int H, int G, int D)
{
    int longest = 0;
    int64_t *start = malloc(((size_t)batch->n + 1) * sizeof *start);        /* sequences without the gaps between them */
    if (!start) abort();
    start[0] = 0;
    for (int b = 0; b < batch->n; b++) {
        longest = batch->length[b] > longest ? batch->length[b] : longest;
        start[b + 1] = start[b] + batch->length[b];
    }
    float *of_head = malloc(sizeof *of_head * ((size_t)start[batch->n] * 2 * (size_t)(H * D) + 1));
    if (!of_head) abort();
    float *key_sum = of_head, *value_sum = of_head + start[batch->n] * H * D;
#pragma omp parallel num_threads(kernels_threads())
    {
        float *strips = malloc(sizeof *strips * (2 * STRIP * (size_t)longest + 1));
        if (!strips) abort();
#pragma omp for schedule(dynamic)
        for (int i = 0; i < batch->n * H; i++) {
            int b = i / H, h = i % H, T = batch->length[b];
            int64_t at = (batch->offset[b] * H + h) * D, key = (batch->offset[b] * G + h / (H / G)) * D, own = (start[b] * H + (int64_t)h * T) * D;
            HeadGradient a = { dq + at, key_sum + own, value_sum + own, dout + at, q + at, k + key, v + key };
            if (T) backward_head(&a, strips, T, H, G, D);
        }
#pragma omp for schedule(dynamic)
        for (int i = 0; i < batch->n * G; i++) {
            int b = i / G, g = i % G, heads = H / G, T = batch->length[b];
            int64_t to = (batch->offset[b] * G + g) * D, own = (start[b] * H + (int64_t)g * heads * T) * D;
            sum_heads(dk + to, (int64_t)G * D, key_sum + own, heads, T, D);
            sum_heads(dv + to, (int64_t)G * D, value_sum + own, heads, T, D);
        }
        free(strips);
    }
    free(of_head);
    free(start);
}
