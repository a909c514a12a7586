/*
 * rule_tables.h - allocation rules on random tables of choices
 */
#ifndef CORE_TESTS_RULE_TABLES_H
#define CORE_TESTS_RULE_TABLES_H

#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocate.h"
#include "core/allocate/rules.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/model/model.h"
#include "core/tests/choice_tables.h"

static inline const AllocationRule *rule_named(const char *name)
{
    for (int i = 0; allocation_rules[i]; i++)
        if (strcmp(allocation_rules[i]->name, name) == 0) return allocation_rules[i];
    fail_msg("there is no rule '%s'", name);
    return NULL;
}

static inline int64_t size_at(const ChoiceTable *t, const int *row)
{
    int64_t size = 0;
    for (int l = 0; l < t->n_layers; l++) {
        assert_true(t->row_layer[row[l]] == l);
        size += choice_size(t->weights[l], t->row_bits[row[l]]);
    }
    return size;
}

static inline double cost_at(const ChoiceTable *t, const int *row)
{
    double cost = 0;
    for (int l = 0; l < t->n_layers; l++) cost += fmax(t->row_cost[row[l]], 0);
    return cost;
}

/* Names that repeat from layer to layer: the first row of a layer is its "0", and so on. */
static inline void name_rows(Fixture *f)
{
    static const char *const number[] = { "0", "1", "2", "3", "4", "5", "6", "7" };
    for (int row = 0, k = 0; row < f->table.n_choices; row++, k++) {
        if (row > 0 && f->row_layer[row] != f->row_layer[row - 1]) k = 0;
        f->row_name[row] = number[k];
    }
}

/* What must hold for the rows that a rule chose; best: the optimum within the same budget. */
typedef void (*Check)(const ChoiceTable *t, const int *row, const Allocation *best);

/* A rule on n tables of every style, with budgets from too small to ample; returns how often it could be applied. */
static inline int on_random_tables(const char *name, int n, Check check)
{
    int row[MOST_LAYERS], applied = 0;
    LayerPlace place[MOST_LAYERS];
    for (int i = 0; i < n; i++) {
        Source s = { rng_stream(RNG_TEST, 11, 0, i), 0 };
        Fixture *f = random_instance(&s, i % 5);
        name_rows(f);
        for (int l = 0; l < f->table.n_layers; l++) place[l] = (LayerPlace){ below(&s, 4), below(&s, LAYER_TYPES) };
        for (int k = 0; k < 5; k++) {
            const double budget = i % 5 == 1 ? below(&s, 8) / 2.0 : 9 * uniform(&s);
            Allocation best = { .row = NULL };
            row[0] = -7;
            const int optimum = allocate(&best, &f->table, budget), status = allocation_rule_apply(row, rule_named(name), &f->table, place, budget);
            if (status != OK) assert_true(status == ERR_BUDGET && row[0] == -7);
            if (optimum != OK) assert_true(status == ERR_BUDGET);
            if (status == OK) check(&f->table, row, &best), applied++;
            allocation_free(&best);
        }
        free(f);
    }
    return applied;
}

#endif
