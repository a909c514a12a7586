#include "experiments/allocate/verify.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/certificate.h"
#include "core/base/err.h"
#include "core/model/json.h"
#include "experiments/allocate/asked.h"
#include "experiments/allocate/show.h"

static const double TOLERANCE = 1e-12;

/* One allocation as it stands in the file. */
typedef struct { Allocation a; int rank; bool certified_optimal; double certified_cost; } Printed;

/* ---- reading ---- */

static int read_number(double *out, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_number(value)) FAIL(ERR_FORMAT, "there is no number '%s'", name);
    *out = json_number_value(value);
    return OK;
}

static int read_whole(int64_t *out, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value)) FAIL(ERR_FORMAT, "there is no whole number '%s'", name);
    *out = json_integer_value(value);
    return OK;
}

static int read_truth(bool *out, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) FAIL(ERR_FORMAT, "'%s' is neither true nor false", name);
    *out = json_is_true(value);
    return OK;
}

static int unknown_layer(const ChoiceTable *t, const char *layer)
{
    const char *nearest = err_nearest(layer, t->layer, t->n_layers);
    if (nearest) FAIL(ERR_FORMAT, "the table has no layer '%s'; did you mean '%s'?", layer, nearest);
    FAIL(ERR_FORMAT, "the table has no layer '%s'", layer);
}

static int read_choices(int *row, const json_t *choices, const ChoiceTable *t)
{
    if (!json_is_object(choices)) FAIL(ERR_FORMAT, "there are no 'choices'");
    size_t found = 0;
    for (int l = 0; l < t->n_layers; l++) row[l] = -1;
    for (int i = 0; i < t->n_choices; i++) {
        const char *name = json_string_value(json_object_get(choices, t->layer[t->row_layer[i]]));
        if (name && !strcmp(name, t->row_name[i])) row[t->row_layer[i]] = i, found++;
    }
    if (found == json_object_size(choices)) return OK;
    const char *layer;
    json_t *choice;
    json_object_foreach((json_t *)choices, layer, choice) {
        int l = 0;
        while (l < t->n_layers && strcmp(t->layer[l], layer)) l++;
        if (l == t->n_layers) return unknown_layer(t, layer);
        const char *name = json_is_string(choice) ? json_string_value(choice) : "(no text)";
        if (row[l] < 0) FAIL(ERR_FORMAT, "layer '%s' has no choice '%.80s' in the table", layer, name);
    }
    return OK;
}

static int read_certificate(Printed *p, const json_t *c)
{
    if (!json_is_object(c)) FAIL(ERR_FORMAT, "there is no 'certificate'");
    TRY(read_whole(&p->a.size, c, "size"));
    TRY(read_whole(&p->a.capacity, c, "capacity"));
    TRY(read_number(&p->certified_cost, c, "cost"));
    TRY(read_number(&p->a.price, c, "price"));
    TRY(read_number(&p->a.dual_bound, c, "dual_bound"));
    TRY(read_number(&p->a.gap, c, "gap"));
    return read_truth(&p->certified_optimal, c, "optimal");
}

static int read_printed(Printed *p, const json_t *object, const ChoiceTable *t)
{
    bool optimal = false;
    int64_t clamped = 0, rank = 0;
    TRY(read_choices(p->a.row, json_object_get(object, "choices"), t));
    TRY(read_number(&p->a.budget, object, "budget"));
    TRY(read_number(&p->a.bits, object, "bits"));
    TRY(read_number(&p->a.cost, object, "cost"));
    TRY(read_number(&p->a.lower_bound, object, "lower_bound"));
    TRY(read_truth(&optimal, object, "optimal"));
    TRY(read_whole(&clamped, object, "clamped"));
    if (json_object_get(object, "bytes")) {
        TRY(read_whole(&p->a.bytes, object, "bytes"));
        TRY(read_whole(&p->a.elsewhere, object, "elsewhere"));
    }
    if (json_object_get(object, "rank")) TRY(read_whole(&rank, object, "rank"));
    p->a.optimal = optimal, p->a.clamped = (int)clamped, p->rank = (int)rank;
    return read_certificate(p, json_object_get(object, "certificate"));
}

/* ---- checking what stands beside the certificate ---- */

static bool near(double a, double b) { return fabs(a - b) <= TOLERANCE * fmax(fabs(a), fabs(b)); }

/* floor(average x weights), or that to the nearest whole bit when within 1e-6; or 8 bits for each byte that is left. */
static bool allows(const Allocation *a, int64_t weights)
{
    if (a->bytes > 0) return a->capacity == 8 * (a->bytes - a->elsewhere) && near(a->budget, (double)a->capacity / (double)weights);
    const double bits = a->budget * (double)weights;
    return (double)a->capacity <= bits + 1e-6 && (double)a->capacity > bits - 1;
}

static int check_beside(const Printed *p, const ChoiceTable *t, const Constraints *k)
{
    const Allocation *a = &p->a;
    int64_t weights = 0;
    int clamped = 0;
    for (int l = 0; l < t->n_layers; l++) weights += k->excluded[l] ? 0 : t->weights[l];
    for (int row = 0; row < t->n_choices; row++) clamped += t->row_cost[row] < 0 && !k->excluded[t->row_layer[row]];
    if (!allows(a, weights)) FAIL(ERR_FORMAT, "the capacity of %lld bits is not that of the budget", (long long)a->capacity);
    if (!near(a->bits, (double)a->size / (double)weights)) FAIL(ERR_FORMAT, "%lld bits are not %.9g per weight", (long long)a->size, a->bits);
    if (!near(a->cost, p->certified_cost)) FAIL(ERR_FORMAT, "the cost is %.12g, that of the certificate %.12g", a->cost, p->certified_cost);
    if (a->clamped != clamped) FAIL(ERR_FORMAT, "%d costs are negative, not %d", clamped, a->clamped);
    if (p->certified_optimal != (a->optimal && p->rank <= 1))
        FAIL(ERR_FORMAT, "the certificate and the allocation do not agree on whether it is optimal");
    if (a->optimal ? a->lower_bound != a->cost : !(a->lower_bound <= a->cost && a->lower_bound >= a->dual_bound - TOLERANCE * a->cost))
        FAIL(ERR_FORMAT, "the lower bound of %.12g is not %s", a->lower_bound, a->optimal ? "the cost" : "between the certificate's and the cost");
    return OK;
}

/* ---- the file ---- */

static void show_all(const Printed *p, const Verdict *verdict, int n, bool json)
{
    if (json) fputs("{\"verified\":[", stdout);
    for (int i = 0; i < n; i++) {
        if (json && i) putchar(',');
        (json ? show_verdict_json : show_verdict)(&p[i].a, p[i].rank, &verdict[i]);
    }
    if (json) puts("]}");
}

/* How many from the i-th on belong together: number 1, 2, .. of the same budget; one alone has rank 0. */
static int count_ranks(const Printed *p, int i, int n)
{
    int count = 1;
    while (i + count < n && p[i].rank == 1 && p[i + count].rank == count + 1) count++;
    return count;
}

static int verify_ranks(Verdict *out, int *wrong, const Printed *p, int n, const ChoiceTable *t, const Constraints *k)
{
    *wrong = 0;
    if (p[0].rank > 1) FAIL(ERR_FORMAT, "number %d does not follow number %d", p[0].rank, p[0].rank - 1);
    Certificate *c = xmalloc((size_t)n * sizeof *c);
    for (int i = 0; i < n; i++) c[i] = certificate_of(&p[i].a);
    int status = certificate_verify_best(out, wrong, c, n, t, k);
    for (int i = 0; i < n && status == OK; i++) {
        *wrong = i;
        status = check_beside(&p[i], t, k);
    }
    free(c);
    return status;
}

static int verify_list(const json_t *list, const ChoiceTable *t, const Constraints *k, bool json)
{
    const int n = (int)json_array_size(list);
    if (n == 0) FAIL(ERR_FORMAT, "there are no 'allocations'");
    Printed *p = xcalloc((size_t)n, sizeof *p);
    Verdict *verdict = xcalloc((size_t)n, sizeof *verdict);
    int status = OK, at = 0, wrong = 0;
    for (int i = 0; i < n && status == OK; i++) {
        p[i].a.row = xmalloc(sizeof *p[i].a.row * (size_t)t->n_layers);
        status = read_printed(&p[i], json_array_get(list, (size_t)i), t);
        wrong = i;
    }
    for (int count; at < n && status == OK; at += count) {
        count = count_ranks(p, at, n);
        status = verify_ranks(verdict + at, &wrong, p + at, count, t, k);
        wrong += at;
    }
    if (status == OK) show_all(p, verdict, n, json);
    else err_context(status, "allocation %d", wrong + 1);
    for (int i = 0; i < n; i++) allocation_free(&p[i].a);
    free(p), free(verdict);
    return status;
}

int verify_file(const char *path, const ChoiceRows *rows, bool json)
{
    json_t *root = NULL;
    TRY(json_object_from_file(&root, path));
    Asked asked;
    Constraints constraints = { 0 };
    int status = asked_of_json(&asked, json_object_get(root, "constraints"));
    if (status == OK) status = asked_constraints(&constraints, &asked, rows);
    if (status == OK) status = verify_list(json_object_get(root, "allocations"), &rows->choices, &constraints, json);
    if (status != OK) err_context(status, "%s", path);
    constraints_free(&constraints);
    asked_free(&asked);
    json_decref(root);
    return status;
}
