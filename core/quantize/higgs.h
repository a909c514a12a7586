/*
 * higgs.h - HIGGS (arXiv 2411.17525): Hadamard rotation, then the nearest points of a grid that is optimal for Gaussian numbers
 *
 * In each group of g consecutive input columns of a row w, with H the Walsh-Hadamard matrix (hadamard.h) and D a diagonal of signs:
 *
 *     y = H D w / sqrt g,   r = ||y|| / sqrt g,   z = y / r           z is about N(0, I)
 *     code = the nearest point c of the grid, for each p consecutive entries of z
 *     y^ = s c[code],   w^ = D H y^ / sqrt g,   s = r as stored
 *     unbiased:  s = ||y||^2 / <c[code], y> as stored, so that <W^, W> = ||W||^2
 *
 * D = 1 in the authors' code and by default; signs = yes draws it, one for all rows of a layer, so that the inputs of the layer
 * can be rotated in the place of its weights.  Where rotation makes the entries Gaussian t^2 is the mse of the grid, whatever the
 * weights: a little less in small groups, as z lies on a sphere (at g = 64 by 2 or 3 %, and by 9 % for 256 equal steps; at 1024
 * by nothing).  What D = 1 cannot spread is a group that H gathers, equal weights for one: that needs signs.  Without `unbiased`
 * an optimal grid shrinks, <W^, W> = (1 - t^2) ||W||^2; with it t^2 becomes t^2 / (1 - t^2).  (For Gaussian z; on the sphere of
 * g = 64 the shrinkage is some 10 % less than t^2.)
 *
 *     bits per weight = G (ceil(g / p) log2 n + scale_bits) / cols,   G = ceil(cols / g) groups in a row
 *
 * (log2 n as packed.h stores it where n is no power of two).  g is a power of two.  Where it does not divide cols, zeros fill the
 * last group, and where p does not divide g, the last vector: their codes are stored and counted, and the error that falls on the
 * zeros of a row is no error of W (t^2 is less by a factor cols / (G g)).
 *
 * Arithmetic is in double; z is rounded to float32 for the search, w^ once to float32.  A group of zeros, or one whose scale is
 * too small for scale_bits, has s = 0 and is 0.  Unbiased leaves s = r where <c, y> is not positive.
 *
 * Cost: log2 g additions per weight each way and a search, which is what takes the time where n is large.
 */
#ifndef CORE_QUANTIZE_HIGGS_H
#define CORE_QUANTIZE_HIGGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/grid/grid.h"
#include "core/grid/nearest.h"
#include "core/perturb/perturbation.h"

/* Rows of a table of options: the grid, what goes with any grid, and what a table may leave out. */
#define HIGGS_GRID_OPTIONS                                                                                                           \
    { "p",          OPTION_INTEGER, false, "2",   1, 5,       NULL, "weights", "weights that share a code" },                       \
    { "n",          OPTION_INTEGER, false, "256", 2, 1 << 16, NULL, "points", "size of the grid: log2(n) / p bits per weight" },     \
    { "levels",     OPTION_ONE_OF,  false, "gaussian", 0, 0,  "gaussian|uniform", "", "grid of least error, or (p = 1) of equal steps" }
#define HIGGS_ROTATION_OPTIONS                                                                                                       \
    { "hadamard",   OPTION_INTEGER, false, "0",   0, 1 << 16, NULL, "weights", "group that is rotated and shares a scale, a power of two; 0: 1024 or what divides the row" }, \
    { "signs",      OPTION_FLAG,    false, "no",  0, 0,       NULL, "", "random signs before the rotation" },                       \
    { "scale_bits", OPTION_ONE_OF,  false, "16",  0, 0,       "16|32|64", "bits", "stored width of a scale" }
#define HIGGS_UNBIASED_OPTION                                                                                                        \
    { "unbiased",   OPTION_FLAG,    false, "no",  0, 0,       NULL, "", "scales that undo the shrinkage: <W^, W> = ||W||^2" }

typedef struct {
    const Grid *grid;
    const Nearest *nearest;         /* among the grid's points */
    int64_t cols, group;            /* weights in a row, in a group */
    int64_t groups, vectors;        /* groups in a row, codes in a group */
    int scale_bits;
    bool unbiased, signs;
} Higgs;

static inline int64_t higgs_padded(const Higgs *h) { return h->groups * h->group; }         /* numbers in a rotated row */
static inline int64_t higgs_row_codes(const Higgs *h) { return h->groups * h->vectors; }

/* Both kinds of options; ERR_ARGUMENT where there is no such grid or group.  higgs_read_with takes the grid as given, which must
 * live as long as the program (its search is kept), and the options of the rotation. */
int higgs_read(Higgs *out, const Options *options, int64_t cols);
int higgs_read_with(Higgs *out, const Grid *grid, const Options *options, int64_t cols);

/* sign [padded]: the diagonal D of a layer; 1 without signs. */
void higgs_signs(float *sign, const Higgs *higgs, int layer, Draw draw);

/* y [padded] = H D w / sqrt g in each group of w [cols]; and back: w = D H y / sqrt g, y is overwritten. */
void higgs_rotate(double *y, const float *w, const float *sign, const Higgs *higgs);
void higgs_rotate_back(float *w, double *y, const float *sign, const Higgs *higgs);

/* scale [groups] = r of each group of y [padded], not yet rounded (scale_stored does that). */
void higgs_scales(double *scale, const double *y, const Higgs *higgs);

/* code [row_codes] of y [padded] with r in scale, which becomes s. */
void higgs_round(uint16_t *code, double *scale, const double *y, const Higgs *higgs);

/* Packs codes [rows][row_codes] and stored scales [rows][groups].  ERR_ARGUMENT, opening with `method`, where a scale is infinite. */
int higgs_pack(Packed *out, const uint16_t *code, const double *scale, const LayerWeights *shape, const Higgs *higgs, const char *method);

/* W^ of what higgs_pack packed; higgs_decode with the options of both kinds. */
void higgs_unpack(float *out, const Packed *packed, const LayerWeights *shape, const Higgs *higgs, Draw draw);
void higgs_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw);

/* The quantizer with any grid: rotates, rounds and packs all rows. */
int higgs_encode_with(Packed *out, const LayerWeights *layer, const Higgs *higgs, Draw draw, const char *method);

/* For a table that has the flag `signs`: Perturbation.random. */
int higgs_random(const Options *options);

#endif
