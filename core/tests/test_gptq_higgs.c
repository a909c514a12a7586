#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/quantize/gptq_higgs.h"
#include "core/tests/data_aware.h"

/* The grid comes with the golden: it is kept to the end, as its search is. */
static Grid golden_grids[3];

static void check_golden(const GoldenCase *c, const char *grid_name, const char *group, Grid *grid, const char *hadamard)
{
    char name[64];
    int64_t rows, cols, n, p;
    const Perturbation *perturbation = perturbation_find("gptq-higgs");
    Options *options = options_new(perturbation->options);
    assert_int_equal(options_set(options, "hadamard", hadamard, "test"), OK);
    assert_int_equal(options_set(options, "scale_bits", "64", "test"), OK);
    snprintf(name, sizeof name, "grid.%s", grid_name);
    if (!grid->point) grid->point = gptq_tensor(name, &n, &p), grid->n = (int)n, grid->p = (int)p;
    snprintf(name, sizeof name, "gptq_higgs.%s.%s", grid_name, group);
    float *expected = gptq_tensor(name, &rows, &cols), *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    const LayerWeights layer = { c->w, rows, cols, 3 }, shape = { NULL, rows, cols, 3 };
    const Evidence evidence = { .hessian = c->hessian };
    Packed packed = { 0 };
    Higgs higgs;
    assert_int_equal(higgs_read_with(&higgs, grid, options, cols), OK);
    assert_int_equal(gptq_higgs_encode_with(&packed, &layer, &higgs, &evidence, options_number(options, "percdamp"), (Draw){ 0 }), OK);
    higgs_unpack(out, &packed, &shape, &higgs, (Draw){ 0 });
    assert_same_weights(out, expected, c->w, rows * cols);
    packed_free(&packed);
    options_free(options);
    free(expected), free(out);
}

static void test_golden(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    check_golden(&c, "p2n16", "g16", &golden_grids[0], "16");
    check_golden(&c, "p2n16", "g16", &golden_grids[0], "0");
    check_golden(&c, "p2n256", "g16", &golden_grids[1], "16");
    check_golden(&c, "p3n64", "g64", &golden_grids[2], "64");
    golden_case_free(&c);
}

enum { ROWS = 70, COLS = 320 };

typedef struct { float *w, *h, *out, *other; double *mean; PerturbationError error; } Case;

static Case made_up(void)
{
    Case c = { .w = normals(ROWS * COLS, 2), .out = xmalloc(sizeof(float) * ROWS * COLS), .other = xmalloc(sizeof(float) * ROWS * COLS),
               .mean = xmalloc(sizeof(double) * COLS) };
    c.h = made_up_hessian(c.mean, COLS, COLS, 3);
    return c;
}

static void made_up_free(Case *c) { free(c->w), free(c->h), free(c->out), free(c->other), free(c->mean); }

static const char *const grids[][2] = { { "1", "16" }, { "2", "256" }, { "3", "64" }, { "4", "256" } };

/* out and error by gptq-higgs, other by higgs, whose error is returned. */
static PerturbationError with_and_without(Case *c, const char *const grid[2], const char *hadamard, const char *signs)
{
    const Evidence evidence = { .hessian = c->h };
    PerturbationError of_higgs;
    assert_int_equal(quantize_with("gptq-higgs", c->out, &c->error, c->w, ROWS, COLS, &evidence, "p", grid[0], "n", grid[1],
                                   "hadamard", hadamard, "signs", signs, NULL), OK);
    assert_int_equal(quantize_with("higgs", c->other, &of_higgs, c->w, ROWS, COLS, NULL, "p", grid[0], "n", grid[1],
                                   "hadamard", hadamard, "signs", signs, NULL), OK);
    return of_higgs;
}

/* With a multiple of the identity, which a rotation leaves as it is, nothing is there to absorb. */
static void test_unrelated_inputs_are_higgs(void **state)
{
    (void)state;
    Case c = made_up();
    const char *const hadamards[] = { "0", "16" };
    const char *const signs[] = { "no", "yes" };
    memset(c.h, 0, sizeof *c.h * COLS * COLS);
    for (int64_t j = 0; j < COLS; j++) c.h[j * COLS + j] = 3;
    for (int g = 0; g < 4; g++)
        for (int h = 0; h < 2; h++)
            for (int s = 0; s < 2; s++) {
                const PerturbationError of_higgs = with_and_without(&c, grids[g], hadamards[h], signs[s]);
                assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
                assert_true(c.error.bits == of_higgs.bits && c.error.code_bits == of_higgs.code_bits);
            }
    made_up_free(&c);
}

static void test_less_output_error(void **state)
{
    (void)state;
    Case c = made_up();
    const char *const hadamards[] = { "0", "256" }, *const signs[] = { "no", "yes" };
    for (int g = 0; g < 4; g++)
        for (int h = 0; h < 2; h++)
            for (int s = 0; s < 2; s++) {
                const PerturbationError of_higgs = with_and_without(&c, grids[g], hadamards[h], signs[s]);
                assert_true(output_error(c.out, c.w, ROWS, COLS, c.h) < 0.8 * output_error(c.other, c.w, ROWS, COLS, c.h));
                assert_true(c.error.t2 > of_higgs.t2 && c.error.bits == of_higgs.bits);
            }
    made_up_free(&c);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    Case c = made_up();
    const Evidence evidence = { .hessian = c.h };
    const int before = omp_get_max_threads();
    for (int threads = 1; threads <= 5; threads += 2) {
        omp_set_num_threads(threads);
        assert_int_equal(quantize_with("gptq-higgs", threads == 1 ? c.other : c.out, &c.error, c.w, ROWS, COLS, &evidence, "hadamard", "256", NULL), OK);
        if (threads > 1) assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
    }
    omp_set_num_threads(before);
    made_up_free(&c);
}

static void test_degenerate_groups(void **state)
{
    (void)state;
    Case c = made_up();
    const Evidence evidence = { .hessian = c.h };
    memset(c.w, 0, sizeof *c.w * COLS);                                     /* a row, and a group of every row */
    for (int r = 0; r < ROWS; r++) memset(c.w + r * COLS + 64, 0, sizeof *c.w * 64);
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, NULL), OK);
    for (int i = 0; i < COLS; i++) assert_true(c.out[i] == 0);
    for (int r = 0; r < ROWS; r++)
        for (int j = 64; j < 128; j++) assert_true(c.out[r * COLS + j] == 0);
    assert_true(c.error.t2 < 0.1);
    for (int i = 64; i < 128; i++)
        for (int j = 0; j < COLS; j++) c.h[i * COLS + j] = c.h[j * COLS + i] = 0;    /* inputs that were never there */
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, NULL), OK);
    assert_true(c.error.t2 < 0.1);
    made_up_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    Case c = made_up();
    const Evidence evidence = { .hessian = c.h }, nothing = { .hessian = NULL };
    c.error.t2 = -1;
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "gptq-higgs needs the inputs"));
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &nothing, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "gptq-higgs: the Hessian of layer 3"));
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, "hadamard", "48", NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "gptq-higgs: "));
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, "n", "200", NULL), ERR_ARGUMENT);
    const float bad[] = { NAN, INFINITY, 1e30f };
    for (int i = 0; i < 3; i++) {
        const float keep = c.w[1234];
        c.w[1234] = bad[i];
        assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, NULL), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), isfinite(bad[i]) ? "does not fit into 16 bits" : "not finite"));
        c.w[1234] = keep;
    }
    c.h[COLS + 5] = NAN;
    assert_int_equal(quantize_with("gptq-higgs", c.out, &c.error, c.w, ROWS, COLS, &evidence, NULL), ERR_ARGUMENT);
    assert_true(c.error.t2 == -1);
    made_up_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_unrelated_inputs_are_higgs),
        cmocka_unit_test(test_less_output_error),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_degenerate_groups),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
