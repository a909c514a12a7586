/*
 * k_means.h - the k values that stand best for many weighted numbers
 *
 *     minimises  C(v) = sum_i f_i min_c (x_i - v_c)^2
 *
 * Of numbers on a line the best clusters are intervals, so C is minimised exactly by dynamic programming: with S0, S1 the sums of f and f x
 * over a cluster, C = sum f x^2 - sum over clusters of S1^2 / S0, and
 *
 *     B_m(j) = max_i B_m-1(i) + (S1^2 / S0)(i, j)      the best m clusters of the first j numbers
 *
 * The i that is best does not fall as j grows, which leaves n log n of the n^2 / 2 pairs (Wu 1991; divide and conquer).
 * Cost: k n log2 n divisions; Lloyd's iteration: n k for its start, then k log2 n a step.
 */
#ifndef CORE_QUANTIZE_K_MEANS_H
#define CORE_QUANTIZE_K_MEANS_H

#include <stdint.h>

typedef struct { double x, weight; } WeightedNumber;

/* In place: x ascending, weight >= 0 as given; returns how many are left once those are gone whose weight is less than 2^-40 of the sum:
 * they could not move a centroid by more than rounding does. */
int64_t k_means_sort(WeightedNumber *number, int64_t n);

/* centroid[k] ascending = the minimum, of n >= 1 numbers that k_means_sort left.  Where n < k the last ones are equal. */
void k_means_exact(double *centroid, int k, const WeightedNumber *number, int64_t n);

/* The same by Lloyd's iteration (1957) from a start by k-means++ (Arthur and Vassilvitskii 2007: each centroid is one of the numbers, drawn
 * in proportion to what it would cost so far) at (seed, stream): at most `steps` of them, fewer where nothing moves any more. */
void k_means_lloyd(double *centroid, int k, const WeightedNumber *number, int64_t n, int steps, uint64_t seed, uint64_t stream);

/* C(v). */
double k_means_cost(const double *centroid, int k, const WeightedNumber *number, int64_t n);

#endif
