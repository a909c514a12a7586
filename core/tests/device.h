/*
 * device.h - a back end whose memory the host cannot touch, made of the slots of another
 *
 * Every pointer that it gives out points into pages without access; its slots know the real ones.  Memory begins as NaN.  Weights that are
 * settled are read from the copy that was taken then, so a settle that is missing or late shows in the results.  Uploads ahead may only
 * go where nothing that was asked for after the mark reads.
 */
#ifndef CORE_TESTS_DEVICE_H
#define CORE_TESTS_DEVICE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/rng.h"
#include "core/model/tensor.h"
#include "core/perturb/perturbation.h"
#include "kernels/kernels.h"

enum { DEVICE_PIECES = 1 << 14 };
static const size_t DEVICE_BYTES = (size_t)1 << 34;

static struct {
    Kernels kernels;
    const Kernels *base;
    char *wall, *real;              /* what is given out; where it lies */
    size_t used;
    int n_pieces, live;
    struct { size_t start, floats, settled; float *rounded; bool live; int64_t used; } piece[DEVICE_PIECES];    /* used: by the last operation that read it as weights */
    int64_t operations, fail_at;    /* of the slots that compute or copy; -1: never */
    int64_t unsettled;              /* products with weights that were not settled */
    int64_t parts, noises, uploaded, downloaded;       /* calls, calls, floats, floats */
    int64_t free_bytes;
    bool ahead;                     /* between ahead(1) and ahead(0)    */
    int64_t marked, halves, aheads; /* operations before the mark; floats that came as 16 bits; uploads ahead */
} device;

static inline float *real(const float *p) { return p ? (float *)(void *)(device.real + ((const char *)p - device.wall)) : NULL; }

static inline const char *device_failure(void) { return device.fail_at >= 0 && device.operations > device.fail_at ? "the device is on fire" : NULL; }

static inline bool device_brings(void)
{
    device.operations++;
    return !device_failure();
}

static inline bool device_works(void)
{
    if (device.ahead) abort();
    return device_brings();
}

static inline int64_t device_free_memory(void) { return device.free_bytes; }

static inline float *device_alloc(int64_t n)
{
    const size_t floats = (size_t)(n > 0 ? n : 1), start = device.used;
    if (device.n_pieces == DEVICE_PIECES || start + floats * sizeof(float) > DEVICE_BYTES) abort();
    device.piece[device.n_pieces].start = start, device.piece[device.n_pieces].floats = floats, device.piece[device.n_pieces].live = true;
    device.piece[device.n_pieces].used = 0, device.piece[device.n_pieces].settled = 0, device.piece[device.n_pieces++].rounded = NULL;
    device.used += (floats * sizeof(float) + 63) / 64 * 64;
    device.live++;
    memset(device.real + start, 0xff, floats * sizeof(float));
    return (float *)(void *)(device.wall + start);
}

/* The piece that holds p. */
static inline int device_piece(const float *p)
{
    const size_t at = (size_t)((const char *)p - device.wall);
    for (int i = device.n_pieces - 1; i >= 0; i--)
        if (device.piece[i].start <= at) {
            if (!device.piece[i].live || at >= device.piece[i].start + device.piece[i].floats * sizeof(float)) abort();
            return i;
        }
    abort();
}

static inline void device_release(float *p)
{
    if (!p) return;
    const int i = device_piece(p);
    free(device.piece[i].rounded);
    device.piece[i].live = false;
    memset(device.real + device.piece[i].start, 0xff, device.piece[i].floats * sizeof(float));
    if (--device.live == 0) device.used = 0, device.n_pieces = 0;
}

static inline void device_settle(const float *w, int64_t n)
{
    const int i = device_piece(w);
    if (!device_brings()) return;
    if ((const char *)w != device.wall + device.piece[i].start || (size_t)n > device.piece[i].floats) abort();
    device.piece[i].rounded = realloc(device.piece[i].rounded, (size_t)n * sizeof *w);
    if (!device.piece[i].rounded) abort();
    memcpy(device.piece[i].rounded, real(w), (size_t)n * sizeof *w);
    device.piece[i].settled = (size_t)n;
}

static inline void device_used(const float *w) { device.piece[device_piece(w)].used = device.operations; }

/* Weights as a product reads them. */
static inline const float *device_weights(const float *w)
{
    const int i = device_piece(w);
    device_used(w);
    const size_t at = (size_t)((const char *)w - device.wall - device.piece[i].start) / sizeof *w;
    if (at < device.piece[i].settled) return device.piece[i].rounded + at;
    device.unsettled++;
    return real(w);
}

static inline void device_bring(const float *to)
{
    device.aheads += device.ahead;
    if (device.ahead && device.piece[device_piece(to)].used > device.marked) abort();
}

static inline void device_upload(float *to, const float *host, int64_t n)
{
    device.uploaded += n;
    device_bring(to);
    if (device_brings()) memcpy(real(to), host, (size_t)n * sizeof *host);
}

static inline void device_upload_half(float *to, const void *bits, int64_t n, int bf16)
{
    device.halves += n;
    device_bring(to);
    if (device_brings()) dtype_to_float(real(to), bits, n, bf16 ? DTYPE_BF16 : DTYPE_F16);
}

static inline void device_mark(void) { device.marked = device.operations; }

static inline void device_ahead(int on)
{
    if (device.ahead == (on != 0)) abort();
    device.ahead = on != 0;
}

static inline void device_download(float *host, const float *from, int64_t n)
{
    device.downloaded += n;
    if (device_works()) memcpy(host, real(from), (size_t)n * sizeof *host);
}

static inline void device_copy(float *out, const float *x, int64_t n) { if (device_works()) memmove(real(out), real(x), (size_t)n * sizeof *x); }

/* ---- every other slot: the base's, at the real places ---- */

#define DEVICE_SLOT(name, parameters, ...) static inline void device_##name parameters { if (device_works()) device.base->name(__VA_ARGS__); }
DEVICE_SLOT(matmul, (float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *b, int C, int N),
            real(out), out_stride, real(x), device_weights(w), w_stride, real(bias), b, C, N)
DEVICE_SLOT(matmul_halves, (float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *b, int C, int N),
            real(out), out_stride, real(x), device_weights(w), w_stride, real(bias), b, C, N)
DEVICE_SLOT(rms_norm, (float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon), real(out), real(x), real(gain), rows, C, epsilon)
DEVICE_SLOT(rotate, (float *x, const float *c, const float *s, const Ragged *b, const int *past, int heads, int D), real(x), real(c), real(s), b, past, heads, D)
DEVICE_SLOT(attention, (float *out, const float *q, const float *k, const float *v, const Ragged *queries, const Ragged *keys, int H, int G, int D),
            real(out), real(q), real(k), real(v), queries, keys, H, G, D)
DEVICE_SLOT(swiglu, (float *out, const float *gate, const float *up, int64_t n), real(out), real(gate), real(up), n)
DEVICE_SLOT(add, (float *x, const float *y, int64_t n), real(x), real(y), n)
DEVICE_SLOT(log_sum_exp, (double *log_sum, int32_t *top, double *target_logit, const float *logits, const int32_t *target, int64_t rows, int V),
            log_sum, top, target_logit, real(logits), target, rows, V)
DEVICE_SLOT(kl_divergence, (double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V), kl, real(a), A, real(b), B, rows, V)
DEVICE_SLOT(matmul_backward, (float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *b, int C, int N, int add),
            real(dx), real(dy), device_weights(w), w_stride, b, C, N, add)
DEVICE_SLOT(weight_gradient, (float *g, const float *dy, const float *x, const Ragged *b, int C, int N, int add), real(g), real(dy), real(x), b, C, N, add)
DEVICE_SLOT(rms_norm_backward, (float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon),
            real(dx), real(dy), real(x), real(gain), rows, C, epsilon)
DEVICE_SLOT(attention_backward, (float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v, const Ragged *b, int H, int G, int D),
            real(dq), real(dk), real(dv), real(dout), real(q), real(k), real(v), b, H, G, D)
DEVICE_SLOT(swiglu_backward, (float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n), real(dgate), real(dup), real(dy), real(gate), real(up), n)
DEVICE_SLOT(log_sum_exp_signed, (double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits, const int32_t *target, const uint32_t *sign, int64_t rows, int V),
            log_sum, top, target_logit, product, real(logits), target, sign, rows, V)
DEVICE_SLOT(logit_probe, (float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V),
            real(logits), log_sum, product, sign, target, rows, V)
DEVICE_SLOT(logit_difference, (float *logits, const double *log_sum, const float *other, const double *other_log_sum, const int32_t *target, int64_t rows, int V),
            real(logits), log_sum, real(other), other_log_sum, target, rows, V)
#undef DEVICE_SLOT

static inline void device_gradient_forms(double *energy, double *group_energy, double *dot, const float *dy, const float *x, const Ragged *batch, int C, int N, const FormInput *input)
{
    const float *matrix[32];
    FormInput own = *input;
    if (!device_works() || input->n > 32) return;
    for (int i = 0; i < input->n; i++) device_used(input->matrix[i]), matrix[i] = real(input->matrix[i]);
    own.scale = real(input->scale), own.matrix = matrix;
    device.base->gradient_forms(energy, group_energy, dot, real(dy), real(x), batch, C, N, &own);
}

/* ---- parts of a block, and noise: what the host does slot by slot ---- */

static inline float *device_product(const Linear *l, const float *x, const Ragged *batch, int64_t rows, int C, int N, int halves)
{
    float *out = malloc((size_t)(rows * N) * sizeof *out);
    if (!out) abort();
    (halves ? device.base->matmul_halves : device.base->matmul)(out, N, x, device_weights(l->w), l->stride, real(l->bias), batch, C, N);
    return out;
}

/* Rows of a batch, which must begin with x and leave nothing out. */
static inline int64_t device_rows(const Ragged *batch)
{
    int64_t rows = 0;
    for (int b = 0; b < batch->n; rows += batch->length[b++])
        if (batch->offset[b] != rows) abort();
    return rows;
}

static inline void device_attention_part(float *x, const AttentionPart *p, const Ragged *batch)
{
    const Kernels *k = device.base;
    const int64_t rows = device_rows(batch);
    const int Q = p->H * p->D, KV = p->G * p->D;
    device.parts++;
    if (!device_works()) return;
    float *n = malloc((size_t)(rows * p->C) * sizeof *n), *attended = malloc((size_t)(rows * Q) * sizeof *n);
    if (!n || !attended) abort();
    k->rms_norm(n, real(x), real(p->gain), rows, p->C, p->epsilon);
    float *q = device_product(&p->q, n, batch, rows, p->C, Q, p->halves), *key = device_product(&p->k, n, batch, rows, p->C, KV, p->halves), *v = device_product(&p->v, n, batch, rows, p->C, KV, p->halves);
    if (p->q_gain) k->rms_norm(q, q, real(p->q_gain), rows * p->H, p->D, p->epsilon);
    if (p->k_gain) k->rms_norm(key, key, real(p->k_gain), rows * p->G, p->D, p->epsilon);
    k->rotate(q, real(p->cosine), real(p->sine), batch, NULL, p->H, p->D);
    k->rotate(key, real(p->cosine), real(p->sine), batch, NULL, p->G, p->D);
    k->attention(attended, q, key, v, batch, batch, p->H, p->G, p->D);
    float *o = device_product(&p->o, attended, batch, rows, Q, p->C, p->halves);
    k->add(real(x), o, rows * p->C);
    float *all[] = { n, attended, q, key, v, o };
    for (int i = 0; i < 6; i++) free(all[i]);
}

static inline void device_feed_forward_part(float *x, const FeedForwardPart *p, const Ragged *batch)
{
    const Kernels *k = device.base;
    const int64_t rows = device_rows(batch);
    device.parts++;
    if (!device_works()) return;
    float *n = malloc((size_t)(rows * p->C) * sizeof *n);
    if (!n) abort();
    k->rms_norm(n, real(x), real(p->gain), rows, p->C, p->epsilon);
    float *gate = device_product(&p->gate, n, batch, rows, p->C, p->F, p->halves), *up = device_product(&p->up, n, batch, rows, p->C, p->F, p->halves);
    k->swiglu(gate, gate, up, rows * p->F);
    float *down = device_product(&p->down, gate, batch, rows, p->F, p->C, p->halves);
    k->add(real(x), down, rows * p->C);
    float *all[] = { n, gate, up, down };
    for (int i = 0; i < 4; i++) free(all[i]);
}

static inline void device_noise_slot(float *out, double *t2, double *kappa, const float *w, int64_t rows, int64_t cols, int64_t group, double t, int signs,
                                     uint64_t seed, uint64_t stream)
{
    float *to = real(out);
    const float *from = real(w);
    const int64_t width = group ? group : cols;
    device.noises++;
    if (!device_works()) return;
    device_used(w);
    (signs ? rng_signs : rng_normals)(to, rows * cols, seed, stream, 0);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c += width) {
            const int64_t n = width < cols - c ? width : cols - c, at = r * cols + c;
            const double square = group ? sum_of_squares(from + at, n) / (double)n : sum_of_squares(from, rows * cols) / (double)(rows * cols);
            for (int64_t i = at; i < at + n; i++) to[i] = (float)(from[i] + t * sqrt(square) * (double)to[i]);
        }
    PerturbationError error;
    perturbation_measure(&error, to, from, rows * cols);
    *t2 = error.t2, *kappa = error.kappa;
}

/* The back end on top of base, with all counts at 0; whatever was alloc'd before must be gone. */
static inline const Kernels *device_on(const Kernels *base, bool parts, bool noise)
{
    if (!device.real) {
        device.real = mmap(NULL, DEVICE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        device.wall = mmap(NULL, DEVICE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (device.real == MAP_FAILED || device.wall == MAP_FAILED) abort();
    }
    if (device.live) abort();
    device.base = base;
    device.fail_at = -1;
    device.operations = device.unsettled = device.parts = device.noises = device.uploaded = device.downloaded = 0;
    device.halves = device.aheads = device.marked = 0;
    device.ahead = false;
    device.free_bytes = (int64_t)1 << 34;
    device.kernels = (Kernels){
        .name = "device", .precision = "fp32", .head_rows = base->head_rows, .failure = device_failure, .free_memory = device_free_memory,
        .alloc = device_alloc, .release = device_release, .settle = device_settle, .upload = device_upload,
        .upload_half = device_upload_half, .mark = device_mark, .ahead = device_ahead, .download = device_download, .copy = device_copy,
        .matmul = device_matmul, .matmul_halves = device_matmul_halves, .rms_norm = device_rms_norm, .rotate = device_rotate, .attention = device_attention,
        .swiglu = device_swiglu, .add = device_add, .log_sum_exp = device_log_sum_exp, .kl_divergence = device_kl_divergence,
        .attention_part = parts ? device_attention_part : NULL, .feed_forward_part = parts ? device_feed_forward_part : NULL,
        .noise = noise ? device_noise_slot : NULL,
        .matmul_backward = device_matmul_backward, .weight_gradient = device_weight_gradient, .gradient_forms = device_gradient_forms,
        .rms_norm_backward = device_rms_norm_backward, .attention_backward = device_attention_backward, .swiglu_backward = device_swiglu_backward,
        .log_sum_exp_signed = device_log_sum_exp_signed, .logit_probe = device_logit_probe, .logit_difference = device_logit_difference,
    };
    return &device.kernels;
}

#endif
