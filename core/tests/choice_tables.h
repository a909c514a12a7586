/*
 * choice_tables.h - tables of choices: built row by row, drawn at random, like those of a model
 */
#ifndef CORE_TESTS_CHOICE_TABLES_H
#define CORE_TESTS_CHOICE_TABLES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/allocate/certificate.h"
#include "core/base/err.h"
#include "core/base/rng.h"

enum { MOST_LAYERS = 600, MOST_ROWS = 20000 };

/* A table with room for every test; rows are added in any order. */
typedef struct {
    ChoiceTable table;
    const char *layer[MOST_LAYERS], *row_name[MOST_ROWS];
    int64_t weights[MOST_LAYERS];
    int row_layer[MOST_ROWS];
    double row_bits[MOST_ROWS], row_cost[MOST_ROWS];
} Fixture;

static inline Fixture *fixture_new(int n_layers)
{
    Fixture *f = xcalloc(1, sizeof *f);
    f->table = (ChoiceTable){ n_layers, f->layer, f->weights, 0, f->row_layer, f->row_name, f->row_bits, f->row_cost };
    for (int l = 0; l < n_layers; l++) f->layer[l] = "blocks.7.down", f->weights[l] = 1;
    return f;
}

static inline void add_row(Fixture *f, int layer, double bits, double cost)
{
    const int row = f->table.n_choices++;
    assert_true(row < MOST_ROWS);
    f->row_layer[row] = layer, f->row_name[row] = "rtn-4", f->row_bits[row] = bits, f->row_cost[row] = cost;
}

/* The certificate must hold; returns what it proves. */
static inline Verdict check_proof(const Allocation *a, const ChoiceTable *t, const Constraints *constraints)
{
    Verdict verdict = { 0 };
    const Certificate certificate = certificate_of(a);
    if (certificate_verify(&verdict, &certificate, t, constraints) != OK) fail_msg("%s", err_last());
    assert_true(verdict.gap >= 0 && fabs(verdict.gap - a->gap) <= 1e-9 * a->gap + 1e-12 * a->cost);
    return verdict;
}

/* What any answer must satisfy, whatever the optimum. */
static inline void check_certificate(const Allocation *a, const ChoiceTable *t, double budget)
{
    int64_t size = 0, weights = 0;
    double cost = 0;
    int clamped = 0;
    for (int row = 0; row < t->n_choices; row++) clamped += t->row_cost[row] < 0;
    for (int l = 0; l < t->n_layers; l++) {
        assert_int_equal(t->row_layer[a->row[l]], l);
        size += choice_size(t->weights[l], t->row_bits[a->row[l]]);
        cost += fmax(t->row_cost[a->row[l]], 0);
        weights += t->weights[l];
    }
    assert_true(a->size == size && size <= a->capacity && (double)a->capacity <= budget * (double)weights + 1e-6);
    assert_true(a->bits == (double)size / (double)weights && a->budget == budget && a->clamped == clamped);
    assert_true(fabs(a->cost - cost) <= 1e-14 * cost && a->lower_bound <= a->cost && a->lower_bound >= 0);
    if (a->optimal) assert_true(a->lower_bound == a->cost);
    check_proof(a, t, NULL);
}

/* ---- drawn at random ---- */

typedef struct { uint64_t stream, index; } Source;
static inline double uniform(Source *s) { return rng_uniform(2024, s->stream, s->index++); }
static inline int below(Source *s, int n) { return (int)(uniform(s) * n); }

/* Styles: generic, all integers small (many ties), costs proportional to sizes, huge ranges, many zeros. */
static inline Fixture *random_instance(Source *s, int style)
{
    Fixture *f = fixture_new(1 + below(s, 6));
    for (int l = 0; l < f->table.n_layers; l++) {
        f->weights[l] = 1 + below(s, style == 1 ? 3 : 1000);
        const int n = 1 + below(s, 5);
        for (int k = 0; k < n; k++) {
            double bits = style == 1 ? below(s, 4) : 8 * uniform(s), cost = uniform(s);
            if (style == 1) cost = below(s, 4);
            if (style == 2) cost = (double)f->weights[l] * (8 - floor(bits)), bits = floor(bits);
            if (style == 3) cost = pow(10, 200 * (cost - 0.5));
            if (style == 4) cost = cost < 0.5 ? 0 : cost < 0.6 ? -cost : below(s, 3);
            add_row(f, l, bits, cost);
        }
    }
    return f;
}

/* Costs like those of a model: log-normal coefficients times 4^-bits, with some scatter. */
static inline Fixture *model_like(Source *s, int n_layers, int n_choices, int64_t most_weights, bool same_sizes)
{
    Fixture *f = fixture_new(n_layers);
    for (int l = 0; l < n_layers; l++) {
        f->weights[l] = same_sizes ? most_weights / (1 + l % 3) : 1 + (int64_t)(uniform(s) * (double)most_weights);
        const double coefficient = exp(2 * (uniform(s) + uniform(s) + uniform(s) - 1.5));
        for (int k = 0; k < n_choices; k++) {
            const double bits = 2 + 6.0 * k / n_choices;
            add_row(f, l, bits, coefficient * pow(4, -bits) * (1 + 0.1 * uniform(s)));
        }
    }
    return f;
}

#endif
