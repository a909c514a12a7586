/*
 * plan.c - which blocks of a model get more bits in the memory that there is, by a stored importance: LSAQ's strategy (core/allocate/memory_plan.h)
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/option_value.h"
#include "core/base/size.h"
#include "core/importance/importance.h"
#include "experiments/command.h"
#include "experiments/plan/plan.h"

static const Option own[] = {
    { "importance", OPTION_TEXT,    false, NULL,   0, 0,         NULL, "", "RUN.h5 with a table importance or coefficients, or a CSV with the columns block, rule, importance, rank" },
    { "rule",       OPTION_TEXT,    false, NULL,   0, 0,         NULL, "", "which importance, where there are several; alpha: sums of coefficients; first-to-last: "
                                                                           "the first block matters most (default without --importance)" },
    { "memory",     OPTION_TEXT,    false, "auto", 0, 0,         NULL, "", "usable bytes: 8GiB, 512MiB ..; auto: what is free now on the host, or with "
                                                                           "--backend cuda on the GPU" },
    { "context",    OPTION_INTEGER, false, "4096", 1, 1e7,       NULL, "tokens", "of a sequence, which the KV cache must hold; where it is not given, the model's own if that is shorter" },
    { "sequences",  OPTION_INTEGER, false, "1",    1, 1e6,       NULL, "sequences", "at a time" },
    { "step",       OPTION_INTEGER, false, NULL,   1, 1e7,       NULL, "tokens", "of one forward step, whose activations must fit (default: a whole context)" },
    { "kv-bits",    OPTION_ONE_OF,  false, "16",   0, 0,         "4|8|16|32", "bits", "of a number of the KV cache" },
    { "other-bits", OPTION_ONE_OF,  false, "16",   0, 0,         "16|32", "bits", "of a number of embedding, head, norms and biases" },
    { "bits",       OPTION_INTEGER, true,  "16,8,4,2", 2, 16,    NULL, "bits", "widths of the blocks, one --bits each, falling; two neighbours are used" },
    { "slack",      OPTION_NUMBER,  false, "0.05", 0, 0.9,       NULL, "", "share of the memory that is left to allocators and the like" },
    { "exact",      OPTION_FLAG,    false, "no",   0, 0,         NULL, "", "read all weights and count the bits of zero points, where the shape alone cannot tell" },
    { 0 },
};

static const Option memory_size = { "memory", OPTION_SIZE, false, NULL, 1, 1e15, NULL, "bytes", "" };

static int read_memory(FreeMemory *out, const Options *options)
{
    OptionValue value;
    const char *text = options_text(options, "memory");
    TRY(option_value_parse(&value, &memory_size, text, strlen(text), "--memory"));
    *out = (FreeMemory){ (int64_t)value.number, "stated with --memory" };
    free(value.text);
    return OK;
}

static bool is_auto(const Options *options) { return !strcmp(options_text(options, "memory"), "auto"); }

/* ---- wrong usage ---- */

static int read_widths(int *width, int *n, const Options *options)
{
    *n = options_count(options, "bits");
    if (*n > MOST_WIDTHS) FAIL(ERR_ARGUMENT, "--bits: at most %d widths", MOST_WIDTHS);
    for (int k = 0; k < *n; k++) {
        width[k] = (int)options_integer_at(options, "bits", k);
        if (width[k] > 8 && width[k] != HALF_FLOATS) FAIL(ERR_ARGUMENT, "--bits: a width is 16 or from 2 to 8, not %d", width[k]);
        if (k && width[k] >= width[k - 1]) FAIL(ERR_ARGUMENT, "--bits: widths must fall, as in --bits 16 --bits 8 --bits 4, but %d comes after %d", width[k], width[k - 1]);
    }
    return OK;
}

static int check(const Arguments *a)
{
    int width[MOST_WIDTHS], n;
    FreeMemory memory;
    const char *rule = options_is_given(a->options, "rule") ? options_text(a->options, "rule") : NULL;
    if (rule && !options_is_given(a->options, "importance") && strcmp(rule, importance_first_to_last.name))
        FAIL(ERR_ARGUMENT, "--rule %s needs --importance: a RUN.h5 or a CSV that holds it", rule);
    if (!is_auto(a->options)) TRY(read_memory(&memory, a->options));
    return read_widths(width, &n, a->options);
}

/* ---- resources, model, use ---- */

/* A stated memory is planned for wherever it may be: no device is asked. */
static int find_memory(FreeMemory *out, const Options *options)
{
    const Kernels *kernels;
    if (!is_auto(options)) return read_memory(out, options);
    TRY(chosen_kernels(&kernels, options));
    return free_memory_of(out, kernels);
}

static int read_use(MemoryUse *out, const Options *options, const ModelShape *shape)
{
    int64_t context = options_integer(options, "context");
    if (shape->context > 0 && context > shape->context) {
        if (options_is_given(options, "context"))
            FAIL(ERR_ARGUMENT, "--context: the model was made for %d tokens, not %lld", shape->context, (long long)context);
        context = shape->context;
    }
    const int64_t step = options_is_given(options, "step") ? options_integer(options, "step") : context;
    *out = (MemoryUse){ context, options_integer(options, "sequences"), step < context ? step : context, atoi(options_text(options, "kv-bits")),
                        atoi(options_text(options, "other-bits")) };
    return OK;
}

static int count_blocks(Planned *p, const Options *options)
{
    int width[MOST_WIDTHS], n;
    TRY(read_widths(width, &n, options));
    p->exact = options_flag(options, "exact");
    if (options_is_set(options, "threads")) kernels_set_threads((int)options_integer(options, "threads"));
    const double start = clock_seconds();
    if (p->exact) TRY(block_counts_of_model(&p->counts, p->model, width, n));
    else block_counts_of_shape(&p->counts, model_shape(p->model), width, n);
    p->counting = clock_seconds() - start;
    return OK;
}

/* ---- the choice ---- */

static int read_order(BlockOrder *out, const Options *options, int n_blocks)
{
    if (!options_is_given(options, "importance")) {
        block_order_first_to_last(out, n_blocks);
        return OK;
    }
    return block_order_read(out, options_text(options, "importance"), options_is_given(options, "rule") ? options_text(options, "rule") : NULL, n_blocks);
}

/* What would fit: this model and context elsewhere, or a shorter context here. */
static int nothing_fits(const Planned *p)
{
    char least[SIZE_TEXT];
    const int last = p->counts.n_widths - 1;
    int64_t bytes = fixed_bytes_sum(&p->fixed);
    for (int b = 0; b < p->counts.n_blocks; b++) bytes += block_bytes(&p->counts, b, last);
    const int64_t needed = memory_least(bytes, p->limit.slack);
    const int64_t context = memory_longest_context(model_shape(p->model), &p->use, &p->counts, &p->limit, p->use.context);
    char *shorter = context > 0 ? xformat("a context of at most %lld tokens would fit", (long long)context) : xstrdup("no context would fit");
    err_set(ERR_BUDGET, "%s does not fit into %lld bytes (%s): with all blocks at %d bits and a context of %lld tokens it takes %lld bytes, %s; %s",
            model_path(p->model), (long long)p->limit.usable, p->memory.source, p->counts.width[last], (long long)p->use.context, (long long)needed,
            size_text(least, needed), shorter);
    free(shorter);
    return ERR_BUDGET;
}

static int choose(Planned *p, const Options *options)
{
    const double start = clock_seconds();
    TRY(read_order(&p->order, options, model_shape(p->model)->n_blocks));
    p->fixed = fixed_bytes(model_shape(p->model), &p->use);
    const double before = clock_seconds();
    int status = memory_plan(&p->plan, &p->counts, p->order.order, fixed_bytes_sum(&p->fixed), &p->limit);
    p->choice = clock_seconds() - before;
    p->whole = clock_seconds() - start;
    return status == ERR_BUDGET ? nothing_fits(p) : status;
}

static int plan(Planned *p, const Arguments *a)
{
    TRY(model_open(&p->model, a->positional[0]));
    TRY(read_use(&p->use, a->options, model_shape(p->model)));
    TRY(count_blocks(p, a->options));
    TRY(find_memory(&p->memory, a->options));
    p->limit = (MemoryLimit){ p->memory.bytes, options_number(a->options, "slack") };
    TRY(choose(p, a->options));
    (options_flag(a->options, "json") ? plan_json : plan_say)(p);
    return OK;
}

static int run(const Arguments *a)
{
    Planned planned = { 0 };
    const int status = plan(&planned, a);
    memory_plan_free(&planned.plan);
    block_counts_free(&planned.counts);
    block_order_free(&planned.order);
    model_close(&planned.model);
    return status;
}

static char *manual(void)
{
    return xstrdup(
        "--json prints one object:\n"
        "  model, memory {bytes, source}, context, sequences, step, kv_bits, other_bits, slack    what was asked for\n"
        "  bytes {embedding, head, norms, codes, scales, zero_points, kv_cache, activations, slack, total, left}\n"
        "  exact, zero_points_more    whether the weights were read; bytes that zero points could take beyond if not\n"
        "  rule, importance           by which blocks are ordered, and the file it stands in\n"
        "  pair, n_high, blocks [{block, rank, importance, importance_se, bits, bytes}]           rank 1: the most important\n"
        "  bits                       per weight of the blocks, scales and zero points counted\n"
        "  choice_ms, whole_ms        milliseconds of the choice alone, and from reading the stored importance on\n"
        "  parts [{bits, layers, choices}]      layers and choices as a config has them, a part for each width\n"
        "  allocations [{budget, bits, rule, choices {LAYER: CHOICE}}]   what linearity recipe reads; without those of 16 bits\n");
}

const Command command_plan = {
    .name = "plan", .arguments = "MODEL", .summary = "which blocks get more bits in the memory there is",
    .details = "The blocks that matter most get the higher of two widths, as many as fit beside embedding, head, KV cache,\n"
               "activations and slack; the pair of widths is the highest of 16/8, 8/4, 4/2 whose lower one fits everywhere.\n"
               "Weights are rounded to nearest with a scale and a zero point a row (rtn, group 0); no text is needed.\n",
    .own = own, .check = check, .manual = manual, .least = 1, .most = 1, .json = true, .run = run,
};
