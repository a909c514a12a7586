/* What theory says of the error of HIGGS: grids, spheres, shrinkage, signs. */
#include "core/tests/quantizer_calls.h"

#include "core/quantize/higgs.h"

/* t^2 of rows of standard normal numbers with its standard error, from groups of g. */
static double gaussian_t2(double *se, const char *p, const char *n, const char *group, const char *unbiased)
{
    enum { ROWS = 200, COLS = 1024 };
    float *w = xmalloc(sizeof *w * ROWS * COLS), *out = xmalloc(sizeof *out * ROWS * COLS);
    PerturbationError error;
    rng_normals(w, ROWS * COLS, 12, rng_stream(RNG_TEST, 0, 0, 0), 0);
    assert_int_equal(quantize(out, &error, "higgs", w, ROWS, COLS, "p", p, "n", n, "hadamard", group, "unbiased", unbiased, "scale_bits", "64", NULL), OK);
    const int64_t g = atoi(group);
    double sum = 0, norm2 = sum_of_squares(w, ROWS * COLS);
    for (int64_t at = 0; at < ROWS * COLS; at += g) {
        double e2 = 0;
        for (int64_t i = at; i < at + g; i++) e2 += pow((double)out[i] - w[i], 2);
        sum += pow(e2 - error.t2 * sum_of_squares(w + at, g), 2);
    }
    *se = sqrt(sum) / norm2;
    if (!strcmp(unbiased, "yes")) assert_true(fabs(error.kappa) < 1e-7);
    free(w), free(out);
    return error.t2;
}

/* E ||z - c||^2 / g for z on the sphere of radius sqrt g, with its standard error. */
static double sphere_mse(double *se, const Grid *grid, int64_t g)
{
    enum { GROUPS = 3000, LONGEST = 66 };
    double sum = 0, sum2 = 0;
    for (int64_t i = 0; i < GROUPS; i++) {
        float z[LONGEST] = { 0 };
        uint16_t code[LONGEST];
        rng_normals(z, g, 13, rng_stream(RNG_TEST, 0, 0, 0), (uint64_t)(i * g));
        const double r = sqrt(sum_of_squares(z, g) / (double)g);
        for (int64_t k = 0; k < g; k++) z[k] = (float)(z[k] / r);
        const int64_t vectors = (g + grid->p - 1) / grid->p;
        nearest_brute(code, grid->point, grid->n, grid->p, z, vectors);
        double e2 = 0;
        for (int64_t k = 0; k < g; k++) e2 += pow((double)z[k] - grid->point[code[k / grid->p] * grid->p + k % grid->p], 2);
        sum += e2 / (double)g, sum2 += pow(e2 / (double)g, 2);
    }
    const double mean = sum / GROUPS;
    *se = sqrt((sum2 / GROUPS - mean * mean) / GROUPS);
    return mean;
}

static void test_error_is_that_of_the_grid(void **state)
{
    (void)state;
    const struct { const char *p, *n; } grids[] = { { "1", "16" }, { "2", "64" }, { "3", "256" }, { "4", "256" } };
    for (int i = 0; i < 4; i++) {
        const Grid *grid;
        double se, se_sphere;
        assert_int_equal(grid_find(&grid, atoi(grids[i].p), atoi(grids[i].n)), OK);
        /* On a sphere of 1024 dimensions, as in 64, a few percent of 16 less; p = 3 pays for 1024 = 341 * 3 + 1. */
        double t2 = gaussian_t2(&se, grids[i].p, grids[i].n, "1024", "no");
        assert_true(se < 0.01 * grid->mse);
        assert_true(fabs(t2 - grid->mse) <= 3.5 * hypot(se, grid->mse_se) + 0.002 * grid->mse);
        t2 = gaussian_t2(&se, grids[i].p, grids[i].n, "64", "no");
        const double on_sphere = sphere_mse(&se_sphere, grid, 64);
        assert_true(fabs(t2 - on_sphere) <= 3.5 * hypot(se, se_sphere));
        assert_true(on_sphere < 0.99 * grid->mse && on_sphere > 0.96 * grid->mse);
    }
}

static void test_unbiased(void **state)
{
    (void)state;
    const struct { const char *p, *n; } grids[] = { { "1", "4" }, { "2", "16" }, { "3", "64" }, { "4", "256" } };
    for (int i = 0; i < 4; i++) {
        double se;
        const double biased = gaussian_t2(&se, grids[i].p, grids[i].n, "1024", "no");
        const double t2 = gaussian_t2(&se, grids[i].p, grids[i].n, "1024", "yes");       /* kappa < 1e-7 */
        assert_true(fabs(t2 - biased / (1 - biased)) < 0.01 * t2);
    }
    enum { ROWS = 30, COLS = 576, N = ROWS * COLS };
    float *w = gaussian(ROWS, COLS), out[N];
    PerturbationError error;
    assert_int_equal(quantize(out, &error, "higgs", w, ROWS, COLS, "p", "2", "n", "16", NULL), OK);
    assert_true(error.kappa > 0.09 && error.kappa < 0.12);
    assert_int_equal(quantize(out, &error, "higgs", w, ROWS, COLS, "p", "2", "n", "16", "unbiased", "yes", NULL), OK);
    assert_true(fabs(error.kappa) < 1e-4);                      /* halves: 2^-12 of a group at most, at random */
    assert_int_equal(quantize(out, &error, "ch8", w, ROWS, COLS, "unbiased", "yes", "scale_bits", "64", NULL), OK);
    assert_true(fabs(error.kappa) < 1e-7 && error.t2 < 1e-4);
    free(w);
}

static void test_ch8(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 1024, N = ROWS * COLS };
    static float out[N], same[N];
    float *w = gaussian(ROWS, COLS);
    PerturbationError error, again;
    assert_int_equal(quantize(out, &error, "ch8", w, ROWS, COLS, NULL), OK);
    assert_true(error.bits == 8 + 16 / 1024.0);
    assert_true(fabs(error.t2 / 8.769e-5 - 1) < 0.015);         /* published; scales in halves add 2^-26 or so */
    assert_int_equal(quantize(same, &again, "higgs", w, ROWS, COLS, "p", "1", "levels", "uniform", NULL), OK);
    assert_memory_equal(out, same, sizeof out);
    assert_int_equal(quantize(same, &again, "higgs", w, ROWS, COLS, "p", "1", NULL), OK);
    assert_true(again.t2 < 0.5 * error.t2);                     /* 4.1185e-5 */
    free(w);
}

static void test_signs(void **state)
{
    (void)state;
    enum { ROWS = 60, COLS = 576, N = ROWS * COLS };
    float *w = gaussian(ROWS, COLS);
    static float without[N], first[N], again[N], other[N];
    const Perturbation *higgs = perturbation_find("higgs");
    Options *no = settings("higgs", NULL), *yes = settings("higgs", "signs", "yes", NULL);
    assert_false(perturbation_is_random(higgs, no));
    assert_true(perturbation_is_random(higgs, yes) && !higgs->per_sequence);
    const LayerWeights layer = { w, ROWS, COLS, 3 }, elsewhere = { w, ROWS, COLS, 4 };
    PerturbationError plain, error;
    assert_int_equal(perturbation_apply(without, &plain, higgs, &layer, no, NULL, (Draw){ 1, 0, 0 }), OK);
    assert_int_equal(perturbation_apply(again, &error, higgs, &layer, no, NULL, (Draw){ 2, 3, 4 }), OK);
    assert_memory_equal(without, again, sizeof without);

    assert_int_equal(perturbation_apply(first, &error, higgs, &layer, yes, NULL, (Draw){ 1, 0, 0 }), OK);
    assert_memory_not_equal(without, first, sizeof first);
    assert_int_equal(perturbation_apply(again, &error, higgs, &layer, yes, NULL, (Draw){ 1, 0, 9 }), OK);      /* shared by all windows */
    assert_memory_equal(first, again, sizeof first);
    const struct { const LayerWeights *layer; Draw draw; } differ[] = { { &layer, { 2, 0, 0 } }, { &layer, { 1, 1, 0 } }, { &elsewhere, { 1, 0, 0 } } };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(perturbation_apply(other, &error, higgs, differ[i].layer, yes, NULL, differ[i].draw), OK);
        assert_memory_not_equal(first, other, sizeof first);
        assert_true(fabs(error.t2 / plain.t2 - 1) < 0.03 && error.bits == plain.bits);
    }
    options_free(no), options_free(yes);
    free(w);
}

/* Equal weights are one peak after the plain rotation, which no grid holds; signs spread them. */
static void test_signs_spread_what_the_rotation_gathers(void **state)
{
    (void)state;
    enum { ROWS = 20, COLS = 1024, N = ROWS * COLS };
    static float w[N], out[N];
    PerturbationError plain, spread;
    for (int i = 0; i < N; i++) w[i] = 0.02f;
    assert_int_equal(quantize(out, &plain, "higgs", w, ROWS, COLS, NULL), OK);
    assert_int_equal(quantize(out, &spread, "higgs", w, ROWS, COLS, "signs", "yes", NULL), OK);
    assert_true(plain.t2 > 0.5 && spread.t2 < 0.009);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_is_that_of_the_grid),
        cmocka_unit_test(test_unbiased),
        cmocka_unit_test(test_ch8),
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_signs_spread_what_the_rotation_gathers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
