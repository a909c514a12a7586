/*
 * knapsack.h - the multiple-choice knapsack: one item of each class, least cost within a capacity
 *
 * With a multiplier p (price of a bit) and base_l = the item of class l that minimises cost + p size, every
 * choice x of one item per class has
 *
 *     cost(x) = bound + excess(x),    excess(x) = sum_l r_l(x_l) + p (capacity - size(x))
 *     r_lj = cost_lj + p size_lj - (the same of base_l) >= 0,    bound the same for all x
 *
 * so a feasible x has excess >= 0 and the best one has the least.  All x with an excess below a threshold
 * are searched, and the threshold is raised until one is found: that one is optimal.
 *
 * Sizes are exact.  Costs are doubles: partial sums are compared in one order of the classes, in which
 * rounding is monotone, so dropping a dominated one loses nothing; a bound is rounded down before
 * anything is dropped for it.
 */
#ifndef CORE_ALLOCATE_KNAPSACK_H
#define CORE_ALLOCATE_KNAPSACK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct { int64_t size; double cost; int row; } Item;     /* row: the caller's name for it */

typedef struct {
    int n_classes;
    const int *first;           /* [n_classes + 1]: class l is item[first[l]] .. item[first[l + 1] - 1], */
    const Item *item;           /* size ascending, cost strictly descending, cost >= 0                   */
    int64_t capacity;           /* not below the sum of the smallest sizes                               */
} Knapsack;

/* What is known of the optimal cost: it is at least `lower`, and of that alone at least cost - excess, whatever was
 * searched: the Lagrangian dual at `price` (rounded to the safe side). */
typedef struct { double lower, price, excess; } KnapsackBound;

/* chosen[n_classes] = indices into item.  Returns whether they are proven optimal within max_states
 * states (8 bytes each, up to 56 while in the list at hand), or a dense table of 64 bytes for each; otherwise they
 * are the best found, of the greedy choice alone where max_states is 0. */
bool knapsack_solve(int *chosen, KnapsackBound *bound, const Knapsack *knapsack, int64_t max_states);

double  knapsack_cost(const Knapsack *knapsack, const int *chosen);
int64_t knapsack_size(const Knapsack *knapsack, const int *chosen);

/* What the solver and the list search share: the multiplier and every item's r, enclosed. */
typedef struct { double low, high; } Enclosure;
typedef struct { double price; const Enclosure *reduced; } Dual;

typedef enum { SEARCH_EMPTY, SEARCH_FOUND, SEARCH_TOO_LARGE } SearchOutcome;

/* knapsack_list.c: the cheapest feasible choice among all whose excess may be below threshold. */
SearchOutcome knapsack_search(int *chosen, const Knapsack *knapsack, const Dual *dual, double threshold, int64_t max_states);

/* knapsack_dense.c: the cheapest feasible choice among all whose r are below threshold, in place of chosen where it is
 * cheaper; false where that takes more bytes. */
bool knapsack_dense(int *chosen, const Knapsack *knapsack, const Dual *dual, double threshold, double most_bytes);

/* knapsack_exchange.c: betters a feasible choice by exchanges in one or two classes, until none saves anything. */
void knapsack_exchange(int *chosen, const Knapsack *knapsack);

#endif
