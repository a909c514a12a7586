/*
 * scale.h - the value that is left of a group's scale once it is stored in a given number of bits
 */
#ifndef CORE_PERTURB_SCALE_H
#define CORE_PERTURB_SCALE_H

/* scale rounded once, half to even, to IEEE half (bits = 16), single (32) or left in double (64).
 * Infinite where it is too large for the format. */
double scale_stored(double scale, int bits);

#endif
