#include "core/measure/roofline.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/*
 * Shares of the data sheet that a prediction expects, as measured on an H200 (results/cuda/h200-*.json).
 *   products, bf16 .75   cuBLASLt at thousands of rows: the clock under load and the last wave of blocks take the rest
 *   products, fp32 .75   ordinary units fed from shared memory, no TF32
 *   attention, bf16 .32  mma.sync, which reaches about .62 of what Hopper's own instructions do; exponentials take issue slots beside it
 *   attention, fp32 .47  two operands from shared memory for every few multiply-adds, exponentials between
 *   other .60            double arithmetic among conversions and comparisons
 *   memory .85           a large copy reaches .87
 *   link .80             through pieces of locked memory that the host's threads fill and empty in turn
 */
static const double arithmetic_share[COST_KINDS][UNITS] = {
    [COST_PRODUCT] = { .75, .75, .75 }, [COST_ATTENTION] = { .32, .47, .47 }, [COST_OTHER] = { .60, .60, .60 },
};
static const double memory_share = .85, link_share = .80;
static const double launch_seconds = 5e-6;      /* that the host needs for one: shorter operations wait for it */

/* Operations a number of what is no product, fused multiply-adds counted twice as in the rates (kernels/cuda/loss/loss.cu, weights/noise.cu ..). */
static const double norm_flops = 8, log_sum_flops = 50, kl_flops = 90, probe_flops = 80, noise_flops = 120, form_flops = 4;

const char *const roof_name[ROOFS] = { "arithmetic", "memory", "link", "launch" };

/* ---- lists ---- */

static void add(Costs *out, Cost one)
{
    for (int i = 0; i < out->n; i++) {
        Cost *c = &out->cost[i];
        if (strcmp(c->name, one.name)) continue;
        assert(c->kind == one.kind && c->unit == one.unit && c->beside == one.beside);
        c->calls += one.calls, c->flops += one.flops, c->bytes += one.bytes, c->link += one.link;
        return;
    }
    assert(out->n < MOST_COSTS);
    out->cost[out->n++] = one;
}

static Seconds seconds_at(const Cost *c, const DeviceSheet *d, double arithmetic, double memory, double link, double launch)
{
    const double rate[UNITS] = { d->bf16, d->fp32, d->fp64 };
    const double roof[ROOFS] = { c->flops / (rate[c->unit] * arithmetic), c->bytes / (d->bandwidth * memory), c->link / (d->link * link), c->calls * launch };
    Seconds s = { 0 };
    for (int i = 0; i < ROOFS; i++)
        if (roof[i] > s.bound) s.bound = roof[i], s.roof = (Roof)i;
    return s;
}

Seconds roofline_seconds(const Cost *c, const DeviceSheet *d)
{
    Seconds s = seconds_at(c, d, 1, 1, 1, 0);
    s.predicted = seconds_at(c, d, arithmetic_share[c->kind][c->unit], memory_share, link_share, launch_seconds).bound;
    return s;
}

Seconds roofline_total(const Costs *costs, const DeviceSheet *d)
{
    Seconds all = { 0 }, beside = { 0 };
    double most = 0;
    for (int i = 0; i < costs->n; i++) {
        const Seconds s = roofline_seconds(&costs->cost[i], d);
        Seconds *to = costs->cost[i].beside ? &beside : &all;
        to->bound += s.bound, to->predicted += s.predicted;
        if (s.bound > most) most = s.bound, all.roof = s.roof;
    }
    all.bound = fmax(all.bound, beside.bound), all.predicted = fmax(all.predicted, beside.predicted);
    return all;
}

double roofline_flops(const Costs *costs, CostKind kind)
{
    double sum = 0;
    for (int i = 0; i < costs->n; i++) sum += costs->cost[i].kind == kind ? costs->cost[i].flops : 0;
    return sum;
}

/* ---- operations ---- */

/* Where operations go: rows in all, calls that take them, how often (blocks). */
typedef struct { Costs *out; const ModelShape *m; double rows, calls, times, length; } Place;

static double q_width(const ModelShape *m) { return (double)m->n_heads * m->head_dim; }
static double kv_width(const ModelShape *m) { return (double)m->n_kv_heads * m->head_dim; }

/* Numbers are read and written one by one: `bytes` a number in all, so much arithmetic. */
static void stream(const Place *p, const char *name, double width, double bytes, ArithmeticUnit unit, double flops)
{
    const double numbers = p->rows * width * p->times;
    add(p->out, (Cost){ name, COST_OTHER, unit, p->calls * p->times, flops * numbers, bytes * numbers, 0, false });
}

/* [rows][C] by [N][C]: bytes of a number of the input, of the weights, of the output (8: added to). */
static void product(const Place *p, const char *name, double C, double N, double in, double weight, double out)
{
    const double bytes = p->rows * (C * in + N * out) + p->calls * C * N * weight;
    add(p->out, (Cost){ name, COST_PRODUCT, weight == 2 ? UNIT_BF16 : UNIT_FP32, p->calls * p->times, 2 * p->rows * C * N * p->times, bytes * p->times, 0, false });
}

/* A product of float32 in and out; in bf16 its input is rounded first. */
static void float_product(const Place *p, const char *name, double C, double N, bool rounded)
{
    if (rounded) stream(p, "rounding", C, 6, UNIT_FP32, 0);
    product(p, name, C, N, rounded ? 2 : 4, rounded ? 2 : 4, 4);
}

/* flops: for every query, head, number of a head and key seen. */
static void attention(const Place *p, const char *name, ArithmeticUnit unit, double flops, double bytes)
{
    const double seen = p->rows * p->length / 2;
    add(p->out, (Cost){ name, COST_ATTENTION, unit, p->calls * p->times, flops * seen * q_width(p->m) * p->times, p->rows * bytes * p->times, 0, false });
}

static void over_link(const Place *p, const char *name, double bytes, bool beside)
{
    add(p->out, (Cost){ name, COST_OTHER, UNIT_FP32, p->calls * p->times, 0, bytes * p->times, bytes * p->times, beside });
}

static void norms(const Place *p, const char *name, double width, double out) { stream(p, name, width, 4 + out, UNIT_FP64, norm_flops); }

/* The parts of a block: what is between products is bf16, what ends a part is added to the float32 stream. */
static void parts(const Place *p)
{
    const ModelShape *m = p->m;
    const double C = m->width, F = m->feed_forward, q = q_width(m), kv = kv_width(m);
    norms(p, "norm", C, 2);
    product(p, "q product", C, q, 2, 2, 2);
    product(p, "k and v products", C, kv, 2, 2, 2), product(p, "k and v products", C, kv, 2, 2, 2);
    stream(p, "rotation", q, 4, UNIT_FP32, 6), stream(p, "rotation", kv, 4, UNIT_FP32, 6);
    attention(p, "attention", UNIT_BF16, 4, 4 * q + 4 * kv);
    product(p, "o product", q, C, 2, 2, 8);
    norms(p, "norm", C, 2);
    product(p, "gate and up products", C, F, 2, 2, 2), product(p, "gate and up products", C, F, 2, 2, 2);
    stream(p, "swiglu", F, 6, UNIT_FP32, 20);
    product(p, "down product", F, C, 2, 2, 8);
}

/* A block of single slots up to gate and up, its products under their own names or one. */
static void activations(const Place *p, bool rounded, bool again)
{
    const ModelShape *m = p->m;
    const double C = m->width, F = m->feed_forward, q = q_width(m), kv = kv_width(m);
    const char *all = again ? "products, again" : NULL;
    norms(p, "norm", C, 4);
    float_product(p, all ? all : "q product", C, q, rounded);
    for (int i = 0; i < 2; i++) float_product(p, all ? all : "k and v products", C, kv, rounded);
    stream(p, "rotation", q, 8, UNIT_FP32, 6), stream(p, "rotation", kv, 8, UNIT_FP32, 6);
    if (rounded) stream(p, "rounding", 2 * q + 2 * kv, 6, UNIT_FP32, 0);     /* q, k, v, and what came out the other way */
    attention(p, again ? "attention, again" : "attention", rounded ? UNIT_BF16 : UNIT_FP32, 4, rounded ? 4 * q + 4 * kv : 8 * q + 8 * kv);
    float_product(p, all ? all : "o product", q, C, rounded);
    stream(p, "addition", C, 12, UNIT_FP32, 1);
    norms(p, "norm", C, 4);
    for (int i = 0; i < 2; i++) float_product(p, all ? all : "gate and up products", C, F, rounded);
}

static void slots(const Place *p)
{
    activations(p, false, false);
    stream(p, "swiglu", p->m->feed_forward, 12, UNIT_FP32, 20);
    float_product(p, "down product", p->m->feed_forward, p->m->width, false);
    stream(p, "addition", p->m->width, 12, UNIT_FP32, 1);
}

static double layer_weights_of(const ModelShape *m) { return m->width * (2 * q_width(m) + 2 * kv_width(m) + 3.0 * m->feed_forward); }

/* Weights of the blocks that are not resident come beside what is computed, as the file has them, and are widened and rounded. */
static void streamed(Costs *out, const RooflineCase *c, double blocks, double passes)
{
    const double weights = layer_weights_of(c->shape);
    const Place p = { out, c->shape, weights, passes * 7, blocks, 0 };
    if (c->resident) return;
    over_link(&p, "weights from the host", (c->half ? 2 : 4) * weights * passes, true);
    if (c->half) stream(&p, "widening of weights", passes, 6, UNIT_FP32, 0);
    if (c->rounded) stream(&p, "rounding of weights", passes, 6, UNIT_FP32, 0);
}

static Place place(Costs *out, const RooflineCase *c, double rows, double each, double times)
{
    return (Place){ out, c->shape, rows, ceil(rows / each), times, c->length };
}

void roofline_blocks(Costs *out, const RooflineCase *c, int from)
{
    const double blocks = c->shape->n_blocks - from;
    const Place p = place(out, c, c->rows, c->chunk, blocks), once = place(out, c, c->rows, c->rows, 1);
    if (from == 0) over_link(&once, "embeddings from the host", 4 * c->rows * c->shape->width, false);
    else stream(&once, "copies of the stream", c->shape->width, 8, UNIT_FP32, 0);
    streamed(out, c, blocks, 1);
    if (c->rounded) parts(&p);
    else slots(&p);
}

static void logits(Costs *out, const RooflineCase *c, const char *name)
{
    const Place p = place(out, c, c->scored, c->head_rows, 1);
    norms(&p, "norm", c->shape->width, 4);
    float_product(&p, name, c->shape->width, c->shape->vocabulary, c->rounded);
}

void roofline_losses(Costs *out, const RooflineCase *c, bool kl)
{
    const Place p = place(out, c, c->scored, c->head_rows, 1);
    logits(out, c, "head product");
    stream(&p, "log-sum-exp", c->shape->vocabulary, 4, UNIT_FP64, log_sum_flops);
    if (!kl) return;
    if (!c->keep_logits) logits(out, c, "head product");
    stream(&p, "KL", c->shape->vocabulary, 8, UNIT_FP64, kl_flops);
}

static double layer_floats_of(const ModelShape *m, WeightKind layer)
{
    const double C = m->width;
    return C * (layer == WEIGHT_Q || layer == WEIGHT_O ? q_width(m) : layer == WEIGHT_K || layer == WEIGHT_V ? kv_width(m) : m->feed_forward);
}

void roofline_noise(Costs *out, const RooflineCase *c, WeightKind layer, double times)
{
    const Place p = { out, c->shape, layer_floats_of(c->shape, layer), 1, times, 0 };
    stream(&p, "noise", 1, 8, UNIT_FP32, noise_flops);
    if (c->rounded) stream(&p, "rounding of weights", 1, 6, UNIT_FP32, 0);
}

void roofline_upload(Costs *out, const RooflineCase *c, WeightKind layer, double times)
{
    const Place p = { out, c->shape, layer_floats_of(c->shape, layer), 1, times, 0 };
    over_link(&p, "made weights from the host", 4 * p.rows, false);
    if (c->rounded) stream(&p, "rounding of weights", 1, 6, UNIT_FP32, 0);
}

/* ---- backward: float32 between the operations; in bf16 the inputs of products are rounded on their way in ---- */

/* dx = dy W, and the gradient dy' x of each sequence, reduced against W and scales while it is in the cache. */
static void layer_backward(const Place *p, double C, double N, bool added, bool rounded)
{
    const double sequences = p->rows / p->length, times = p->times, calls = sequences * times, weights = C * N * calls, number = rounded ? 2 : 4;
    if (rounded) stream(p, "rounding", 2 * N + C, 6, UNIT_FP32, 0);
    product(p, "products backward", N, C, number, number, added ? 8 : 4);
    add(p->out, (Cost){ "gradients of weights", COST_PRODUCT, rounded ? UNIT_BF16 : UNIT_FP32, calls, 2 * p->rows * C * N * times, number * p->rows * (C + N) * times, 0, false });
    add(p->out, (Cost){ "forms", COST_OTHER, UNIT_FP32, calls, form_flops * weights, 4 * weights, 0, false });
    stream(&(Place){ p->out, p->m, C * N, 1, times * p->calls, 0 }, "scales of groups", 1, 4, UNIT_FP64, 2);
}

static void block_backward(const Place *p, bool rounded)
{
    const ModelShape *m = p->m;
    const double C = m->width, F = m->feed_forward, q = q_width(m), kv = kv_width(m);
    stream(p, "swiglu", F, 12, UNIT_FP32, 20);
    layer_backward(p, F, C, false, rounded);
    stream(p, "swiglu backward", F, 20, UNIT_FP32, 30);
    norms(p, "norm", C, 4), norms(p, "norm", C, 4);
    layer_backward(p, C, F, false, rounded), layer_backward(p, C, F, true, rounded);
    layer_backward(p, q, C, false, rounded);
    if (rounded) stream(p, "rounding", 2 * q + 2 * kv, 6, UNIT_FP32, 0);
    attention(p, "attention backward", rounded ? UNIT_BF16 : UNIT_FP32, 18, rounded ? 8 * q + 12 * kv : 16 * q + 16 * kv);      /* 8 of the 18 to make the weights again */
    stream(p, "rotation", q, 8, UNIT_FP32, 6), stream(p, "rotation", kv, 8, UNIT_FP32, 6);
    layer_backward(p, C, q, false, rounded), layer_backward(p, C, kv, true, rounded), layer_backward(p, C, kv, true, rounded);
    for (int i = 0; i < 2; i++) {
        stream(p, "norm backward", C, 12, UNIT_FP64, 2 * norm_flops);
        stream(p, "addition", C, 12, UNIT_FP32, 1);
    }
}

static void head_backward(Costs *out, const RooflineCase *c)
{
    const double C = c->shape->width, V = c->shape->vocabulary;
    const Place p = place(out, c, c->scored, c->head_rows, 1);
    roofline_losses(out, c, false);
    stream(&p, "probe", V, 12, UNIT_FP32, probe_flops);
    if (c->rounded) stream(&p, "rounding", V, 6, UNIT_FP32, 0);
    product(&p, "products backward", V, C, c->rounded ? 2 : 4, c->rounded ? 2 : 4, 4);
    stream(&p, "norm backward", C, 12, UNIT_FP64, 2 * norm_flops);
}

void roofline_fisher(Costs *out, const RooflineCase *c, int lowest)
{
    const ModelShape *m = c->shape;
    const double back = m->n_blocks - lowest;
    RooflineCase pass = *c;
    pass.chunk = c->together;
    pass.resident = true;                                               /* those that are not come for every pass of some segments */
    const Place all = place(out, c, c->rows, c->together, back), once = place(out, c, c->rows, c->together, 1);
    roofline_blocks(out, &pass, 0);
    streamed(out, c, m->n_blocks + back, once.calls);
    over_link(&once, "zeros from the host", 4 * c->rows * m->width, false);
    head_backward(out, c);
    const Place copies = place(out, c, c->rows, c->together, m->n_blocks + 2 * back);
    stream(&copies, "copies of the stream", m->width, 8, UNIT_FP32, 0);
    if (!c->keep) activations(&all, c->rounded, true);
    block_backward(&all, c->rounded);
}
