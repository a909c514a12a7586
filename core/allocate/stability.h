/*
 * stability.h - what the noise of the costs does to an allocation: resample them, solve again, compare
 *
 *     keep_l   = share of resamples b with x_b(l) = x(l)
 *     regret_b = cost(x_b) / cost(x*) - 1
 *
 * x: the chosen rows; x_b: the best for the costs of resample b; x*: the best for the table's; all within one budget, and
 * cost the table's, negative ones taken as 0.  With windows as what is resampled this is the bootstrap of the allocation
 * (Efron 1979); regret_b is then about what the allocation itself loses for being made from noisy costs, whose expectation
 * to second order is 1/2 Var_w(log error) (contrast.h).  A layer that changes its choice at no regret was a tie.
 */
#ifndef CORE_ALLOCATE_STABILITY_H
#define CORE_ALLOCATE_STABILITY_H

#include "core/allocate/constraints.h"

/* Writes the costs of all rows of the table in resample b, cost[n_choices] [nats/token].  Called once for every b, never
 * twice at the same time, but in no particular order and from any thread: what it writes may depend on b alone. */
typedef void (*CostResample)(double *cost, void *context, int b);

typedef struct {
    int n_resamples;                /* those solved: without ones that had a cost which is no number, or beyond 1e100 */
    double *keep;                   /* [n_layers] share of resamples in which the layer keeps its choice              */
    double regret, regret_high;     /* mean and 95 % quantile of regret_b; NaN where the best costs nothing           */
    double kept;                    /* share of all weights whose choice is kept, mean over resamples                 */
} Stability;

/* chosen: an allocation of the same table, usually the best.  The result does not depend on the number of threads; free it
 * with stability_free.  ERR_ARGUMENT and ERR_BUDGET as allocate(); ERR_ARGUMENT for n_resamples < 1, or where no resample
 * could be solved.  On failure *out is untouched. */
int  allocation_stability(Stability *out, const ChoiceTable *table, double budget, const Allocation *chosen, int n_resamples,
                          CostResample resample, void *context);
/* The same under constraints (NULL: none): every resample keeps to them; layers that take no part have keep 1. */
int  allocation_stability_under(Stability *out, const ChoiceTable *table, const Constraints *constraints, const Budget *budget,
                                const Allocation *chosen, int n_resamples, CostResample resample, void *context);
void stability_free(Stability *stability);

#endif
