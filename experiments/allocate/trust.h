/*
 * trust.h - how far an allocation depends on the errors of its costs
 *
 *     cost_lj of resample b  =  cost_lj + z_lb cost_se_lj,    z_lb ~ N(0, 1)
 *
 * one z for all choices of a layer, whose costs share the error of the layer's coefficient.  Allocated again for each (stability.h).
 */
#ifndef EXPERIMENTS_ALLOCATE_TRUST_H
#define EXPERIMENTS_ALLOCATE_TRUST_H

#include "core/allocate/stability.h"
#include "experiments/allocate/choice_rows.h"

/* rows->cost_se must be there. */
int trust_allocation(Stability *out, const ChoiceRows *rows, const Constraints *constraints, const Budget *budget, const Allocation *chosen,
                     int n_resamples);

#endif
