/*
 * test_elementwise.c - copies, addition, SwiGLU, norms and rotation against ref and against identities
 */
#include "kernels/tests/check.h"

static const int64_t sizes[] = { 0, 1, 2, 31, 32, 33, 255, 256, 257, 16383, 16385, 100003 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_copies(void **state)
{
    (void)state;
    const Kernels *k = check_kernels();
    for (int s = 0; s < SIZES; s++) {
        int64_t n = sizes[s];
        float *x = filled(n, FILL_NORMAL), *from = input(k, x, n), *to = output(k, NULL, n);
        k->copy(to, from, n);
        float *got = taken(k, "copy", to, n);
        check_same("copy", got, x, n * (int64_t)sizeof *x);
        k->release(from);
        free(got);
        free(x);
    }
    k->release(NULL);
    check_done();
}

static float *run_add(const Kernels *k, const float *x, const float *y, int64_t n)
{
    float *sum = output(k, x, n), *other = input(k, y, n);
    k->add(sum, other, n);
    k->release(other);
    return taken(k, "add", sum, n);
}

/* One rounding, so equal to the last bit. */
static void check_add(int64_t n, Fill how)
{
    float *x = filled(n, how), *y = filled(n, FILL_NORMAL);
    if (n) x[n / 2] = NAN;
    float *want = run_add(&kernels_ref, x, y, n);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_add(check_kernels(), x, y, n);
        check_close("add", got, want, NULL, n, 0);
        if (n) check_nan("add", got, want, n);
        free(got);
    }
    free(want);
    free(x);
    free(y);
}

static void test_add(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++)
        for (Fill how = 0; how < FILLS; how++) check_add(sizes[s], how);
    check_done();
}

static float *run_swiglu(const Kernels *k, const float *gate, const float *up, int64_t n, bool in_place)
{
    float *g = in_place ? output(k, gate, n) : input(k, gate, n), *u = input(k, up, n), *out = in_place ? g : output(k, NULL, n);
    k->swiglu(out, g, u, n);
    k->release(u);
    if (!in_place) k->release(g);
    return taken(k, "swiglu", out, n);
}

/* The exponential is good to 2 FLT_EPSILON; the sum, quotient, product and the rounding of ref add half
 * of one each: k = 4.  Where exp(-gate) would leave float32 it may stay at its largest value, so that the
 * quotient stops at FLT_MIN |gate| instead of vanishing. */
static void check_swiglu(int64_t n, Fill how)
{
    float *gate = filled(n, how), *up = filled(n, FILL_OUTLIERS), *first = NULL;
    if (n) gate[n - 1] = NAN;
    float *want = run_swiglu(&kernels_ref, gate, up, n, false);
    double *terms = xmalloc(sizeof *terms * (unsigned long)(n + 1));
    for (int64_t i = 0; i < n; i++) terms[i] = fabs((double)want[i]) + FLT_MIN / FLT_EPSILON * fabs((double)gate[i] * up[i]);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_swiglu(check_kernels(), gate, up, n, threads == 2);
        check_close("swiglu", got, want, terms, n, 4);
        if (n) check_nan("swiglu", got, want, n);
        if (first) check_same("swiglu in place or by other threads", got, first, n * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    free(first);
    free(want);
    free(terms);
    free(gate);
    free(up);
}

static void test_swiglu(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++)
        for (Fill how = 0; how < FILLS; how++) check_swiglu(sizes[s], how);
    check_done();
}

/* SiLU(x) - SiLU(-x) = x. */
static void test_swiglu_odd_part(void **state)
{
    (void)state;
    enum { N = 1000 };
    float gate[N], opposite[N], one[N];
    for (int i = 0; i < N; i++) {
        gate[i] = (float)(i - N / 2) / 5;
        opposite[i] = -gate[i];
        one[i] = 1;
    }
    float *a = run_swiglu(check_kernels(), gate, one, N, false), *b = run_swiglu(check_kernels(), opposite, one, N, false);
    for (int i = 0; i < N; i++) a[i] -= b[i];
    check_close("swiglu, odd part", a, gate, NULL, N, 4);
    free(a);
    free(b);
    check_done();
}

static float *run_rms_norm(const Kernels *k, const float *x, const float *gain, int64_t rows, int C, float epsilon, bool in_place)
{
    float *from = in_place ? output(k, x, rows * C) : input(k, x, rows * C), *g = input(k, gain, C);
    float *out = in_place ? from : output(k, NULL, rows * C);
    k->rms_norm(out, from, g, rows, C, epsilon);
    k->release(g);
    if (!in_place) k->release(from);
    return taken(k, "rms_norm", out, rows * C);
}

/* Three roundings (the scale, two products) and the one of ref, half an epsilon each: k = 2, and 1 to spare. */
static void check_rms_norm(int64_t rows, int C, Fill how)
{
    float *x = filled(rows * C, how), *gain = filled(C, FILL_NORMAL), *first = NULL;
    if (rows > 2) x[C + C / 2] = NAN;
    float *want = run_rms_norm(&kernels_ref, x, gain, rows, C, 1e-5f, false);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_rms_norm(check_kernels(), x, gain, rows, C, 1e-5f, threads == 2);
        check_close("rms_norm", got, want, NULL, rows * C, 3);
        if (rows > 2) check_nan("rms_norm", got, want, rows * C);
        if (first) check_same("rms_norm in place or by other threads", got, first, rows * C * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    free(first);
    free(want);
    free(x);
    free(gain);
}

static void test_rms_norm(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 31, 32, 33, 255, 256, 257, 576 }, wide[] = { 1024, 1027, 2048, 4100, 8192, 8193, 8196 };
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
        for (Fill how = 0; how < FILLS; how++)
            for (int rows = 0; rows < 8; rows += 1 + rows) check_rms_norm(rows, widths[s], how);
    for (size_t s = 0; s < sizeof wide / sizeof *wide; s++) check_rms_norm(3, wide[s], FILL_OUTLIERS);
    check_rms_norm(4099, 12, FILL_NORMAL);
    check_done();
}

/* A row of equal numbers becomes its sign times the gain, whatever the numbers are, where their squares leave float32 too. */
static void test_rms_norm_of_a_constant_row(void **state)
{
    (void)state;
    enum { C = 77 };
    const float values[] = { 1e-36f, 1e-20f, -3, 1e20f, 1e36f };
    float *gain = filled(C, FILL_NORMAL), x[C], want[C];
    for (int v = 0; v < 5; v++) {
        for (int c = 0; c < C; c++) {
            x[c] = values[v];
            want[c] = copysignf(1, values[v]) * gain[c];
        }
        float *got = run_rms_norm(check_kernels(), x, gain, 1, C, 0, false);
        check_close("rms_norm of a constant row", got, want, NULL, C, 3);
        free(got);
    }
    free(gain);
    check_done();
}

enum { POSITIONS = 300 };

static void angles(float *cosine, float *sine, int half)
{
    for (int t = 0; t < POSITIONS; t++)
        for (int i = 0; i < half; i++) {
            double angle = t * pow(10000, -(double)i / half);
            cosine[t * half + i] = (float)cos(angle);
            sine[t * half + i] = (float)sin(angle);
        }
}

static float *run_rotate(const Kernels *k, const float *x, const Ragged *batch, const int *past, int heads, int D)
{
    static float cosine[POSITIONS * 64], sine[POSITIONS * 64];
    assert(D <= 128);
    angles(cosine, sine, D / 2);
    int64_t n = rows_of(batch) * heads * D;
    float *c = input(k, cosine, POSITIONS * (D / 2)), *s = input(k, sine, POSITIONS * (D / 2)), *out = output(k, x, n);
    k->rotate(out, c, s, batch, past, heads, D);
    k->release(c);
    k->release(s);
    return taken(k, "rotate", out, n);
}

/* Two products and a sum, then the rounding of ref: at most 3 halves of an epsilon of |u| + |v|. */
static void check_rotate(const int *length, int n, const int *past, int heads, int D, Fill how)
{
    int64_t offset[8];
    Ragged batch = packed(offset, length, n);
    int64_t floats = rows_of(&batch) * heads * D;
    float *x = filled(floats, how), *first = NULL;
    if (floats) x[floats / 2] = NAN;
    double *terms = xmalloc(sizeof *terms * (unsigned long)(floats + 1));
    for (int64_t i = 0; i < floats; i++) terms[i] = fabs((double)x[i]) + fabs((double)x[i % D < D / 2 ? i + D / 2 : i - D / 2]);
    float *want = run_rotate(&kernels_ref, x, &batch, past, heads, D);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_rotate(check_kernels(), x, &batch, past, heads, D);
        check_close("rotate", got, want, terms, floats, 2);
        if (floats) check_nan("rotate", got, want, floats);
        if (first) check_same("rotate by other threads", got, first, floats * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    free(first);
    free(want);
    free(terms);
    free(x);
}

static void test_rotate(void **state)
{
    (void)state;
    static const int length[] = { 1, 64, 0, 65, 3, 130 }, past[] = { 5, 0, 9, 100, 299 - 3, 170 };
    static const int widths[] = { 2, 4, 6, 32, 64, 128 };
    for (size_t d = 0; d < sizeof widths / sizeof *widths; d++)
        for (Fill how = 0; how < FILLS; how++) {
            check_rotate(length, 6, NULL, 3, widths[d], how);
            check_rotate(length, 6, past, 1, widths[d], how);
            check_rotate(length, 0, NULL, 2, widths[d], how);
        }
    check_done();
}

/* Rotation keeps norms; and q at s against k at t gives what q at s + 50 against k at t + 50 gives. */
static void test_rotate_keeps_norms_and_sees_differences(void **state)
{
    (void)state;
    enum { D = 64, LENGTH = 200 };
    const int length[] = { LENGTH }, past[] = { 50 };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *row = filled(D, FILL_NORMAL), x[LENGTH * D];
    for (int i = 0; i < LENGTH * D; i++) x[i] = row[i % D];
    float *here = run_rotate(check_kernels(), x, &batch, NULL, 1, D), *later = run_rotate(check_kernels(), x, &batch, past, 1, D);
    double norm = 0;
    for (int i = 0; i < D; i++) norm += (double)row[i] * row[i];
    for (int t = 0; t < LENGTH; t++) {
        double own = 0, product = 0, moved = 0;
        for (int i = 0; i < D; i++) {
            own += (double)here[t * D + i] * here[t * D + i];
            product += (double)here[7 * D + i] * here[t * D + i];
            moved += (double)later[7 * D + i] * later[t * D + i];
        }
        if (!(fabs(own - norm) <= 4 * FLT_EPSILON * norm)) check_complain("rotate: norm^2 %g became %g", norm, own);
        if (!(fabs(product - moved) <= 8 * FLT_EPSILON * norm)) check_complain("rotate: product %g became %g", product, moved);
    }
    free(here);
    free(later);
    free(row);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_swiglu_odd_part),
        cmocka_unit_test(test_rms_norm),
        cmocka_unit_test(test_rms_norm_of_a_constant_row),
        cmocka_unit_test(test_rotate),
        cmocka_unit_test(test_rotate_keeps_norms_and_sees_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
