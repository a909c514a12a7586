/*
 * codebook.h - a fixed set of levels, scaled by the largest weight of each group of a row: what NF and AF round to
 *
 *     a = max |w|,  q = the level nearest to w / a (the lower of two equally near),  w^ = a v_q
 *
 * in double, w^ rounded once to float32.  Groups are consecutive input columns of a row (group = 0: the row); the last of a
 * row may be shorter and uses the same levels.  Every rounding of a comes first: q is the nearest for the a that is stored,
 * in half, single, or double (scale_bits = 64: no rounding), or, with double = yes, as double_scale.h says.
 *
 *     bits per weight = b + ceil(cols / group) scale_bits / cols
 *     double = yes:     b + (8 n + 32 ceil(n / 256) + 32) / weights,  n = rows ceil(cols / group);  scale_bits has no part
 *
 * A group whose a is stored as 0 is 0.
 */
#ifndef CORE_QUANTIZE_CODEBOOK_H
#define CORE_QUANTIZE_CODEBOOK_H

#include "core/perturb/perturbation.h"

enum { MOST_LEVELS = 16 };

/* 2^bits levels in ascending order, 0 among them. */
typedef struct { int bits; double level[MOST_LEVELS]; } Codebook;

#define CODEBOOK_OPTIONS                                                                                                              \
    { "bits",       OPTION_INTEGER, false, "4",  2, 4,       NULL, "bits", "width of a code" },                                      \
    { "group",      OPTION_INTEGER, false, "64", 0, 1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" }, \
    { "scale_bits", OPTION_ONE_OF,  false, "16", 0, 0,       "16|32|64", "bits", "stored width of a scale, without double" },        \
    { "double",     OPTION_FLAG,    false, "no", 0, 0,       NULL, "", "scales quantized to 8 bits in blocks of 256, as bitsandbytes does" }

/* Columns that share a scale: the option, at most cols. */
int64_t codebook_group(const Options *options, int64_t cols);

/* The rest of an encode and a decode (core/perturb/perturbation.h) once the levels are known.  ERR_ARGUMENT, opening with
 * `method`, where a scale is infinite. */
int codebook_encode(Packed *out, const LayerWeights *layer, const Options *options, const Codebook *book, const char *method);
void codebook_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, const Codebook *book);

/* For those who compute levels: to the nearest 2^-40, 9e-13, so that the last bits of the C library's functions, which differ from
 * one processor to another, do not show. */
double codebook_round(double level);

#endif
