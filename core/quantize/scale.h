/*
 * scale.h - the value that is left of a group's scale once it is stored in a given number of bits
 */
#ifndef CORE_QUANTIZE_SCALE_H
#define CORE_QUANTIZE_SCALE_H

#include <stdint.h>

/* scale rounded once, half to even, to IEEE half (bits = 16), single (32) or left in double (64).
 * Infinite where it is too large for the format. */
double scale_stored(double scale, int bits);

/* Half to even for |x| < 2^51 on any instruction set, where nearbyint would be a call. */
static inline double round_even(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

/* The bit pattern of a value that scale_stored gave, in that many bits; and the value of such a pattern. */
uint64_t real_image(double stored, int bits);
double real_of_image(uint64_t image, int bits);

#endif
