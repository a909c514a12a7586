/*
 * say.c - a plan of memory for people: where every byte goes, which blocks get what, how sure that is, and how to make the model
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/plan/plan.h"

char *plan_choice(int bits) { return bits == HALF_FLOATS ? NULL : xformat("rtn-bits%d-group0", bits); }

double plan_bits(const Planned *p)
{
    int64_t weights = 0;
    for (int l = 0; l < model_layer_count(p->model); l++) weights += model_layer(p->model, l)->rows * model_layer(p->model, l)->cols;
    return 8.0 * (double)(p->plan.blocks.codes + p->plan.blocks.scales + p->plan.blocks.zeros) / (double)weights;
}

/* ---- bytes ---- */

/* "12,345,678"; the caller frees. */
static char *grouped(int64_t n)
{
    char *text = xformat("%lld", (long long)(n % 1000));
    for (n /= 1000; n; n /= 1000) {
        const size_t digits = strcspn(text, ",");
        char *longer = xformat("%lld,%s%s", (long long)(n % 1000), digits == 3 ? "" : digits == 2 ? "0" : "00", text);
        free(text);
        text = longer;
    }
    return text;
}

static void line(const char *what, int64_t bytes, const char *remark)
{
    char *number = grouped(bytes);
    printf("  %-34s %18s%s%s\n", what, number, *remark ? "  " : "", remark);
    free(number);
}

static void line_of_bits(const char *what, int bits, int64_t bytes, const char *remark)
{
    char *named = xformat("%s, %d bits", what, bits);
    line(named, bytes, remark);
    free(named);
}

static void say_bytes(const Planned *p)
{
    const MemoryPlan *plan = &p->plan;
    const ModelShape *s = model_shape(p->model);
    char *cache = xformat("%lld token%s x %lld sequence%s", (long long)p->use.context, p->use.context == 1 ? "" : "s", (long long)p->use.sequences,
                          p->use.sequences == 1 ? "" : "s");
    char *step = xformat("%lld token%s in one step", (long long)p->use.step, p->use.step == 1 ? "" : "s");
    char *slack = xformat("slack, %g %% of the memory", 100 * p->limit.slack);
    printf("  %-34s %18s\n", "", "bytes");
    line_of_bits("embedding", p->use.other_bits, p->fixed.embedding, s->tied ? "also the head" : "");
    if (!s->tied) line_of_bits("head", p->use.other_bits, p->fixed.head, "");
    line_of_bits("norms and biases", p->use.other_bits, p->fixed.norms, "");
    line("weights of the blocks: codes", plan->blocks.codes, "");
    line("  scales", plan->blocks.scales, plan->blocks.scales ? "16 bits a row" : "");
    line("  zero points", plan->blocks.zeros, p->exact ? "counted row by row" : plan->blocks.more ? "as wide as the codes, see below" : "");
    line_of_bits("KV cache", p->use.kv_bits, p->fixed.kv_cache, cache);
    line("activations", p->fixed.activations, step);
    line(slack, plan->slack, "");
    line("total", plan->total, "");
    line("of", p->limit.usable, p->memory.source);
    line("left", p->limit.usable - plan->total, "");
    free(cache), free(step), free(slack);
}

/* ---- blocks ---- */

/* "0-3, 7, 29" of the blocks with this width.  The caller frees. */
static char *list_blocks(const MemoryPlan *plan, int width)
{
    char *text = xstrdup("");
    for (int first = 0, next; first < plan->n_blocks; first = next) {
        next = first + 1;
        if (plan->width[first] != width) continue;
        while (next < plan->n_blocks && plan->width[next] == width) next++;
        char *range = next - first > 1 ? xformat("%d-%d", first, next - 1) : xformat("%d", first);
        char *longer = xformat("%s%s%s", text, *text ? ", " : "", range);
        free(range), free(text);
        text = longer;
    }
    return text;
}

static void say_blocks(const Planned *p)
{
    const MemoryPlan *plan = &p->plan;
    printf("\n%.4g bits per weight of the blocks, scales and zero points counted\n", plan_bits(p));
    for (int k = plan->high; k <= plan->low; k++) {
        char *blocks = list_blocks(plan, k);
        const int n = k == plan->high ? plan->n_high : plan->n_blocks - plan->n_high;
        if (n) printf("  %2d bits: %d block%s, %s\n", p->counts.width[k], n, n == 1 ? "" : "s", blocks);
        free(blocks);
    }
}

/* The last block that got more and the first that did not: would another text have chosen alike? */
static void say_split(const Planned *p)
{
    const BlockOrder *o = &p->order;
    printf("importance: rule %s, %s\n", o->rule, o->source ? o->source : "the first block matters most, since no importance was given");
    if (p->plan.n_high == 0 || p->plan.n_high == p->plan.n_blocks) return;
    const int in = o->order[p->plan.n_high - 1], out = o->order[p->plan.n_high];
    if (isnan(o->value[in])) return;
    const double difference = o->value[in] - o->value[out], se = hypot(o->se[in], o->se[out]);
    printf("  the split lies between block %d (%.4g) and block %d (%.4g)", in, o->value[in], out, o->value[out]);
    if (se > 0) printf(": %.3g +- %.2g apart%s\n", difference, se, difference < 2 * se ? ", so that another text might exchange them" : "");
    else printf("; their errors are not known\n");
}

/* ---- what was taken for granted, and how long it took ---- */

static void say_granted(const Planned *p)
{
    const int64_t more = p->plan.blocks.more, room = p->plan.slack + p->limit.usable - p->plan.total;
    if (more == 0) return;
    char *bytes = grouped(more);
    printf("zero points: taken to lie among the codes, as they do where every row has weights of both signs; otherwise up to %s bytes more,\n"
           "  %s; --exact reads the weights and counts\n", bytes, more <= room ? "which slack and what is left would hold" : "more than slack and what is left");
    free(bytes);
}

/* " --layers 'blocks.[0-3].*' ..": a glob for each ten blocks. */
static void say_globs(const MemoryPlan *plan, int width)
{
    for (int ten = 0; ten < plan->n_blocks; ten += 10) {
        char digits[11];
        int n = 0;
        for (int b = ten; b < ten + 10 && b < plan->n_blocks; b++)
            if (plan->width[b] == width) digits[n++] = (char)('0' + b - ten);
        digits[n] = '\0';
        if (n == 0) continue;
        printf(" --layers 'blocks.");
        if (ten) printf("%d", ten / 10);
        printf(n == 1 ? "%s.*'" : "[%s].*'", digits);
    }
}

/* A directory for each width: what the last one leaves is quantized by the next. */
static void say_quantize(const Planned *p)
{
    const MemoryPlan *plan = &p->plan;
    char *from = xstrdup(model_path(p->model));
    for (int k = plan->high; k <= plan->low; k++) {
        const int bits = p->counts.width[k], n = k == plan->high ? plan->n_high : plan->n_blocks - plan->n_high;
        if (n == 0 || bits == HALF_FLOATS) continue;
        char *to = k == plan->low || plan->n_high == plan->n_blocks ? xstrdup("OUT") : xformat("OUT-%d", bits);
        printf("  linearity quantize %s --method rtn --set bits=%d --set group=0", from, bits);
        say_globs(plan, k);
        printf(" --out %s\n", to);
        free(from);
        from = to;
    }
    free(from);
}

static void say_next(const Planned *p)
{
    if (p->plan.blocks.scales == 0) return;                 /* all blocks as they are */
    printf("\nTo make it, decoded again for programs that know no such form:\n");
    say_quantize(p);
    printf("or stored as counted here, by another program: the same with --json > plan.json, and\n"
           "  linearity recipe plan.json --format compressed-tensors --model %s\n", model_path(p->model));
}

void plan_say(const Planned *p)
{
    say_bytes(p);
    say_blocks(p);
    say_split(p);
    say_granted(p);
    if (p->exact) printf("reading the weights to count took %.2f s\n", p->counting);
    printf("chosen in %.3g ms; %.3g ms from reading the stored importance on (once, on this machine)\n", 1e3 * p->choice, 1e3 * p->whole);
    say_next(p);
}
