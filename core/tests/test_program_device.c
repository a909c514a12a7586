/* test_program_device.c - dry runs for GPUs that are not here, and models that are only a shape */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program.h"
#include "kernels/kernels.h"

static const char config[] =
    "experiment: sensitivity\n"
    "model: random:llama-3.1-8b\n"
    "text: {random: {windows: 2, length: 2048}}\n"
    "memory: 512GiB\n";

static Ran dry(const char *device, const char *precision, const char *set)
{
    return program("run", scratch_path("eight.yaml"), "--dry-run", "--device", device, "--precision", precision, "--set", set, NULL);
}

/* The last two numbers of the line that begins with `name`: bound and predicted, in milliseconds. */
static void times_of(double *bound, double *predicted, const Ran *ran, const char *name)
{
    char *line = xformat("\n%s ", name), *at = strstr(ran->out, line);
    assert_non_null(at);
    at += strlen(line);
    double number[8];
    int n = 0;
    for (char *end; *at != '\n' && n < 8; at = end) {
        number[n] = strtod(at, &end);
        if (end == at) break;
        n++;
    }
    assert_true(n >= 2);
    *bound = number[n - 2], *predicted = number[n - 1];
    free(line);
}

static void plans_follow_the_device(void **state)
{
    (void)state;
    scratch_text("eight.yaml", config);
    static const struct { const char *device, *precision, *says[4]; } cases[] = {
        { "h100", "fp32", { "H100 SXM, 80 GB, fp32: 79 GiB, planned with 72 GiB\n", "text           26.0 GiB of weights", "31 boundary states", "clean logits, " } },
        { "h100", "bf16", { "planned with 72 GiB (weights have their rounded form", "text           39.0 GiB of weights", "2.9 GiB of head" } },
        { "rtx4090", "fp32", { "RTX 4090", "a block of weights at a time, 13.0 GiB over the host's link a pass", "\nweights from the host ", "  link\n" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Ran ran = dry(cases[i].device, cases[i].precision, "seed=1");
        if (ran.status) print_error("%s", ran.err);
        assert_int_equal(ran.status, 0);
        assert_non_null(strstr(ran.out, "\ntime           about "));
        assert_null(strstr(ran.out, "nan"));
        for (int j = 0; j < 4 && cases[i].says[j]; j++)
            if (!strstr(ran.out, cases[i].says[j])) fail_msg("%s is not in:\n%s", cases[i].says[j], ran.out);
        ran_free(&ran);
    }
    Ran small = dry("h100", "fp32", "memory=20GiB");                        /* what is given is not exceeded */
    assert_int_equal(small.status, 0);
    assert_non_null(strstr(small.out, "planned with 20 GiB\n"));
    assert_non_null(strstr(small.out, "a block of weights at a time"));
    ran_free(&small);
}

/* Two texts share the memory and the weights, each with its own states. */
static void two_texts(void **state)
{
    (void)state;
    const char *path = scratch_text("two.yaml", "experiment: dynamic\nmodel: random:smollm2-135m\ntext: {random: {windows: 3, length: 257}}\nlayers: \"blocks.1.*\"\n"
                                    "coefficients: {from: random, windows: 9, context: 513}\nchoices: [{rtn: {bits: [3, 4]}}]\nbudgets: [3.5]\nmemory: 8GiB\n");
    Ran ran = program("run", path, "--dry-run", "--device", "rtx4090", NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "planned with 8192 MiB\n"));
    const char *text = strstr(ran.out, "\ntext           0.4 GiB of weights"), *other = strstr(ran.out, "\ncoefficients   the same weights and head; ");
    assert_true(text && other && text < other);
    assert_non_null(strstr(text, "clean logits, 0.1 GiB;"));                        /* 3 * 256 * 49152 * 4 bytes */
    assert_non_null(strstr(other, "clean logits, 0.8 GiB;"));                       /* 9 * 512 * 49152 * 4 bytes */
    ran_free(&ran);
}

/* An 8B model with two texts of 35 windows of 8192 tokens: its weights, rounded ones beside them, stay on 80 GB. */
static void large_model_stays(void **state)
{
    (void)state;
    const char *path = scratch_text("large.yaml", "experiment: dynamic\nmodel: random:llama-3.1-8b\ntext: {random: {windows: 35, length: 8192}}\nlayers: \"blocks.1.*\"\n"
                                    "coefficients: {from: random, windows: 35, context: 8192}\nchoices: [{rtn: {bits: [3, 4]}}]\nbudgets: [3.5]\nmemory: 512GiB\n");
    Ran ran = program("run", path, "--dry-run", "--device", "h100", "--precision", "bf16", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "\ntext           39.0 GiB of weights, 2.9 GiB of head; "));
    assert_non_null(strstr(ran.out, "\ncoefficients   the same weights and head; "));
    assert_null(strstr(ran.out, "\nweights from the host "));
    ran_free(&ran);
}

/* More windows: proportionally more. Products in bf16: the rates of the table. */
static void times_follow_the_text(void **state)
{
    (void)state;
    double bound[2], predicted[2], again, sum[2];
    for (int i = 0; i < 2; i++) {
        Ran ran = dry("h200", "bf16", i ? "text.random.windows=4" : "text.random.windows=2");
        assert_int_equal(ran.status, 0);
        times_of(&bound[i], &predicted[i], &ran, "gate and up products");
        times_of(&sum[i], &again, &ran, "in all");
        ran_free(&ran);
    }
    const double seconds = 32 * 2 * 2.0 * 4094 * 4096 * 14336 / 989e12;     /* the last token of a window is no input */
    assert_true(fabs(bound[0] - 1e3 * seconds) <= 1e-3 * bound[0]);
    assert_true(fabs(predicted[0] - bound[0] / .75) <= 1e-3 * predicted[0]);
    assert_true(fabs(bound[1] - 2 * bound[0]) <= 1e-3 * bound[1]);
    assert_true(sum[1] > 1.9 * sum[0] && sum[1] < 2.01 * sum[0]);
}

static void expect(const Ran *ran, int status, const char *sentence)
{
    if (ran->status != status || !strstr(ran->err, sentence)) fail_msg("%d %s, not %d %s", ran->status, ran->err, status, sentence);
}

static void refusals(void **state)
{
    (void)state;
    scratch_text("eight.yaml", config);
    const char *path = scratch_path("eight.yaml"), *why;
    Ran ran = program("run", path, "--set", "device=h100", NULL);
    expect(&ran, 1, "'device' prices a run on a GPU that is not here, so it goes with --dry-run");
    ran_free(&ran);
    ran = dry("rtx4090", "bf16", "text.random.length=100000");
    expect(&ran, 1, "this model and text need at least");
    ran_free(&ran);
    if (kernels_choose("cuda", "fp32", &why)) return;
    ran = program("run", path, "--dry-run", "--backend", "cuda", NULL);
    expect(&ran, 1, "a dry run takes --device h100");
    ran_free(&ran);
}

static void random_models(void **state)
{
    (void)state;
    char *output = xformat("output=%s", scratch_path("shape.h5"));
    const char *path = scratch_text("shape.yaml", "experiment: sensitivity\nmodel: random:tiny\ntext: {random: {windows: 3, length: 16}}\nbootstrap: 100\n");
    Ran ran = program("run", path, "--quiet", "--set", output, NULL);
    expect(&ran, 0, "");
    assert_non_null(strstr(ran.out, "measurements were run"));
    ran_free(&ran);
    ran = program("run", path, "--dry-run", "--set", output, "--set", "model=random:huge", NULL);
    expect(&ran, 1, "random:huge: there is no such shape; there are llama-3.1-8b, llama-2-7b, llama-2-13b, llama-3.2-1b, smollm2-135m and tiny");
    ran_free(&ran);
    ran = program("ppl", "random:tiny", path, NULL);
    expect(&ran, 1, "token ids in an .ids file need no tokenizer");
    ran_free(&ran);
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(plans_follow_the_device), cmocka_unit_test(two_texts), cmocka_unit_test(large_model_stays),
                                        cmocka_unit_test(times_follow_the_text),
                                        cmocka_unit_test(refusals), cmocka_unit_test(random_models) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
