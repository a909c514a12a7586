/*
 * classes.h - a table of choices and its constraints as a multiple-choice knapsack: one class per layer or group
 *
 * An option of a class is one row of each of its layers: of one layer, a row; of a group, rows of the same name, one
 * of each member, whose sizes and costs (costs below 0 set to 0) add up.  Options stand by size, then cost, then
 * row; dominated ones are still among them.
 */
#ifndef CORE_ALLOCATE_CLASSES_H
#define CORE_ALLOCATE_CLASSES_H

#include "core/allocate/constraints.h"
#include "core/allocate/knapsack.h"

typedef struct Classes {
    const ChoiceTable *table;       /* borrowed                                                      */
    int n_classes;
    int *member_first, *member;     /* layers of class c: member[member_first[c]] .. [member_first[c + 1] - 1] */
    int *first;                     /* [n_classes + 1] options of class c: option[first[c]] .. option[first[c + 1] - 1] */
    Item *option;                   /* option.row: where its rows begin in `row`, in the order of the members */
    int *row;
    int *name;                      /* [n_choices] number of the row's choice name; NULL where names do not matter */
    int n_names, distinct;          /* distinct: the constraint, 0: none                             */
    int64_t weights, least;         /* weights of all classes; the smallest total size [bits]         */
    bool constrained;
    int clamped;                    /* negative costs of rows of layers that take part               */
} Classes;

/* constraints: NULL for none.  ERR_ARGUMENT: empty, NaN or infinite entries, a layer without a choice that is
 * allowed, a group without a common one: each named. */
int  classes_init(Classes *out, const ChoiceTable *table, const Constraints *constraints);
void classes_free(Classes *classes);

/* The knapsack without dominated options; item[] and first[] have room for all options and classes.  use: which options
 * take part, by index; NULL: all.  Returns false where a class has none left. */
bool classes_knapsack(Knapsack *out, Item *item, int *first, const Classes *classes, const bool *use);

/* row[n_layers] = the rows that an option of each class stands for, -1 in layers that take no part. */
void classes_rows(int *row, const Classes *classes, const Item *const *chosen);

#endif
