#include "core/allocate/certificate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/certificate_program.h"
#include "core/base/err.h"

static const double ROUNDING = 0x1p-50, SUMS = 1e-12;           /* of one term; of a sum of up to a million terms >= 0 */

Certificate certificate_of(const Allocation *a)
{
    return (Certificate){ a->size, a->capacity, a->cost, a->price, a->dual_bound, a->gap, a->optimal, a->row };
}

static bool near(double a, double b, double scale) { return fabs(a - b) <= SUMS * scale; }

/* ---- the options of each class ---- */

static bool takes_part(const Constraints *k, int layer) { return !(k && k->excluded[layer]); }

static bool usable(const ChoiceTable *t, const Constraints *k, int row)
{
    const int layer = t->row_layer[row];
    return !k || (!k->excluded[layer] && !k->forbidden[row] && (k->pinned[layer] < 0 || k->pinned[layer] == row));
}

/* Rows of each layer, one after the other: rows first[l] .. first[l + 1] - 1 of the returned list. */
static int *rows_by_layer(int *first, const ChoiceTable *t, const Constraints *k)
{
    int *list = xmalloc((size_t)t->n_choices * sizeof *list), *next = xcalloc((unsigned long)t->n_layers + 1, sizeof *next);
    for (int row = 0; row < t->n_choices; row++) next[t->row_layer[row]] += usable(t, k, row);
    first[0] = 0;
    for (int l = 0; l < t->n_layers; l++) {
        first[l + 1] = first[l] + next[l];
        next[l] = first[l];
    }
    for (int row = 0; row < t->n_choices; row++)
        if (usable(t, k, row)) list[next[t->row_layer[row]]++] = row;
    free(next);
    return list;
}

/* Adds to size and cost the same-named row of every other member of the group; false where a member has none. */
static bool add_members(int64_t *size, double *cost, const int *first, const int *list, const ChoiceTable *t, const Constraints *k, int leader, int row)
{
    for (int l = leader + 1; k && l < t->n_layers; l++) {
        if (k->group[l] != k->group[leader] || !takes_part(k, l)) continue;
        int at = first[l];
        while (at < first[l + 1] && strcmp(t->row_name[list[at]], t->row_name[row])) at++;
        if (at == first[l + 1]) return false;
        *size += certificate_bits(t, list[at]), *cost += certificate_cost(t, list[at]);
    }
    return true;
}

static bool leads(const Constraints *k, int layer)
{
    if (!takes_part(k, layer)) return false;
    for (int l = k ? k->group[layer] : layer; l < layer; l++)
        if (k->group[l] == k->group[layer] && takes_part(k, l)) return false;
    return true;
}

static void collect(Verified *v, const Certificate *c, const ChoiceTable *t, const Constraints *k)
{
    int *first = xmalloc(((size_t)t->n_layers + 1) * sizeof *first), *list = rows_by_layer(first, t, k);
    int n = 0;
    for (int l = 0; l < t->n_layers; l++) {
        if (!leads(k, l)) continue;
        v->first[v->n_classes] = n;
        for (int i = first[l]; i < first[l + 1]; i++) {
            int64_t size = certificate_bits(t, list[i]);
            double cost = certificate_cost(t, list[i]);
            if (!add_members(&size, &cost, first, list, t, k, l, list[i])) continue;
            if (list[i] == c->row[l]) v->chosen[v->n_classes] = n;
            if (v->name) v->name[n] = list[i];
            v->size[n] = size, v->cost[n++] = cost;
        }
        v->first[++v->n_classes] = n;
    }
    free(first), free(list);
}

/* Rows become numbers of distinct names; returns how many there are. */
static int number_names(Verified *v, const ChoiceTable *t)
{
    const char **name = xmalloc((size_t)v->first[v->n_classes] * sizeof *name);
    int n = 0;
    for (int j = 0; j < v->first[v->n_classes]; j++) {
        const char *own = t->row_name[v->name[j]];
        int i = 0;
        while (i < n && strcmp(name[i], own)) i++;
        if (i == n) name[n++] = own;
        v->name[j] = i;
    }
    free(name);
    return n;
}

/* ---- the bound ---- */

/* gap = sum over classes of what the chosen option costs more, bits paid for, than the best one, + price x bits left over.
 * Differences are formed before anything is added up, so both ends are near. */
static void enclose_gap(double *low, double *high, const Verified *v, const Certificate *c)
{
    *low = *high = c->price * (double)(c->capacity - c->size);
    for (int i = 0; i < v->n_classes; i++) {
        double least = 0, most = 0;
        for (int j = v->first[i]; j < v->first[i + 1]; j++) {
            const double cost = v->cost[v->chosen[i]] - v->cost[j], paid = c->price * (double)(v->size[v->chosen[i]] - v->size[j]);
            const double error = ROUNDING * (fabs(cost) + fabs(paid));
            least = fmax(least, cost + paid - error), most = fmax(most, cost + paid + error);
        }
        *low += least, *high += most;
    }
    *low *= 1 - SUMS, *high *= 1 + SUMS;
}

static int check_bound(double *gap, const Verified *v, const Certificate *c)
{
    double low, high;
    if (!(c->price >= 0 && isfinite(c->price))) FAIL(ERR_FORMAT, "the price is %g", c->price);
    enclose_gap(&low, &high, v, c);
    const double slack = 1e-9 * high + SUMS * c->cost;
    if (!(c->gap >= low - slack && c->gap <= high + slack)) FAIL(ERR_FORMAT, "the gap at this price is %.12g, not %.12g", high, c->gap);
    const double bound = c->cost - high;
    if (!near(c->dual_bound, bound, c->cost + fabs(bound) + 1e3 * high))
        FAIL(ERR_FORMAT, "the bound at this price is %.12g, not %.12g", bound, c->dual_bound);
    *gap = high;
    return OK;
}

static int prove_few(Verdict *out, Verified *v, const Certificate *c, const ChoiceTable *t, int most)
{
    double best;
    const int n_names = number_names(v, t);
    if (!certificate_sets(&best, v, n_names, most, c->capacity, c->price, c->cost)) return OK;
    if (!(c->cost <= best * (1 + SUMS)))
        FAIL(ERR_FORMAT, "it is not optimal: one with as few distinct choices costs %.12g, this one %.12g", best, c->cost);
    out->proof = PROOF_SETS;
    return OK;
}

/* most: distinct choices, 0: any number.  Of such a limit the program knows nothing: something cheaper is then no
 * contradiction. */
static int prove(Verdict *out, Verified *v, const Certificate *c, const ChoiceTable *t, int most)
{
    double best;
    if (out->gap <= SUMS * c->cost) {
        out->proof = PROOF_BOUND;
    } else if (certificate_program(&best, &out->states, v, c->capacity, c->price, out->gap)) {
        if (c->cost <= best * (1 + SUMS)) out->proof = PROOF_PROGRAM;
        else if (most == 0) FAIL(ERR_FORMAT, "it is not optimal: an allocation within the capacity costs %.12g, this one %.12g", best, c->cost);
    }
    return out->proof == PROOF_GAP && most > 0 ? prove_few(out, v, c, t, most) : OK;
}

/* Everything but claims of optimality; *v is the caller's to free, even on failure. */
static int check(Verified *v, double *gap, const Certificate *c, const ChoiceTable *t, const Constraints *k)
{
    const size_t layers = (size_t)t->n_layers, rows = (size_t)t->n_choices;
    *v = (Verified){ 0, xcalloc(layers + 1, sizeof *v->first), xmalloc(rows * sizeof *v->size), xmalloc(rows * sizeof *v->cost),
                     xcalloc(layers, sizeof *v->chosen), k && k->distinct > 0 ? xmalloc(rows * sizeof *v->name) : NULL };
    TRY(certificate_check_choices(c, t, k));
    collect(v, c, t, k);
    return check_bound(gap, v, c);
}

static void verified_free(Verified *v) { free(v->first), free(v->size), free(v->cost), free(v->chosen), free(v->name); }

int certificate_verify(Verdict *out, const Certificate *certificate, const ChoiceTable *table, const Constraints *constraints)
{
    Verified v;
    Verdict verdict = { PROOF_GAP, 0, 0 };
    int status = check(&v, &verdict.gap, certificate, table, constraints);
    if (status == OK && certificate->optimal) status = prove(&verdict, &v, certificate, table, constraints ? constraints->distinct : 0);
    verified_free(&v);
    if (status == OK) *out = verdict;
    return status;
}

/* ---- the n best ---- */

static int check_order(const Certificate *c, int i, const ChoiceTable *t)
{
    if (c[i].capacity != c[0].capacity) FAIL(ERR_FORMAT, "number %d has another capacity than number 1", i + 1);
    if (i > 0 && !(c[i].cost >= c[i - 1].cost * (1 - SUMS))) FAIL(ERR_FORMAT, "number %d costs less than number %d", i + 1, i);
    for (int j = 0; j < i; j++)
        if (!memcmp(c[j].row, c[i].row, sizeof *c[i].row * (size_t)t->n_layers)) FAIL(ERR_FORMAT, "number %d is number %d again", i + 1, j + 1);
    return OK;
}

/* Those before the last are cheaper, so that its gap holds for all. */
static int prove_ranks(Verdict *out, int *wrong, const Certificate *c, int n, const ChoiceTable *t, const Constraints *k)
{
    Verified v;
    double gap, *cost = xmalloc((size_t)n * sizeof *cost);
    int64_t states = 0;
    int status = check(&v, &gap, &c[n - 1], t, k);
    const bool ran = status == OK && certificate_ranks(cost, n, &states, &v, c[0].capacity, c[n - 1].price, gap);
    for (int i = 0; i < n && ran && status == OK; i++) {
        *wrong = i;
        if (!(c[i].cost <= cost[i] * (1 + SUMS))) status = err_set(ERR_FORMAT, "it is not number %d: one that costs %.12g is missing", i + 1, cost[i]);
        else if (i > 0) out[i].proof = PROOF_PROGRAM, out[i].states = states;
    }
    verified_free(&v);
    free(cost);
    return status;
}

int certificate_verify_best(Verdict *out, int *wrong, const Certificate *certificate, int n, const ChoiceTable *table, const Constraints *constraints)
{
    bool all_claimed = n > 1 && !(constraints && constraints->distinct > 0);
    for (int i = 0; i < n; i++) {
        Certificate c = certificate[i];
        c.optimal = i == 0 && c.optimal;
        all_claimed &= certificate[i].optimal != 0;
        *wrong = i;
        TRY(certificate_verify(&out[i], &c, table, constraints));
        TRY(check_order(certificate, i, table));
    }
    return all_claimed ? prove_ranks(out, wrong, certificate, n, table, constraints) : OK;
}
