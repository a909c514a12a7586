#include "core/allocate/classes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static const double LARGEST_COST = 1e100;           /* nats/token: beyond it sums could overflow */
static const double LARGEST_SIZE = 0x1p53;          /* bits of a layer: whole numbers in a double */

/* ---- what a table must be ---- */

static int check_row(const ChoiceTable *table, int row)
{
    const int layer = table->row_layer[row];
    if (layer < 0 || layer >= table->n_layers)
        FAIL(ERR_ARGUMENT, "choice %d belongs to layer %d of %d", row, layer, table->n_layers);
    const char *where = table->layer[layer], *name = table->row_name[row];
    const double bits = table->row_bits[row], cost = table->row_cost[row];
    if (!(bits >= 0 && bits * (double)table->weights[layer] < LARGEST_SIZE / table->n_layers))
        FAIL(ERR_ARGUMENT, "layer '%s', choice '%s': %g bits per weight are not possible", where, name, bits);
    if (!(fabs(cost) <= LARGEST_COST)) FAIL(ERR_ARGUMENT, "layer '%s', choice '%s': the cost is %g", where, name, cost);
    return OK;
}

static int check_table(const ChoiceTable *table)
{
    if (table->n_layers < 1 || table->n_choices < 1)
        FAIL(ERR_ARGUMENT, "there is nothing to allocate: the table of choices is empty");
    for (int l = 0; l < table->n_layers; l++)
        if (table->weights[l] < 1 || (double)table->weights[l] > LARGEST_SIZE / table->n_layers)
            FAIL(ERR_ARGUMENT, "layer '%s' has %lld weights", table->layer[l], (long long)table->weights[l]);
    for (int row = 0; row < table->n_choices; row++) TRY(check_row(table, row));
    return OK;
}

/* ---- names as numbers ---- */

static int compare_names(const void *a, const void *b, void *table)
{
    const char *const *name = ((const ChoiceTable *)table)->row_name;
    return strcmp(name[*(const int *)a], name[*(const int *)b]);
}

static void number_names(Classes *c)
{
    const ChoiceTable *table = c->table;
    int *order = xmalloc((size_t)table->n_choices * sizeof *order);
    c->name = xmalloc((size_t)table->n_choices * sizeof *c->name);
    for (int row = 0; row < table->n_choices; row++) order[row] = row;
    qsort_r(order, (size_t)table->n_choices, sizeof *order, compare_names, (void *)table);
    for (int i = 0; i < table->n_choices; i++) {
        if (i == 0 || strcmp(table->row_name[order[i - 1]], table->row_name[order[i]])) c->n_names++;
        c->name[order[i]] = c->n_names - 1;
    }
    free(order);
}

/* ---- rows that are allowed, by layer ---- */

typedef struct { int *first, *row; } Allowed;       /* first[n_layers + 1] */

static bool allowed(const ChoiceTable *table, const Constraints *k, int row)
{
    const int layer = table->row_layer[row];
    if (!k) return true;
    return !k->excluded[layer] && !k->forbidden[row] && (k->pinned[layer] < 0 || k->pinned[layer] == row);
}

/* Gathered by layer with one counting sort. */
static void gather(Allowed *out, const ChoiceTable *table, const Constraints *k)
{
    int *first = xcalloc((unsigned long)table->n_layers + 2, sizeof *first), *row = xmalloc((size_t)table->n_choices * sizeof *row);
    for (int i = 0; i < table->n_choices; i++)
        if (allowed(table, k, i)) first[table->row_layer[i] + 2]++;
    for (int l = 1; l <= table->n_layers; l++) first[l + 1] += first[l];
    for (int i = 0; i < table->n_choices; i++)
        if (allowed(table, k, i)) row[first[table->row_layer[i] + 1]++] = i;
    *out = (Allowed){ first, row };
}

static int check_allowed(const Allowed *a, const ChoiceTable *table, const Constraints *k)
{
    for (int l = 0; l < table->n_layers; l++) {
        if (a->first[l] < a->first[l + 1] || (k && k->excluded[l])) continue;
        if (k && k->pinned[l] >= 0)
            FAIL(ERR_ARGUMENT, "layer '%s' is pinned to '%s', which is forbidden there", table->layer[l], table->row_name[k->pinned[l]]);
        for (int row = 0; row < table->n_choices; row++)
            if (table->row_layer[row] == l) FAIL(ERR_ARGUMENT, "every choice of layer '%s' is forbidden", table->layer[l]);
        FAIL(ERR_ARGUMENT, "layer '%s' has no choice", table->layer[l]);
    }
    return OK;
}

/* ---- classes ---- */

static void place_members(Classes *c, const Constraints *k)
{
    const int n = c->table->n_layers;
    int *class = xmalloc((size_t)n * sizeof *class);                    /* of the layer; its group's first one comes first */
    c->member_first = xcalloc((unsigned long)n + 2, sizeof *c->member_first);
    c->member = xmalloc((size_t)n * sizeof *c->member);
    int *of_group = xmalloc((size_t)n * sizeof *of_group);
    for (int l = 0; l < n; l++) of_group[l] = -1;
    for (int l = 0; l < n; l++) {
        class[l] = -1;
        if (k && k->excluded[l]) continue;
        int *found = &of_group[k ? k->group[l] : l];
        if (*found < 0) *found = c->n_classes++;
        class[l] = *found;
        c->member_first[class[l] + 2]++;
        c->weights += c->table->weights[l];
    }
    for (int i = 1; i <= c->n_classes; i++) c->member_first[i + 1] += c->member_first[i];
    for (int l = 0; l < n; l++)
        if (class[l] >= 0) c->member[c->member_first[class[l] + 1]++] = l;
    free(of_group), free(class);
}

static int find_name(const Allowed *a, const Classes *c, int layer, int name)
{
    int found = -1;
    for (int i = a->first[layer]; i < a->first[layer + 1]; i++)
        if (c->name[a->row[i]] == name) {
            if (found >= 0) return -2;
            found = a->row[i];
        }
    return found;
}

/* The rows of the same name as `row` in all members of a class; false where one has none. */
static int rows_of_option(bool *complete, int *out, const Allowed *a, const Classes *c, int class, int row)
{
    const int first = c->member_first[class], n = c->member_first[class + 1] - first;
    out[0] = row;
    *complete = true;
    for (int m = 1; m < n; m++) {
        out[m] = find_name(a, c, c->member[first + m], c->name[row]);
        if (out[m] == -2)
            FAIL(ERR_ARGUMENT, "layer '%s' has the choice '%s' twice", c->table->layer[c->member[first + m]], c->table->row_name[row]);
        if (out[m] < 0) *complete = false;
    }
    return OK;
}

static Item item_of_rows(const Classes *c, const int *row, int n, int at)
{
    Item item = { 0, 0, at };
    for (int m = 0; m < n; m++) {
        item.size += choice_size(c->table->weights[c->table->row_layer[row[m]]], c->table->row_bits[row[m]]);
        item.cost += fmax(c->table->row_cost[row[m]], 0);
    }
    return item;
}

static bool shares_a_name(const Allowed *a, const Classes *c, int layer, int other)
{
    for (int i = a->first[layer]; i < a->first[layer + 1]; i++)
        if (find_name(a, c, other, c->name[a->row[i]]) != -1) return true;
    return false;
}

static int no_common_choice(const Allowed *a, const Classes *c, const Constraints *k, int class)
{
    const int *member = c->member + c->member_first[class], n = c->member_first[class + 1] - c->member_first[class];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            if (shares_a_name(a, c, member[j], member[i])) continue;
            const char *one = c->table->layer[member[j]], *two = c->table->layer[member[i]];
            if (k->pinned[member[j]] >= 0 && k->pinned[member[i]] >= 0)
                FAIL(ERR_ARGUMENT, "layers '%s' and '%s' must share a choice, but are pinned to '%s' and '%s'", one, two,
                     c->table->row_name[k->pinned[member[j]]], c->table->row_name[k->pinned[member[i]]]);
            FAIL(ERR_ARGUMENT, "layers '%s' and '%s' must share a choice, but have none in common that is allowed", one, two);
        }
    FAIL(ERR_ARGUMENT, "the %d layers from '%s' to '%s' must share a choice, but have none in common that is allowed", n,
         c->table->layer[member[0]], c->table->layer[member[n - 1]]);
}

static int compare_items(const void *a, const void *b)
{
    const Item *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return x->row - y->row;
}

static int fill_class(Classes *c, int *n_rows, const Allowed *a, const Constraints *k, int class)
{
    const int leader = c->member[c->member_first[class]], n = c->member_first[class + 1] - c->member_first[class];
    int at = c->first[class];
    for (int i = a->first[leader]; i < a->first[leader + 1]; i++) {
        bool complete;
        TRY(rows_of_option(&complete, c->row + *n_rows, a, c, class, a->row[i]));
        if (n > 1 && find_name(a, c, leader, c->name[a->row[i]]) == -2)
            FAIL(ERR_ARGUMENT, "layer '%s' has the choice '%s' twice", c->table->layer[leader], c->table->row_name[a->row[i]]);
        if (!complete) continue;
        c->option[at++] = item_of_rows(c, c->row + *n_rows, n, *n_rows);
        *n_rows += n;
    }
    if (at == c->first[class]) return no_common_choice(a, c, k, class);
    c->first[class + 1] = at;
    qsort(c->option + c->first[class], (size_t)(at - c->first[class]), sizeof *c->option, compare_items);
    c->least += c->option[c->first[class]].size;
    return OK;
}

static int fill(Classes *c, const Constraints *k)
{
    Allowed a;
    gather(&a, c->table, k);
    int status = check_allowed(&a, c->table, k), n_rows = 0;
    int rows = 0;                                   /* of all options at most: the leader's rows, once for each member */
    for (int i = 0; i < c->n_classes; i++) {
        const int leader = c->member[c->member_first[i]];
        rows += (a.first[leader + 1] - a.first[leader]) * (c->member_first[i + 1] - c->member_first[i]);
    }
    c->first = xcalloc((unsigned long)c->n_classes + 1, sizeof *c->first);
    c->option = xmalloc(((size_t)c->table->n_choices + 1) * sizeof *c->option);
    c->row = xmalloc(((size_t)rows + (size_t)c->table->n_layers) * sizeof *c->row);     /* an incomplete option is written too */
    for (int i = 0; i < c->n_classes && status == OK; i++) status = fill_class(c, &n_rows, &a, k, i);
    free(a.first), free(a.row);
    return status;
}

static void count_clamped(Classes *c, const Constraints *k)
{
    for (int row = 0; row < c->table->n_choices; row++)
        c->clamped += c->table->row_cost[row] < 0 && !(k && k->excluded[c->table->row_layer[row]]);
}

int classes_init(Classes *out, const ChoiceTable *table, const Constraints *constraints)
{
    TRY(check_table(table));
    Classes c = { .table = table, .distinct = constraints ? constraints->distinct : 0, .constrained = constraints && constraints->any };
    place_members(&c, constraints);
    int status = OK;
    if (c.n_classes == 0) status = err_set(ERR_ARGUMENT, "there is nothing to allocate: every layer is excluded");
    if (status == OK && (c.n_classes < table->n_layers || c.distinct > 0)) number_names(&c);
    if (status == OK) status = fill(&c, constraints);
    count_clamped(&c, constraints);
    if (status == OK) *out = c;
    else classes_free(&c);
    return status;
}

void classes_free(Classes *classes)
{
    if (!classes) return;
    free(classes->member_first), free(classes->member), free(classes->first);
    free(classes->option), free(classes->row), free(classes->name);
    *classes = (Classes){ 0 };
}

bool classes_knapsack(Knapsack *out, Item *item, int *first, const Classes *classes, const bool *use)
{
    int n = 0;
    for (int c = 0; c < classes->n_classes; c++) {
        first[c] = n;
        for (int j = classes->first[c]; j < classes->first[c + 1]; j++)
            if ((!use || use[j]) && (n == first[c] || classes->option[j].cost < item[n - 1].cost)) item[n++] = classes->option[j];
        if (n == first[c]) return false;
    }
    first[classes->n_classes] = n;
    *out = (Knapsack){ classes->n_classes, first, item, 0 };
    return true;
}

void classes_rows(int *row, const Classes *classes, const Item *const *chosen)
{
    for (int l = 0; l < classes->table->n_layers; l++) row[l] = -1;
    for (int c = 0; c < classes->n_classes; c++)
        for (int m = classes->member_first[c]; m < classes->member_first[c + 1]; m++)
            row[classes->member[m]] = classes->row[chosen[c]->row + m - classes->member_first[c]];
}
