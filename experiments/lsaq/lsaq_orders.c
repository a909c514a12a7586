/*
 * lsaq_orders.c - the orders of blocks: every rule of lsaq.rules, with every combination of the settings that it has
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/lsaq/lsaq.h"

/* A setting of the config and the option of a rule that it sets. */
typedef struct { const char *rule, *option, *key; } Axis;
static const Axis axes[] = {
    { "jaccard", "k", "lsaq.k" }, { "jaccard", "projection", "lsaq.projection" }, { "jaccard", "norm", "lsaq.norm" }, { "jaccard", "positions", "lsaq.positions" },
    { "jaccard", "set", "lsaq.set" }, { "zd", "over", "lsaq.zd" }, { "zd", "sides", "lsaq.sides" },
};
enum { AXES = sizeof axes / sizeof *axes };

static bool has_axis(const ImportanceRule *rule, int a) { return !strcmp(rule->name, axes[a].rule); }

static void lengthen(char **name, char *part)
{
    char *longer = xformat("%s-%s", *name, part);
    free(*name);
    free(part);
    *name = longer;
}

/* "-k10", "-all", "-norm": what tells a value from the first. */
static char *value_name(const Axis *axis, const char *value)
{
    const bool number = strspn(value, "0123456789") == strlen(value), flag = !strcmp(value, "yes") || !strcmp(value, "no");
    return number ? xformat("%s%s", axis->option, value) : flag ? xformat("%s%s", strcmp(value, "yes") ? "no" : "", axis->option) : xstrdup(value);
}

/* The order number `at` of a rule, counted through the values of its axes, the first axis slowest. */
static int add_order(Lsaq *l, const ImportanceRule *rule, int at)
{
    const Options *config = l->run->options;
    const bool variants = options_flag(config, "lsaq.variants");
    Order o = { .rule = rule, .options = options_new(rule->options), .name = xstrdup(rule->name), .measured = at == 0 || variants };
    int index[AXES], status = OK;
    for (int a = AXES - 1, left = at; a >= 0; a--) {
        const int n = has_axis(rule, a) ? options_count(config, axes[a].key) : 1;
        index[a] = left % n, left /= n;
    }
    for (int a = 0; a < AXES && status == OK; a++) {
        if (!has_axis(rule, a)) continue;
        const char *value = options_text_at(config, axes[a].key, index[a]);
        if (index[a]) lengthen(&o.name, value_name(&axes[a], value));
        status = options_set(o.options, axes[a].option, options_text_at(config, axes[a].key, index[a]), axes[a].key);
    }
    l->order = xrealloc(l->order, sizeof *l->order * (size_t)(l->n_orders + 1));
    l->order[l->n_orders++] = o;
    return status;
}

static void drop_last(Lsaq *l)
{
    Order *o = &l->order[--l->n_orders];
    options_free(o->options);
    free(o->name);
}

/* The last position has one set, whatever `set` says. */
static bool says_nothing_new(const Lsaq *l)
{
    const Order *o = &l->order[l->n_orders - 1];
    if (strcmp(o->rule->name, "jaccard") || strcmp(options_text(o->options, "positions"), "last")) return false;
    return strcmp(options_text(o->options, "set"), options_text_at(l->run->options, "lsaq.set", 0)) != 0;
}

static int add_random(Lsaq *l, const ImportanceRule *rule)
{
    const int draws = (int)options_integer(l->run->options, "lsaq.random");
    for (int i = 1; i <= draws; i++) {
        char *draw = xformat("%d", i);
        int status = add_order(l, rule, 0);
        Order *o = &l->order[l->n_orders - 1];
        if (status == OK) status = options_set(o->options, "draw", draw, "lsaq.random");
        lengthen(&o->name, draw);
        TRY(status);
    }
    return OK;
}

static int add_rule(Lsaq *l, const char *name)
{
    const ImportanceRule *rule;
    int combinations = 1;
    if (importance_find(&rule, name) != OK) return err_context(ERR_ARGUMENT, "lsaq.rules");
    for (int o = 0; o < l->n_orders; o++)
        if (l->order[o].rule == rule) FAIL(ERR_ARGUMENT, "lsaq.rules: '%s' is given twice", name);
    if (!strcmp(name, "random")) return add_random(l, rule);
    for (int a = 0; a < AXES; a++)
        if (has_axis(rule, a)) combinations *= options_count(l->run->options, axes[a].key);
    for (int at = 0; at < combinations; at++) {
        TRY(add_order(l, rule, at));
        if (at && says_nothing_new(l)) drop_last(l);
    }
    return OK;
}

int orders_init(Lsaq *l)
{
    const Options *options = l->run->options;
    for (int r = 0; r < options_count(options, "lsaq.rules"); r++) TRY(add_rule(l, options_text_at(options, "lsaq.rules", r)));
    return OK;
}

void orders_free(Lsaq *l)
{
    while (l->n_orders) {
        importance_free(&l->order[l->n_orders - 1].importance);
        drop_last(l);
    }
    free(l->order);
}

static ImportanceRequest *requests(const Lsaq *l)
{
    ImportanceRequest *request = xmalloc(sizeof *request * (size_t)l->n_orders);
    for (int o = 0; o < l->n_orders; o++) request[o] = (ImportanceRequest){ l->order[o].rule, l->order[o].options, l->order[o].name };
    return request;
}

int orders_cost(double *passes, Lsaq *l)
{
    ImportanceRequest *request = requests(l);
    int status = importance_cost(passes, l->run->study, request, l->n_orders);
    *passes *= run_passes(l->run, l->run->study);
    free(request);
    return status;
}

static void keep(Lsaq *l, const Importance *importance)
{
    for (int o = 0; o < l->n_orders; o++) {
        char *stage = xformat("importance by %s", l->order[o].name);
        l->order[o].importance = importance[o];
        add_stage(l, stage, importance[o].seconds);
        free(stage);
    }
}

int orders_measure(Lsaq *l)
{
    double passes;
    TRY(orders_cost(&passes, l));
    ImportanceRequest *request = requests(l);
    Importance *importance = xmalloc(sizeof *importance * (size_t)l->n_orders);
    int status = importance_measure(importance, l->run->study, request, l->n_orders, l->d.fisher.a);
    if (status == OK) keep(l, importance);
    if (status == OK && passes > 0) {
        progress_step(l->run->progress, passes, "importance of blocks");
        l->run->measured++;
    }
    free(request);
    free(importance);
    return status;
}
