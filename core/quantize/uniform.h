/*
 * uniform.h - uniform grids with a scale (and a zero point) per group of a row: what RTN, GPTQ and AWQ round to
 *
 *     asymmetric:  s = (max - min) / (2^b - 1),  z = round(-min / s),
 *                  q = clamp(round(w / s) + z, 0, 2^b - 1),  w^ = s (q - z)
 *     symmetric:   s = max |w| / Q,  Q = 2^(b-1) - 1,  q = clamp(round(w / s), -Q, Q) + Q,  w^ = s (q - Q)
 *     clip = mse:  max and min are both shrunk by 1 - i/100, i = 0 .. 79; the i of least sum |w^ - w|^norm is kept
 *
 * in double, rounding half to even, w^ rounded once to float32.  Groups are consecutive input columns of a row (group = 0:
 * the row); the last of a row may be shorter.
 *
 *     bits per weight = b + ceil(cols / group) (scale_bits + zero_bits) / cols
 *
 * s is used as stored: half, single, or double (scale_bits = 64 is the textbook formula without any rounding of s).  z has b
 * bits where min <= 0 <= max throughout the matrix.  Where a group lies on one side of 0, z leaves [0, 2^b - 1]; then all z of
 * the matrix are counted with the narrowest of 8, 16, 32, 64 signed bits that holds them.  A group of equal weights, or one
 * so narrow that s is stored as 0, is its centre: s = (min + max) / 2 as stored, z = 0, q = 1.  Symmetric has no z.
 */
#ifndef CORE_QUANTIZE_UNIFORM_H
#define CORE_QUANTIZE_UNIFORM_H

#include "core/perturb/perturbation.h"

/* Rows of a table of options: those of every method with such grids, and with clip, whose default differs from one to the next. */
#define UNIFORM_GRID_OPTIONS                                                                                                         \
    { "bits",       OPTION_INTEGER, false, "4",  2, 8,       NULL, "bits", "width of a code" },                                      \
    { "group",      OPTION_INTEGER, false, "64", 0, 1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" }, \
    { "symmetric",  OPTION_FLAG,    false, "no", 0, 0,       NULL, "", "a grid around 0 without zero points" },                      \
    { "scale_bits", OPTION_ONE_OF,  false, "16", 0, 0,       "16|32|64", "bits", "stored width of a scale" }
#define UNIFORM_OPTIONS(clip) UNIFORM_GRID_OPTIONS,                                                                                  \
    { "clip",       OPTION_ONE_OF,  false, clip, 0, 0,       "minmax|mse", "", "grid from end to end, or shrunk to the least error" }

typedef struct {
    int bits, scale_bits;
    int64_t group;                  /* at most cols */
    bool symmetric;
    bool search;                    /* clip = mse; false where the table has no such row */
    double norm;                    /* of that search: 2, or 2.4 as in GPTQ's scripts */
} Uniform;

/* The grid of one group; code q stands for scale (q - zero). */
typedef struct { double scale, zero; bool constant; } UniformGrid;

Uniform uniform_read(const Options *options, int64_t cols);
static inline int64_t uniform_groups(const Uniform *u, int64_t cols) { return (cols + u->group - 1) / u->group; }

/* The grid of n weights; an infinite scale where it does not fit into scale_bits. */
UniformGrid uniform_fit(const double *w, int64_t n, const Uniform *u);

/* The code of a weight, and the weight of a code, in double. */
uint16_t uniform_code(double w, const UniformGrid *grid, const Uniform *u);
static inline double uniform_value(uint16_t code, const UniformGrid *grid) { return grid->scale * ((double)code - grid->zero); }

/* Packs codes [rows][cols] and grids [rows][groups].  ERR_ARGUMENT, opening with `method`, where a scale is infinite. */
int uniform_pack(Packed *out, const uint16_t *code, const UniformGrid *grid, const LayerWeights *shape, const Uniform *u, const char *method);

/* Bits of the planes that uniform_pack packs, zero points lying between the two (and 0); zeros 0 where symmetric. */
typedef struct { int64_t codes, scales, zeros; } UniformBits;
UniformBits uniform_plane_bits(int64_t rows, int64_t cols, const Uniform *u, double least_zero, double most_zero);

/* The same as bits and code_bits per weight. */
void uniform_rate(PerturbationError *out, int64_t rows, int64_t cols, const Uniform *u, double least_zero, double most_zero);

/* Unpacks what uniform_pack packed. */
void uniform_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw);

#endif
