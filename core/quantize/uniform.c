#include "core/quantize/uniform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/quantize/scale.h"
#include "kernels/cpu/simd.h"

Uniform uniform_read(const Options *options, int64_t cols)
{
    const int64_t group = options_integer(options, "group");
    return (Uniform){
        .bits = (int)options_integer(options, "bits"),
        .scale_bits = atoi(options_text(options, "scale_bits")),
        .group = group == 0 || group > cols ? cols : group,
        .symmetric = options_flag(options, "symmetric"),
        .search = options_has(options, "clip") && !strcmp(options_text(options, "clip"), "mse"),
        .norm = 2,
    };
}

static inline double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static int top_code(const Uniform *u) { return u->symmetric ? 2 * ((1 << (u->bits - 1)) - 1) : (1 << u->bits) - 1; }

uint16_t uniform_code(double w, const UniformGrid *grid, const Uniform *u)
{
    if (grid->constant) return (uint16_t)(u->symmetric ? top_code(u) / 2 : 1);
    const double code = round_even(w / grid->scale) + grid->zero;
    return code == code ? (uint16_t)clamp(code, 0, top_code(u)) : 0;
}

static UniformGrid grid_between(double low, double high, const Uniform *u)
{
    const double top = top_code(u), scale = scale_stored((high - low) / top, u->scale_bits);
    if (!(scale > 0)) return (UniformGrid){ u->symmetric ? 0 : scale_stored((low + high) / 2, u->scale_bits), 0, true };
    return (UniformGrid){ scale, u->symmetric ? top / 2 : round_even(-low / scale), false };
}

/* x^2.4 = x^2 (x^2)^(1/5) to 2e-12 where pow would be a call: the root's exponent is a fifth, and two steps of Halley's rule, which
 * triple the digits, mend the 3 % that this leaves.  x in the units of a step of the grid: from 1e-15 to 1e15, and 0. */
static inline double power_2_4(double x)
{
    const double y = x * x;
    const float single = (float)y;
    int32_t bits;
    memcpy(&bits, &single, sizeof bits);
    bits = (int32_t)(0.2f * (float)bits) + 0x32C80000;
    float guess;
    memcpy(&guess, &bits, sizeof guess);
    double root = guess;
    for (int k = 0; k < 2; k++) {
        const double fifth = root * root * (root * root) * root;
        root *= (4 * fifth + 6 * y) / (6 * fifth + 4 * y);
    }
    return y * root;
}

enum { SUMS = 16 };

static inline double term_of(double w, double scale, double zero, double top, double per_unit, bool squares)
{
    const double error = (scale * (clamp(round_even(w / scale) + zero, 0, top) - zero) - w) * per_unit;
    return squares ? error * error : power_2_4(error);
}

static inline double sum_of_terms(const double *w, int64_t n, const UniformGrid *grid, double top, double per_unit, bool squares)
{
    const double scale = grid->scale, zero = grid->zero;
    double sum[SUMS] = { 0 };
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++) sum[k] += term_of(w[i + k], scale, zero, top, per_unit, squares);
    for (int k = 0; i + k < n; k++) sum[k] += term_of(w[i + k], scale, zero, top, per_unit, squares);
    double total = 0;
    for (int k = 0; k < SUMS; k++) total += sum[k];
    return total;
}

/* sum |w^ - w|^norm in units of unit^norm, in an order that depends on n alone; the grid is not constant. */
SIMD static double error_of(const double *w, int64_t n, const UniformGrid *grid, double unit, const Uniform *u)
{
    return u->norm == 2 ? sum_of_terms(w, n, grid, top_code(u), 1 / unit, true) : sum_of_terms(w, n, grid, top_code(u), 1 / unit, false);
}

UniformGrid uniform_fit(const double *w, int64_t n, const Uniform *u)
{
    double low = w[0], high = w[0];
    for (int64_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    if (u->symmetric) high = fmax(fabs(low), fabs(high)), low = -high;
    UniformGrid best = grid_between(low, high, u);
    if (!u->search || best.constant || isinf(best.scale)) return best;
    const double unit = best.scale;
    double least = error_of(w, n, &best, unit, u);
    for (int i = 1; i < 80; i++) {
        const double shrink = 1 - i / 100.0;
        const UniformGrid grid = grid_between(shrink * low, shrink * high, u);
        if (grid.constant) break;
        const double error = error_of(w, n, &grid, unit, u);
        if (error < least) least = error, best = grid;
    }
    return best;
}

/* ---- the stored form: codes, scales, zero points ---- */

static int zero_bits_between(double least, double most, int bits)
{
    if (least >= 0 && most < ldexp(1, bits)) return bits;
    int width = 8;
    while (width < 64 && !(least >= -ldexp(1, width - 1) && most < ldexp(1, width - 1))) width *= 2;
    return width;
}

static int zero_point_bits(const UniformGrid *grid, int64_t n, int bits)
{
    double least = 0, most = 0;
    for (int64_t i = 0; i < n; i++) least = fmin(least, grid[i].zero), most = fmax(most, grid[i].zero);
    return zero_bits_between(least, most, bits);
}

UniformBits uniform_plane_bits(int64_t rows, int64_t cols, const Uniform *u, double least_zero, double most_zero)
{
    const int64_t groups = rows * uniform_groups(u, cols);
    return (UniformBits){ packed_bits_of_codes(rows * cols, 1 << u->bits), groups * u->scale_bits,
                          u->symmetric ? 0 : groups * zero_bits_between(least_zero, most_zero, u->bits) };
}

void uniform_rate(PerturbationError *out, int64_t rows, int64_t cols, const Uniform *u, double least_zero, double most_zero)
{
    const UniformBits plane = uniform_plane_bits(rows, cols, u, least_zero, most_zero);
    const double n = (double)(rows * cols);
    out->code_bits = (double)plane.codes / n;
    out->bits = (double)(plane.codes + plane.scales + plane.zeros) / n;
}

int uniform_pack(Packed *out, const uint16_t *code, const UniformGrid *grid, const LayerWeights *shape, const Uniform *u, const char *method)
{
    const int64_t n = shape->rows * uniform_groups(u, shape->cols);
    double *scale = xmalloc(sizeof *scale * (size_t)n);
    int64_t *zero = xmalloc(sizeof *zero * (size_t)n);
    bool overflow = false;
    for (int64_t i = 0; i < n; i++) {
        scale[i] = grid[i].scale;
        overflow |= isinf(scale[i]) != 0;
        zero[i] = fabs(grid[i].zero) < 0x1p62 ? (int64_t)grid[i].zero : 0;
    }
    packed_add_codes(out, code, shape->rows * shape->cols, 1 << u->bits);
    packed_add_reals(out, scale, n, u->scale_bits);
    if (!u->symmetric) packed_add_integers(out, zero, n, zero_point_bits(grid, n, u->bits));
    free(scale);
    free(zero);
    if (overflow) FAIL(ERR_ARGUMENT, "%s: a scale of layer %d does not fit into %d bits; set scale_bits=32", method, shape->layer, u->scale_bits);
    return OK;
}

void uniform_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const Uniform u = uniform_read(options, shape->cols);
    const int64_t cols = shape->cols, per_row = uniform_groups(&u, cols), groups = shape->rows * per_row;
    uint16_t *code = xmalloc(sizeof *code * (size_t)(shape->rows * cols));
    double *scale = xmalloc(sizeof *scale * (size_t)groups);
    int64_t *zero = xcalloc((size_t)groups, sizeof *zero);
    packed_codes(code, packed, 0);
    packed_reals(scale, packed, 1);
    if (!u.symmetric) packed_integers(zero, packed, 2, packed->plane[2].width != u.bits);
#pragma omp parallel for schedule(static) if (shape->rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < shape->rows; r++)
        for (int64_t g = 0; g < per_row; g++) {
            const int64_t at = r * cols + g * u.group, n = u.group < cols - g * u.group ? u.group : cols - g * u.group, i = r * per_row + g;
            const double middle = u.symmetric ? top_code(&u) / 2 : (double)zero[i];
            for (int64_t k = at; k < at + n; k++) out[k] = (float)(scale[i] * ((double)code[k] - middle));
        }
    free(code);
    free(scale);
    free(zero);
}
