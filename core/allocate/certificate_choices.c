/*
 * certificate_choices.c - whether choices are ones of the table, keep the constraints, and add up to what is said
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/certificate_program.h"
#include "core/base/err.h"

/* ---- the table ---- */

static int check_entries(const ChoiceTable *t)
{
    for (int row = 0; row < t->n_choices; row++) {
        const double size = (double)t->weights[t->row_layer[row]] * t->row_bits[row];
        if (!(size >= 0 && size < 0x1p53 / t->n_layers && isfinite(t->row_cost[row])))
            FAIL(ERR_FORMAT, "the table's layer '%s', choice '%s' has %g bits per weight and costs %g", t->layer[t->row_layer[row]], t->row_name[row],
                 t->row_bits[row], t->row_cost[row]);
    }
    return OK;
}

/* ---- the choices ---- */

static bool takes_part(const Constraints *k, int layer) { return !(k && k->excluded[layer]); }

static int check_choice(const Certificate *c, const ChoiceTable *t, const Constraints *k, int layer)
{
    const int row = c->row[layer];
    if (!takes_part(k, layer)) {
        if (row != -1) FAIL(ERR_FORMAT, "layer '%s' is excluded and yet has a choice", t->layer[layer]);
        return OK;
    }
    if (row < 0 || row >= t->n_choices || t->row_layer[row] != layer) FAIL(ERR_FORMAT, "layer '%s' has none of its choices", t->layer[layer]);
    if (k && k->forbidden[row]) FAIL(ERR_FORMAT, "layer '%s' has the choice '%s', which is forbidden", t->layer[layer], t->row_name[row]);
    if (k && k->pinned[layer] >= 0 && k->pinned[layer] != row)
        FAIL(ERR_FORMAT, "layer '%s' is pinned to '%s' and has '%s'", t->layer[layer], t->row_name[k->pinned[layer]], t->row_name[row]);
    const int leader = k ? k->group[layer] : layer;
    for (int l = leader; l < layer; l++)
        if (k->group[l] == leader && takes_part(k, l) && c->row[l] >= 0 && strcmp(t->row_name[c->row[l]], t->row_name[row]))
            FAIL(ERR_FORMAT, "layers '%s' and '%s' must share a choice and have '%s' and '%s'", t->layer[l], t->layer[layer],
                 t->row_name[c->row[l]], t->row_name[row]);
    return OK;
}

static int check_distinct(const Certificate *c, const ChoiceTable *t, int most)
{
    const char **seen = xmalloc(((size_t)most + 1) * sizeof *seen);
    int n = 0;
    for (int l = 0; l < t->n_layers && n <= most; l++) {
        bool found = c->row[l] < 0;
        for (int i = 0; i < n && !found; i++) found = !strcmp(seen[i], t->row_name[c->row[l]]);
        if (!found) seen[n++] = t->row_name[c->row[l]];
    }
    free(seen);
    if (n > most) FAIL(ERR_FORMAT, "there are more than %d distinct choices", most);
    return OK;
}

/* ---- the sums ---- */

int64_t certificate_bits(const ChoiceTable *t, int row)
{
    const double exact = (double)t->weights[t->row_layer[row]] * t->row_bits[row], near = nearbyint(exact);
    return (int64_t)(fabs(exact - near) <= 1e-6 ? near : ceil(exact));
}

double certificate_cost(const ChoiceTable *t, int row) { return t->row_cost[row] > 0 ? t->row_cost[row] : 0; }

static int check_sums(const Certificate *c, const ChoiceTable *t)
{
    int64_t size = 0;
    double cost = 0;
    for (int l = 0; l < t->n_layers; l++)
        if (c->row[l] >= 0) size += certificate_bits(t, c->row[l]), cost += certificate_cost(t, c->row[l]);
    if (size != c->size) FAIL(ERR_FORMAT, "the choices take %lld bits, not %lld", (long long)size, (long long)c->size);
    if (size > c->capacity) FAIL(ERR_FORMAT, "the choices take %lld bits, more than the capacity of %lld", (long long)size, (long long)c->capacity);
    if (!(fabs(cost - c->cost) <= 1e-12 * cost)) FAIL(ERR_FORMAT, "the choices cost %.12g, not %.12g", cost, c->cost);
    return OK;
}

int certificate_check_choices(const Certificate *c, const ChoiceTable *t, const Constraints *k)
{
    TRY(check_entries(t));
    for (int l = 0; l < t->n_layers; l++) TRY(check_choice(c, t, k, l));
    if (k && k->distinct > 0) TRY(check_distinct(c, t, k->distinct));
    return check_sums(c, t);
}
