/*
 * certificate_program.h - what the check of a certificate proves by dynamic programming
 */
#ifndef CORE_ALLOCATE_CERTIFICATE_PROGRAM_H
#define CORE_ALLOCATE_CERTIFICATE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* What is left of a table once it is checked: options by class. */
typedef struct {
    int n_classes, *first;              /* [n_classes + 1]                                          */
    int64_t *size;                      /* [first[n_classes]] bits of an option                     */
    double *cost;
    int *chosen;                        /* [n_classes] the option that the certificate takes        */
} Verified;

/* Of those, what may be part of an allocation whose gap at the price is not larger than one at hand; sizes from the smallest
 * of each class on. */
typedef struct {
    int n_classes, *first;
    int64_t *size;
    double *cost;
    int64_t smallest, range, unit;      /* bits: sum of the smallest, of the largest from there on, common divisor */
} Reduced;

void reduced_init(Reduced *out, const Verified *verified, double price, double gap);
void reduced_free(Reduced *reduced);

enum { MOST_PROGRAM_BYTES = 1 << 28 };
#define MOST_PROGRAM_STEPS 2e10

/* The least cost within the capacity; false where it does not fit the limits.  *states: sizes that are looked at. */
bool certificate_program(double *out, int64_t *states, const Verified *verified, int64_t capacity, double price, double gap);

/* certificate_ranks.c: cost[n] = the n least costs within the capacity, ascending, INFINITY where there are fewer; of those alone
 * whose gap is not larger than `gap`. */
bool certificate_ranks(double *cost, int n, int64_t *states, const Verified *verified, int64_t capacity, double price, double gap);

#endif
