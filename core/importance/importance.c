#include "core/importance/importance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/importance/states.h"

void importance_init(Importance *out, int n_blocks, int n_windows)
{
    const size_t blocks = (size_t)n_blocks;
    *out = (Importance){ .n_blocks = n_blocks, .n_windows = n_windows };
    out->by_window = xcalloc(blocks * (size_t)(n_windows ? n_windows : 1), sizeof *out->by_window);
    out->value = xcalloc(blocks, sizeof *out->value), out->se = xcalloc(blocks, sizeof *out->se);
    out->rank = xcalloc(blocks, sizeof *out->rank), out->order = xcalloc(blocks, sizeof *out->order);
}

void importance_free(Importance *i)
{
    void *all[] = { i->by_window, i->value, i->se, i->rank, i->order };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
    *i = (Importance){ 0 };
}

/* ---- ranks ---- */

static bool is_equal(double a, double b) { return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b)); }

/* Insertion: a model has tens of blocks, and equal ones must stay in their order. */
static void sort_by_value(int *order, const double *value, int n)
{
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && value[order[at - 1]] < value[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
}

static void sort_indices(int *order, int n)
{
    for (int i = 1; i < n; i++)
        for (int at = i; at > 0 && order[at - 1] > order[at]; at--) {
            const int swap = order[at];
            order[at] = order[at - 1], order[at - 1] = swap;
        }
}

int importance_rank(int *rank, int *order, const double *value, int n)
{
    int ties = 0;
    sort_by_value(order, value, n);
    for (int first = 0, next; first < n; first = next) {
        for (next = first + 1; next < n && is_equal(value[order[next - 1]], value[order[next]]); next++) ties++;
        sort_indices(order + first, next - first);
    }
    for (int i = 0; i < n; i++) rank[order[i]] = i + 1;
    return ties;
}

int importance_finish(Importance *i, const char *name)
{
    int64_t *each = xmalloc(sizeof *each * (size_t)(i->n_windows + 1));
    for (int w = 0; w < i->n_windows; w++) each[w] = 1;
    int bad = -1;
    for (int b = 0; b < i->n_blocks; b++) {
        if (i->n_windows) weighted_mean(&i->value[b], &i->se[b], i->by_window + (int64_t)b * i->n_windows, each, i->n_windows);
        else i->se[b] = NAN;
        if (!isfinite(i->value[b]) && bad < 0) bad = b;
    }
    free(each);
    if (bad >= 0) FAIL(ERR_FORMAT, "the importance of block %d by %s is not a finite number", bad, name);
    i->ties = importance_rank(i->rank, i->order, i->value, i->n_blocks);
    return OK;
}

/* ---- rules that look at no states ---- */

static int of_model(Importance *out, Study *study, const ImportanceRequest *r, const double *alpha)
{
    const Model *model = study_model(study);
    const ImportanceEvidence evidence = { model, study_corpus(study)->n_windows, alpha, study_seed(study) };
    const double start = clock_seconds();
    importance_init(out, model_shape(model)->n_blocks, r->rule->by_window ? evidence.n_windows : 0);
    int status = r->rule->of_model(r->rule->by_window ? out->by_window : out->value, &evidence, r->options);
    if (status == OK) status = importance_finish(out, r->name);
    out->seconds = clock_seconds() - start;
    return status;
}

int importance_measure(Importance *out, Study *study, const ImportanceRequest *request, int n, const double *alpha)
{
    memset(out, 0, sizeof *out * (size_t)n);
    int status = importance_of_states(out, study, request, n);
    for (int i = 0; i < n && status == OK; i++)
        if (!request[i].rule->of_states) status = of_model(&out[i], study, &request[i], alpha);
    for (int i = 0; i < n && status != OK; i++) importance_free(&out[i]);
    return status;
}
