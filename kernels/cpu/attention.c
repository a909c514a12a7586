/*
 * attention.c - strips of 64 queries against the keys they see: scores by sgemm, softmax in place,
 * values by sgemm; a thread holds 64 x keys scores, never keys x keys
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
