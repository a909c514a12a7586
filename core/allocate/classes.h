/*
 * classes.h - a table of choices as a knapsack: the choices of a layer are a class, without those that nobody would take
 *
 *     size = choice_size [whole bits],    cost = max(row_cost, 0) [nats/token],    capacity = budget x weights [whole bits]
 *
 * Of each layer remain the undominated choices: size ascending, cost strictly descending; of equal ones the first row.
 */
#ifndef CORE_ALLOCATE_CLASSES_H
#define CORE_ALLOCATE_CLASSES_H

#include "core/allocate/allocate.h"
#include "core/allocate/knapsack.h"

/* Item.row is the row of the table, which is not kept.  Free with classes_free.  ERR_ARGUMENT and ERR_BUDGET as in
 * allocate.h, *out then untouched. */
int  classes_build(Knapsack *out, const ChoiceTable *table, double budget);
void classes_free(Knapsack *knapsack);

#endif
