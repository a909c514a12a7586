/*
 * hqq.c - half-quadratic quantization: a uniform grid whose zero point is a real number, moved to make sum |w - w^|^p small
 * (github.com/mobiusml/hqq, its default solver; no paper states the constants)
 *
 *     S = (max - min) / (2^b - 1),  z = -min / S,  then `iterations` times
 *         q = clamp(round(w / S + z), 0, 2^b - 1),  d = w - S (q - z),  e = sign(d) max(|d| - |d|^(p-1) / beta, 0),
 *         z = mean over the group of q - (w - e) / S
 *     q once more,  w^ = S (q - z)
 *
 * in double, rounding half to even, w^ rounded once to float32; beta is the same in every step.  Groups are consecutive input
 * columns of a row (group = 0: the row); the last of a row may be shorter.
 *
 *     bits per weight = b + 2 ceil(cols / group) scale_bits / cols
 *
 * S is rounded to its stored form first and used so in every step; z is kept in double through the steps and rounded to its
 * stored form after the last, and the final codes are those of the stored S and z.  A group of equal weights, or one so narrow
 * that S is stored as 0 or z as infinite, is its centre: S = (min + max) / 2 as stored, z = 0, q = 1.
 *
 * e = 0 wherever |d| <= beta^(-1/(2-p)), which is 0.17 for the defaults: more than most errors of a language model's weights.  Then z
 * is the one of least squares for the codes, and p and beta have no part.
 *
 * Unlike the Python package: it stops at the first step in which the mean |d| over the whole matrix does not fall, caps 1 / S at
 * 20000, and sets S = 1 where max - min <= 1e-4.
 *
 * Cost: some ten operations per weight and step, until a step leaves z as it was (those that would follow change nothing).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/scale.h"
#include "kernels/cpu/simd.h"

static const Option hqq_options[] = {
    { "bits",       OPTION_INTEGER, false, "4",   2,    8,       NULL, "bits", "width of a code" },
    { "group",      OPTION_INTEGER, false, "64",  0,    1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" },
    { "scale_bits", OPTION_ONE_OF,  false, "16",  0,    0,       "16|32|64", "bits", "stored width of a scale, and of a zero point" },
    { "iterations", OPTION_INTEGER, false, "20",  0,    1000,    NULL, "", "steps of the solver" },
    { "p",          OPTION_NUMBER,  false, "0.7", 0,    1,       NULL, "", "power of the error that is made small" },
    { "beta",       OPTION_NUMBER,  false, "10",  1e-6, 1e6,     NULL, "", "weight of the quadratic term that stands for it" },
    { 0 },
};

typedef struct {
    int bits, scale_bits, iterations;
    int64_t group;                  /* at most cols */
    double top, p, inverse_beta;
    double quiet;                   /* below it an error is shrunk to 0, with room for the rounding of its power */
} Hqq;

static Hqq hqq_read(const Options *options, int64_t cols)
{
    const int64_t group = options_integer(options, "group");
    const double p = options_number(options, "p"), beta = options_number(options, "beta");
    return (Hqq){
        .bits = (int)options_integer(options, "bits"),
        .scale_bits = atoi(options_text(options, "scale_bits")),
        .iterations = (int)options_integer(options, "iterations"),
        .group = group == 0 || group > cols ? cols : group,
        .top = ldexp(1, (int)options_integer(options, "bits")) - 1,
        .p = p, .inverse_beta = 1 / beta,
        .quiet = pow(beta, -1 / (2 - p)) * (1 - 1e-9),
    };
}

static inline int64_t groups_in(const Hqq *h, int64_t cols) { return (cols + h->group - 1) / h->group; }

/* ---- powers that gcc can vectorize and that are the same on every processor, which the C library's need not be: to 1e-12 ---- */

/* log x for normal x > 0: 2 artanh((m - 1) / (m + 1)) + k log 2 with x = 2^k m, m in [sqrt(1/2), sqrt(2)).  Error below 1e-15
 * relative to max(1, |log x|). */
static inline double log_of(double x)
{
    const uint64_t least = 0x3fe6a09e667f3bcd;          /* sqrt(1/2) */
    uint64_t image;
    memcpy(&image, &x, sizeof image);
    const uint64_t lifted = (image - least + ((uint64_t)1023 << 52)) & ~(((uint64_t)1 << 52) - 1);
    const uint64_t mantissa = image - lifted + ((uint64_t)1023 << 52), count = (lifted >> 52) | ((uint64_t)0x433 << 52);
    double m, k;
    memcpy(&m, &mantissa, sizeof m);
    memcpy(&k, &count, sizeof k);                       /* 2^52 + the exponent and its bias */
    k -= 0x1p52 + 1023;
    const double t = (m - 1) / (m + 1), t2 = t * t;
    const double t4 = t2 * t2, low = (1.0 / 3 + 1.0 / 5 * t2) + (1.0 / 7 + 1.0 / 9 * t2) * t4;
    const double high = (1.0 / 11 + 1.0 / 13 * t2) + (1.0 / 15 + 1.0 / 17 * t2) * t4;
    return 2 * (t + t * t2 * (low + high * (t4 * t4))) + k * 0.69314718055994530942;
}

/* sign(d) max(|d| - |d|^(p-1) / beta, 0), the proximal step; 0 at 0. */
static inline double shrunk(double d, const Hqq *h)
{
    const double size = fabs(d), safe = size > 1e-30 ? size : 1e-30;
    const double left = size - simd_exp((h->p - 1) * log_of(safe)) * h->inverse_beta;
    return copysign(left > 0 ? left : 0, d);
}

/* ---- the zero point of a group ---- */

/* 0 for NaN. */
static inline double code_of(double x, double zero, double top)
{
    const double q = round_even(x + zero);
    return q > 0 ? (q > top ? top : q) : 0;
}

enum { SIDE_BY_SIDE = 8 };          /* partial sums, in an order that is written here and not left to the compiler */

/* Adds what x[k], k < width, and their codes give to the sum of q - w / S; returns the largest |d| / S. */
static inline double tally(double sum[SIDE_BY_SIDE], const double *x, double zero, double top, int width)
{
    double error[SIDE_BY_SIDE] = { 0 }, worst = 0;
    for (int k = 0; k < width; k++) {
        const double z = code_of(x[k], zero, top) - x[k];
        error[k] = fabs(zero - z);
        sum[k] += z;
    }
    for (int k = 0; k < SIDE_BY_SIDE; k++) worst = error[k] > worst ? error[k] : worst;
    return worst;
}

/* What their errors, shrunk, give to it: e / S. */
static inline void tally_shrunk(double sum[SIDE_BY_SIDE], const double *x, double zero, double scale, const Hqq *h, int width)
{
    const double inverse = 1 / scale;
    for (int k = 0; k < width; k++) {
        const double d = (zero - (code_of(x[k], zero, h->top) - x[k])) * scale;
        sum[k] += shrunk(d, h) * inverse;
    }
}

/* x: w / S. */
static double next_zero(const double *x, int64_t n, double scale, double zero, const Hqq *h)
{
    double sum[SIDE_BY_SIDE] = { 0 }, all = 0;
    int64_t i = 0;
    for (; i + SIDE_BY_SIDE <= n; i += SIDE_BY_SIDE)
        if (tally(sum, x + i, zero, h->top, SIDE_BY_SIDE) * scale > h->quiet) tally_shrunk(sum, x + i, zero, scale, h, SIDE_BY_SIDE);
    if (tally(sum, x + i, zero, h->top, (int)(n - i)) * scale > h->quiet) tally_shrunk(sum, x + i, zero, scale, h, (int)(n - i));
    for (int k = 0; k < SIDE_BY_SIDE; k++) all += sum[k];
    return all / (double)n;
}

/* ---- groups and matrices ---- */

typedef struct { double scale, zero; } Grid;

/* x: scratch [n]. */
static Grid encode_group(uint16_t *code, double *x, const float *w, int64_t n, const Hqq *h)
{
    double low = w[0], high = w[0];
    for (int64_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    const double scale = scale_stored((high - low) / h->top, h->scale_bits);
    double zero = -low / scale;
    if (scale > 0 && isfinite(scale)) {
        for (int64_t i = 0; i < n; i++) x[i] = w[i] / scale;
        for (int step = 0; step < h->iterations; step++) {
            const double before = zero;
            zero = next_zero(x, n, scale, before, h);
            if (zero == before) break;
        }
        zero = scale_stored(zero, h->scale_bits);
        if (isfinite(zero)) {
            for (int64_t i = 0; i < n; i++) code[i] = (uint16_t)code_of(x[i], zero, h->top);
            return (Grid){ scale, zero };
        }
    }
    for (int64_t i = 0; i < n; i++) code[i] = 1;
    return (Grid){ isinf(scale) ? scale : scale_stored((low + high) / 2, h->scale_bits), 0 };
}

static int pack(Packed *out, const uint16_t *code, const double *scale, const double *zero, const LayerWeights *layer, const Hqq *h)
{
    const int64_t groups = layer->rows * groups_in(h, layer->cols);
    for (int64_t i = 0; i < groups; i++)
        if (isinf(scale[i])) FAIL(ERR_ARGUMENT, "hqq: a scale of layer %d does not fit into %d bits; set scale_bits=32", layer->layer, h->scale_bits);
    packed_add_codes(out, code, layer->rows * layer->cols, 1 << h->bits);
    packed_add_reals(out, scale, groups, h->scale_bits);
    packed_add_reals(out, zero, groups, h->scale_bits);
    return OK;
}

static int hqq_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    const Hqq h = hqq_read(options, cols);
    const int64_t per_row = groups_in(&h, cols);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * cols));
    double *scale = xmalloc(sizeof *scale * (size_t)(rows * per_row)), *zero = xmalloc(sizeof *zero * (size_t)(rows * per_row));
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS)
    {
        double *x = xmalloc(sizeof *x * (size_t)h.group);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t g = 0; g < per_row; g++) {
                const int64_t at = r * cols + g * h.group, n = h.group < cols - g * h.group ? h.group : cols - g * h.group;
                const Grid grid = encode_group(code + at, x, layer->w + at, n, &h);
                scale[r * per_row + g] = grid.scale, zero[r * per_row + g] = grid.zero;
            }
        free(x);
    }
    int status = pack(out, code, scale, zero, layer, &h);
    free(code);
    free(scale);
    free(zero);
    return status;
}

static void hqq_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const int64_t rows = shape->rows, cols = shape->cols;
    const Hqq h = hqq_read(options, cols);
    const int64_t per_row = groups_in(&h, cols);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * cols));
    double *scale = xmalloc(sizeof *scale * (size_t)(rows * per_row)), *zero = xmalloc(sizeof *zero * (size_t)(rows * per_row));
    packed_codes(code, packed, 0);
    packed_reals(scale, packed, 1);
    packed_reals(zero, packed, 2);
#pragma omp parallel for schedule(static) if (rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const int64_t i = r * per_row + c / h.group;
            out[r * cols + c] = (float)(scale[i] * ((double)code[r * cols + c] - zero[i]));
        }
    free(code);
    free(scale);
    free(zero);
}

const Perturbation perturbation_hqq = {
    .name = "hqq", .summary = "half-quadratic quantization: a uniform grid with real zero points, found without data", .version = 1,
    .options = hqq_options, .encode = hqq_encode, .decode = hqq_decode,
};
