/*
 * test_program_rounding.c - noise so fine that bf16 rounds the weights by as much: said once, and only then
 */
#include "core/tests/program_alpha.h"

#define MODEL "core/tests/golden/tiny/llama3-gqa-tied"         /* heads that tensor cores take */

static const char said[] = "rounds the weights themselves";

static int times_said(const char *text)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, said)); at++) n++;
    return n;
}

static int said_by_run(const char *precision, const char *levels)
{
    char *config = xformat("experiment: [sensitivity, predict]\nestimator: inject\nmodel: " MODEL "\ntext: {random: {windows: 2, length: 8, seed: 1}}\n"
                           "layers: [\"blocks.1.down\"]\nnoise: {group: 16, t2: [%s]}\nchoices: [{rtn: {bits: [3, 4], group: 16}}]\nbudgets: [5.0]\n"
                           "bootstrap: 100\noutput: %s\n", levels, scratch_path("rounding.h5"));
    remove(scratch_path("rounding.h5"));
    Ran ran = program("run", scratch_text("rounding.yaml", config), "--quiet", "--backend", "cuda", "--precision", precision, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    const int n = times_said(ran.out);
    ran_free(&ran);
    free(config);
    return n;
}

/* Two experiments measure the same noise. */
static void run_says_it_once(void **state)
{
    (void)state;
    assert_int_equal(said_by_run("bf16", "0.00001, 0.01"), 1);
    assert_int_equal(said_by_run("bf16", "0.0001, 0.01"), 0);
    assert_int_equal(said_by_run("fp32", "0.00001, 0.01"), 0);
}

static int said_by_alpha(const char *precision, const char *level)
{
    Ran ran = program("alpha", MODEL, copies("a.ids", 2), "--quiet", "--group=16", "--estimator=inject", "--backend=cuda", precision, level, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    const int n = times_said(ran.out);
    ran_free(&ran);
    return n;
}

static void alpha_says_it_once(void **state)
{
    (void)state;
    assert_int_equal(said_by_alpha("--precision=bf16", "--t2=0.00001"), 1);
    assert_int_equal(said_by_alpha("--precision=bf16", "--t2=0.01"), 0);
    assert_int_equal(said_by_alpha("--precision=fp32", "--t2=0.00001"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_says_it_once),
        cmocka_unit_test(alpha_says_it_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
