/* test_program_bench.c - `linearity bench`, on the processor and through the launch shim, and what it says where it cannot */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "core/tests/program.h"

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static json_t *bench(const char *backend, const char *precision)
{
    Ran ran = program("bench", "--shape", "tiny", "--context", "33", "--windows", "2", "--repeats", "3", "--large", "64", "--backend", backend, "--precision", precision, "--json", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *result = json_loads(ran.out, 0, NULL);
    assert_non_null(result);
    ran_free(&ran);
    return result;
}

/* Rates are what was counted over what was timed; medians lie between the least and the most. */
static void check_numbers(const json_t *result)
{
    static const char *const timings[] = { "embed", "forward", "kl", "fisher" };
    for (size_t i = 0; i < sizeof timings / sizeof *timings; i++) {
        const json_t *t = json_object_get(result, timings[i]);
        assert_true(number(t, "least") > 0 && number(t, "least") <= number(t, "median") && number(t, "median") <= number(t, "most"));
        assert_true(number(t, "n") == 3);
    }
    const double share = number(result, "forward_flops") / number(json_object_get(result, "forward"), "median") / number(result, "product_flops_per_second");
    assert_true(fabs(number(result, "share_of_product_rate") - share) <= 1e-12 * share);
    assert_true(number(result, "tokens") == 64 && number(result, "sweep_measurements") == 3 * 14);
}

static void rates_on_the_processor(void **state)
{
    (void)state;
    json_t *result = bench("cpu", "fp32");
    check_numbers(result);
    assert_int_equal(json_array_size(json_object_get(result, "operations")), 0);
    json_decref(result);
}

/* The products of a forward pass, by the device's own count: two FLOPs a weight and row, and the head's. */
static void operations_of_a_device(void **state)
{
    (void)state;
    for (int rounded = 0; rounded < 2; rounded++) {
        json_t *result = bench("cuda", rounded ? "bf16" : "fp32");
        check_numbers(result);
        size_t i;
        const json_t *operation;
        double flops = 0;
        json_array_foreach(json_object_get(result, "operations"), i, operation)
            if (!strncmp(json_string_value(json_object_get(operation, "name")), "product", 7)) flops += number(operation, "flops");
        const double weights = 2 * 64 * (2 * 64 + 2 * 32 + 3 * 96.0) + 64 * 300;
        assert_true(fabs(flops - 2 * 64 * weights) <= 1e-9 * flops);
        assert_int_equal(json_array_size(json_object_get(result, "fisher_operations")) > 10, 1);
        json_decref(result);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct { const char *option, *value; int status; const char *says; } cases[] = {
        { "--shape", "llama-3.1-9b", 2, "llama-3.1-8b" },
        { "--context", "100000", 1, "--context 100000 is more than the model's 512" },
        { "--precision", "bf16", 2, "precision bf16 is the cuda back end's" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Ran ran = program("bench", "--repeats", "1", "--large", "64", "--shape", "tiny", cases[i].option, cases[i].value, NULL);
        assert_int_equal(ran.status, cases[i].status);
        if (!strstr(ran.err, cases[i].says)) fail_msg("%s is not in: %s", cases[i].says, ran.err);
        ran_free(&ran);
    }
    Ran ran = program("bench", "--repeats", "1", "--large", "64", "--backend", "cuda", "--shape", "llama-3.1-8b", "--context", "16384", "--windows", "1", NULL);   /* 8 GiB in the shim */
    assert_int_equal(ran.status, 1);
    if (!strstr(ran.err, "need at least")) fail_msg("%s", ran.err);
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_on_the_processor),
        cmocka_unit_test(operations_of_a_device),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
