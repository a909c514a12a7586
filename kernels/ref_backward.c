/*
 * ref_backward.c - the gradients as their definitions read: scalar, sums in double, one thread
 */
#include <math.h>
#include <stdlib.h>

#include "kernels/ref.h"

void matmul_backward_ref(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add)
{
    for (int b = 0; b < batch->n; b++)
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++)
            for (int c = 0; c < C; c++) {
                double sum = add ? dx[r * C + c] : 0;
                for (int j = 0; j < N; j++) sum += (double)dy[r * N + j] * w[b * w_stride + (int64_t)j * C + c];
                dx[r * C + c] = (float)sum;
            }
}

/* Element (j, c) of the gradient by the weights that the rows of sequence b give. */
static double gradient_of(const float *dy, const float *x, const Ragged *batch, int b, int j, int c, int C, int N)
{
    double sum = 0;
    for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++) sum += (double)dy[r * N + j] * x[r * C + c];
    return sum;
}

void weight_gradient_ref(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add)
{
    for (int64_t i = 0; i < (int64_t)N * C && !add; i++) g[i] = 0;
    for (int b = 0; b < batch->n; b++)
        for (int j = 0; j < N; j++)
            for (int c = 0; c < C; c++) g[(int64_t)j * C + c] = (float)(g[(int64_t)j * C + c] + gradient_of(dy, x, batch, b, j, c, C, N));
}

double group_scales_ref(float *scale, const float *w, int64_t rows, int64_t cols, int group)
{
    const int64_t groups = (cols + group - 1) / group;
    double all = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < groups; i++) {
            const int64_t first = i * group, n = group < cols - first ? group : cols - first;
            double squares = 0;
            for (int64_t c = first; c < first + n; c++) squares += (double)w[r * cols + c] * w[r * cols + c];
            scale[r * groups + i] = (float)(squares / (double)n);
            all += squares;
        }
    return all;
}

void gradient_forms_ref(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                        const Ragged *batch, int C, int N, const FormInput *input)
{
    int groups = (C + input->group - 1) / input->group, n = input->n;
    for (int b = 0; b < batch->n; b++) {
        energy[b] = group_energy[b] = 0;
        for (int i = 0; i < n; i++) dot[b * n + i] = 0;
        for (int j = 0; j < N; j++)
            for (int c = 0; c < C; c++) {
                double g = gradient_of(dy, x, batch, b, j, c, C, N);
                energy[b] += g * g;
                group_energy[b] += input->scale[(int64_t)j * groups + c / input->group] * g * g;
                for (int i = 0; i < n; i++) dot[b * n + i] += g * input->matrix[i][b * input->stride[i] + (int64_t)j * C + c];
            }
    }
}

void rms_norm_backward_ref(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0, product = 0;
        for (int c = 0; c < C; c++) {
            squares += (double)x[r * C + c] * x[r * C + c];
            product += (double)gain[c] * dy[r * C + c] * x[r * C + c];
        }
        double s = 1 / sqrt(squares / C + epsilon);
        for (int c = 0; c < C; c++)
            dx[r * C + c] = (float)(s * gain[c] * dy[r * C + c] - x[r * C + c] * (s * s * s) * product / C);
    }
}

/* What one query, which sees the first `seen` keys, gives: its own dq and its share of the sums dk, dv: [keys][D].
 * key_stride is that of k and v; p and dp are scratch for `seen` numbers. */
static void attend_backward(float *dq, double *dk, double *dv, const float *dout, const float *q, const float *k, const float *v,
                            double *p, double *dp, int seen, int64_t key_stride, int D)
{
    double largest = -INFINITY, total = 0, mean = 0;
    for (int s = 0; s < seen; s++) {
        p[s] = dp[s] = 0;
        for (int i = 0; i < D; i++) p[s] += q[i] * (double)k[s * key_stride + i] / sqrt(D);
        for (int i = 0; i < D; i++) dp[s] += dout[i] * (double)v[s * key_stride + i];
        if (p[s] > largest) largest = p[s];
    }
    for (int s = 0; s < seen; s++) total += p[s] = exp(p[s] - largest);
    for (int s = 0; s < seen; s++) mean += (p[s] /= total) * dp[s];
    for (int i = 0; i < D; i++) {
        double sum = 0;
        for (int s = 0; s < seen; s++) {
            double ds = p[s] * (dp[s] - mean) / sqrt(D);
            sum += ds * k[s * key_stride + i];
            dk[s * key_stride + i] += ds * q[i];
            dv[s * key_stride + i] += p[s] * dout[i];
        }
        dq[i] = (float)sum;
    }
}

void attention_backward_ref(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                            const Ragged *batch, int H, int G, int D)
{
    for (int b = 0; b < batch->n; b++) {
        int T = batch->length[b];
        int64_t first = batch->offset[b], floats = (int64_t)T * G * D;
        double *scratch = calloc((size_t)(2 * floats + 2 * T + 1), sizeof *scratch);
        if (!scratch) abort();
        double *key_sum = scratch, *value_sum = key_sum + floats, *p = value_sum + floats, *dp = p + T;
        for (int t = 0; t < T; t++)
            for (int h = 0; h < H; h++) {
                int64_t at = ((first + t) * H + h) * D, group = (int64_t)(h / (H / G)) * D, key = first * G * D + group;
                attend_backward(dq + at, key_sum + group, value_sum + group, dout + at, q + at, k + key, v + key, p, dp,
                                t + 1, (int64_t)G * D, D);
            }
        for (int64_t i = 0; i < floats; i++) {
            dk[first * G * D + i] = (float)key_sum[i];
            dv[first * G * D + i] = (float)value_sum[i];
        }
        free(scratch);
    }
}

void swiglu_backward_ref(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double g = gate[i], s = 1 / (1 + exp(-g)), d = dy[i];
        dgate[i] = (float)(d * up[i] * s * (1 + g * (1 - s)));
        dup[i] = (float)(d * g * s);
    }
}

static double signed_root(double p, const uint32_t *sign, int i) { return sign[i / 32] >> (i % 32) & 1 ? sqrt(p) : -sqrt(p); }

void log_sum_exp_signed_ref(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                            const int32_t *target, const uint32_t *sign, int64_t rows, int V)
{
    int64_t words = (V + 31) / 32;
    kernels_ref.log_sum_exp(log_sum, top, target_logit, logits, target, rows, V);
    for (int64_t r = 0; r < rows; r++) {
        product[r] = 0;
        for (int i = 0; i < V; i++) product[r] += signed_root(exp(logits[r * V + i] - log_sum[r]), sign + r * words, i);
    }
}

void logit_probe_ref(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V)
{
    int64_t words = (V + 31) / 32;
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < V; i++) {
            double p = exp(logits[r * V + i] - log_sum[r]);
            logits[r * V + i] = target[r] < 0 ? 0 : (float)(signed_root(p, sign + r * words, i) - p * product[r]);
        }
}

void logit_difference_ref(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                          const int32_t *target, int64_t rows, int V)
{
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < V; i++) {
            double p = other ? exp(other[r * V + i] - other_log_sum[r]) : i == target[r];
            logits[r * V + i] = target[r] < 0 ? 0 : (float)(exp(logits[r * V + i] - log_sum[r]) - p);
        }
}
