/*
 * certificate_program.h - the parts of the check of a certificate: what is read off the table, what dynamic programming proves
 */
#ifndef CORE_ALLOCATE_CERTIFICATE_PROGRAM_H
#define CORE_ALLOCATE_CERTIFICATE_PROGRAM_H

#include "core/allocate/certificate.h"

/* certificate_choices.c: bits and cost of a row, as the contract of a table has them; ERR_FORMAT where the choices are not ones
 * of the table, break a constraint, or do not add up to the size and the cost. */
int64_t certificate_bits(const ChoiceTable *table, int row);
double certificate_cost(const ChoiceTable *table, int row);
int certificate_check_choices(const Certificate *certificate, const ChoiceTable *table, const Constraints *constraints);

/* What is left of a table once it is checked: options by class. */
typedef struct {
    int n_classes, *first;              /* [n_classes + 1]                                          */
    int64_t *size;                      /* [first[n_classes]] bits of an option                     */
    double *cost;
    int *chosen;                        /* [n_classes] the option that the certificate takes        */
    int *name;                          /* [first[n_classes]] number of its choice's name; NULL where names do not matter */
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

/* certificate_sets.c: the least cost within the capacity with at most `most` distinct names, of those alone that are below the
 * cost claimed. */
bool certificate_sets(double *cost, const Verified *verified, int n_names, int most, int64_t capacity, double price, double claimed);

#endif
