/*
 * rtn.c - round to nearest on a uniform grid, one scale per group of a row
 *
 *     asymmetric:  s = (max - min) / (2^b - 1),  z = round(-min / s),
 *                  q = clamp(round(w / s) + z, 0, 2^b - 1),  w^ = s (q - z)
 *     symmetric:   s = max |w| / Q,  Q = 2^(b-1) - 1,  q = clamp(round(w / s), -Q, Q),  w^ = s q
 *
 * in double, rounding half to even, w^ rounded once to float32.  Groups are consecutive input columns
 * of a row (group = 0: the row); the last of a row may be shorter.
 *
 *     bits per weight = b + ceil(cols / group) (scale_bits + zero_bits) / cols
 *
 * s is used as stored: half, single, or double (scale_bits = 64 is the textbook formula without any
 * rounding of s).  z has b bits where min <= 0 <= max throughout the matrix.  Where a group lies on one
 * side of 0, z leaves [0, 2^b - 1]; then all z of the matrix are counted with the narrowest of 8, 16, 32, 64
 * signed bits that holds them.  A group of equal weights, or one so narrow that s is stored as 0, is its
 * centre: s = (min + max) / 2 as stored, z = 0, q = 1.  Symmetric has no z: zero_bits = 0.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/perturb/perturbation.h"
#include "core/perturb/scale.h"

static const Option rtn_options[] = {
    { "bits",       OPTION_INTEGER, false, "4",  2, 8,       NULL, "bits", "width of a code" },
    { "group",      OPTION_INTEGER, false, "64", 0, 1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" },
    { "symmetric",  OPTION_FLAG,    false, "no", 0, 0,       NULL, "", "a grid around 0 without zero points" },
    { "scale_bits", OPTION_ONE_OF,  false, "16", 0, 0,       "16|32|64", "bits", "stored width of a scale" },
    { 0 },
};

typedef struct {
    int bits, scale_bits;
    int64_t group;
    bool symmetric;
} Rtn;

static Rtn rtn_read(const Options *options, int64_t cols)
{
    int64_t group = options_integer(options, "group");
    return (Rtn){
        .bits = (int)options_integer(options, "bits"),
        .scale_bits = atoi(options_text(options, "scale_bits")),
        .group = group == 0 || group > cols ? cols : group,
        .symmetric = options_flag(options, "symmetric"),
    };
}

/* What a group leaves behind for the count of bits and for failures. */
typedef struct { double zero_min, zero_max; bool overflow; } Seen;

/* Half to even for |x| < 2^51 on any instruction set, where nearbyint would be a call. */
static inline double round_even(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

static inline double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static void round_to_grid(float *out, const float *w, int64_t n, double scale, double zero, double low, double high)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(scale * (clamp(round_even((double)w[i] / scale) + zero, low, high) - zero));
}

static void fill_constant(float *out, int64_t n, double value)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)value;
}

static void quantize_asymmetric(float *out, const float *w, int64_t n, const Rtn *rtn, Seen *seen)
{
    double low = w[0], high = w[0];
    for (int64_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    const double top = (double)((1 << rtn->bits) - 1);
    const double scale = scale_stored((high - low) / top, rtn->scale_bits);
    if (!(scale > 0)) {
        double centre = scale_stored((low + high) / 2, rtn->scale_bits);
        seen->overflow |= isinf(centre);
        fill_constant(out, n, centre);
        return;
    }
    const double zero = round_even(-low / scale);
    round_to_grid(out, w, n, scale, zero, 0, top);
    seen->overflow |= isinf(scale);
    seen->zero_min = zero < seen->zero_min ? zero : seen->zero_min;
    seen->zero_max = zero > seen->zero_max ? zero : seen->zero_max;
}

static void quantize_symmetric(float *out, const float *w, int64_t n, const Rtn *rtn, Seen *seen)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fabs((double)w[i]) > largest ? fabs((double)w[i]) : largest;
    const double top = (double)((1 << (rtn->bits - 1)) - 1);
    const double scale = scale_stored(largest / top, rtn->scale_bits);
    seen->overflow |= isinf(scale);
    if (scale > 0)
        round_to_grid(out, w, n, scale, 0, -top, top);
    else
        fill_constant(out, n, 0);
}

static int zero_point_bits(const Seen *seen, int bits)
{
    if (seen->zero_min >= 0 && seen->zero_max < ldexp(1, bits)) return bits;
    int width = 8;
    while (width < 64 && !(seen->zero_min >= -ldexp(1, width - 1) && seen->zero_max < ldexp(1, width - 1))) width *= 2;
    return width;
}

static int rtn_apply(float *out, double *bits, const LayerWeights *layer, const Options *options,
                     const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    const Rtn rtn = rtn_read(options, cols);
    double zero_min = 0, zero_max = 0;
    bool overflow = false;

    #pragma omp parallel for schedule(static) if (rows * cols >= PARALLEL_WEIGHTS) \
        reduction(min : zero_min) reduction(max : zero_max) reduction(|| : overflow)
    for (int64_t r = 0; r < rows; r++) {
        Seen seen = { 0 };
        for (int64_t c = 0; c < cols; c += rtn.group) {
            const int64_t at = r * cols + c, n = rtn.group < cols - c ? rtn.group : cols - c;
            (rtn.symmetric ? quantize_symmetric : quantize_asymmetric)(out + at, layer->w + at, n, &rtn, &seen);
        }
        zero_min = seen.zero_min < zero_min ? seen.zero_min : zero_min;
        zero_max = seen.zero_max > zero_max ? seen.zero_max : zero_max;
        overflow = overflow || seen.overflow;
    }
    if (overflow)
        FAIL(ERR_ARGUMENT, "rtn: a scale of layer %d does not fit into %d bits; set scale_bits=32", layer->layer, rtn.scale_bits);
    const Seen seen = { zero_min, zero_max, false };
    const int zero_bits = rtn.symmetric ? 0 : zero_point_bits(&seen, rtn.bits);
    const int64_t groups = (cols + rtn.group - 1) / rtn.group;
    *bits = rtn.bits + (double)(groups * (rtn.scale_bits + zero_bits)) / (double)cols;
    return OK;
}

const Perturbation perturbation_rtn = {
    .name = "rtn", .summary = "round to nearest on a uniform grid per group", .version = 1,
    .options = rtn_options, .apply = rtn_apply,
};
