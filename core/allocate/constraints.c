#include "core/allocate/constraints.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/glob.h"

void constraints_init(Constraints *out, const ChoiceTable *table)
{
    const size_t layers = (size_t)(table->n_layers > 0 ? table->n_layers : 0), rows = (size_t)(table->n_choices > 0 ? table->n_choices : 0);
    *out = (Constraints){
        .n_layers = (int)layers, .n_choices = (int)rows, .group = xcalloc(layers + 1, sizeof *out->group),
        .excluded = xcalloc(layers + 1, sizeof *out->excluded), .pinned = xcalloc(layers + 1, sizeof *out->pinned),
        .forbidden = xcalloc(rows + 1, sizeof *out->forbidden),
    };
    for (int l = 0; l < out->n_layers; l++) out->group[l] = l, out->pinned[l] = -1;
}

void constraints_free(Constraints *constraints)
{
    if (!constraints) return;
    free(constraints->group), free(constraints->excluded), free(constraints->pinned), free(constraints->forbidden);
    *constraints = (Constraints){ 0 };
}

/* ---- patterns ---- */

/* "GLOB=CHOICE" -> its two parts; the caller frees *glob.  Names of layers have no =, those of choices may. */
static int split(char **glob, const char **choice, const char *option, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) FAIL(ERR_ARGUMENT, "--%s is written 'LAYERS=CHOICE', not '%.80s'", option, text);
    *glob = xformat("%.*s", (int)(equals - text), text);
    *choice = equals + 1;
    return OK;
}

/* selected[n_layers]: which layers the pattern means. */
static int select_layers(bool *selected, const ChoiceTable *table, const char *glob, const char *option)
{
    char *what = xformat("--%s: no layer", option);
    const int n = glob_select(selected, &glob, 1, table->layer, table->n_layers, what);
    free(what);
    return n < 0 ? n : OK;
}

/* Says that no choice of the layer has this name, with the nearest that one has. */
static int no_such_choice(const ChoiceTable *table, int layer, const char *choice, const char *option)
{
    const char **name = xmalloc(((size_t)table->n_choices + 1) * sizeof *name);
    int n = 0;
    for (int row = 0; row < table->n_choices; row++)
        if (layer < 0 || table->row_layer[row] == layer) name[n++] = table->row_name[row];
    const char *nearest = err_nearest(choice, name, n), *first = n > 0 ? name[0] : "", *last = n > 0 ? name[n - 1] : "";
    char *where = layer < 0 ? xstrdup("none of these layers has the") : xformat("layer '%s' has no", table->layer[layer]);
    if (nearest) err_set(ERR_ARGUMENT, "--%s: %s choice '%.80s'; did you mean '%s'?", option, where, choice, nearest);
    else err_set(ERR_ARGUMENT, "--%s: %s choice '%.80s'; there are '%s' to '%s'", option, where, choice, first, last);
    free(where), free(name);
    return ERR_ARGUMENT;
}

static int find_row(const ChoiceTable *table, int layer, const char *choice)
{
    for (int row = 0; row < table->n_choices; row++)
        if (table->row_layer[row] == layer && !strcmp(table->row_name[row], choice)) return row;
    return -1;
}

static int pin_layer(Constraints *c, const ChoiceTable *table, int layer, const char *choice)
{
    const int row = find_row(table, layer, choice);
    if (row < 0) return no_such_choice(table, layer, choice, "pin");
    const int before = c->pinned[layer];
    if (before >= 0 && strcmp(table->row_name[before], choice))
        FAIL(ERR_ARGUMENT, "--pin: layer '%s' is pinned to '%s' and to '%s'", table->layer[layer], table->row_name[before], choice);
    c->pinned[layer] = row;
    return OK;
}

static int excluded_and_pinned(const ChoiceTable *table, int layer)
{
    FAIL(ERR_ARGUMENT, "layer '%s' is both excluded and pinned", table->layer[layer]);
}

int constraints_pin(Constraints *constraints, const ChoiceTable *table, const char *text)
{
    char *glob = NULL;
    const char *choice = NULL;
    TRY(split(&glob, &choice, "pin", text));
    bool *selected = xcalloc((size_t)table->n_layers + 1, sizeof *selected);
    int status = select_layers(selected, table, glob, "pin");
    for (int l = 0; l < table->n_layers && status == OK; l++)
        if (selected[l]) status = constraints->excluded[l] ? excluded_and_pinned(table, l) : pin_layer(constraints, table, l, choice);
    constraints->any = true;
    free(selected), free(glob);
    return status;
}

int constraints_forbid(Constraints *constraints, const ChoiceTable *table, const char *text)
{
    char *glob = NULL;
    const char *choice = NULL;
    TRY(split(&glob, &choice, "forbid", text));
    bool *selected = xcalloc((size_t)table->n_layers + 1, sizeof *selected);
    int status = select_layers(selected, table, glob, "forbid"), found = 0;
    for (int row = 0; row < table->n_choices && status == OK; row++)
        if (selected[table->row_layer[row]] && glob_match(choice, table->row_name[row])) constraints->forbidden[row] = true, found++;
    if (status == OK && found == 0) status = no_such_choice(table, -1, choice, "forbid");
    constraints->any = true;
    free(selected), free(glob);
    return status;
}

int constraints_exclude(Constraints *constraints, const ChoiceTable *table, const char *glob)
{
    bool *selected = xcalloc((size_t)table->n_layers + 1, sizeof *selected);
    int status = select_layers(selected, table, glob, "exclude");
    for (int l = 0; l < table->n_layers && status == OK; l++) {
        constraints->excluded[l] |= selected[l];
        if (selected[l] && constraints->pinned[l] >= 0) status = excluded_and_pinned(table, l);
    }
    constraints->any = true;
    free(selected);
    return status;
}

/* ---- groups ---- */

static void join(Constraints *c, int a, int b)
{
    const int from = c->group[a] > c->group[b] ? c->group[a] : c->group[b], to = c->group[a] + c->group[b] - from;
    for (int l = 0; l < c->n_layers && from != to; l++)
        if (c->group[l] == from) c->group[l] = to;
}

/* "blocks.3.mlp.up" -> its type "mlp.up", and *block = 3; NULL for other names. */
static const char *type_of(int *block, const char *layer)
{
    char *end;
    if (strncmp(layer, "blocks.", 7) || layer[7] < '0' || layer[7] > '9') return NULL;
    *block = (int)strtol(layer + 7, &end, 10);
    return *end == '.' && end[1] ? end + 1 : NULL;
}

static bool in_list(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (; *list; list += strcspn(list, ",") + (list[strcspn(list, ",")] == ',')) {
        list += strspn(list, " ");
        if (!strncmp(list, word, n) && strspn(list + n, " ") == strcspn(list + n, ",")) return true;
    }
    return false;
}

static int check_type(const ChoiceTable *table, const char *type)
{
    const char **known = xmalloc(((size_t)table->n_layers + 1) * sizeof *known);
    int n = 0, block;
    bool found = false;
    for (int l = 0; l < table->n_layers; l++) {
        const char *other = type_of(&block, table->layer[l]);
        if (other) known[n++] = other, found |= !strcmp(other, type);
    }
    const char *nearest = err_nearest(type, known, n);
    const char *first = table->n_layers ? table->layer[0] : "";
    if (!found && n == 0) err_set(ERR_ARGUMENT, "--together: layers are not named blocks.B.TYPE, but such as '%s'", first);
    else if (!found && nearest) err_set(ERR_ARGUMENT, "--together: no layer is of type '%.40s'; did you mean '%s'?", type, nearest);
    else if (!found) err_set(ERR_ARGUMENT, "--together: no layer is of type '%.40s'; types are such as '%s' and '%s'", type, known[0], known[n - 1]);
    free(known);
    return found ? OK : ERR_ARGUMENT;
}

static int check_types(const ChoiceTable *table, const char *types)
{
    char *list = xstrdup(types), *rest = list, *word;
    int n = 0, status = OK;
    while (status == OK && (word = strsep(&rest, ","))) {
        word += strspn(word, " ");
        word[strcspn(word, " ")] = '\0';
        status = check_type(table, word);
        n++;
    }
    free(list);
    if (status == OK && n < 2) FAIL(ERR_ARGUMENT, "--together takes two types or more (q,k,v), or 'block', not '%.40s' alone", types);
    return status;
}

int constraints_together(Constraints *constraints, const ChoiceTable *table, const char *types)
{
    const bool whole = !strcmp(types, "block");
    if (!whole) TRY(check_types(table, types));
    int joined = 0, block, other;
    int *first = xmalloc(((size_t)table->n_layers + 1) * sizeof *first);        /* one layer of each block met so far */
    int n_first = 0;
    for (int l = 0; l < table->n_layers; l++) {
        const char *type = type_of(&block, table->layer[l]);
        if (!type || !(whole || in_list(types, type))) continue;
        int at = n_first - 1;
        for (; at >= 0; at--)
            if (type_of(&other, table->layer[first[at]]) && other == block) break;
        if (at < 0) first[n_first++] = l;
        else join(constraints, first[at], l), joined++;
    }
    constraints->any = true;
    free(first);
    if (joined == 0) FAIL(ERR_ARGUMENT, "--together %.40s: no block has two such layers", types);
    return OK;
}

void constraints_group(Constraints *constraints, const char *const *group_name)
{
    for (int l = 1; l < constraints->n_layers; l++) {
        if (!group_name[l] || !*group_name[l]) continue;
        for (int k = 0; k < l; k++)
            if (group_name[k] && !strcmp(group_name[k], group_name[l])) {
                join(constraints, k, l);
                constraints->any = true;
                break;
            }
    }
}
