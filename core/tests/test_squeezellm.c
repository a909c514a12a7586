/* k-means on a line against every way to cut it, and SqueezeLLM against its definition, to the last bit of its stored form. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/largest.h"
#include "core/quantize/k_means.h"
#include "core/quantize/scale.h"
#include "core/tests/data_aware.h"

static double uniform(uint64_t stream, int64_t i) { return rng_uniform(3, rng_stream(RNG_TEST, 0, 0, (int)stream), (uint64_t)i); }

/* ---- k-means ---- */

static double cost_between(const WeightedNumber *x, int64_t begin, int64_t end)
{
    double mass = 0, mean = 0, cost = 0;
    for (int64_t i = begin; i < end; i++) mass += x[i].weight, mean += x[i].weight * x[i].x;
    for (int64_t i = begin; i < end; i++) cost += x[i].weight * (x[i].x - mean / mass) * (x[i].x - mean / mass);
    return cost;
}

/* The least cost of k intervals of x[begin..n), all cuts tried. */
static double least_cost(const WeightedNumber *x, int64_t begin, int64_t n, int k)
{
    if (k == 1) return cost_between(x, begin, n);
    double least = INFINITY;
    for (int64_t cut = begin + 1; cut <= n - k + 1; cut++) least = fmin(least, cost_between(x, begin, cut) + least_cost(x, cut, n, k - 1));
    return least;
}

/* n numbers: their weights spread over `decades`, their distance from 0 `far`; sorted. */
static int64_t numbers(WeightedNumber *x, int64_t n, uint64_t stream, double decades, double far)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (WeightedNumber){ far + uniform(stream, 2 * i) * (i % 5 == 0 ? 4 : 1), pow(10, -decades * uniform(stream, 2 * i + 1)) };
    return k_means_sort(x, n);
}

static void test_exact_is_the_least_of_all_cuts(void **state)
{
    (void)state;
    WeightedNumber x[14];
    double centroid[6];
    for (uint64_t trial = 0; trial < 300; trial++) {
        const int64_t n = numbers(x, 1 + (int64_t)(trial % 14), trial, trial % 4 * 3.0, trial % 3 * 50.0);
        for (int k = 1; k <= 6; k++) {
            const double least = k >= n ? 0 : least_cost(x, 0, n, k);
            double scale = 0;
            for (int64_t i = 0; i < n; i++) scale += x[i].weight;
            k_means_exact(centroid, k, x, n);
            assert_true(fabs(k_means_cost(centroid, k, x, n) - least) <= 1e-10 * scale);
            for (int c = 1; c < k; c++) assert_true(centroid[c] >= centroid[c - 1]);
        }
    }
}

/* No centroid off the mean of what is nearest to it. */
static void assert_means(const double *centroid, int k, const WeightedNumber *x, int64_t n)
{
    for (int c = 0; c < k; c++) {
        double mass = 0, moment = 0;
        for (int64_t i = 0; i < n; i++) {
            int nearest = 0;
            for (int other = 1; other < k; other++) nearest = fabs(x[i].x - centroid[other]) < fabs(x[i].x - centroid[nearest]) ? other : nearest;
            if (nearest == c) mass += x[i].weight, moment += x[i].weight * x[i].x;
        }
        if (mass > 0) assert_true(fabs(moment / mass - centroid[c]) <= 1e-9);
    }
}

static void test_exact_and_lloyd_on_many(void **state)
{
    (void)state;
    enum { N = 700, MOST = 64 };
    WeightedNumber *x = xmalloc(sizeof *x * N);
    double exact[MOST], lloyd[MOST], at_once[MOST];
    double sum_exact = 0, sum_lloyd = 0;
    for (uint64_t trial = 0; trial < 12; trial++) {
        const int64_t n = numbers(x, N, 1000 + trial, trial % 3 * 2.0, 0);
        for (int k = 4; k <= MOST; k *= 4) {
            k_means_exact(exact, k, x, n);
            k_means_lloyd(lloyd, k, x, n, 10000, 0, trial);
            assert_means(exact, k, x, n), assert_means(lloyd, k, x, n);
            const double least = k_means_cost(exact, k, x, n), found = k_means_cost(lloyd, k, x, n);
            assert_true(least <= found * (1 + 1e-12) && least > 0);
            sum_exact += least / found, sum_lloyd += 1;
            k_means_lloyd(lloyd, k, x, n, 1, 0, trial), k_means_lloyd(at_once, k, x, n, 1, 0, trial);
            assert_memory_equal(lloyd, at_once, sizeof *lloyd * (size_t)k);
            assert_true(k_means_cost(lloyd, k, x, n) >= found * (1 - 1e-12));
        }
    }
    assert_true(sum_exact < 0.97 * sum_lloyd);          /* and often by more */
    free(x);
}

static void test_few_or_equal_numbers(void **state)
{
    (void)state;
    WeightedNumber x[5] = { { 2, 1 }, { 1, 0 }, { 2, 3 }, { 7, 1e-30 }, { 5, 1 } };
    double centroid[8];
    assert_int_equal(k_means_sort(x, 5), 3);
    k_means_exact(centroid, 8, x, 3);
    assert_true(centroid[0] == 2 && centroid[1] == 2 && centroid[2] == 5 && centroid[7] == 5);
    k_means_exact(centroid, 2, x, 3);
    assert_true(centroid[0] == 2 && centroid[1] == 5);
    k_means_exact(centroid, 1, x, 3);
    assert_true(fabs(centroid[0] - 2.6) < 1e-15);
    k_means_lloyd(centroid, 8, x, 3, 50, 0, 0);
    assert_true(k_means_cost(centroid, 8, x, 3) == 0);
    WeightedNumber none[2] = { { 1, 0 }, { 2, 0 } };
    assert_int_equal(k_means_sort(none, 2), 0);
}

static void test_largest(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *key = xmalloc(sizeof *key * N);
    unsigned char *mark = xmalloc(N);
    for (int64_t i = 0; i < N; i++) key[i] = (float)(floor(uniform(9, i) * 700) / 700 * (i % 3 ? 1 : 1e-3));
    const int64_t counts[] = { 0, 1, 37, 2500, 4990, N };
    for (int c = 0; c < 6; c++) {
        memset(mark, 0, N);
        largest_mark(mark, key, N, counts[c]);
        int64_t n = 0, positive = 0;
        float least = INFINITY;
        int64_t last = 0;
        for (int64_t i = 0; i < N; i++) {
            n += mark[i], positive += key[i] > 0;
            if (mark[i] && key[i] <= least) least = key[i], last = i;
        }
        assert_int_equal(n, counts[c] < positive ? counts[c] : positive);
        for (int64_t i = 0; i < N; i++) assert_true(mark[i] || key[i] < least || (key[i] == least && i > last) || key[i] == 0 || n == 0);
    }
    free(key), free(mark);
}

/* ---- the quantizer ---- */

enum { ROWS = 60, COLS = 150 };
typedef struct { float *w, *fisher, *out, *other; Evidence evidence; } Case;

static Case made_up(void)
{
    Case c = { gaussian(ROWS, COLS), normals(ROWS * COLS, 5), xmalloc(sizeof(float) * ROWS * COLS), xmalloc(sizeof(float) * ROWS * COLS), { 0 } };
    for (int64_t i = 0; i < ROWS * COLS; i++) c.fisher[i] = 1e-6f * expf(2 * c.fisher[i]);
    c.evidence.fisher = c.fisher;
    return c;
}

static void case_free(Case *c) { free(c->w), free(c->fisher), free(c->out), free(c->other); }

static PerturbationError quantize_case(const Case *c, float *out, const char *bits, const char *sensitive, const char *outliers, const char *solver)
{
    PerturbationError error;
    assert_int_equal(quantize_with("squeezellm", out, &error, c->w, ROWS, COLS, &c->evidence, "bits", bits, "sensitive", sensitive, "outliers", outliers,
                                   "solver", solver, NULL), OK);
    return error;
}

static double row_cost(const Case *c, const float *out, int64_t row)
{
    double sum = 0;
    for (int64_t i = row * COLS; i < (row + 1) * COLS; i++) sum += c->fisher[i] * ((double)out[i] - c->w[i]) * ((double)out[i] - c->w[i]);
    return sum;
}

/* Levels as plain dynamic programming over all cuts finds them, n^2 k, on numbers in another order of sums. */
static double plain_least(const Case *c, int64_t row, int k)
{
    WeightedNumber x[COLS];
    static double cost[COLS + 1][COLS + 1], best[17][COLS + 1];
    for (int j = 0; j < COLS; j++) x[j] = (WeightedNumber){ c->w[row * COLS + j], c->fisher[row * COLS + j] };
    assert_int_equal(k_means_sort(x, COLS), COLS);
    for (int64_t i = 0; i < COLS; i++)
        for (int64_t j = i + 1; j <= COLS; j++) cost[i][j] = cost_between(x, i, j);
    for (int64_t j = 1; j <= COLS; j++) best[1][j] = cost[0][j];
    for (int m = 2; m <= k; m++)
        for (int64_t j = m; j <= COLS; j++) {
            best[m][j] = INFINITY;
            for (int64_t i = m - 1; i < j; i++) best[m][j] = fmin(best[m][j], best[m - 1][i] + cost[i][j]);
        }
    return best[k][COLS];
}

/* Every row reaches the least cost up to the halves its levels are stored in, and no more than 2^b different weights. */
static void test_rows_cost_the_least(void **state)
{
    (void)state;
    Case c = made_up();
    const char *const bits[] = { "2", "3", "4" };
    for (int b = 0; b < 3; b++) {
        const int k = 4 << b;
        const PerturbationError error = quantize_case(&c, c.out, bits[b], "0", "0", "exact");
        assert_true(error.code_bits == 2 + b && error.bits == 2 + b + 16.0 * k / COLS);
        for (int64_t r = 0; r < ROWS; r++) {
            const double least = plain_least(&c, r, k), got = row_cost(&c, c.out, r);
            assert_true(got >= least * (1 - 1e-6) && got <= least * (1 + 1e-3));
            int different = 0;
            for (int j = 0; j < COLS; j++) {
                int seen = 0;
                for (int i = 0; i < j; i++) seen |= c.out[r * COLS + i] == c.out[r * COLS + j];
                different += !seen;
            }
            assert_true(different <= k && different >= k - 1);
        }
    }
    case_free(&c);
}

static void test_lloyd_costs_more(void **state)
{
    (void)state;
    Case c = made_up();
    double exact = 0, lloyd = 0;
    quantize_case(&c, c.out, "3", "0", "0", "exact"), quantize_case(&c, c.other, "3", "0", "0", "lloyd");
    for (int64_t r = 0; r < ROWS; r++) {
        assert_true(row_cost(&c, c.other, r) >= row_cost(&c, c.out, r) * (1 - 1e-3));
        exact += row_cost(&c, c.out, r), lloyd += row_cost(&c, c.other, r);
    }
    assert_true(exact < lloyd && lloyd < 1.5 * exact);
    case_free(&c);
}

/* Sparse weights are those of largest F, then of largest size, each in its half, and the levels are those of a row without them. */
static void test_dense_and_sparse(void **state)
{
    (void)state;
    Case c = made_up();
    enum { SENSITIVE = 45, OUTLIERS = 180 };            /* 0.005 and 0.02 of 9,000 */
    unsigned char *mark = xcalloc(ROWS * COLS, 1);
    const PerturbationError error = quantize_case(&c, c.out, "3", "0.005", "0.02", "exact");
    for (int n = 0; n < SENSITIVE + OUTLIERS; n++) {
        int64_t at = -1;
        double most = -1;
        for (int64_t i = 0; i < ROWS * COLS; i++) {
            const double key = n < SENSITIVE ? c.fisher[i] : fabs(c.w[i]);
            if (!mark[i] && key > most) most = key, at = i;
        }
        mark[at] = 1;
        assert_true(c.out[at] == (float)scale_stored(c.w[at], 16));
    }
    int64_t most = 0;
    for (int64_t r = 0; r < ROWS; r++) {
        int64_t here = 0;
        for (int j = 0; j < COLS; j++) here += mark[r * COLS + j];
        most = here > most ? here : most;
    }
    int count_bits = 0;
    while (most >> count_bits) count_bits++;
    const double stored = ROWS * COLS * 3.0 + ROWS * 8 * 16 + 32 * (SENSITIVE + OUTLIERS) + ROWS * count_bits;
    assert_true(error.bits == stored / (ROWS * COLS) && error.code_bits == 3);

    for (int64_t i = 0; i < ROWS * COLS; i++)           /* where F is 0 the weight has no part either */
        if (mark[i]) c.fisher[i] = 0;
    quantize_case(&c, c.other, "3", "0", "0", "exact");
    for (int64_t i = 0; i < ROWS * COLS; i++) assert_true(mark[i] || c.other[i] == c.out[i]);
    free(mark);
    case_free(&c);
}

static void test_rows_without_gradients(void **state)
{
    (void)state;
    Case c = made_up();
    for (int j = 0; j < COLS; j++) c.fisher[4 * COLS + j] = 0;
    quantize_case(&c, c.out, "2", "0.001", "0", "exact");
    for (int j = 0; j < COLS; j++) c.fisher[4 * COLS + j] = 1e-9f;
    quantize_case(&c, c.other, "2", "0.001", "0", "exact");
    assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
    memset(c.fisher, 0, sizeof *c.fisher * ROWS * COLS);
    assert_true(quantize_case(&c, c.out, "2", "0.5", "0", "exact").bits == 2 + 16.0 * 4 / COLS);       /* none is sensitive */
    memset(c.w, 0, sizeof *c.w * ROWS * COLS);
    assert_true(quantize_case(&c, c.out, "8", "0.5", "0.5", "lloyd").t2 == 0);
    case_free(&c);
}

static void test_order_and_scales_do_not_matter(void **state)
{
    (void)state;
    Case c = made_up(), turned = made_up();
    quantize_case(&c, c.out, "3", "0.0005", "0.004", "exact");
    for (int64_t r = 0; r < ROWS; r++)
        for (int j = 0; j < COLS; j++) {
            const int64_t from = r * COLS + j, to = (ROWS - 1 - r) * COLS + (j + 50) % COLS;
            turned.w[to] = 16 * c.w[from], turned.fisher[to] = 0.25f * c.fisher[from];
        }
    quantize_case(&turned, turned.out, "3", "0.0005", "0.004", "exact");
    for (int64_t r = 0; r < ROWS; r++)
        for (int j = 0; j < COLS; j++) assert_true(turned.out[(ROWS - 1 - r) * COLS + (j + 50) % COLS] == 16 * c.out[r * COLS + j]);
    case_free(&c), case_free(&turned);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { R = 240, N = R * COLS };
    float *w = normals(N, 2), *fisher = normals(N, 3), *out = xmalloc(sizeof *out * N), *first = xmalloc(sizeof *out * N);
    for (int64_t i = 0; i < N; i++) fisher[i] *= fisher[i];
    const Evidence evidence = { .fisher = fisher };
    const char *const solvers[] = { "exact", "lloyd" };
    const int before = omp_get_max_threads();
    for (int s = 0; s < 2; s++)
        for (int threads = 1; threads <= 5; threads += 2) {
            PerturbationError error;
            omp_set_num_threads(threads);
            assert_int_equal(quantize_with("squeezellm", threads == 1 ? first : out, &error, w, R, COLS, &evidence, "solver", solvers[s], NULL), OK);
            if (threads > 1) assert_memory_equal(out, first, sizeof *out * N);
        }
    omp_set_num_threads(before);
    free(w), free(fisher), free(out), free(first);
}

static void test_refusals(void **state)
{
    (void)state;
    float w[8] = { 1, 2, -1, 3, 0.5f, 1, 2, 2 }, out[8], fisher[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    PerturbationError error = { .t2 = -1 };
    const Evidence evidence = { .fisher = fisher }, nothing = { .fisher = NULL };
    assert_int_equal(quantize_with("squeezellm", out, &error, w, 4, 2, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "squeezellm needs"));
    assert_int_equal(quantize_with("squeezellm", out, &error, w, 4, 2, &nothing, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "squeezellm: the sum of squared gradients of layer 3 was not collected"));
    const float bad_fisher[] = { NAN, INFINITY, -1 };
    for (int i = 0; i < 3; i++) {
        fisher[5] = bad_fisher[i];
        assert_int_equal(quantize_with("squeezellm", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), "not finite, or negative"));
    }
    fisher[5] = 1;
    const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };
    for (int i = 0; i < 4; i++)
        for (int at = 0; at < 8; at += 3) {
            float damaged[8];
            memcpy(damaged, w, sizeof w);
            damaged[at] = bad[i];
            assert_int_equal(quantize_with("squeezellm", out, &error, damaged, 4, 2, &evidence, NULL), ERR_ARGUMENT);
            assert_int_equal(quantize_with("squeezellm", out, &error, damaged, 4, 2, &evidence, "outliers", "0.2", "solver", "lloyd", NULL), ERR_ARGUMENT);
        }
    assert_true(error.t2 == -1);
    assert_int_equal(quantize_with("squeezellm", out, &error, w, 4, 2, &evidence, NULL), OK);
    assert_true(error.t2 == 0);                         /* two weights a row, eight levels */
    assert_int_equal(perturbation_find("squeezellm")->needs, NEEDS_FISHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_is_the_least_of_all_cuts),
        cmocka_unit_test(test_exact_and_lloyd_on_many),
        cmocka_unit_test(test_few_or_equal_numbers),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_rows_cost_the_least),
        cmocka_unit_test(test_lloyd_costs_more),
        cmocka_unit_test(test_dense_and_sparse),
        cmocka_unit_test(test_rows_without_gradients),
        cmocka_unit_test(test_order_and_scales_do_not_matter),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
