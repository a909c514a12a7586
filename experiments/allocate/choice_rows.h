/*
 * choice_rows.h - the table that `linearity allocate` works on: a CSV, or the table `choices` of a results file
 *
 * Columns layer, weights, choice, bits (per weight, all overhead included), cost (predicted loss); optional: group, cost_se (its standard error).
 */
#ifndef EXPERIMENTS_ALLOCATE_CHOICE_ROWS_H
#define EXPERIMENTS_ALLOCATE_CHOICE_ROWS_H

#include "core/allocate/allocate.h"

typedef struct {
    ChoiceTable choices;
    int64_t n_rows;
    char **layer, **name, **group;      /* group[n_layers]: text of the column, NULL where there is no such column */
    int64_t *weights;
    int *row_layer, *row_before;        /* [n_rows] row_before: the row of the same layer before it, -1 */
    double *bits, *cost, *cost_se;      /* cost_se: NULL where there is no such column */
} ChoiceRows;

/* ERR_FORMAT with path and line: what is not a number, not whole, there twice, or not the same in all rows of a layer. */
int  choice_rows_read(ChoiceRows *out, const char *path);
void choice_rows_free(ChoiceRows *rows);

#endif
