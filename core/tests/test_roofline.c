/*
 * test_roofline.c - the roofline of a pass: its FLOPs are network.h's, its times follow rows, rates and bandwidths in closed form
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/config/config.h"
#include "core/measure/roofline.h"
#include "core/network/backward.h"
#include "core/network/device.h"

static const ModelShape llama = { "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 1e-5f, false, NULL, 0 };

static RooflineCase text(bool rounded, double windows, double length)
{
    return (RooflineCase){ .shape = &llama, .rounded = rounded, .rows = windows * length, .scored = windows * (length - 1), .length = length,
                           .chunk = length, .together = length, .head_rows = 512, .resident = true, .keep_logits = true };
}

static void assert_near(double x, double y, double relative) { assert_true(fabs(x - y) <= relative * fabs(y)); }

static double work(const Costs *c) { return roofline_flops(c, COST_PRODUCT) + roofline_flops(c, COST_ATTENTION); }

static Cost named(const Costs *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->cost[i].name, name)) return c->cost[i];
    fail_msg("there is no operation '%s'", name);
    return c->cost[0];
}

static void flops_are_the_networks(void **state)
{
    (void)state;
    for (int rounded = 0; rounded < 2; rounded++)
        for (int from = 0; from < 32; from += 13)
            for (int length = 256; length <= 8192; length *= 32) {
                const RooflineCase c = text(rounded, 3, length);
                Costs forward = { 0 };
                roofline_blocks(&forward, &c, from);
                roofline_losses(&forward, &c, true);
                assert_near(work(&forward), network_flops(&llama, (int64_t)c.rows, length, from, (int64_t)c.scored), 1e-13);
            }
}

/* Activations kept: products are backward_flops' to the last; attention backward takes 9 of its 2 units, since the weights of attention are made
 * again twice.  Not kept: once more all products but down's. */
static void flops_backward(void **state)
{
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        RooflineCase c = text(!keep, 2, 1024);
        c.keep = keep;
        Costs fisher = { 0 }, forward = { 0 };
        roofline_fisher(&fisher, &c, 0);
        roofline_blocks(&forward, &c, 0);
        const double attention = roofline_flops(&forward, COST_ATTENTION), down = named(&forward, "down product").flops;
        const double all = backward_flops(&llama, (int64_t)c.rows, c.length, (int64_t)c.scored, keep);
        assert_near(roofline_flops(&fisher, COST_PRODUCT), all - (keep ? 3 : 4) * attention - (keep ? 0 : down), 1e-13);
        assert_near(roofline_flops(&fisher, COST_ATTENTION), attention * ((keep ? 1 : 2) + 4.5), 1e-13);
    }
}

/* Twice the windows in chunks of one window: twice of everything. */
static void times_follow_rows(void **state)
{
    (void)state;
    for (const DeviceSheet *d = device_table; d->name; d++)
        for (int rounded = 0; rounded < 2; rounded++) {
            Seconds s[2];
            for (int i = 0; i < 2; i++) {
                RooflineCase c = text(rounded, 4 * (i + 1), 1024);
                c.scored = c.rows;
                Costs all = { 0 };
                roofline_blocks(&all, &c, 0);
                roofline_losses(&all, &c, true);
                roofline_fisher(&all, &c, 5);
                s[i] = roofline_total(&all, d);
            }
            assert_near(s[1].bound, 2 * s[0].bound, 2e-4);                  /* the launches that take the whole text stay single */
            assert_near(s[1].predicted, 2 * s[0].predicted, 2e-4);
            assert_true(s[0].predicted > s[0].bound && s[0].predicted < 5 * s[0].bound);
        }
}

/* A product [R][C] [N][C]' of numbers of b bytes in one call is bound by memory up to
 *     2 R C N / rate = b (R C + C N + R N) / bandwidth   =>   R = b C N rate / (2 C N bandwidth - b (C + N) rate) rows. */
static void crossover_of_a_product(void **state)
{
    (void)state;
    const double C = llama.width, N = llama.width;
    for (const DeviceSheet *d = device_table; d->name; d++)
        for (int rounded = 0; rounded < 2; rounded++) {
            const double b = rounded ? 2 : 4, rate = rounded ? d->bf16 : d->fp32;
            const double rows = b * C * N * rate / (2 * C * N * d->bandwidth - b * (C + N) * rate);
            assert_true(rows > 1);
            for (int side = 0; side < 2; side++) {
                RooflineCase c = text(rounded, 1, rows * (side ? 1.01 : .99));
                Costs all = { 0 };
                roofline_blocks(&all, &c, 0);
                const Cost q = named(&all, "q product");
                const Seconds s = roofline_seconds(&q, d);
                assert_int_equal(s.roof, side ? ROOF_ARITHMETIC : ROOF_MEMORY);
                const double seconds = 32 * (side ? 2 * c.rows * C * N / rate : b * (c.rows * (C + N) + C * N) / d->bandwidth);
                assert_near(s.bound, seconds, 1e-12);
            }
        }
}

/* Chunks read the weights again: 3 chunks of 4 windows. */
static void weights_once_a_chunk(void **state)
{
    (void)state;
    RooflineCase c = text(true, 4, 256);
    Costs whole = { 0 }, chunks = { 0 };
    c.chunk = 1024;
    roofline_blocks(&whole, &c, 0);
    c.chunk = 400;
    roofline_blocks(&chunks, &c, 0);
    const double weights = 32 * 2.0 * 4096 * 4096;
    assert_near(named(&whole, "q product").bytes, weights + 32 * 1024 * 4.0 * 4096, 1e-14);
    assert_near(named(&chunks, "q product").bytes, 3 * weights + 32 * 1024 * 4.0 * 4096, 1e-14);
    assert_true(named(&chunks, "swiglu").bytes == named(&whole, "swiglu").bytes && named(&chunks, "swiglu").calls == 3 * named(&whole, "swiglu").calls);
}

/* What is expected of a device is what its roofs come to, each lowered: a memory-bound operation takes 1 / .9, a product 1 / .8, a launch 5 us. */
static void predictions(void **state)
{
    (void)state;
    const DeviceSheet *d = device_sheet("h100");
    const Cost moved = { "moved", COST_OTHER, UNIT_FP32, 1, 0, 1e9, 0, false }, multiplied = { "multiplied", COST_PRODUCT, UNIT_BF16, 1, 1e12, 1e3, 0, false };
    const Cost called = { "called", COST_OTHER, UNIT_FP32, 7, 1, 1, 0, false };
    assert_near(roofline_seconds(&moved, d).predicted, 1e9 / 3.35e12 / .9, 1e-12);
    assert_near(roofline_seconds(&multiplied, d).predicted, 1e12 / 989e12 / .8, 1e-12);
    assert_near(roofline_seconds(&called, d).predicted, 7 * 5e-6, 1e-12);
    assert_true(roofline_seconds(&called, d).bound < 1e-11);
}

/* attention: 2 L H D FLOPs a row against 4 (H + G) D bytes in bf16: memory up to L = 2 (1 + G / H) rate / bandwidth. */
static void crossover_of_attention(void **state)
{
    (void)state;
    for (const DeviceSheet *d = device_table; d->name; d++) {
        const double length = 2 * (1 + (double)llama.n_kv_heads / llama.n_heads) * d->bf16 / d->bandwidth;
        for (int side = 0; side < 2; side++) {
            RooflineCase c = text(true, 1, length * (side ? 1.01 : .99));
            Costs all = { 0 };
            roofline_blocks(&all, &c, 0);
            const Cost attention = named(&all, "attention");
            assert_int_equal(roofline_seconds(&attention, d).roof, side ? ROOF_ARITHMETIC : ROOF_MEMORY);
        }
    }
}

/* Losses in double: arithmetic binds where the rate is low, and KL without clean logits runs the head twice. */
static void losses(void **state)
{
    (void)state;
    RooflineCase c = text(true, 1, 8192);
    Costs kept = { 0 }, again = { 0 }, noise = { 0 };
    roofline_losses(&kept, &c, true);
    c.keep_logits = false;
    roofline_losses(&again, &c, true);
    const Cost kl = named(&kept, "KL"), sum = named(&kept, "log-sum-exp");
    const DeviceSheet *slow = device_sheet("rtx4090"), *fast = device_sheet("h100");
    assert_int_equal(roofline_seconds(&kl, slow).roof, ROOF_ARITHMETIC);
    assert_near(roofline_seconds(&kl, slow).bound, 90 * c.scored * 128256 / slow->fp64, 1e-12);
    assert_near(kl.bytes, 2 * sum.bytes, 1e-15);
    assert_near(named(&again, "head product").flops, 2 * named(&kept, "head product").flops, 1e-15);
    roofline_noise(&noise, &c, WEIGHT_GATE, 3);
    const Cost z = named(&noise, "noise");
    assert_near(z.bytes, 3 * 8.0 * 4096 * 14336, 1e-15);
    assert_int_equal(roofline_seconds(&z, fast).roof, ROOF_MEMORY);
}

/* What is not resident comes over the link once a pass, beside what is computed, and then the link is what binds where the text is short; a backward
 * pass asks twice for every block. */
static void streamed_weights(void **state)
{
    (void)state;
    RooflineCase c = text(true, 1, 512);
    const DeviceSheet *d = device_sheet("h100");
    const double weights = 32 * 4096.0 * (2 * 4096 + 2 * 1024 + 3 * 14336);
    Costs resident = { 0 }, streamed = { 0 }, fisher = { 0 }, half = { 0 }, longer = { 0 };
    roofline_blocks(&resident, &c, 0);
    c.resident = false;
    roofline_blocks(&streamed, &c, 0);
    roofline_fisher(&fisher, &c, 0);
    const Cost come = named(&streamed, "weights from the host");
    assert_near(come.link, 4 * weights, 1e-15);
    assert_near(named(&fisher, "weights from the host").link, 8 * weights, 1e-15);
    assert_int_equal(roofline_seconds(&come, d).roof, ROOF_LINK);
    assert_int_equal(roofline_total(&streamed, d).roof, ROOF_LINK);
    assert_int_equal(roofline_total(&resident, d).roof, ROOF_ARITHMETIC);
    assert_near(roofline_total(&streamed, d).bound, 4 * weights / d->link, 1e-12);
    c.half = true;
    roofline_blocks(&half, &c, 0);
    assert_near(named(&half, "weights from the host").link, 2 * weights, 1e-15);
    assert_near(named(&half, "widening of weights").bytes, 6 * weights, 1e-15);
    c = text(true, 64, 512);
    c.chunk = 8192;
    roofline_blocks(&longer, &c, 0);
    const double computed = roofline_total(&longer, d).bound;
    c.resident = false;
    longer.n = 0;
    roofline_blocks(&longer, &c, 0);
    assert_near(roofline_total(&longer, d).bound, computed + 6 * weights / d->bandwidth, 1e-12);
}

static void stand_ins(void **state)
{
    (void)state;
    assert_null(device_sheet("h1000"));
    const Kernels *k = device_stand_in(device_sheet("a100"), "fp32");
    assert_string_equal(k->precision, "fp32");
    assert_false(kernels_have_parts(k));
    assert_int_equal(kernels_memory(k, 5), (int64_t)(.9 * 79 * 1073741824.0));
    k = device_stand_in(device_sheet("rtx4090"), "bf16");
    assert_string_equal(k->name, "cuda");
    assert_string_equal(k->precision, "bf16");
    assert_true(kernels_have_parts(k));
    assert_int_equal(kernels_weight_bytes(k), 6);
    assert_int_equal(k->free_memory(), 23 * (int64_t)1073741824);
}

/* The key `device` offers the rows of the table. */
static void the_key_names_the_table(void **state)
{
    (void)state;
    char *words = xstrdup("");
    for (const DeviceSheet *d = device_table; d->name; d++) {
        char *longer = xformat("%s%s%s", words, *words ? "|" : "", d->name);
        free(words);
        words = longer;
    }
    const Option *row = config_options;
    while (strcmp(row->name, "device")) row++;
    assert_string_equal(row->words, words);
    free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_are_the_networks), cmocka_unit_test(flops_backward), cmocka_unit_test(times_follow_rows),
        cmocka_unit_test(crossover_of_a_product), cmocka_unit_test(crossover_of_attention), cmocka_unit_test(losses),
        cmocka_unit_test(weights_once_a_chunk), cmocka_unit_test(predictions),
        cmocka_unit_test(streamed_weights), cmocka_unit_test(stand_ins), cmocka_unit_test(the_key_names_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
