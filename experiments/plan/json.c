/*
 * json.c - a plan of memory as one JSON object; its `allocations` are what linearity recipe reads, its `parts` what a config and quantize take
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/store/table.h"
#include "experiments/plan/plan.h"

static void text(const char *key, const char *value)
{
    printf("\"%s\":", key);
    if (value) json_text(stdout, value);
    else fputs("null", stdout);
}

static void integer(const char *key, int64_t value) { printf("\"%s\":%lld", key, (long long)value); }

static void number(const char *key, double value)
{
    printf("\"%s\":", key);
    json_number(stdout, value);
}

static void next(void) { putchar(','); }

static void setting_json(const Planned *p)
{
    text("model", model_path(p->model)), next();
    printf("\"memory\":{"), integer("bytes", p->memory.bytes), next(), text("source", p->memory.source), printf("},");
    integer("context", p->use.context), next(), integer("sequences", p->use.sequences), next(), integer("step", p->use.step), next();
    integer("kv_bits", p->use.kv_bits), next(), integer("other_bits", p->use.other_bits), next(), number("slack", p->limit.slack);
}

static void bytes_json(const Planned *p)
{
    const struct { const char *key; int64_t bytes; } item[] = {
        { "embedding", p->fixed.embedding }, { "head", p->fixed.head }, { "norms", p->fixed.norms }, { "codes", p->plan.blocks.codes },
        { "scales", p->plan.blocks.scales }, { "zero_points", p->plan.blocks.zeros }, { "kv_cache", p->fixed.kv_cache },
        { "activations", p->fixed.activations }, { "slack", p->plan.slack }, { "total", p->plan.total }, { "left", p->limit.usable - p->plan.total },
    };
    fputs("\"bytes\":{", stdout);
    for (size_t i = 0; i < sizeof item / sizeof *item; i++) {
        if (i) next();
        integer(item[i].key, item[i].bytes);
    }
    printf("},\"exact\":%s,", p->exact ? "true" : "false");
    integer("zero_points_more", p->plan.blocks.more);
}

static void blocks_json(const Planned *p)
{
    const BlockOrder *o = &p->order;
    text("rule", o->rule), next(), text("importance", o->source), next();
    printf("\"pair\":[%d,%d],\"n_high\":%d,\"blocks\":[", p->counts.width[p->plan.high], p->counts.width[p->plan.low], p->plan.n_high);
    int *rank = xcalloc((size_t)o->n_blocks, sizeof *rank);
    for (int i = 0; i < o->n_blocks; i++) rank[o->order[i]] = i + 1;
    for (int b = 0; b < o->n_blocks; b++) {
        printf("%s{\"block\":%d,\"rank\":%d,", b ? "," : "", b, rank[b]);
        number("importance", o->value[b]), next(), number("importance_se", o->se[b]), next();
        integer("bits", p->counts.width[p->plan.width[b]]), next(), integer("bytes", block_bytes(&p->counts, b, p->plan.width[b]));
        putchar('}');
    }
    putchar(']');
    free(rank);
}

/* {"bits":8,"layers":["blocks.0.*"],"choices":[{"rtn":{"bits":8,"group":0}}]}: layers and choices as in a config. */
static void part_json(const Planned *p, int width)
{
    const int bits = p->counts.width[width];
    printf("{\"bits\":%d,\"layers\":[", bits);
    for (int b = 0, n = 0; b < p->plan.n_blocks; b++)
        if (p->plan.width[b] == width) printf("%s\"blocks.%d.*\"", n++ ? "," : "", b);
    fputs("],\"choices\":[", stdout);
    if (bits != HALF_FLOATS) printf("{\"rtn\":{\"bits\":%d,\"group\":0}}", bits);
    fputs("]}", stdout);
}

static bool has_blocks(const MemoryPlan *plan, int width)
{
    for (int b = 0; b < plan->n_blocks; b++)
        if (plan->width[b] == width) return true;
    return false;
}

static void parts_json(const Planned *p)
{
    fputs("\"parts\":[", stdout);
    for (int k = 0, n = 0; k < p->counts.n_widths; k++) {
        if (!has_blocks(&p->plan, k)) continue;
        if (n++) next();
        part_json(p, k);
    }
    putchar(']');
}

/* Layers of 16 bits have no choice: they stay as they are. */
static void allocation_json(const Planned *p)
{
    fputs("\"allocations\":[{", stdout);
    number("budget", plan_bits(p)), next(), number("bits", plan_bits(p)), next(), text("rule", p->order.rule);
    fputs(",\"choices\":{", stdout);
    for (int l = 0, n = 0; l < model_layer_count(p->model); l++) {
        const Layer *layer = model_layer(p->model, l);
        char *choice = plan_choice(p->counts.width[p->plan.width[layer->block]]);
        if (!choice) continue;
        if (n++) next();
        text(layer->name, choice);
        free(choice);
    }
    fputs("}}]", stdout);
}

void plan_json(const Planned *p)
{
    putchar('{');
    setting_json(p), next();
    bytes_json(p), next();
    blocks_json(p), next();
    number("bits", plan_bits(p)), next();
    number("choice_ms", 1e3 * p->choice), next(), number("whole_ms", 1e3 * p->whole), next();
    parts_json(p), next();
    allocation_json(p);
    puts("}");
}
