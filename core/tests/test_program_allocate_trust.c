/* test_program_allocate_trust.c - `linearity allocate` on costs with standard errors: how sure each choice is */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_models.h"

/* One layer of two gets the large choice: a, which saves 1 +- .3, or b, which saves .5. */
static const char table[] = "layer,weights,choice,bits,cost,cost_se\n"
                            "a,100,small,2,1,0.3\na,100,large,4,0,0\nb,100,small,2,0.5,0\nb,100,large,4,0,\n";

static json_t *allocated(const char *path, const char *option, const char *value)
{
    Ran ran = program("allocate", path, "--budget", "3", "--json", option, value, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *root = json_loads(ran.out, 0, NULL);
    assert_non_null(root);
    ran_free(&ran);
    return root;
}

static json_t *stability_of(json_t *root) { return json_object_get(json_array_get(json_object_get(root, "allocations"), 0), "stability"); }
static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

/* P(1 + .3 z > .5) = .9522; where it fails the loss is 1 in the place of .5. */
static void test_keep(void **state)
{
    (void)state;
    const double p = .5 * erfc(-(.5 / .3) / sqrt(2));
    json_t *root = allocated(scratch_text("t.csv", table), "--resamples", "4000"), *s = stability_of(root);
    const double keep = number(json_object_get(s, "keep"), "a");
    assert_true(fabs(keep - p) < 4 * sqrt(p * (1 - p) / 4000));
    assert_true(keep == number(json_object_get(s, "keep"), "b") && fabs(number(s, "kept") - keep) < 1e-12);
    assert_true(fabs(number(s, "regret") - (1 - keep)) < 1e-12);            /* each time 100 % */
    assert_true(number(s, "resamples") == 4000);
    json_decref(root);
}

/* Both uncertain, each with a draw of its own: P(1 + .3 z > .5 + .3 z') = .8807. */
static void test_layers_are_drawn_apart(void **state)
{
    (void)state;
    const char *path = scratch_text("two.csv", "layer,weights,choice,bits,cost,cost_se\n"
                                               "a,100,small,2,1,0.3\na,100,large,4,0,0\nb,100,small,2,0.5,0.3\nb,100,large,4,0,0\n");
    const double p = .5 * erfc(-(.5 / (.3 * sqrt(2))) / sqrt(2));
    json_t *root = allocated(path, "--resamples", "4000");
    assert_true(fabs(number(stability_of(root), "kept") - p) < 4 * sqrt(p * (1 - p) / 4000));
    json_decref(root);
}

static void test_one_choice_for_both(void **state)
{
    (void)state;
    char *text = xstrdup("layer,weights,choice,bits,cost,cost_se,group\na,100,small,2,1,0.3,g\na,100,large,4,0,0,g\nb,100,small,2,0.5,0,g\nb,100,large,4,0,0,g\n");
    json_t *root = allocated(scratch_text("g.csv", text), "--resamples", "50"), *s = stability_of(root);
    assert_true(number(s, "kept") == 1 && number(s, "regret") == 0);        /* both large do not fit */
    json_decref(root);
    free(text);
}

static void test_none(void **state)
{
    (void)state;
    json_t *off = allocated(scratch_text("t.csv", table), "--resamples", "0");
    assert_null(stability_of(off));
    json_decref(off);
    Ran ran = program("allocate", scratch_text("bad.csv", "layer,weights,choice,bits,cost,cost_se\na,1,x,2,1,-1\n"), "--budget", "3", NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "bad.csv:2: the standard error 'cost_se' is -1"));
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_keep), cmocka_unit_test(test_layers_are_drawn_apart),
                                        cmocka_unit_test(test_one_choice_for_both), cmocka_unit_test(test_none) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
