/*
 * allocate.h - one choice per layer under a total size: exact multiple-choice knapsack
 *
 *     minimise  sum_l cost_l(j_l)    subject to    sum_l size_l(j_l) <= capacity    [whole bits]
 *
 * Dominated choices are dropped, the Lagrangian dual gives a lower bound and the multiplier, and a
 * list dynamic program over partial sums (states sorted by size, dominated and bounded-out states
 * dropped) is exact on whole bits; where its lists grow too long, a dense table over all sizes is, if it fits in memory.  Costs
 * below 0 are set to 0 and counted.
 */
#ifndef CORE_ALLOCATE_ALLOCATE_H
#define CORE_ALLOCATE_ALLOCATE_H

#include <stdint.h>

typedef struct {
    int n_layers;
    const char *const *layer;       /* [n_layers] names                                            */
    const int64_t *weights;         /* [n_layers] number of weights                                */
    int n_choices;                  /* total rows                                                  */
    const int *row_layer;           /* [n_choices] layer of each row                               */
    const char *const *row_name;    /* [n_choices] name of the choice                              */
    const double *row_bits;         /* [n_choices] bits per weight incl. all overhead              */
    const double *row_cost;         /* [n_choices] predicted loss, nats/token                      */
} ChoiceTable;

typedef struct {
    double budget;                  /* average bits per weight asked for                           */
    int64_t size, capacity;         /* whole bits used, and allowed                                */
    double bits;                    /* size / total weights                                        */
    double cost, lower_bound;       /* nats/token; cost = lower_bound where optimality is proven   */
    int optimal, clamped;
    int *row;                       /* [n_layers] chosen row of the table, -1 in layers that take no part; free with allocation_free */
    double price, dual_bound, gap;  /* nats/token per bit; D(price) <= every allocation's cost; cost - dual_bound (certificate.h) */
    int64_t weights;                /* of the layers that take part                                */
    int64_t bytes, elsewhere;       /* of the Budget; 0 where an average was asked for             */
} Allocation;

/* What is asked for: average bits per weight over the layers that take part, or a size in bytes of which what is
 * not allocated takes `elsewhere`. */
typedef struct {
    double average;
    int64_t bytes, elsewhere;       /* bytes: 0 where an average is asked for                      */
} Budget;

/* weights x bits, to the nearest whole bit when within 1e-6 of one, otherwise rounded up. */
int64_t choice_size(int64_t weights, double bits);

/* ERR_ARGUMENT: empty, NaN or infinite entries, a layer without a choice (named).  ERR_BUDGET: names
 * the least average that fits. */
int  allocate(Allocation *out, const ChoiceTable *table, double budget);

/* The same under constraints (classes.h).  ERR_BUDGET: names what fits. */
struct Classes;
int  allocate_classes(Allocation *out, const struct Classes *classes, const Budget *budget);

/* Whole bits that the budget allows.  ERR_ARGUMENT where it is not a number. */
int  budget_capacity(int64_t *out, const Budget *budget, int64_t weights);
void allocation_free(Allocation *allocation);

/* Of all layers of a table; whole bits that so many bits per weight on average allow. */
int64_t allocation_weights(const ChoiceTable *table);
int64_t allocation_capacity(const ChoiceTable *table, double budget);

#endif
