/*
 * test_logits.c - gradients by logits against ref and against the distributions they are made of
 */
#include "kernels/tests/check.h"

static const int vocabularies[] = { 1, 2, 3, 31, 32, 33, 511, 512, 513, 1025, 49152 };
enum { VOCABULARIES = sizeof vocabularies / sizeof *vocabularies, ROWS = 7 };

static int64_t words_of(int V) { return (V + 31) / 32; }

static uint32_t *random_signs(int64_t n)
{
    static int draw;
    uint64_t stream = rng_stream(RNG_TEST, 1, draw++, 0);
    uint32_t *sign = xmalloc(sizeof *sign * (unsigned long)(n + 1));
    for (int64_t i = 0; i < n; i++) sign[i] = rng_integer(check_seed(), stream, (uint64_t)i);
    return sign;
}

/* log sums of ref: both back ends get the same ones */
static double *log_sums(const float *logits, int64_t rows, int V)
{
    double *sum = xmalloc(sizeof *sum * (unsigned long)(rows + 1)), target_logit;
    int32_t top, none = -1;
    for (int64_t r = 0; r < rows; r++) kernels_ref.log_sum_exp(sum + r, &top, &target_logit, logits + r * V, &none, 1, V);
    return sum;
}

typedef struct { double *log_sum, *target, *product; int32_t *top; } SignedSums;

static void free_sums(SignedSums *s)
{
    host_free(s->log_sum);
    host_free(s->target);
    host_free(s->product);
    host_free(s->top);
}

static SignedSums run_signed_sums(const Kernels *k, const float *logits, const uint32_t *sign, const int32_t *target, int64_t rows, int V)
{
    SignedSums s = { host_output(rows * 8), host_output(rows * 8), host_output(rows * 8), host_output(rows * 4) };
    float *device = input(k, logits, rows * V);
    k->log_sum_exp_signed(s.log_sum, s.top, s.target, s.product, device, target, sign, rows, V);
    k->release(device);
    check_host_guards("log_sum_exp_signed", s.log_sum, rows * 8);
    check_host_guards("log_sum_exp_signed, target", s.target, rows * 8);
    check_host_guards("log_sum_exp_signed, product", s.product, rows * 8);
    check_host_guards("log_sum_exp_signed, top", s.top, rows * 4);
    return s;
}

/* With the products of the same back end, as in a pass. */
static float *run_probe(const Kernels *k, const float *logits, const double *A, const uint32_t *sign, const int32_t *target, int64_t rows, int V)
{
    SignedSums s = run_signed_sums(k, logits, sign, target, rows, V);
    float *u = output(k, logits, rows * V);
    k->logit_probe(u, A, s.product, sign, target, rows, V);
    free_sums(&s);
    return taken(k, "logit_probe", u, rows * V);
}

static float *run_difference(const Kernels *k, const float *a, const double *A, const float *b, const double *B, const int32_t *target, int64_t rows, int V)
{
    float *d = output(k, a, rows * V), *other = b ? input(k, b, rows * V) : NULL;
    k->logit_difference(d, A, other, B, target, rows, V);
    k->release(other);
    return taken(k, "logit_difference", d, rows * V);
}

/* The numbers of log_sum_exp to the bit. */
static void check_same_as_unsigned(const SignedSums *s, const float *logits, const int32_t *target, int64_t rows, int V)
{
    double *log_sum = xmalloc(sizeof *log_sum * (unsigned long)(rows + 1)), *target_logit = xmalloc(sizeof *target_logit * (unsigned long)(rows + 1));
    int32_t *top = xmalloc(sizeof *top * (unsigned long)(rows + 1));
    float *device = input(check_kernels(), logits, rows * V);
    check_kernels()->log_sum_exp(log_sum, top, target_logit, device, target, rows, V);
    check_kernels()->release(device);
    check_same("log_sum_exp_signed", s->log_sum, log_sum, rows * 8);
    check_same("log_sum_exp_signed, target", s->target, target_logit, rows * 8);
    check_same("log_sum_exp_signed, top", s->top, top, rows * 4);
    free(log_sum);
    free(target_logit);
    free(top);
}

/* Where p vanishes, exp may stop at its least, the exponential of -87. */
#define LEAST (2 * FLT_MIN / FLT_EPSILON)

/* q is off by (|x|/2 + 2) epsilon, x = (a - A)/2: the rounding of x and the exponential; p by twice that and 1/2; q.r by the
 * sum of what its terms are off by.  Products, difference and ref add 2 of the terms. */
static double *probe_terms(const float *logits, const double *A, const uint32_t *sign, int64_t rows, int V)
{
    double *terms = xmalloc(sizeof *terms * (unsigned long)(rows * V + 1));
    for (int64_t r = 0; r < rows; r++) {
        double product = 0, off = 0;
        for (int i = 0; i < V; i++) {
            double x = (logits[r * V + i] - A[r]) / 2, q = exp(x);
            product += sign[r * words_of(V) + i / 32] >> (i % 32) & 1 ? q : -q;
            off += q * (fabs(x) / 2 + 2) + LEAST;
        }
        for (int i = 0; i < V; i++) {
            double x = (logits[r * V + i] - A[r]) / 2, q = exp(x);
            terms[r * V + i] = q * (fabs(x) / 2 + 4) + q * q * (fabs(product) * (fabs(x) + 6.5) + off) + LEAST;
        }
    }
    return terms;
}

static void check_zero_row(const char *what, const float *row, int V)
{
    for (int i = 0; i < V; i++)
        if (row[i] != 0 || signbit(row[i])) {
            check_complain("%s: %g in a row without a target", what, row[i]);
            return;
        }
}

/* Row 1 has no target, and a NaN that nobody is to see. */
static void targets(int32_t *target, float *logits, int64_t rows, int V)
{
    for (int r = 0; r < rows; r++) target[r] = r == 1 ? -1 : (int32_t)((int64_t)r * V / 8);
    if (rows > 1) logits[V] = NAN;
}

static void check_probe(int64_t rows, int V, Fill how)
{
    float *logits = filled(rows * V, how), *first = NULL;
    double *A = log_sums(logits, rows, V);
    uint32_t *sign = random_signs(rows * words_of(V));
    int32_t target[ROWS];
    targets(target, logits, rows, V);
    float *want = run_probe(&kernels_ref, logits, A, sign, target, rows, V);
    double *terms = probe_terms(logits, A, sign, rows, V);
    for (int i = 0; i < V && rows > 1; i++) terms[V + i] = 0;
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_probe(check_kernels(), logits, A, sign, target, rows, V);
        check_close("logit_probe", got, want, terms, rows * V, 1);
        if (rows > 1) check_zero_row("logit_probe", got + V, V);
        if (first) check_same("logit_probe by other threads", got, first, rows * V * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    for (int64_t r = 0; r < rows; r++) {
        float *alone = run_probe(check_kernels(), logits + r * V, A + r, sign + r * words_of(V), target + r, 1, V);
        check_same("logit_probe of a row alone", alone, first + r * V, V * (int64_t)sizeof *alone);
        free(alone);
    }
    free(first);
    free(want);
    free(terms);
    free(logits);
    free(A);
    free(sign);
}

static void test_logit_probe(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            check_probe(vocabularies[v] > 2000 ? 2 : ROWS, vocabularies[v], how);
            check_probe(0, vocabularies[v], how);
        }
    check_done();
}

/* q . r is off by what its terms are off by (probe_terms), however many rows there are and however far apart logits lie. */
static void check_signed_sums(int64_t rows, int V, Fill how)
{
    float *logits = filled(rows * V, how);
    uint32_t *sign = random_signs(rows * words_of(V));
    int32_t target[ROWS];
    for (int r = 0; r < rows; r++) target[r] = r == 1 ? -1 : r % V;
    SignedSums got = run_signed_sums(check_kernels(), logits, sign, target, rows, V);
    check_same_as_unsigned(&got, logits, target, rows, V);
    for (int64_t r = 0; r < rows; r++) {
        const float *a = logits + r * V;
        double A, at_target, want, off = 0;
        int32_t top;
        kernels_ref.log_sum_exp_signed(&A, &top, &at_target, &want, a, target + r, sign + r * words_of(V), 1, V);
        for (int i = 0; i < V; i++) off += exp((a[i] - A) / 2) * (fabs(a[i] - A) / 4 + 2) + LEAST;
        check_note("log_sum_exp_signed", V, fabs(got.product[r] - want) / (FLT_EPSILON * off));
        if (!(fabs(got.product[r] - want) <= FLT_EPSILON * off))
            check_complain("q . r, %s, V %d: %.9g, not %.9g", fill_name(how), V, got.product[r], want);
        SignedSums alone = run_signed_sums(check_kernels(), a, sign + r * words_of(V), target + r, 1, V);
        check_same("log_sum_exp_signed of a row alone", alone.product, got.product + r, 8);
        free_sums(&alone);
    }
    free_sums(&got);
    free(logits);
    free(sign);
}

static void test_log_sum_exp_signed(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            check_signed_sums(vocabularies[v] > 2000 ? 2 : ROWS, vocabularies[v], how);
            check_signed_sums(0, vocabularies[v], how);
        }
    check_done();
}

/* The mean of u u' over all signs is diag(p) - p p': enumerated. */
static void test_probe_covariance(void **state)
{
    (void)state;
    for (int V = 1; V <= 8; V++) {
        int rows = 1 << V;
        float *one = filled(V, FILL_NORMAL), *logits = xmalloc(sizeof *logits * (unsigned long)(rows * V));
        for (int i = 0; i < rows * V; i++) logits[i] = 2 * one[i % V];
        double *A = log_sums(logits, rows, V);
        uint32_t sign[256];
        int32_t target[256] = { 0 };
        for (int r = 0; r < rows; r++) sign[r] = (uint32_t)r | 0xabcd00u;       /* bits from V on mean nothing */
        float *u = run_probe(check_kernels(), logits, A, sign, target, rows, V);
        for (int i = 0; i < V; i++)
            for (int j = 0; j < V; j++) {
                double p = exp(logits[i] - A[0]), q = exp(logits[j] - A[0]), mean = 0;
                for (int r = 0; r < rows; r++) mean += (double)u[r * V + i] * u[r * V + j] / rows;
                if (!(fabs(mean - ((i == j) * p - p * q)) <= 64 * FLT_EPSILON * sqrt(p * q))) check_complain("E uu'[%d][%d] is %g, p %g, q %g", i, j, mean, p, q);
            }
        free(one);
        free(logits);
        free(A);
        free(u);
    }
    check_done();
}

/* Logits all shifted change nothing, so a gradient by them sums to 0: of the probe, and of both differences, which take the log sums as they were rounded. */
static void test_gradients_sum_to_zero(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++) {
        int V = vocabularies[v];
        float *a = filled(V, FILL_OUTLIERS), *b = filled(V, FILL_NORMAL);
        double *A = log_sums(a, 1, V), *B = log_sums(b, 1, V);
        uint32_t *sign = random_signs(words_of(V));
        const int32_t target[] = { V / 3 };
        double *terms = probe_terms(a, A, sign, 1, V);
        float *of[] = { run_probe(check_kernels(), a, A, sign, target, 1, V), run_difference(check_kernels(), a, A, b, B, target, 1, V),
                        run_difference(check_kernels(), a, A, NULL, NULL, target, 1, V) };
        for (int k = 0; k < 3; k++) {
            double sum = 0, bound = k ? DBL_EPSILON * (4 + fabs(A[0]) + fabs(B[0])) : 0;
            for (int i = 0; i < V; i++) {
                sum += of[k][i];
                bound += FLT_EPSILON * (k ? 64 * fabs((double)of[k][i]) + LEAST : terms[i]);
            }
            if (!(fabs(sum) <= bound)) check_complain("gradient %d by %d logits sums to %g, not 0 +- %g", k, V, sum, bound);
            free(of[k]);
        }
        free(a);
        free(b);
        free(A);
        free(B);
        free(sign);
        free(terms);
    }
    check_done();
}

/* Relative to the result: exponential 2, one less exponential 4, roundings and ref 2, and that of the larger
 * exponent x and of the difference |x|/2 + 1/2; ref's own double exponentials cancel. */
static double *difference_terms(const float *want, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V)
{
    double *terms = xmalloc(sizeof *terms * (unsigned long)(rows * V + 1));
    for (int64_t i = 0; i < rows * V; i++) {
        double x = a[i] - A[i / V], y = b ? b[i] - B[i / V] : x, larger = x > y ? x : y;
        double cancelled = (4 + fabs(x) + fabs(y) + fabs(A[i / V]) + (B ? fabs(B[i / V]) : 0)) * (exp(x) + exp(y) + (b ? 0 : 1));
        terms[i] = fabs((double)want[i]) * (fabs(larger) / 2 + 8.5) + DBL_EPSILON / FLT_EPSILON * cancelled + LEAST;
    }
    return terms;
}

/* The other logits are `size` away; size < 0: none, the target's own distribution. */
static void check_difference(int64_t rows, int V, Fill how, float size)
{
    float *a = filled(rows * V, how), *b = filled(rows * V, FILL_NORMAL), *first = NULL;
    for (int64_t i = 0; i < rows * V; i++) b[i] = a[i] + size * b[i];
    double *A = log_sums(a, rows, V), *B = log_sums(b, rows, V);
    int32_t target[ROWS];
    targets(target, a, rows, V);
    const float *other = size < 0 ? NULL : b;
    const double *other_sum = size < 0 ? NULL : B;
    float *want = run_difference(&kernels_ref, a, A, other, other_sum, target, rows, V);
    double *terms = difference_terms(want, a, A, other, other_sum, rows, V);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_difference(check_kernels(), a, A, other, other_sum, target, rows, V);
        check_close("logit_difference", got, want, terms, rows * V, 1);
        if (rows > 1) check_zero_row("logit_difference", got + V, V);
        if (first) check_same("logit_difference by other threads", got, first, rows * V * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    free(first);
    free(want);
    free(terms);
    free(a);
    free(b);
    free(A);
    free(B);
}

static void test_logit_difference(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            int V = vocabularies[v], rows = V > 2000 ? 2 : ROWS;
            check_difference(rows, V, how, 1e-3f);
            check_difference(rows, V, how, 3);
            check_difference(rows, V, how, -1);
            check_difference(0, V, how, 1);
        }
    check_done();
}

static void test_difference_of_equal_rows(void **state)
{
    (void)state;
    for (int v = 0; v < VOCABULARIES; v++)
        for (Fill how = 0; how < FILLS; how++) {
            int V = vocabularies[v];
            float *a = filled(V, how);
            double *A = log_sums(a, 1, V);
            const int32_t target[] = { 0 };
            float *got = run_difference(check_kernels(), a, A, a, A, target, 1, V);
            for (int i = 0; i < V; i++)
                if (got[i] != 0) check_complain("p - p is %g", got[i]);
            free(a);
            free(A);
            free(got);
        }
    check_done();
}

/* All of p on one token, all of q on another, `gap` nats above the rest. */
static void test_difference_of_distant_rows(void **state)
{
    (void)state;
    static const float gaps[] = { 50, 88, 100, 200, 800, 1e6f };
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        float a[40] = { gaps[g] }, b[40] = { 0 };
        b[39] = gaps[g];
        double *A = log_sums(a, 1, 40), *B = log_sums(b, 1, 40);
        const int32_t target[] = { 39 };
        for (int other = 0; other < 2; other++) {
            float *got = run_difference(check_kernels(), a, A, other ? b : NULL, B, target, 1, 40);
            for (int i = 0; i < 40; i++)
                if (!(fabs(got[i] - ((i == 0) - (i == 39))) <= 1.001 * exp(-gaps[g]) + 2 * FLT_MIN)) check_complain("gap %g: element %d is %g", gaps[g], i, got[i]);
            free(got);
        }
        free(A);
        free(B);
    }
    check_done();
}

static void test_logits_keep_nan(void **state)
{
    (void)state;
    enum { V = 530 };
    const int32_t target[] = { 5 };
    uint32_t *sign = random_signs(words_of(V));
    for (int i = 0; i < V; i += 13) {
        float *a = filled(V, FILL_NORMAL), *b = filled(V, FILL_NORMAL);
        const double A = 7, bad = NAN;
        a[i] = NAN;
        float *probe = run_probe(check_kernels(), a, &A, sign, target, 1, V), *by_sum = run_probe(check_kernels(), b, &bad, sign, target, 1, V);
        for (int j = 0; j < V; j++)
            if (!isnan(probe[j]) || !isnan(by_sum[j])) check_complain("logit_probe: element %d is %g, %g", j, probe[j], by_sum[j]);
        float *of[] = { run_difference(check_kernels(), a, &A, b, &A, target, 1, V), run_difference(check_kernels(), b, &A, a, &A, target, 1, V),
                        run_difference(check_kernels(), a, &A, NULL, NULL, target, 1, V), run_difference(check_kernels(), b, &bad, b, &A, target, 1, V),
                        run_difference(check_kernels(), b, &A, b, &bad, target, 1, V), run_difference(check_kernels(), b, &bad, NULL, NULL, target, 1, V) };
        for (int k = 0; k < 6; k++) {
            if (!isnan(of[k][i])) check_complain("logit_difference, case %d: element %d is %g", k, i, of[k][i]);
            free(of[k]);
        }
        free(probe);
        free(by_sum);
        free(a);
        free(b);
    }
    free(sign);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_sum_exp_signed),
        cmocka_unit_test(test_logit_probe),
        cmocka_unit_test(test_probe_covariance),
        cmocka_unit_test(test_gradients_sum_to_zero),
        cmocka_unit_test(test_logit_difference),
        cmocka_unit_test(test_difference_of_equal_rows),
        cmocka_unit_test(test_difference_of_distant_rows),
        cmocka_unit_test(test_logits_keep_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
