/*
 * ref.c - every operation as its definition reads: scalar, sums in double, one thread
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ref.h"

static float *alloc_ref(int64_t n)
{
    float *p = malloc((size_t)(n > 0 ? n : 1) * sizeof *p);
    if (!p) abort();                /* budgets are checked before anything is asked for */
    return p;
}

static void release_ref(float *p) { free(p); }

static void copy_ref(float *out, const float *x, int64_t n) { memcpy(out, x, (size_t)n * sizeof *out); }

static void matmul_ref(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                       const float *bias, const Ragged *batch, int C, int N)
{
    for (int b = 0; b < batch->n; b++)
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++)
            for (int j = 0; j < N; j++) {
                const float *row = w + b * w_stride + (int64_t)j * C;
                double sum = bias ? bias[j] : 0;
                for (int c = 0; c < C; c++) sum += (double)x[r * C + c] * row[c];
                out[r * out_stride + j] = (float)sum;
            }
}

static void matmul_halves_ref(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                              const float *bias, const Ragged *batch, int C, int N)
{
    for (int b = 0; b < batch->n; b++)
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++)
            for (int j = 0; j < N; j++) {
                const float *row = w + b * w_stride + (int64_t)j * C;
                double first = 0, second = 0;
                for (int c = 0; c < C / 2; c++) first += (double)x[r * C + c] * row[c];
                for (int c = C / 2; c < C; c++) second += (double)x[r * C + c] * row[c];
                out[r * out_stride + j] = (float)first + (float)second + (bias ? bias[j] : 0);
            }
}

static void rms_norm_ref(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < C; c++) sum += (double)x[r * C + c] * x[r * C + c];
        double scale = 1 / sqrt(sum / C + epsilon);
        for (int c = 0; c < C; c++) out[r * C + c] = (float)(gain[c] * (x[r * C + c] * scale));
    }
}

static void rotate_ref(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D)
{
    int half = D / 2;
    for (int b = 0; b < batch->n; b++)
        for (int t = 0; t < batch->length[b]; t++) {
            int64_t position = (past ? past[b] : 0) + t;
            const float *c = cosine + position * half, *s = sine + position * half;
            for (int h = 0; h < heads; h++) {
                float *head = x + ((batch->offset[b] + t) * heads + h) * D;
                for (int i = 0; i < half; i++) {
                    double u = head[i], v = head[i + half];
                    head[i] = (float)(u * c[i] - v * s[i]);
                    head[i + half] = (float)(v * c[i] + u * s[i]);
                }
            }
        }
}

/* One query against its keys: weights[] is scratch for `seen` numbers. */
static void attend_ref(float *out, const float *q, const float *k, const float *v, double *weights, int seen, int64_t stride, int D)
{
    double largest = -INFINITY, total = 0;
    for (int s = 0; s < seen; s++) {
        double dot = 0;
        for (int i = 0; i < D; i++) dot += (double)q[i] * k[s * stride + i];
        weights[s] = dot / sqrt(D);
        if (weights[s] > largest) largest = weights[s];
    }
    for (int s = 0; s < seen; s++) total += weights[s] = exp(weights[s] - largest);
    for (int i = 0; i < D; i++) {
        double sum = 0;
        for (int s = 0; s < seen; s++) sum += weights[s] * v[s * stride + i];
        out[i] = (float)(sum / total);
    }
}

static void attention_ref(float *out, const float *q, const float *k, const float *v,
                          const Ragged *queries, const Ragged *keys, int H, int G, int D)
{
    for (int b = 0; b < queries->n; b++) {
        double *weights = malloc((size_t)keys->length[b] * sizeof *weights);
        if (!weights) abort();
        for (int t = 0; t < queries->length[b]; t++)
            for (int h = 0; h < H; h++) {
                int64_t row = queries->offset[b] + t, key = keys->offset[b] * G * D + (int64_t)(h / (H / G)) * D;
                attend_ref(out + (row * H + h) * D, q + (row * H + h) * D, k + key, v + key, weights,
                           keys->length[b] - queries->length[b] + t + 1, (int64_t)G * D, D);
            }
        free(weights);
    }
}

static void swiglu_ref(float *out, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

static void add_ref(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

static void log_sum_exp_ref(double *log_sum, int32_t *top, double *target_logit, const float *logits,
                            const int32_t *target, int64_t rows, int V)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *a = logits + r * V;
        int best = 0;
        for (int i = 1; i < V; i++)
            if (a[i] > a[best]) best = i;
        double sum = 0;
        for (int i = 0; i < V; i++) sum += exp((double)a[i] - a[best]);
        log_sum[r] = a[best] + log(sum);
        top[r] = best;
        target_logit[r] = target[r] >= 0 ? a[target[r]] : 0;
    }
}

static void kl_divergence_ref(double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V)
{
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = r * V; i < (r + 1) * V; i++) {
            double d = ((double)b[i] - a[i]) - (B[r] - A[r]);
            double p = exp(a[i] - A[r]);
            sum += d < 1 ? p * (expm1(d) - d) : exp(b[i] - B[r]) - p * (1 + d);     /* the same; exp(d) may overflow where p vanishes */
        }
        kl[r] = sum;
    }
}

const Kernels kernels_ref = {
    .name = "ref", .precision = "fp32", .head_rows = 128,
    .alloc = alloc_ref, .release = release_ref, .upload = copy_ref, .download = copy_ref, .copy = copy_ref,
    .matmul = matmul_ref, .matmul_halves = matmul_halves_ref, .rms_norm = rms_norm_ref, .rotate = rotate_ref, .attention = attention_ref,
    .swiglu = swiglu_ref, .add = add_ref, .log_sum_exp = log_sum_exp_ref, .kl_divergence = kl_divergence_ref,
    .hadamard = hadamard_ref, .grid_encode = grid_encode_ref, .grid_decode = grid_decode_ref,
    .uniform = uniform_ref, .higgs = higgs_ref, .relative_error = relative_error_ref,
    .matmul_backward = matmul_backward_ref, .weight_gradient = weight_gradient_ref, .gradient_forms = gradient_forms_ref, .group_scales = group_scales_ref,
    .rms_norm_backward = rms_norm_backward_ref, .attention_backward = attention_backward_ref, .swiglu_backward = swiglu_backward_ref,
    .log_sum_exp_signed = log_sum_exp_signed_ref, .logit_probe = logit_probe_ref, .logit_difference = logit_difference_ref,
};
