/*
 * test_losses.c - log-softmax sums and KL against ref, long double sums and identities
 */
#include "kernels/cpu/simd.h"
#include "kernels/tests/check.h"

static const int vocabularies[] = { 1, 2, 3, 31, 33, 511, 512, 513, 1025, 49152 };
enum { VOCABULARIES = sizeof vocabularies / sizeof *vocabularies };

typedef struct { double *log_sum, *target; int32_t *top; } Sums;

static Sums run_log_sum_exp(const Kernels *k, const float *logits, const int32_t *target, int64_t rows, int V)
{
    Sums s = { host_output(rows * 8), host_output(rows * 8), host_output(rows * 4) };
    float *device = input(k, logits, rows * V);
    k->log_sum_exp(s.log_sum, s.top, s.target, device, target, rows, V);
    k->release(device);
    check_host_guards("log_sum_exp", s.log_sum, rows * 8);
    check_host_guards("log_sum_exp, target", s.target, rows * 8);
    check_host_guards("log_sum_exp, top", s.top, rows * 4);
    return s;
}

static void sums_free(Sums s)
{
    host_free(s.log_sum);
    host_free(s.target);
    host_free(s.top);
}

static double *run_kl(const Kernels *k, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V)
{
    double *kl = host_output(rows * 8);
    float *p = input(k, a, rows * V), *q = input(k, b, rows * V);
    k->kl_divergence(kl, p, A, q, B, rows, V);
    k->release(p);
    k->release(q);
    check_host_guards("kl_divergence", kl, rows * 8);
    return kl;
}

static long double long_log_sum(const float *a, int V)
{
    long double largest = a[0], sum = 0;
    for (int i = 1; i < V; i++) largest = a[i] > largest ? a[i] : largest;
    for (int i = 0; i < V; i++) sum += expl(a[i] - largest);
    return largest + logl(sum);
}

/* The sum is of positive terms good to some DBL_EPSILON each; adding V of them one by one, as ref does, costs
 * at most V halves.  The logarithm makes that absolute, and the result is rounded once more. */
static void check_sums(int64_t rows, int V, Fill how)
{
    float *logits = filled(rows * V, how);
    int32_t target[8];
    for (int r = 0; r < rows; r++) target[r] = r == 1 ? -1 : (int32_t)((int64_t)r * V / 8);
    Sums want = run_log_sum_exp(&kernels_ref, logits, target, rows, V), first = { 0 };
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        Sums got = run_log_sum_exp(check_kernels(), logits, target, rows, V);
        for (int r = 0; r < rows; r++) {
            double bound = DBL_EPSILON * (V / 2.0 + 8 + fabs(want.log_sum[r]));
            check_note("log_sum_exp", V, fabs(got.log_sum[r] - want.log_sum[r]) / bound);
            if (!(fabs(got.log_sum[r] - want.log_sum[r]) <= bound))
                check_complain("log_sum_exp, %s, V %d: %.17g, not %.17g", fill_name(how), V, got.log_sum[r], want.log_sum[r]);
        }
        check_same("top", got.top, want.top, rows * 4);
        check_same("target logit", got.target, want.target, rows * 8);
        if (first.log_sum) check_same("log_sum_exp by other threads", got.log_sum, first.log_sum, rows * 8);
        if (!first.log_sum) first = got;
        else sums_free(got);
    }
    sums_free(first);
    sums_free(want);
    free(logits);
}

static void test_log_sum_exp(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            check_sums(vocabularies[v] > 2000 ? 2 : 7, vocabularies[v], how);
            check_sums(0, vocabularies[v], how);
        }
    check_done();
}

/* log V for equal logits, and a shift of the logits is a shift of the sum. */
static void test_log_sum_exp_identities(void **state)
{
    (void)state;
    enum { V = 4099 };
    const int32_t none[] = { -1, -1 };
    float *a = filled(2 * V, FILL_EQUAL);
    for (int i = 0; i < V; i++) a[i] = ldexpf(roundf(ldexpf(sinf((float)i), 10)), -10);    /* so that the shift is exact */
    for (int i = 0; i < V; i++) a[V + i] = a[i] + 64;
    Sums s = run_log_sum_exp(check_kernels(), a, none, 2, V);
    if (!(fabs(s.log_sum[1] - s.log_sum[0] - 64) <= 64 * DBL_EPSILON)) check_complain("a shift of 64 gave %.17g", s.log_sum[1] - s.log_sum[0]);
    sums_free(s);
    fill(a, V, FILL_EQUAL);
    s = run_log_sum_exp(check_kernels(), a, none, 1, V);
    if (!(fabs(s.log_sum[0] - a[0] - log(V)) <= 64 * DBL_EPSILON)) check_complain("equal logits gave %.17g", s.log_sum[0]);
    if (s.top[0] != 0) check_complain("the first of equals is 0, not %d", s.top[0]);
    sums_free(s);
    free(a);
    check_done();
}

/* The largest may stand anywhere, twice: the first counts. */
static void test_top_is_the_first_largest(void **state)
{
    (void)state;
    enum { V = 1030 };
    const int32_t none[] = { -1 };
    static const int places[] = { 0, 1, 15, 16, 31, 511, 512, 1023, 1024, 1028 };
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (int second = places[p] + 1; second < V; second += 101) {
            float *a = filled(V, FILL_NORMAL);
            a[places[p]] = a[second] = 50;
            Sums s = run_log_sum_exp(check_kernels(), a, none, 1, V);
            if (s.top[0] != places[p]) check_complain("top %d, not %d", s.top[0], places[p]);
            sums_free(s);
            free(a);
        }
    check_done();
}

/* Terms >= 0, each good to some DBL_EPSILON times the sizes that enter its exponents, and summed in V steps of
 * half of one; but ref's expm1(d) - d of small d is off by DBL_EPSILON |d|. */
static double kl_bound(const float *a, double A, const float *b, double B, int V, double kl)
{
    double cancelled = 0;
    for (int i = 0; i < V; i++) cancelled += exp(a[i] - A) * fabs((b[i] - B) - (a[i] - A));
    return DBL_EPSILON * ((V / 2.0 + 64 + 4 * (fabs(A) + fabs(B))) * kl + cancelled) + DBL_MIN;
}

static void check_kl(int64_t rows, int V, Fill how, float size)
{
    float *a = filled(rows * V, how), *b = filled(rows * V, FILL_NORMAL);
    int32_t none[8];
    for (int64_t i = 0; i < rows * V; i++) b[i] = a[i] + size * b[i];
    memset(none, -1, sizeof none);
    Sums A = run_log_sum_exp(&kernels_ref, a, none, rows, V), B = run_log_sum_exp(&kernels_ref, b, none, rows, V);
    double *want = run_kl(&kernels_ref, a, A.log_sum, b, B.log_sum, rows, V), *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        double *got = run_kl(check_kernels(), a, A.log_sum, b, B.log_sum, rows, V);
        for (int r = 0; r < rows; r++) {
            double bound = kl_bound(a + (int64_t)r * V, A.log_sum[r], b + (int64_t)r * V, B.log_sum[r], V, want[r]);
            check_note("kl_divergence", V, fabs(got[r] - want[r]) / bound);
            if (!(fabs(got[r] - want[r]) <= bound) || !(got[r] >= 0))
                check_complain("kl_divergence, %s, V %d, size %g: %.17g, not %.17g", fill_name(how), V, size, got[r], want[r]);
        }
        if (first) check_same("kl_divergence by other threads", got, first, rows * 8);
        if (!first) first = got;
        else host_free(got);
    }
    host_free(first);
    host_free(want);
    sums_free(A);
    sums_free(B);
    free(a);
    free(b);
}

static void test_kl_divergence(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            check_kl(vocabularies[v] > 2000 ? 2 : 7, vocabularies[v], how, 1e-3f);
            check_kl(1, vocabularies[v], how, 3);
            check_kl(0, vocabularies[v], how, 1);
        }
    check_done();
}

/* KL of one row with its sums from the same back end. */
static double kl_of(const float *a, const float *b, int V)
{
    const int32_t none[] = { -1 };
    Sums A = run_log_sum_exp(check_kernels(), a, none, 1, V), B = run_log_sum_exp(check_kernels(), b, none, 1, V);
    double *kl = run_kl(check_kernels(), a, A.log_sum, b, B.log_sum, 1, V), result = *kl;
    host_free(kl);
    sums_free(A);
    sums_free(B);
    return result;
}

/* Against the same sum with 64 bits of mantissa, and against sum p (log p - log q), whose terms cancel: an
 * error of some 1e-17 in KL is its own. */
static void test_kl_against_long_double(void **state)
{
    (void)state;
    double worst = 0;
    for (int v = 1; v < VOCABULARIES; v++)
        for (float size = 2e-5f; size < 6; size *= 4) {
            static float a[49152], b[49152];
            int V = vocabularies[v];
            fill(a, V, FILL_NORMAL);
            fill(b, V, FILL_NORMAL);
            for (int i = 0; i < V; i++) {
                a[i] *= 3;
                b[i] = a[i] + size * b[i];
            }
            long double A = long_log_sum(a, V), B = long_log_sum(b, V), want = 0, two_terms = 0;
            for (int i = 0; i < V; i++) {
                long double d = ((long double)b[i] - a[i]) - (B - A), p = expl(a[i] - A);
                want += p * (expm1l(d) - d);
                two_terms -= p * d;
            }
            double got = kl_of(a, b, V), error = fabs(got / (double)want - 1);
            if (!(fabs(got - (double)two_terms) <= 1e-10 * got + 1e-17)) check_complain("KL %Lg at V %d, two terms: %g", two_terms, V, got);
            if (want < 1e-9L) continue;
            if (!(error <= 1e-10)) check_complain("KL %Lg at V %d: relative error %g", want, V, error);
            worst = error > worst ? error : worst;
        }
    printf("KL from 1e-9: relative error at most %.2g\n", worst);
    check_done();
}

/* The accuracy that simd.h claims, over its range and where the pieces meet. */
static void test_exponentials(void **state)
{
    (void)state;
    for (int i = -200000; i <= 200000; i++) {
        double x = i * (i % 7 ? 1e-5 : 3e-3) * (1 + 1e-9 * i);
        long double want = expl(x), minus = expm1l(x) - x;
        if (!(fabsl(simd_exp(x) - want) <= 1e-15L * want)) check_complain("simd_exp(%.17g) is %.17g", x, simd_exp(x));
        if (fabs(x) > 2e-4 && !(fabsl(simd_expm1_minus(x) - minus) <= 1e-14L * minus))
            check_complain("simd_expm1_minus(%.17g) is %.17g", x, simd_expm1_minus(x));
        float y = (float)(i * 4.3e-4);
        if (fabsf(y) < 86 && !(fabs(simd_expf(y) - exp(y)) <= 2e-7 * exp(y))) check_complain("simd_expf(%.9g) is %.9g", y, simd_expf(y));
        float z = -fabsf(i % 3 ? y : y * y * 1e-9f);
        if (!(fabs(simd_one_minus_expf(z) + expm1(z)) <= -4e-7 * expm1(z))) check_complain("simd_one_minus_expf(%.9g) is %.9g", z, simd_one_minus_expf(z));
    }
    for (double x = 3e-4; x > 1e-150; x /= 3)           /* the series itself: 80-bit expm1 would cancel */
        for (int sign = -1; sign <= 1; sign += 2)
            if (!(fabs(simd_expm1_minus(sign * x) / (x * x * (0.5 + sign * x / 6 + x * x / 24)) - 1) <= 1e-12))
                check_complain("simd_expm1_minus(%.17g) is %.17g", sign * x, simd_expm1_minus(sign * x));
    if (simd_expm1_minus(0) != 0 || simd_one_minus_expf(0) != 0 || !isnan(simd_one_minus_expf(NAN)) || !isnan(simd_exp(NAN)) || !isnan(simd_expm1_minus(NAN)) || !isnan(simd_expf(NAN)))
        check_complain("an exponential of 0 or NaN");
    check_done();
}

/* KL(p||p) is 0, not nearly 0; of shifted logits it is nothing that a measurement would see. */
static void test_kl_of_equal_distributions(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            int V = vocabularies[v];
            float *a = filled(V, how), *b = xmalloc(sizeof *b * (unsigned long)V);
            double kl = kl_of(a, a, V);
            if (!(kl == 0)) check_complain("KL(p||p) is %g at V %d", kl, V);
            for (int i = 0; i < V; i++) {
                a[i] = roundf(a[i] * 256) / 256;
                b[i] = a[i] + 32;
            }
            kl = kl_of(a, b, V);
            if (!(kl >= 0 && kl <= 1e-24)) check_complain("a shift makes KL %g at V %d", kl, V);
            free(a);
            free(b);
        }
    check_done();
}

/* Distributions so far apart that exp would leave double: p on one token, q on another, `gap` nats below. */
static void test_kl_of_distant_distributions(void **state)
{
    (void)state;
    static const float gaps[] = { 100, 600, 699, 701, 720, 745, 800, 2000, 1e6f };
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        float a[40] = { gaps[g] }, b[40] = { 0 };
        b[39] = gaps[g];
        double kl = kl_of(a, b, 40);
        if (!(fabs(kl - gaps[g]) <= 1e-12 * gaps[g])) check_complain("KL across %g is %.17g", gaps[g], kl);
    }
    check_done();
}

static void test_nan_is_kept(void **state)
{
    (void)state;
    enum { V = 530 };
    const int32_t none[] = { -1 };
    for (int i = 0; i < V; i++) {
        float *a = filled(V, FILL_NORMAL), *b = filled(V, FILL_NORMAL);
        const double A = 3, B = 3, bad = NAN;
        a[i] = i % 3 == 2 ? INFINITY : NAN;
        Sums s = run_log_sum_exp(check_kernels(), a, none, 1, V);
        double *kl[] = { run_kl(check_kernels(), a, &A, b, &B, 1, V), run_kl(check_kernels(), b, &A, a, &B, 1, V),
                         run_kl(check_kernels(), b, &bad, b, &B, 1, V), run_kl(check_kernels(), b, &A, b, &bad, 1, V) };
        if (isfinite(s.log_sum[0])) check_complain("log_sum_exp of NaN at %d is %g", i, s.log_sum[0]);
        for (int j = 0; j < 4; j++) {
            if (isfinite(*kl[j])) check_complain("kl_divergence of NaN at %d, case %d, is %g", i, j, *kl[j]);
            host_free(kl[j]);
        }
        sums_free(s);
        free(a);
        free(b);
    }
    float *a = filled(V, FILL_NORMAL), *b = filled(V, FILL_NORMAL);     /* in b, where p vanishes */
    const double A = 3, B = 3;
    a[V / 2] = -1e4f;
    b[V / 2] = NAN;
    double *kl = run_kl(check_kernels(), a, &A, b, &B, 1, V);
    if (!isnan(*kl)) check_complain("kl_divergence of NaN where p vanishes is %g", *kl);
    host_free(kl);
    free(a);
    free(b);
    check_done();
}

static void test_nothing_but_nan(void **state)
{
    (void)state;
    enum { V = 530 };
    const int32_t none[] = { -1 };
    float all[V];
    for (int i = 0; i < V; i++) all[i] = NAN;
    Sums s = run_log_sum_exp(check_kernels(), all, none, 1, V);
    if (!isnan(s.log_sum[0])) check_complain("log_sum_exp of nothing but NaN is %g", s.log_sum[0]);
    if (s.top[0] < 0 || s.top[0] >= V) check_complain("top %d is no token", s.top[0]);
    sums_free(s);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_sum_exp),
        cmocka_unit_test(test_log_sum_exp_identities),
        cmocka_unit_test(test_top_is_the_first_largest),
        cmocka_unit_test(test_kl_divergence),
        cmocka_unit_test(test_kl_against_long_double),
        cmocka_unit_test(test_exponentials),
        cmocka_unit_test(test_kl_of_equal_distributions),
        cmocka_unit_test(test_kl_of_distant_distributions),
        cmocka_unit_test(test_nan_is_kept),
        cmocka_unit_test(test_nothing_but_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
