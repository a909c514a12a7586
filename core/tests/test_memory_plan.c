/*
 * test_memory_plan.c - plans of memory: against exhaustive search, the closed formula, and what is said to fit
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/memory_plan.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/model_shapes.h"

static const int ladder[] = { 16, 8, 4, 2 };
enum { LADDER = 4, MOST_L = 12 };

/* ---- random cases ---- */

typedef struct { uint64_t at; } Numbers;
static int64_t below(Numbers *s, int64_t n) { return (int64_t)(rng_integer(11, rng_stream(RNG_TEST, 1, 0, 0), s->at++) % (uint64_t)n); }

typedef struct { BlockCounts counts; int order[MOST_L]; int64_t fixed; MemoryLimit limit; bool equal; } Case;

/* Bytes that fall with the width, sometimes not at all from one to the next. */
static void random_block(BlockBytes *out, Numbers *s, int n_widths)
{
    int64_t bytes = below(s, 50);
    for (int k = n_widths - 1; k >= 0; k--) {
        out[k] = (BlockBytes){ bytes / 2, bytes - bytes / 2 - bytes / 5, bytes / 5, 0 };
        bytes += below(s, 4) ? 1 + below(s, 1000) : 0;
    }
}

static Case random_case(Numbers *s)
{
    Case c = { .equal = below(s, 3) == 0 };
    BlockCounts *counts = &c.counts;
    *counts = (BlockCounts){ .n_blocks = 1 + (int)below(s, MOST_L), .n_widths = 1 + (int)below(s, LADDER) };
    memcpy(counts->width, ladder, sizeof ladder);
    counts->block = xcalloc((size_t)(counts->n_blocks * counts->n_widths), sizeof *counts->block);
    for (int b = 0; b < counts->n_blocks; b++) {
        if (b == 0 || !c.equal) random_block(counts->block + b * counts->n_widths, s, counts->n_widths);
        else memcpy(counts->block + b * counts->n_widths, counts->block, sizeof *counts->block * (size_t)counts->n_widths);
        const int at = (int)below(s, b + 1);                    /* a random order */
        c.order[b] = c.order[at];
        c.order[at] = b;
    }
    int64_t least = 0, most = 0;
    for (int b = 0; b < counts->n_blocks; b++) least += block_bytes(counts, b, counts->n_widths - 1), most += block_bytes(counts, b, 0);
    c.fixed = below(s, 300);
    c.limit = (MemoryLimit){ c.fixed + least - 60 + below(s, most - least + 200), below(s, 2) ? 0 : (double)below(s, 200) / 1000 };
    if (c.limit.usable < 0) c.limit.usable = 0;
    c.limit.usable = (int64_t)((double)c.limit.usable / (1 - c.limit.slack));
    return c;
}

/* ---- the exhaustive search: all subsets of blocks at the higher width, of every pair ---- */

static int64_t subset_bytes(const Case *c, unsigned subset, int high, int low)
{
    int64_t bytes = c->fixed + (int64_t)ceil((double)c->limit.usable * c->limit.slack);
    for (int b = 0; b < c->counts.n_blocks; b++) bytes += block_bytes(&c->counts, b, subset >> b & 1 ? high : low);
    return bytes;
}

static bool is_prefix(const Case *c, unsigned subset)
{
    bool ended = false;
    for (int i = 0; i < c->counts.n_blocks; i++) {
        const bool in = subset >> c->order[i] & 1;
        if (in && ended) return false;
        ended |= !in;
    }
    return true;
}

/* Most blocks at the higher width of a pair: of prefixes, and of any subset; -1 where nothing fits. */
typedef struct { int prefix, any; } Most;

static Most search(const Case *c, int high, int low)
{
    Most most = { -1, -1 };
    for (unsigned subset = 0; subset < 1u << c->counts.n_blocks; subset++) {
        if (subset_bytes(c, subset, high, low) > c->limit.usable) continue;
        const int n = __builtin_popcount(subset);
        if (n > most.any) most.any = n;
        if (n > most.prefix && is_prefix(c, subset)) most.prefix = n;
    }
    return most;
}

/* The highest pair of neighbours in which anything fits. */
static Most search_pairs(int *high, int *low, const Case *c)
{
    Most most = { -1, -1 };
    const int pairs = c->counts.n_widths > 1 ? c->counts.n_widths - 1 : 1;
    for (int k = 0; k < pairs && most.any < 0; k++) {
        *high = k, *low = c->counts.n_widths > 1 ? k + 1 : k;
        most = search(c, *high, *low);
    }
    return most;
}

static void check_plan(const Case *c, const MemoryPlan *plan)
{
    int high, low, n = 0;
    const Most most = search_pairs(&high, &low, c);
    assert_true(most.any >= 0);
    assert_true(plan->total <= c->limit.usable);
    unsigned subset = 0;
    for (int b = 0; b < plan->n_blocks; b++) {
        assert_true(plan->width[b] == plan->high || plan->width[b] == plan->low);
        if (plan->width[b] == plan->high) subset |= 1u << b, n++;
    }
    assert_true(plan->high == high && plan->low == low);
    assert_int_equal(plan->n_high, n);
    assert_int_equal(n, c->counts.n_widths > 1 ? most.prefix : c->counts.n_blocks);
    assert_true(is_prefix(c, subset));
    assert_true(plan->total == subset_bytes(c, subset, high, low));
    if (c->equal) assert_int_equal(n, most.any);
}

/* n = clamp(floor((M - M0 - L m(low)) / (m(high) - m(low))), 0, L) */
static void check_formula(const Case *c, const MemoryPlan *plan)
{
    const double L = c->counts.n_blocks, low = (double)block_bytes(&c->counts, 0, plan->low), high = (double)block_bytes(&c->counts, 0, plan->high);
    if (!c->equal || high == low) return;
    const double room = (double)(c->limit.usable - plan->slack - plan->fixed);
    assert_true(plan->n_high == (int)fmin(fmax(floor((room - L * low) / (high - low)), 0), L));
}

/* Where nothing fits, what is said to suffice does, and a byte less does not. */
static void check_least(Case *c)
{
    int64_t least = c->fixed;
    for (int b = 0; b < c->counts.n_blocks; b++) least += block_bytes(&c->counts, b, c->counts.n_widths - 1);
    char words[64];
    const int64_t usable = memory_least(least, c->limit.slack);
    snprintf(words, sizeof words, "it takes %lld", (long long)usable);
    assert_non_null(strstr(err_last(), words));
    MemoryPlan plan;
    c->limit.usable = usable;
    assert_int_equal(memory_plan(&plan, &c->counts, c->order, c->fixed, &c->limit), OK);
    assert_true(plan.total <= usable);
    memory_plan_free(&plan);
    c->limit.usable = usable - 1;
    if (usable > 0) assert_int_equal(memory_plan(&plan, &c->counts, c->order, c->fixed, &c->limit), ERR_BUDGET);
}

static void test_exhaustive(void **state)
{
    (void)state;
    enum { CASES = 1000 };
    Numbers s = { 0 };
    int refused = 0, between = 0, equal = 0;
    for (int i = 0; i < CASES; i++) {
        Case c = random_case(&s);
        MemoryPlan plan;
        const int status = memory_plan(&plan, &c.counts, c.order, c.fixed, &c.limit);
        if (status == OK) {
            check_plan(&c, &plan);
            check_formula(&c, &plan);
            between += plan.n_high > 0 && plan.n_high < plan.n_blocks;
            equal += c.equal && plan.n_high > 0 && plan.n_high < plan.n_blocks;
            memory_plan_free(&plan);
        } else {
            int high, low;
            assert_int_equal(status, ERR_BUDGET);
            assert_int_equal(search_pairs(&high, &low, &c).any, -1);
            check_least(&c);
            refused++;
        }
        block_counts_free(&c.counts);
    }
    print_message("%d cases: %d where nothing fits, %d between all low and all high, %d of these with equal blocks\n", CASES, refused, between, equal);
    assert_true(refused > 50 && between > 300 && equal > 50);
}

static void test_more_bytes_at_fewer_bits(void **state)
{
    (void)state;
    BlockBytes bytes[] = { { 10, 0, 0, 0 }, { 5, 0, 0, 0 }, { 10, 0, 0, 0 }, { 5, 3, 3, 0 } };
    const BlockCounts counts = { 2, 2, { 16, 8 }, bytes };
    MemoryPlan plan;
    assert_int_equal(memory_plan(&plan, &counts, (const int[]){ 0, 1 }, 0, &(MemoryLimit){ 1000, 0 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "block 1 takes 11 bytes at 8 bits and 10 at 16"));
}

/* The longest context fits and one token more does not; where none does it is 0. */
static void test_longest_context(void **state)
{
    (void)state;
    ModelShape s = llama2_7b;
    s.n_parameters = parameters(&s);
    BlockCounts counts;
    block_counts_of_shape(&counts, &s, ladder, LADDER);
    int order[32];
    for (int b = 0; b < 32; b++) order[b] = b;
    MemoryUse use = { 0, 1, 0, 16, 16 };
    const MemoryLimit limit = { (int64_t)4 << 30, 0.05 };
    const int64_t longest = memory_longest_context(&s, &use, &counts, &limit, 4096);
    assert_true(longest > 1000 && longest < 4096);
    for (use.context = longest; use.context <= longest + 1; use.context++) {
        MemoryPlan plan;
        const FixedBytes fixed = fixed_bytes(&s, &use);
        assert_int_equal(memory_plan(&plan, &counts, order, fixed_bytes_sum(&fixed), &limit), use.context == longest ? OK : ERR_BUDGET);
        if (use.context == longest) memory_plan_free(&plan);
    }
    assert_int_equal(memory_longest_context(&s, &use, &counts, &limit, 100), 100);
    assert_int_equal(memory_longest_context(&s, &use, &counts, &(MemoryLimit){ (int64_t)1 << 30, 0.05 }, 4096), 0);
    block_counts_free(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_more_bytes_at_fewer_bits), cmocka_unit_test(test_longest_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
