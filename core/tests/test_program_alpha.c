/*
 * test_program_alpha.c - `linearity alpha`: its numbers against exact Fisher traces, and its stop rule
 */
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_alpha.h"
#include "core/tests/program_tokenizer.h"

static const double LARGEST_Z = 4.5;

/* Windows of three ids each: two scored tokens, so heavy tails. */
static const char *triples(const char *name, int windows)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    for (int w = 0; w < windows; w++) fprintf(out, "%d %d %d\n", 37 * w % 97, 11 * w % 89, 53 * w % 83);
    fclose(out);
    const char *path = scratch_text(name, text);
    free(text);
    return path;
}

static void assert_keys(const json_t *object, const char *keys)
{
    char *list = xstrdup(keys);
    for (char *key = strtok(list, " "); key; key = strtok(NULL, " ")) {
        if (!json_object_get(object, key)) print_error("no key %s\n", key);
        assert_non_null(json_object_get(object, key));
    }
    free(list);
}

static void assert_z(const json_t *l, const char *key, double expected)
{
    char *se = xformat("%s_se", key);
    double z = (number(l, key) - expected) / number(l, se);
    if (!(fabs(z) <= LARGEST_Z)) print_error("%s of %s: %g, not %g, z = %g\n", key, text_of(l, "name"), number(l, key), expected, z);
    assert_true(fabs(z) <= LARGEST_Z);
    free(se);
}

/* ---- numbers ---- */

static void fisher_is_the_trace(void **state)
{
    (void)state;
    enum { WINDOWS = 1024 };
    static const char *const type[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };
    json_t *golden = json_load_file(TINY "/golden.json", 0, NULL), *matrices = json_object_get(json_object_get(golden, "fisher"), "matrices");
    json_t *root = alpha(TINY, copies("a.ids", WINDOWS), "--regret=0", NULL);
    assert_keys(root, "estimator metric group windows layers forward_equivalents seconds tokens first_token regret regret_target windows_needed");
    assert_string_equal(text_of(root, "estimator"), "fisher");
    assert_string_equal(text_of(root, "metric"), "nats/token");
    assert_true(number(root, "group") == 16 && number(root, "windows") == WINDOWS && number(root, "tokens") == WINDOWS * SCORED);
    assert_true(number(root, "forward_equivalents") > 2 && number(root, "forward_equivalents") < 5);
    assert_int_equal(json_array_size(json_object_get(root, "layers")), LAYERS);
    double sum = 0;
    for (int i = 0; i < LAYERS; i++) {
        char key[64];
        const json_t *l = layer(root, i);
        assert_keys(l, "name alpha alpha_se alpha_sigma alpha_sigma_se rho contrast_se alpha_robust");
        snprintf(key, sizeof key, "layers.%d.%s", i / 7, type[i % 7]);
        const json_t *exact = json_object_get(matrices, key);
        assert_z(l, "alpha", number(exact, "group_scaled") / (2 * SCORED));
        assert_z(l, "alpha_sigma", number(exact, "mean_w2_trF") / (2 * SCORED));
        assert_z(l, "rho", number(exact, "rho") / (2 * SCORED));
        sum += number(l, "alpha");
    }
    assert_true(fabs(sum - number(root, "alpha_sum")) <= 1e-12 * sum);
    json_decref(root);
    json_decref(golden);
}

/* Noise in one layer at a time: another estimator of the same numbers. */
static void injection_agrees(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 512);
    json_t *fisher = alpha(TINY, text, "--regret=0", NULL), *inject = alpha(TINY, text, "--estimator=inject", "--t2=0.0001", NULL);
    assert_string_equal(text_of(inject, "estimator"), "inject");
    assert_string_equal(text_of(inject, "metric"), "nats/token");
    for (int i = 0; i < LAYERS; i++) {
        const json_t *a = layer(inject, i), *b = layer(fisher, i);
        double z = (number(a, "alpha") - number(b, "alpha")) / hypot(number(a, "alpha_se"), number(b, "alpha_se"));
        if (!(fabs(z) <= LARGEST_Z)) print_error("%s: %g by noise, %g by gradients, z = %g\n", text_of(a, "name"), number(a, "alpha"), number(b, "alpha"), z);
        assert_true(fabs(z) <= LARGEST_Z);
        assert_true(is_null(a, "alpha_sigma") && is_null(a, "alpha_sigma_se") && is_null(a, "rho"));
    }
    assert_true(number(inject, "forward_equivalents") > 7);
    json_decref(fisher);
    json_decref(inject);
}

static void paper_is_in_ppl(void **state)
{
    (void)state;
    json_t *root = alpha(TINY, copies("a.ids", 4), "--estimator=paper", "--draws=3", NULL);
    assert_string_equal(text_of(root, "metric"), "PPL");
    assert_string_equal(text_of(root, "scale"), "matrix");
    assert_true(is_null(root, "regret") && is_null(root, "regret_target"));
    for (int i = 0; i < LAYERS; i++) {
        const json_t *l = layer(root, i);
        assert_true(number(l, "alpha") == number(l, "alpha_sigma") && number(l, "alpha_se") > 0 && is_null(l, "rho") && is_null(l, "contrast_se"));
    }
    assert_true(number(root, "forward_equivalents") > 3 * 15 * LAYERS * .4);
    json_decref(root);
}

static void robust_means_are_capped_ones(void **state)
{
    (void)state;
    const char *text = triples("triples.ids", 64);
    json_t *plain = alpha(TINY, text, "--regret=0", NULL), *robust = alpha(TINY, text, "--regret=0", "--robust", NULL);
    int changed = 0;
    assert_true(is_null(plain, "robust_cap") && number(robust, "robust_cap") == 5);
    for (int i = 0; i < LAYERS; i++) {
        const json_t *a = layer(plain, i), *b = layer(robust, i);
        assert_true(number(a, "alpha_robust") == number(b, "alpha") && number(b, "alpha_plain") == number(a, "alpha"));
        assert_true(number(a, "windows_capped") == number(b, "windows_capped"));
        changed += number(a, "windows_capped") > 0 && number(b, "alpha") < number(a, "alpha");
    }
    assert_true(changed > 0);
    json_decref(plain);
    json_decref(robust);
}

/* ---- how much text ---- */

static void stop_rule(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 50);
    json_t *all = alpha(TINY, text, "--regret=0", NULL), *loose = alpha(TINY, text, "--regret=0.5", NULL), *strict = alpha(TINY, text, "--regret=1e-9", NULL);
    assert_true(number(all, "windows") == 50 && is_null(all, "regret_met") && is_null(all, "windows_needed"));
    assert_true(number(loose, "windows") == 8 && number(loose, "windows_most") == 50 && json_is_true(json_object_get(loose, "regret_met")));
    assert_true(number(loose, "regret") > 0 && number(loose, "regret") <= .5);
    assert_true(number(strict, "windows") == 50 && json_is_false(json_object_get(strict, "regret_met")) && number(strict, "windows_needed") > 1000);
    assert_begins(all, loose, 8);
    assert_begins(strict, all, 50);
    for (int i = 0; i < LAYERS; i++) assert_true(json_equal((json_t *)layer(all, i), (json_t *)layer(strict, i)));
    assert_true(number(strict, "regret") == number(all, "regret"));
    char *between = xformat("--regret=%.17g", number(all, "regret") * 2);       /* falls as 1 / windows: reached at about 25 of 50 */
    json_t *half = alpha(TINY, text, between, NULL);
    assert_true(number(half, "windows") == 16 || number(half, "windows") == 32);
    assert_true(number(half, "regret") <= 2 * number(all, "regret") && number(half, "regret") > 0);
    assert_begins(all, half, (size_t)number(half, "windows"));
    free(between);
    json_decref(all), json_decref(loose), json_decref(strict), json_decref(half);
    json_t *one = alpha(TINY, text, "--windows=1", NULL);
    assert_true(is_null(one, "regret") && is_null(one, "regret_met") && is_null(layer(one, 0), "alpha_se") && number(layer(one, 0), "alpha") > 0);
    json_decref(one);
}

/* The text of `run` with the same seed, sampled at once; here it comes in rounds. */
static void sampled_text(void **state)
{
    (void)state;
    const char *model = model_copy("singer", TINY);
    tokenizer_write("singer", true);
    char *config = xformat("experiment: sensitivity\nmodel: %s\ntext: {sample: {windows: 20, length: 24, seed: 7}}\nlayers: blocks.0.q\noutput: %s\n", model, scratch_path("run.h5"));
    Ran ran = program("run", scratch_text("run.yaml", config), "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    glob_t found;
    assert_int_equal(glob(scratch_path("run/sampled-*.ids"), 0, NULL, &found), 0);
    json_t *kept = alpha(model, found.gl_pathv[0], "--seed=7", "--regret=0", NULL);
    json_t *own = alpha(model, "--seed=7", "--length=24", "--windows=20", "--regret=1e-9", NULL), *few = alpha(model, "--seed=7", "--length=24", "--regret=1", NULL);
    assert_true(number(own, "windows") == 20 && number(own, "tokens") == 20 * 23 && number(few, "windows") == 8 && number(few, "windows_most") == 128);
    assert_string_equal(text_of(own, "first_token"), "ordinary");
    assert_string_equal(text_of(own, "protocol"), "sampled");
    assert_begins(own, kept, 20);
    assert_begins(own, few, 8);
    json_decref(kept), json_decref(own), json_decref(few);
    globfree(&found);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fisher_is_the_trace), cmocka_unit_test(injection_agrees), cmocka_unit_test(paper_is_in_ppl), cmocka_unit_test(robust_means_are_capped_ones),
        cmocka_unit_test(stop_rule), cmocka_unit_test(sampled_text),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
