/*
 * show.h - allocations, frontiers and verdicts on stdout, for people and as JSON or CSV
 */
#ifndef EXPERIMENTS_ALLOCATE_SHOW_H
#define EXPERIMENTS_ALLOCATE_SHOW_H

#include "core/allocate/certificate.h"
#include "core/allocate/frontier.h"
#include "core/allocate/stability.h"

/* rank: 0 where only the best was asked for, otherwise 1 for the best, 2 ..; stability: n_resamples 0 where it is not known. */
void show_allocation(const Allocation *allocation, const ChoiceTable *table, int rank, const Stability *stability);
void show_allocation_json(const Allocation *allocation, const ChoiceTable *table, int rank, const Stability *stability);

void show_frontier(const AllocationFrontier *frontier);
void show_frontier_json(const AllocationFrontier *frontier);
void show_frontier_csv(const AllocationFrontier *frontier);

/* "budget 3 bits/weight" or "size 90000000 bytes", with the rank; the caller frees. */
char *allocation_title(const Allocation *allocation, int rank);

void show_verdict(const Allocation *allocation, int rank, const Verdict *verdict);
void show_verdict_json(const Allocation *allocation, int rank, const Verdict *verdict);

#endif
