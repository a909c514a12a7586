/*
 * test_quantized_weights.c - uniform grids and higgs as one operation: ref and the back end against core/quantize, bit for bit; errors
 */
#include "core/quantize/higgs.h"
#include "core/tests/quantizer_calls.h"
#include "kernels/tests/check.h"

static int64_t padded_to(int64_t cols, int group) { return (cols + group - 1) / group * group; }

static float *run_uniform(const Kernels *k, double zero[2], const float *w, int64_t rows, int64_t cols, const UniformRounding *how, bool in_place)
{
    float *from = in_place ? output(k, w, rows * cols) : input(k, w, rows * cols), *out = in_place ? from : output(k, NULL, rows * cols);
    double *got = host_output(2 * (int64_t)sizeof *got);
    k->uniform(out, got, from, rows, cols, how);
    check_host_guards("uniform", got, 2 * (int64_t)sizeof *got);
    memcpy(zero, got, 2 * sizeof *got);
    host_free(got);
    if (!in_place) k->release(from);
    return taken(k, "uniform", out, rows * cols);
}

static float *run_higgs(const Kernels *k, const float *w, const float *sign, const float *point, int64_t rows, int64_t cols, HiggsRounding how)
{
    float *from = input(k, w, rows * cols), *grid = input(k, point, (int64_t)how.n * how.p), *out = output(k, NULL, rows * cols);
    float *d = sign ? input(k, sign, padded_to(cols, how.group)) : NULL;
    how.point = grid;
    how.sign = d;
    k->higgs(out, from, rows, cols, &how);
    k->release(from);
    k->release(grid);
    k->release(d);
    return taken(k, "higgs", out, rows * cols);
}

/* Rows of numbers of different size, and some that are the same over a whole group. */
static float *weights(int64_t rows, int64_t cols, Fill how)
{
    float *w = filled(rows * cols, how);
    for (int64_t i = 0; i < rows * cols; i++) w[i] = i / 70 % 5 == 4 ? 0.25f : ldexpf(w[i], -(int)(i / cols) % 20);
    return w;
}

/* Ref and the back end against what rtn makes on the host, to the last bit. */
static void check_uniform(int64_t rows, int64_t cols, const char *bits, const char *group, const char *symmetric, const char *scale_bits, Fill how)
{
    float *w = weights(rows, cols, how), *want = xmalloc(sizeof *want * (unsigned long)(rows * cols));
    PerturbationError error;
    const int status = quantize(want, &error, "rtn", w, rows, cols, "bits", bits, "group", group, "symmetric", symmetric, "scale_bits", scale_bits, NULL);
    assert_int_equal(status, OK);
    const UniformRounding form = { atoi(bits), atoi(scale_bits), atoi(group) ? atoi(group) : cols, symmetric[0] == 'y' };
    double zero[2];
    float *slow = run_uniform(&kernels_ref, zero, w, rows, cols, &form, false);
    check_same("uniform of ref", slow, want, rows * cols * (int64_t)sizeof *want);
    for (int in_place = 0; in_place < 2; in_place++) {
        double mine[2];
        float *got = run_uniform(check_kernels(), mine, w, rows, cols, &form, in_place);
        check_same("uniform", got, want, rows * cols * (int64_t)sizeof *want);
        if (!(mine[0] == zero[0] && mine[1] == zero[1])) check_complain("uniform: zero points %g .. %g, not %g .. %g", mine[0], mine[1], zero[0], zero[1]);
        free(got);
    }
    free(slow);
    free(w);
    free(want);
}

static void test_uniform(void **state)
{
    (void)state;
    if (!check_kernels()->uniform) return;
    static const int64_t widths[] = { 1, 31, 32, 33, 255, 257 };
    static const char *const groups[] = { "1", "7", "64", "100", "0" }, *const widths_of_scale[] = { "16", "32", "64" };
    for (size_t c = 0; c < sizeof widths / sizeof *widths; c++)
        for (int g = 0; g < 5; g++)
            for (int i = 0; i < 6; i++)
                check_uniform(5, widths[c], i % 2 ? "2" : "5", groups[g], i < 3 ? "no" : "yes", widths_of_scale[i % 3], FILL_OUTLIERS);
    for (Fill how = 0; how < FILLS; how++)
        for (int i = 0; i < 2; i++) check_uniform(30, 192, "8", "64", i ? "yes" : "no", "16", how);
    check_done();
}

/* A group with a weight that is not finite, or a scale that no half holds, is NaN; the others stay. */
static void test_uniform_shows_what_is_not_finite(void **state)
{
    (void)state;
    if (!check_kernels()->uniform) return;
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e38f, -NAN };
    float *w = filled(5 * 64, FILL_NORMAL), want[5 * 64];
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        const UniformRounding form = { 4, 16, 32, symmetric };
        for (int b = 0; b < 5; b++) w[b * 64 + 11 * b] = bad[b];
        double zero[2];
        float *got = run_uniform(check_kernels(), zero, w, 5, 64, &form, false);
        for (int i = 0; i < 5 * 64; i++) want[i] = i % 64 / 32 == 11 * (i / 64) / 32 ? NAN : got[i];
        for (int i = 0; i < 5 * 64; i++)
            if (!isnan(want[i]) && !isfinite(want[i])) check_complain("uniform: NaN spread to another group");
        check_nan("uniform", got, want, 5 * 64);
        free(got);
    }
    free(w);
    check_done();
}

/* The same for higgs. */
static void check_higgs(int64_t rows, int64_t cols, const char *p, const char *n, const char *group, bool with_signs, bool unbiased,
                        const char *scale_bits, Fill how)
{
    Options *options = settings("higgs", "p", p, "n", n, "hadamard", group, "signs", with_signs ? "yes" : "no", "unbiased", unbiased ? "yes" : "no",
                                "scale_bits", scale_bits, NULL);
    Higgs h;
    assert_int_equal(higgs_read(&h, options, cols), OK);
    float *w = weights(rows, cols, how), *sign = xmalloc(sizeof *sign * (unsigned long)higgs_padded(&h));
    float *want = xmalloc(sizeof *want * (unsigned long)(rows * cols));
    const LayerWeights layer = { w, rows, cols, 3 };
    const Draw draw = { 7, 0, 0 };
    PerturbationError error;
    higgs_signs(sign, &h, 3, draw);
    assert_int_equal(perturbation_apply(want, &error, perturbation_find("higgs"), &layer, options, NULL, draw), OK);
    const HiggsRounding form = { .p = h.grid->p, .n = h.grid->n, .group = (int)h.group, .scale_bits = h.scale_bits, .unbiased = h.unbiased };
    float *slow = run_higgs(&kernels_ref, w, with_signs ? sign : NULL, h.grid->point, rows, cols, form);
    float *got = run_higgs(check_kernels(), w, with_signs ? sign : NULL, h.grid->point, rows, cols, form);
    check_same("higgs of ref", slow, want, rows * cols * (int64_t)sizeof *want);
    check_same("higgs", got, want, rows * cols * (int64_t)sizeof *want);
    free(slow);
    free(got);
    free(w);
    free(sign);
    free(want);
    options_free(options);
}

static void test_higgs(void **state)
{
    (void)state;
    if (!check_kernels()->higgs) return;
    static const int64_t widths[] = { 1, 31, 32, 33, 255, 257 };
    static const char *const groups[] = { "1", "8", "64", "0" };
    for (size_t c = 0; c < sizeof widths / sizeof *widths; c++)
        for (int g = 0; g < 4; g++) check_higgs(3, widths[c], c % 2 ? "2" : "1", "16", groups[g], g % 2, c % 3 == 0, "16", FILL_OUTLIERS);
    for (Fill how = 0; how < FILLS; how++) check_higgs(9, 192, "2", "256", "0", how % 2, how % 3 == 1, how % 2 ? "32" : "64", how);
    check_higgs(3, 1500, "2", "256", "1024", true, true, "16", FILL_NORMAL);
    check_higgs(1, 8192, "2", "64", "8192", false, true, "16", FILL_OUTLIERS);
    check_higgs(2, 256, "3", "64", "64", true, true, "16", FILL_NORMAL);
    check_higgs(2, 256, "4", "256", "128", false, true, "32", FILL_NORMAL);
    check_higgs(1, 256, "5", "1024", "256", false, false, "16", FILL_NORMAL);
    check_higgs(2, 128, "1", "4096", "64", false, false, "16", FILL_NORMAL);
    check_done();
}

static void test_higgs_shows_what_is_not_finite(void **state)
{
    (void)state;
    if (!check_kernels()->higgs) return;
    static const float bad[] = { NAN, INFINITY, 3e38f };
    const float point[] = { -1, 1 };
    float *w = filled(3 * 128, FILL_NORMAL), want[3 * 128];
    for (int b = 0; b < 3; b++) w[b * 128 + 50 * b] = bad[b];
    for (int unbiased = 0; unbiased < 2; unbiased++) {
        float *got = run_higgs(check_kernels(), w, NULL, point, 3, 128, (HiggsRounding){ .p = 1, .n = 2, .group = 64, .scale_bits = 16, .unbiased = unbiased });
        for (int i = 0; i < 3 * 128; i++) want[i] = i % 128 / 64 == 50 * (i / 128) / 64 ? NAN : got[i];
        for (int i = 0; i < 3 * 128; i++)
            if (!isnan(want[i]) && !isfinite(want[i])) check_complain("higgs: NaN spread to another group");
        check_nan("higgs", got, want, 3 * 128);
        free(got);
    }
    free(w);
    check_done();
}

/* ---- what came out ---- */

static void run_relative_error(const Kernels *k, double result[2], const float *out, const float *w, int64_t n)
{
    float *a = input(k, out, n), *b = input(k, w, n);
    double *got = host_output(2 * (int64_t)sizeof *got);
    k->relative_error(got, got + 1, a, b, n);
    check_host_guards("relative_error", got, 2 * (int64_t)sizeof *got);
    memcpy(result, got, 2 * sizeof *got);
    host_free(got);
    k->release(a);
    k->release(b);
}

/* Sums of n doubles in another order, 1e-13 of the sum of |terms|: of t2 itself, and for kappa t. */
static void test_relative_error(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 1, 31, 32, 33, 255, 257, 32768, 32769, 100003 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        float *w = filled(n, FILL_OUTLIERS), *out = filled(n, FILL_NORMAL);
        double want[2], got[2];
        PerturbationError host;
        perturbation_measure(&host, out, w, n);
        run_relative_error(&kernels_ref, want, out, w, n);
        run_relative_error(check_kernels(), got, out, w, n);
        for (int k = 0; k < 2; k++) {
            const double exact = k ? host.kappa : host.t2, bound = 1e-13 * (k ? sqrt(host.t2) : host.t2);
            if (!(fabs(want[k] - exact) <= bound && fabs(got[k] - exact) <= bound))
                check_complain("relative_error: n=%lld: %.17g, and %.17g by ref, not %.17g", (long long)n, got[k], want[k], exact);
        }
        out[n / 2] = NAN;
        run_relative_error(check_kernels(), got, out, w, n);
        if (!isnan(got[0]) || !isnan(got[1])) check_complain("relative_error: lost a NaN");
        free(w);
        free(out);
    }
    const float zero[2] = { 0 }, one[2] = { 1, 1 };
    double got[2];
    run_relative_error(check_kernels(), got, zero, zero, 2);
    if (!(got[0] == 0 && got[1] == 0)) check_complain("relative_error: 0 of 0 is %g, %g", got[0], got[1]);
    run_relative_error(check_kernels(), got, one, zero, 2);
    if (!(isinf(got[0]) && got[1] == 0)) check_complain("relative_error: something of 0 is %g, %g", got[0], got[1]);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_uniform_shows_what_is_not_finite),
        cmocka_unit_test(test_higgs),
        cmocka_unit_test(test_higgs_shows_what_is_not_finite),
        cmocka_unit_test(test_relative_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
