/*
 * device_price.c - what a run would cost on a GPU that is not here: its plan for that memory, and the roofline of its passes
 */
#include <stdio.h>
#include <string.h>

#include "core/base/size.h"
#include "core/measure/gradients.h"
#include "core/measure/replacement.h"
#include "experiments/run/run.h"

typedef struct { const StudyPlan *plan; const Corpus *corpus; const char *name; } Part;

static Part part_of(const Point *p, const Study *study)
{
    return study == p->coefficients ? (Part){ &p->coefficient_plan, &p->others, "coefficients" } : (Part){ &p->plan, &p->corpus, "text" };
}

static bool is_rounded(const Point *p) { return !strcmp(p->kernels->precision, "bf16"); }

static bool is_half(const Point *p)
{
    const Dtype dtype = model_tensor(p->model, WEIGHT_GATE, 0)->dtype;
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static double larger(double a, double b) { return a > b ? a : b; }

static double rows_of_head(const Corpus *c)
{
    double rows = 0;
    for (int s = 0; s < c->n_segments; s++) rows += c->segment[s].length - c->segment[s].first_scored;
    return rows;
}

/* Segments of one length each; where lengths differ, attention is priced by their mean. */
static RooflineCase case_of(const Point *p, const Part *part)
{
    const Corpus *c = part->corpus;
    const double length = (double)c->n_inputs / c->n_segments, most = BACKWARD_SEGMENTS * length;
    const double together = larger((double)part->plan->backward.rows, length);
    return (RooflineCase){
        .shape = model_shape(p->model), .rounded = is_rounded(p), .half = is_half(p), .rows = (double)c->n_inputs, .scored = rows_of_head(c), .length = length,
        .chunk = larger((double)part->plan->network.chunk_rows, length), .together = together < most ? together : most, .head_rows = p->kernels->head_rows,
        .resident = part->plan->network.resident, .keep_logits = part->plan->keep_logits, .keep = part->plan->backward.keep,
    };
}

/* As a measurement has it: where its first layer is, the last boundary state before it. */
static int first_block(const Part *part, const LayerMap *map)
{
    const int block = map->n && !map->null_run ? map->entry[0].layer / LAYER_TYPES : 0, stride = part->plan->boundary_stride;
    return stride ? block - block % stride : 0;
}

static void add_weights(Costs *out, const RooflineCase *c, const Part *part, const LayerMap *map)
{
    for (int i = 0; map && i < map->n; i++) {
        const MapEntry *e = &map->entry[i];
        const double times = replacement_per_window(e) ? part->corpus->n_windows : 1;
        (e->perturbation->noise ? roofline_noise : roofline_upload)(out, c, (WeightKind)(e->layer % LAYER_TYPES), times);
    }
}

Seconds device_map(const Point *p, const Study *study, const LayerMap *map)
{
    const Part part = part_of(p, study);
    const RooflineCase c = case_of(p, &part);
    Costs costs = { 0 };
    roofline_blocks(&costs, &c, first_block(&part, map));
    roofline_losses(&costs, &c, true);
    add_weights(&costs, &c, &part, map);
    return roofline_total(&costs, p->device);
}

static Seconds gradients_of(const Point *p, const Part *part, int lowest, const LayerMap *point)
{
    const RooflineCase c = case_of(p, part);
    Costs costs = { 0 };
    roofline_fisher(&costs, &c, lowest);
    add_weights(&costs, &c, part, point);
    return roofline_total(&costs, p->device);
}

Seconds device_gradients(const Point *p, const Study *study, const GradientRequest *request)
{
    const Part part = part_of(p, study);
    return gradients_of(p, &part, request->n_layers ? request->layer[0] / LAYER_TYPES : 0, request->point);
}

Seconds device_later(const Point *p, double passes, double backward_passes)
{
    const Part part = part_of(p, p->study);
    const RooflineCase c = case_of(p, &part);
    const LayerMap nothing = { 0 };
    const Seconds kl = device_map(p, p->study, &nothing), fisher = gradients_of(p, &part, 0, NULL);
    const double tokens = c.rows, forward = network_flops(c.shape, (int64_t)tokens, c.length, 0, (int64_t)c.scored);
    const double backward = backward_passes * forward / backward_flops(c.shape, (int64_t)tokens, c.length, (int64_t)c.scored, c.keep);
    return (Seconds){ .bound = passes * kl.bound + backward * fisher.bound, .predicted = passes * kl.predicted + backward * fisher.predicted };
}

/* ---- printing ---- */

/* Bytes of the weights of all blocks, and of the head: what is rounded has both forms. */
static double block_bytes(const Point *p, double each)
{
    double weights = 0;
    for (int l = 0; l < LAYER_TYPES; l++) weights += (double)model_layer(p->model, l)->rows * (double)model_layer(p->model, l)->cols;
    return each * weights * model_shape(p->model)->n_blocks;
}

static void say_plan(const Point *p, const Part *part)
{
    const ModelShape *m = model_shape(p->model);
    const StudyPlan *plan = part->plan;
    const double weight = is_rounded(p) ? 6 : 4, gib = 1 / (1024.0 * 1024 * 1024);
    const double state = 4.0 * (double)part->corpus->n_inputs * m->width, scored = rows_of_head(part->corpus);
    const int states = plan->boundary_stride ? (m->n_blocks - 1) / plan->boundary_stride : 0;
    printf("%-14s ", part->name);
    if (part->plan == &p->coefficient_plan) printf("the same weights and head; ");
    else if (plan->network.resident) printf("%.1f GiB of weights, ", gib * block_bytes(p, weight));
    else printf("a block of weights at a time, %.1f GiB over the host's link a pass, ", gib * block_bytes(p, is_half(p) ? 2 : 4));
    if (part->plan != &p->coefficient_plan) printf("%.1f GiB of head; ", gib * weight * m->vocabulary * m->width);
    printf("%d boundary states, %.1f GiB; ", states, gib * states * state);
    if (plan->keep_logits) printf("clean logits, %.1f GiB; ", gib * 4 * scored * m->vocabulary);
    else printf("no clean logits (%.1f GiB); ", gib * 4 * scored * m->vocabulary);
    printf("chunks of %.0f rows\n", case_of(p, part).chunk);
}

static void say_operations(const Costs *costs, const DeviceSheet *d)
{
    printf("\n%-24s %10s %10s %12s %14s  %s\n", "one pass over the text", "TFLOP", "GB", "bound, ms", "predicted, ms", "bound by");
    for (int i = 0; i < costs->n; i++) {
        const Cost *c = &costs->cost[i];
        const Seconds s = roofline_seconds(c, d);
        printf("%-24s %10.4g %10.4g %12.4g %14.4g  %s\n", c->name, c->flops * 1e-12, c->bytes * 1e-9, s.bound * 1e3, s.predicted * 1e3, roof_name[s.roof]);
    }
}

static void say_seconds(const char *what, Seconds s) { printf("%-24s %10s %10s %12.4g %14.4g\n", what, "", "", s.bound * 1e3, s.predicted * 1e3); }

static void say_passes(const Point *p, const Part *part)
{
    const RooflineCase c = case_of(p, part);
    const LayerMap middle = { .n = 1, .entry = &(MapEntry){ .layer = c.shape->n_blocks / 2 * LAYER_TYPES, .perturbation = perturbation_find("gaussian") } };
    Costs forward = { 0 }, noise = { 0 };
    roofline_blocks(&forward, &c, 0);
    roofline_losses(&forward, &c, true);
    say_operations(&forward, p->device);
    say_seconds("in all", roofline_total(&forward, p->device));
    Costs kl = { 0 };
    roofline_blocks(&kl, &c, first_block(part, &middle));
    roofline_losses(&kl, &c, true);
    say_seconds("KL, middle block", roofline_total(&kl, p->device));
    for (int l = 0; l < LAYER_TYPES; l++) roofline_noise(&noise, &c, (WeightKind)l, 1);
    say_seconds("noise, one block", roofline_total(&noise, p->device));
    say_seconds("Fisher, all layers", gradients_of(p, part, 0, NULL));
}

static void say_time(double seconds)
{
    if (seconds < 60) printf("%.3g s", seconds);
    else if (seconds < 3600) printf("%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else printf("%.0f h %02.0f min", (double)((int64_t)seconds / 3600), (double)((int64_t)seconds / 60 % 60));
}

void device_say(const Point *p, const Price *price)
{
    char all[SIZE_TEXT], given[SIZE_TEXT];
    printf("device         %s, %s: %s, planned with %s%s\n", p->device->full, p->kernels->precision, size_text(all, p->device->memory),
           size_text(given, p->memory), is_rounded(p) ? " (weights have their rounded form beside them)" : "");
    const Part text = part_of(p, p->study), others = part_of(p, p->coefficients);
    say_plan(p, &text);
    if (p->coefficients) say_plan(p, &others);
    printf("time           about ");
    say_time(price->predicted);
    printf(" on that GPU, not less than ");
    say_time(price->bound);
    printf(" (by its data sheet, without what the host does itself: reading the model, quantizers)\n");
    say_passes(p, &text);
}
