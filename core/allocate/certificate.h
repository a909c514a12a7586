/*
 * certificate.h - an allocation that proves itself, and a check that shares no code with the solver
 *
 * For every price p >= 0 of a bit and every allocation within the capacity (Everett 1963; one class for each layer
 * or group of layers that share a choice)
 *
 *     cost  >=  D(p) = sum_classes min_j (cost_j + p size_j) - p capacity
 *
 * so that a price and one pass over the table bound how far from the optimum an allocation can be:
 * gap = cost - D(p).  Where optimality is claimed with a gap above 0, every option whose reduced cost alone exceeds the
 * gap is dropped (no better allocation can hold it), and a dense dynamic program over what is left finds the optimum; with a limit
 * to distinct choices, so for every set of so many.
 */
#ifndef CORE_ALLOCATE_CERTIFICATE_H
#define CORE_ALLOCATE_CERTIFICATE_H

#include <stdbool.h>

#include "core/allocate/allocate.h"
#include "core/allocate/constraints.h"

typedef struct {
    int64_t size, capacity;             /* [bits]                                                   */
    double cost, price, dual_bound, gap;
    int optimal;
    const int *row;                     /* [n_layers] chosen row of the table, -1 where a layer takes no part */
} Certificate;

Certificate certificate_of(const Allocation *allocation);       /* borrows row */

typedef enum {
    PROOF_BOUND,                        /* optimal: the gap is 0 to rounding                        */
    PROOF_PROGRAM,                      /* optimal, or number i + 1: dynamic programming finds nothing cheaper */
    PROOF_SETS,                         /* optimal: no set of so few distinct choices has anything cheaper */
    PROOF_GAP                           /* at most `gap` above the optimum; more was not verified   */
} Proof;

typedef struct { Proof proof; double gap; int64_t states; } Verdict;   /* gap: recomputed, rounded up; states: of the program */

/* At most 256 MB and 2e10 steps go into dynamic programming.  constraints: NULL for none.  ERR_FORMAT with one sentence
 * that says what is wrong, where the certificate does not hold. */
int certificate_verify(Verdict *out, const Certificate *certificate, const ChoiceTable *table, const Constraints *constraints);

/* The same for n that are claimed to be the n best, in the order of their costs and all different: `optimal` of certificate[i]
 * is the claim to be number i + 1.  Where all are claimed, and there is no limit to distinct choices, a program that keeps the
 * n least costs of every size proves them within the same limits.  out[n]; *wrong: the one that does not hold. */
int certificate_verify_best(Verdict *out, int *wrong, const Certificate *certificate, int n, const ChoiceTable *table, const Constraints *constraints);

#endif
