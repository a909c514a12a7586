/*
 * packed.h - a quantized matrix as it is stored: planes of codes, scales, zero points, bit after bit
 *
 * A quantizer's encode fills a Packed and its decode makes W^ from nothing else, so the bits per weight that are
 * reported are those of a stored form that exists:
 *
 *     bits per weight = sum over planes of their bits / weights
 *
 * Codes of n levels take log2 n bits each where n is a power of two.  Otherwise as many as fit into 120 bits are written
 * together as the digits of one number of base n (n = 88: 18 codes in 117 bits, 6.50 for log2 88 = 6.46).
 */
#ifndef CORE_QUANTIZE_PACKED_H
#define CORE_QUANTIZE_PACKED_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t n;                      /* values                                           */
    int levels;                     /* of a plane of codes                              */
    int together, width;            /* values in a word; bits of a word, at most 120    */
    int64_t bits, code_bits;        /* of all words; those that hold codes of weights, not scales and the like */
    unsigned char *bytes;           /* word i at bit i * width, the least bit first; ceil(bits/8) of them */
} PackedPlane;

enum { MOST_PLANES = 8 };
typedef struct { int n; PackedPlane plane[MOST_PLANES]; } Packed;

/* Each adds a plane of n values.  code[i] < levels <= 65536; an integer is its low `width` bits (1 to 64); reals are stored
 * in 16 (IEEE half), 32 or 64 bits, and must be those that scale_stored gives. */
void packed_add_codes(Packed *out, const uint16_t *code, int64_t n, int levels);
void packed_add_integers(Packed *out, const int64_t *value, int64_t n, int width);
void packed_add_reals(Packed *out, const double *value, int64_t n, int width);

/* Adds n bytes in a layout of the caller's own, which it fills through the pointer that is returned; code_bits of them are codes. */
unsigned char *packed_add_bytes(Packed *out, int64_t n, int64_t code_bits);

/* All values of a plane.  Integers come back without a sign, or with the one of their highest bit. */
void packed_codes(uint16_t *out, const Packed *packed, int plane);
void packed_integers(int64_t *out, const Packed *packed, int plane, bool with_sign);
void packed_reals(double *out, const Packed *packed, int plane);

/* Bits of a plane of n codes, without one. */
int64_t packed_bits_of_codes(int64_t n, int levels);

/* Bits of all planes, and of those that hold codes. */
int64_t packed_bits(const Packed *packed);
int64_t packed_code_bits(const Packed *packed);

/* Bytes of the buffers of all planes, each rounded up to whole ones. */
int64_t packed_bytes(const Packed *packed);

void packed_free(Packed *packed);

#endif
