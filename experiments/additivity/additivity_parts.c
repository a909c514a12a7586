/*
 * additivity_parts.c - parts of the model: random halves of the layers, and each layer alone
 *
 * Halves: KL(A) + KL(the other layers) over KL(all) for the noise of the middle choice, the same noise in each layer.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/fit.h"
#include "experiments/additivity/additivity.h"

/* ---- halves ---- */

typedef struct { double random; int layer; } Ticket;

static int by_ticket(const void *x, const void *y)
{
    const Ticket *a = x, *b = y;
    return a->random != b->random ? (a->random > b->random) - (a->random < b->random) : a->layer - b->layer;
}

/* in_first[n_layers]: a random half, rounded down. */
static void split_layers(bool *in_first, const Additivity *a, int split)
{
    Ticket *ticket = xmalloc(sizeof *ticket * (size_t)a->n_layers);
    for (int i = 0; i < a->n_layers; i++) ticket[i] = (Ticket){ rng_uniform(study_seed(a->run->study), rng_stream(RNG_HALVES, 0, split, 0), (uint64_t)i), i };
    qsort(ticket, (size_t)a->n_layers, sizeof *ticket, by_ticket);
    for (int i = 0; i < a->n_layers; i++) in_first[ticket[i].layer] = i < a->n_layers / 2;
    free(ticket);
}

typedef int (*VisitMap)(void *context, const LayerMap *map);

/* Each draw of one half. */
static int each_half(const Additivity *a, int split, bool first, VisitMap visit, void *context)
{
    const Ray *ray = &a->choice[middle_choice(a)][LAW_NOISE];
    bool *in_first = xmalloc(sizeof *in_first * (size_t)a->n_layers);
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)a->n_layers);
    int n = 0, status = OK;
    split_layers(in_first, a, split);
    for (int i = 0; i < a->n_layers; i++)
        if (in_first[i] == first) entry[n++] = last_node(ray)->entry[i];
    for (int draw = 0; draw < ray->n_draws && status == OK; draw++) {
        char *label = xformat("half %d%s draw %d", split + 1, first ? "a" : "b", draw);
        status = visit(context, &(LayerMap){ .n = n, .entry = entry, .draw = draw, .label = label });
        free(label);
    }
    free(in_first);
    free(entry);
    return status;
}

/* Each draw of one layer alone. */
static int each_single(const Additivity *a, int c, Law law, int i, VisitMap visit, void *context)
{
    const Ray *ray = &a->choice[c][law];
    int status = OK;
    for (int draw = 0; draw < ray->n_draws && status == OK; draw++) {
        char *label = xformat("%s alone %s%s draw %d", additivity_layer(a, i)->name, law == LAW_NOISE ? "noise as " : "", additivity_choice(a, c)->name, draw);
        status = visit(context, &(LayerMap){ .n = 1, .entry = &last_node(ray)->entry[i], .draw = draw, .label = label });
        free(label);
    }
    return status;
}

static int n_halves(const Additivity *a) { return a->n_choices && a->n_layers > 1 ? (int)options_integer(a->run->options, "additivity.halves") : 0; }

static int plan_map(void *context, const LayerMap *map)
{
    plan_add(context, map);
    return OK;
}

void parts_plan(Plan *out, const Additivity *a)
{
    for (int split = 0; split < n_halves(a); split++)
        for (int first = 1; first >= 0; first--) each_half(a, split, first, plan_map, out);
    for (int c = 0; c < a->n_choices && with_singles(a); c++)
        for (Law law = 0; law < LAWS; law++)
            for (int i = 0; i < a->n_layers; i++) each_single(a, c, law, i, plan_map, out);
}

/* ---- measured ---- */

typedef struct { const Additivity *a; double *kl; int n_draws; } Sum;

static int add_map(void *context, const LayerMap *map)
{
    const Sum *to = context;
    Measurement m;
    TRY(run_measure(&m, to->a->run, map));
    for (int w = 0; w < to->a->n_windows; w++) to->kl[w] += m.kl[w] / to->n_draws;
    measurement_free(&m);
    return OK;
}

static Table *halves_table(void)
{
    Table *t = table_new("halves", "random halves of the layers: KL(A) + KL(the others) against KL(all), noise of the middle choice");
    table_add_column(t, COLUMN_INTEGER, "split", "", "which split, from 1");
    table_add_column(t, COLUMN_TEXT, "choice", "", "whose t2 the noise has");
    table_add_column(t, COLUMN_INTEGER, "first_layers", "", "layers in A");
    table_add_column(t, COLUMN_NUMBER, "kl_first", "nats/token", "KL with noise in A only");
    table_add_column(t, COLUMN_NUMBER, "kl_second", "nats/token", "KL with noise in the others only");
    table_add_column(t, COLUMN_NUMBER, "kl_all", "nats/token", "KL with noise in all layers");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "(kl_first + kl_second) / kl_all");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over windows");
    return t;
}

static void add_split(Additivity *a, int split, const double *const half[2], const double *all)
{
    double *sum = xmalloc(sizeof *sum * (size_t)a->n_windows);
    for (int w = 0; w < a->n_windows; w++) sum[w] = half[0][w] + half[1][w];
    const Mean ratio = ratio_over_windows(a, sum, all);
    free(sum);
    Table *t = a->halves_table;
    int64_t row = table_add_row(t);
    table_set_integer(t, row, "split", split + 1);
    table_set_text(t, row, "choice", additivity_choice(a, middle_choice(a))->name);
    table_set_integer(t, row, "first_layers", a->n_layers / 2);
    table_set_number(t, row, "kl_first", mean_over_windows(a, half[0]).value);
    table_set_number(t, row, "kl_second", mean_over_windows(a, half[1]).value);
    table_set_number(t, row, "kl_all", mean_over_windows(a, all).value);
    table_set_number(t, row, "ratio", ratio.value);
    table_set_number(t, row, "ratio_se", ratio.se);
}

int halves_measure(Additivity *a)
{
    int status = OK;
    a->halves_table = halves_table();
    for (int split = 0; split < n_halves(a) && status == OK; split++) {
        const Ray *ray = &a->choice[middle_choice(a)][LAW_NOISE];
        double *half[2];
        for (int h = 0; h < 2; h++) {
            half[h] = xcalloc((size_t)a->n_windows, sizeof(double));
            if (status == OK) status = each_half(a, split, h == 0, add_map, &(Sum){ a, half[h], ray->n_draws });
        }
        if (status == OK) add_split(a, split, (const double *const *)half, last_node(ray)->kl_plus);
        free(half[0]);
        free(half[1]);
    }
    return status;
}

int single_measure(double *kl, const Additivity *a, int c, Law law, int i)
{
    return each_single(a, c, law, i, add_map, &(Sum){ a, kl, a->choice[c][law].n_draws });
}
