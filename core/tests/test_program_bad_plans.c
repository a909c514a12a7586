/*
 * test_program_bad_plans.c - linearity plan: importances that are not whole, memories that are none, and what is said then
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/bad_input.h"

#define SMALL "random:smollm2-135m"

static void file(const char *rows) { char *text = xformat("block,rule,importance,importance_se,rank\n%s", rows); scratch_text("bad.csv", text); free(text); }

static void make_good(void) { file("0,a,2,0,1\n1,a,1,0,2\n0,b,2,0,1\n1,b,1,0,2\n"); }
static void make_missing(void) { file("0,a,2,0,1\n"); }
static void make_twice(void) { file("0,a,2,0,1\n0,a,1,0,2\n"); }
static void make_other(void) { file("0,a,2,0,1\n2,a,1,0,2\n"); }
static void make_half(void) { file("0,a,2,0,1\n0.5,a,1,0,2\n"); }
static void make_same_rank(void) { file("0,a,2,0,1\n1,a,1,0,1\n"); }
static void make_rank_0(void) { file("0,a,2,0,0\n1,a,1,0,1\n"); }
static void make_nan(void) { file("0,a,2,0,1\n1,a,nan,0,2\n"); }
static void make_empty_cell(void) { file("0,a,2,0,1\n1,a,,0,2\n"); }
static void make_empty_rank(void) { file("0,a,2,0,1\n1,a,1,0,\n"); }
static void make_upside_down(void) { file("0,a,2,0,2\n1,a,1,0,1\n"); }
static void make_no_rows(void) { file(""); }
static void make_column(void) { scratch_text("bad.csv", "block,rule,importance\n0,a,1\n1,a,2\n"); }
static void make_no_rule(void) { scratch_text("bad.csv", "block,importance,rank\n0,1,2\n1,2,1\n"); }
static void make_alpha(void) { scratch_text("bad.csv", "layer,block,alpha\nblocks.0.q,0,1\nblocks.0.k,0,1\nblocks.1.q,1,2\n"); }
static void make_alpha_empty(void) { scratch_text("bad.csv", "layer,block,alpha\nblocks.0.q,0,1\nblocks.1.q,1,\n"); }

#define OF(...) { "plan", TINY, "--memory", "1MB", "--importance", "@bad.csv", "--context", "16", __VA_ARGS__ }

static const BadInput bad[] = {
    { "several rules", 1, OF(), { "several rules: choose one of a, b with --rule" }, make_good },
    { "a rule that is not there", 1, OF("--rule", "c"), { "has no importance by rule 'c'; it has a, b" }, make_good },
    { "a block is missing", 1, OF(), { "block 1 has no importance by rule 'a'" }, make_missing },
    { "a block twice", 1, OF(), { "bad.csv:3: block 0 is there twice" }, make_twice },
    { "a block of another model", 1, OF(), { "bad.csv:3: there is no block 2 in a model of 2 blocks" }, make_other },
    { "half a block", 1, OF(), { "bad.csv:3: there is no block 0.5" }, make_half },
    { "a rank twice", 1, OF(), { "bad.csv:3: blocks 0 and 1 both have rank 1" }, make_same_rank },
    { "ranks from 0", 1, OF(), { "bad.csv:2: the rank of block 0 must be a whole number from 1 to 2" }, make_rank_0 },
    { "an importance nan", 1, OF(), { "importance" }, make_nan },
    { "an importance left out", 1, OF(), { "bad.csv:3: the importance of block 1 is not a finite number" }, make_empty_cell },
    { "a rank left out", 1, OF(), { "bad.csv:3: the rank of block 1 must be a whole number" }, make_empty_rank },
    { "ranks against importances", 1, OF(), { "block 1 has rank 1 and importance 1, block 0 behind it 2" }, make_upside_down },
    { "no rows", 1, OF(), { "no rows" }, make_no_rows },
    { "no ranks", 1, OF(), { "has no column 'rank'" }, make_column },
    { "no rules", 1, OF(), { "has no column 'rule' with words" }, make_no_rule },
    { "layers missing", 1, OF("--rule", "alpha"), { "coefficients of 1 layers of block 1, and of 2 of block 0" }, make_alpha },
    { "a coefficient left out", 1, OF(), { "bad.csv:3: the coefficient is not a finite number" }, make_alpha_empty },
    { "alpha of importances", 1, OF("--rule", "alpha"), { "has no importance by rule 'alpha'; it has a, b" }, make_good },
    { "another rule of coefficients", 1, OF("--rule", "zd"), { "has no column 'rule' with words" }, make_alpha },
    { "a control that is not there", 1, OF("--rule", "first-to-last"), { "has no importance by rule 'first-to-last'; it has a, b" }, make_good },
    { "no such file", 1, { "plan", TINY, "--importance", "@none.csv" }, { "none.csv" }, NULL },
    { "no such model", 1, { "plan", "@none", "--memory", "1GB" }, { "none" }, NULL },
    { "context beyond the model's", 1, { "plan", TINY, "--context", "513" }, { "--context: the model was made for 512 tokens, not 513" }, NULL },
    { "endless", 1, { "plan", SMALL, "--memory", "1GB", "--sequences", "1000000" }, { "no context would fit" }, NULL },
};

static const BadInput usage[] = {
    { "memory in words", 2, { "plan", TINY, "--memory", "lots" }, { "--memory", "8GiB", "'lots'" }, NULL },
    { "no memory", 2, { "plan", TINY, "--memory", "0" }, { "--memory" }, NULL },
    { "rule without importance", 2, { "plan", TINY, "--rule", "jaccard" }, { "--rule jaccard needs --importance" }, NULL },
    { "a control by another name", 2, { "plan", TINY, "--rule", "depth" }, { "--rule depth needs --importance" }, NULL },
    { "rising widths", 2, { "plan", TINY, "--bits", "4", "--bits", "8" }, { "widths must fall", "8 comes after 4" }, NULL },
    { "a width between", 2, { "plan", TINY, "--bits", "12" }, { "from 2 to 8, not 12" }, NULL },
    { "all slack", 2, { "plan", TINY, "--slack", "1" }, { "--slack", "0 to 0.9" }, NULL },
};

static void test_bad_input(void **state)
{
    (void)state;
    BAD_CHECK_ALL(bad);
    BAD_CHECK_ALL(usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bad_input) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
