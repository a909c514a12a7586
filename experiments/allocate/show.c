#include "experiments/allocate/show.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/store/table.h"

typedef struct { const char *name; double value; } Pair;

static void pairs_json(const Pair *pair, int n)
{
    for (int i = 0; i < n; i++) {
        printf("%s\"%s\":", i ? "," : "", pair[i].name);
        json_number(stdout, pair[i].value);
    }
}

static const char *truth(bool is) { return is ? "true" : "false"; }

/* ---- allocations ---- */

char *allocation_title(const Allocation *a, int rank)
{
    char *place = rank > 1 ? xformat(", number %d", rank) : xstrdup("");
    char *title = a->bytes > 0 ? xformat("size %lld bytes%s", (long long)a->bytes, place) : xformat("budget %g bits/weight%s", a->budget, place);
    free(place);
    return title;
}

void show_allocation(const Allocation *a, const ChoiceTable *t, int rank, const Stability *s)
{
    char *title = allocation_title(a, rank);
    printf("%s: %.6g bits, cost %.9g (%s)\n", title, a->bits, a->cost, a->optimal ? "optimal, proven" : "not proven optimal");
    if (a->bytes > 0) printf("  %lld bytes, %lld of them not allocated here\n", (long long)((a->size + 7) / 8 + a->elsewhere), (long long)a->elsewhere);
    if (!a->optimal) printf("  no %sallocation can cost less than %.9g\n", rank > 1 ? "other " : "", a->lower_bound);
    if (a->clamped) printf("  %d negative costs taken as 0\n", a->clamped);
    if (s->n_resamples)
        printf("  %d resamples of the costs: %.0f %% of the weights keep their choice; costs to expect of their errors %.2g %% (95 %%: %.2g %%)\n", s->n_resamples,
               100 * s->kept, 100 * s->regret, 100 * s->regret_high);
    for (int l = 0; l < t->n_layers; l++) {
        if (a->row[l] < 0) continue;
        printf("  %-24s %s", t->layer[l], t->row_name[a->row[l]]);
        if (s->n_resamples) printf("  %.0f %%", 100 * s->keep[l]);
        putchar('\n');
    }
    free(title);
}

static void certificate_json(const Allocation *a, int rank)
{
    const Pair pair[] = { { "cost", a->cost }, { "price", a->price }, { "dual_bound", a->dual_bound }, { "gap", a->gap } };
    printf("\"certificate\":{\"size\":%lld,\"capacity\":%lld,", (long long)a->size, (long long)a->capacity);
    pairs_json(pair, 4);
    printf(",\"optimal\":%s}", truth(a->optimal && rank <= 1));
}

static void stability_json(const Stability *s, const Allocation *a, const ChoiceTable *t)
{
    const Pair pair[] = { { "kept", s->kept }, { "regret", s->regret }, { "regret_high", s->regret_high } };
    printf("\"stability\":{\"resamples\":%d,", s->n_resamples);
    pairs_json(pair, 3);
    fputs(",\"keep\":{", stdout);
    for (int l = 0, n = 0; l < t->n_layers; l++) {
        if (a->row[l] < 0) continue;
        if (n++) putchar(',');
        json_text(stdout, t->layer[l]);
        putchar(':');
        json_number(stdout, s->keep[l]);
    }
    fputs("}},", stdout);
}

void show_allocation_json(const Allocation *a, const ChoiceTable *t, int rank, const Stability *s)
{
    const Pair pair[] = { { "budget", a->budget }, { "bits", a->bits }, { "cost", a->cost }, { "lower_bound", a->lower_bound } };
    putchar('{');
    pairs_json(pair, 4);
    if (a->bytes > 0) printf(",\"bytes\":%lld,\"elsewhere\":%lld", (long long)a->bytes, (long long)a->elsewhere);
    if (rank > 0) printf(",\"rank\":%d", rank);
    printf(",\"optimal\":%s,\"clamped\":%d,\"choices\":{", truth(a->optimal), a->clamped);
    for (int l = 0, n = 0; l < t->n_layers; l++) {
        if (a->row[l] < 0) continue;
        if (n++) putchar(',');
        json_text(stdout, t->layer[l]);
        putchar(':');
        json_text(stdout, t->row_name[a->row[l]]);
    }
    fputs("},", stdout);
    if (s->n_resamples) stability_json(s, a, t);
    certificate_json(a, rank);
    putchar('}');
}

/* ---- frontiers ---- */

static double bits_at(const AllocationFrontier *f, int64_t point) { return (double)f->size[point] / (double)f->classes->weights; }

/* A dozen points, evenly over the average bits. */
void show_frontier(const AllocationFrontier *f)
{
    enum { LINES = 12 };
    int64_t hull = 0, point = 0, last = -1;
    for (int64_t i = 0; i < f->n; i++) hull += f->on_hull[i];
    const double least = bits_at(f, 0), most = bits_at(f, f->n - 1);
    printf("frontier: %lld sizes from %.6g to %.6g bits/weight, %lld of them on the lower convex hull; all with --csv or --json\n",
           (long long)f->n, least, most, (long long)hull);
    for (int i = 0; i < LINES; i++) {
        const double bits = least + (most - least) * i / (LINES - 1);
        while (point + 1 < f->n && (i == LINES - 1 || bits_at(f, point + 1) <= bits)) point++;
        if (point != last) printf("  %9.6f bits  cost %.9g\n", bits_at(f, point), f->cost[point]);
        last = point;
    }
}

void show_frontier_json(const AllocationFrontier *f)
{
    putchar('[');
    for (int64_t i = 0; i < f->n; i++) {
        const Pair bits = { "bits", bits_at(f, i) }, cost = { "cost", f->cost[i] };
        fputs(i ? ",{" : "{", stdout);
        pairs_json(&bits, 1);
        printf(",\"size\":%lld,", (long long)f->size[i]);
        pairs_json(&cost, 1);
        printf(",\"on_hull\":%s}", truth(f->on_hull[i]));
    }
    putchar(']');
}

void show_frontier_csv(const AllocationFrontier *f)
{
    puts("bits,size,cost,on_hull");
    for (int64_t i = 0; i < f->n; i++) printf("%.17g,%lld,%.17g,%d\n", bits_at(f, i), (long long)f->size[i], f->cost[i], f->on_hull[i]);
}

/* ---- verdicts ---- */

void show_verdict(const Allocation *a, int rank, const Verdict *v)
{
    char *title = allocation_title(a, rank);
    printf("%s: %lld of %lld bits, cost %.9g: ", title, (long long)a->size, (long long)a->capacity, a->cost);
    const char *what = rank > 1 ? "none is missing before it" : "optimal";
    if (v->proof == PROOF_BOUND) printf("%s, proven by the bound\n", what);
    else if (v->proof == PROOF_PROGRAM) printf("%s, proven by dynamic programming over %lld sizes\n", what, (long long)v->states);
    else if (v->proof == PROOF_SETS) printf("%s, proven by going through all sets of choices\n", what);
    else printf("sound, and at most %.3g (%.2g %%) above the optimum by its bound; more was not verified\n", v->gap,
                a->cost > 0 ? 100 * v->gap / a->cost : 0);
    free(title);
}

void show_verdict_json(const Allocation *a, int rank, const Verdict *v)
{
    static const char *const proof[] = { [PROOF_BOUND] = "bound", [PROOF_PROGRAM] = "program", [PROOF_SETS] = "sets", [PROOF_GAP] = "gap" };
    const Pair pair[] = { { "budget", a->budget }, { "cost", a->cost }, { "gap", v->gap } };
    putchar('{');
    pairs_json(pair, 3);
    if (rank > 0) printf(",\"rank\":%d", rank);
    printf(",\"proof\":\"%s\",\"optimal\":%s}", proof[v->proof], truth(v->proof != PROOF_GAP));
}
