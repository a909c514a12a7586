/*
 * test_elementwise_backward.c - gradients of norms and SwiGLU against ref, and both against differences of the forward
 */
#include "kernels/tests/slope.h"

static const int64_t sizes[] = { 0, 1, 2, 31, 32, 33, 255, 256, 257, 16383, 16385, 100003 };
enum { SIZES = sizeof sizes / sizeof *sizes };
typedef struct { float *dgate, *dup; } SwigluGradient;

/* in_place: 1: dgate is dy, 2: dup is dy. */
static SwigluGradient run_swiglu(const Kernels *k, const float *dy, const float *gate, const float *up, int64_t n, int in_place)
{
    float *g = input(k, gate, n), *u = input(k, up, n), *d = in_place ? output(k, dy, n) : input(k, dy, n);
    float *dgate = in_place == 1 ? d : output(k, NULL, n), *dup = in_place == 2 ? d : output(k, NULL, n);
    k->swiglu_backward(dgate, dup, d, g, u, n);
    k->release(g);
    k->release(u);
    if (!in_place) k->release(d);
    return (SwigluGradient){ taken(k, "swiglu_backward, gate", dgate, n), taken(k, "swiglu_backward, up", dup, n) };
}

/* In halves of an epsilon: exp(-gate) 4, s = 1/(1 + exp) 6, 1 - s = exp s 11, s (1 + g (1 - s)) 6 + 11 + 4, three
 * products and the rounding of ref 3: k = 12 for the gate; 6 + 4 of them for up: k = 5.  Where exp(-gate) would leave
 * float32, s stops at FLT_MIN. */
static void check_swiglu(int64_t n, Fill how)
{
    float *dy = filled(n, FILL_OUTLIERS), *gate = filled(n, how), *up = filled(n, FILL_OUTLIERS);
    if (n) gate[n - 1] = NAN;
    SwigluGradient want = run_swiglu(&kernels_ref, dy, gate, up, n, 0), first = { 0 };
    double *gate_terms = xmalloc(sizeof *gate_terms * (unsigned long)(n + 1)), *up_terms = xmalloc(sizeof *up_terms * (unsigned long)(n + 1));
    for (int64_t i = 0; i < n; i++) {
        double g = gate[i], s = 1 / (1 + exp(-g)), least = FLT_MIN / FLT_EPSILON;
        gate_terms[i] = fabs((double)dy[i] * up[i]) * (s + least) * (1 + fabs(g) * (1 - s));
        up_terms[i] = fabs(dy[i] * g) * (s + least);
    }
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        SwigluGradient got = run_swiglu(check_kernels(), dy, gate, up, n, threads - 1);
        check_close("swiglu_backward, gate", got.dgate, want.dgate, gate_terms, n, 12);
        check_close("swiglu_backward, up", got.dup, want.dup, up_terms, n, 5);
        if (n) check_nan("swiglu_backward, gate", got.dgate, want.dgate, n);
        if (n) check_nan("swiglu_backward, up", got.dup, want.dup, n);
        if (first.dgate) check_same("swiglu_backward in place or by other threads", got.dgate, first.dgate, n * (int64_t)sizeof *gate);
        if (first.dgate) check_same("swiglu_backward in place or by other threads", got.dup, first.dup, n * (int64_t)sizeof *gate);
        if (first.dgate) { free(got.dgate); free(got.dup); }
        else first = got;
    }
    float *all[] = { first.dgate, first.dup, want.dgate, want.dup, dy, gate, up };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(gate_terms);
    free(up_terms);
}

static void test_swiglu_backward(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++)
        for (Fill how = 0; how < FILLS; how++) check_swiglu(sizes[s], how);
    check_done();
}

static void test_swiglu_backward_keeps_nan(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        float x[3][5] = { { 1, 0, 2, 3, 4 }, { 1, 0, -1, 2, 3 }, { 1, 0, 2, 3, 4 } };
        x[which][1] = NAN;
        SwigluGradient got = run_swiglu(check_kernels(), x[0], x[1], x[2], 5, 0);
        if (!isnan(got.dgate[1])) check_complain("swiglu_backward, gate: %g for NaN in input %d", got.dgate[1], which);
        if (which < 2 && !isnan(got.dup[1])) check_complain("swiglu_backward, up: %g for NaN in input %d", got.dup[1], which);
        free(got.dgate);
        free(got.dup);
    }
    check_done();
}

static float *run_norm(const Kernels *k, const float *dy, const float *x, const float *gain, int64_t rows, int C, bool in_place)
{
    float *d = in_place ? output(k, dy, rows * C) : input(k, dy, rows * C), *from = input(k, x, rows * C), *g = input(k, gain, C);
    float *dx = in_place ? d : output(k, NULL, rows * C);
    k->rms_norm_backward(dx, d, from, g, rows, C, 1e-5f);
    k->release(g);
    k->release(from);
    if (!in_place) k->release(d);
    return taken(k, "rms_norm_backward", dx, rows * C);
}

/* |s gain dy| + |x| s^3 sum|gain dy x| / C */
static double *norm_terms(const float *dy, const float *x, const float *gain, int64_t rows, int C)
{
    double *terms = xmalloc(sizeof *terms * (unsigned long)(rows * C + 1));
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0, product = 0;
        for (int64_t i = r * C; i < (r + 1) * C; i++) {
            squares += (double)x[i] * x[i];
            product += fabs((double)gain[i - r * C] * dy[i] * x[i]);
        }
        double s = 1 / sqrt(squares / C + 1e-5f);
        for (int64_t i = r * C; i < (r + 1) * C; i++) terms[i] = fabs(s * gain[i - r * C] * dy[i]) + fabs(x[i] * s * s * s) * product / C;
    }
    return terms;
}

/* Either side takes at most four roundings, the difference and ref one each: k = 3, and 1 to spare. */
static void check_norm(int64_t rows, int C, Fill how)
{
    float *dy = filled(rows * C, FILL_OUTLIERS), *x = filled(rows * C, how), *gain = filled(C, FILL_NORMAL), *first = NULL;
    if (rows > 2) x[C + C / 2] = NAN;
    if (rows > 3) dy[3 * C] = NAN;
    float *want = run_norm(&kernels_ref, dy, x, gain, rows, C, false);
    double *terms = norm_terms(dy, x, gain, rows, C);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_norm(check_kernels(), dy, x, gain, rows, C, threads == 2);
        check_close("rms_norm_backward", got, want, terms, rows * C, 4);
        if (rows > 2) check_nan("rms_norm_backward", got, want, rows * C);
        if (first) check_same("rms_norm_backward in place or by other threads", got, first, rows * C * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    free(first);
    free(want);
    free(terms);
    free(dy);
    free(x);
    free(gain);
}

static void test_rms_norm_backward(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 31, 32, 33, 255, 256, 257, 576 }, wide[] = { 1024, 1027, 2048, 4096, 4100, 8193 };
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
        for (Fill how = 0; how < FILLS; how++) {
            for (int rows = 0; rows < 8; rows += 1 + rows) check_norm(rows, widths[s], how);
            if (how == FILL_NORMAL) check_norm(67, widths[s], how);
        }
    for (size_t s = 0; s < sizeof wide / sizeof *wide; s++) check_norm(4, wide[s], FILL_OUTLIERS);
    check_norm(4099, 12, FILL_NORMAL);
    check_norm(515, 2052, FILL_NORMAL);             /* rows of a block that are not all there, in the shape of long ones */
    check_done();
}

/* The norm does not see the length of x: its gradient stands upright on x but for epsilon, which is 1e-5 of 1. */
static void test_rms_norm_backward_is_upright(void **state)
{
    (void)state;
    enum { C = 576 };
    float *dy = filled(C, FILL_NORMAL), *x = filled(C, FILL_NORMAL), *gain = filled(C, FILL_NORMAL);
    float *dx = run_norm(check_kernels(), dy, x, gain, 1, C, false);
    double product = 0, size = 0;
    for (int c = 0; c < C; c++) {
        product += (double)dx[c] * x[c];
        size += fabs((double)dx[c] * x[c]);
    }
    if (!(fabs(product) <= 1e-4 * size)) check_complain("<dx, x> is %g of terms of size %g", product, size);
    free(dy);
    free(x);
    free(gain);
    free(dx);
    check_done();
}

enum { ROWS = 3, WIDTH = 40 };

typedef struct { const float *dy, *other; } Elementwise;

static double norm_loss(const float *x, const void *context)
{
    const Elementwise *e = context;
    float y[ROWS * WIDTH];
    kernels_ref.rms_norm(y, x, e->other, ROWS, WIDTH, 1e-5f);
    return product(y, e->dy, ROWS * WIDTH);
}

static double gate_loss(const float *x, const void *context)
{
    const Elementwise *e = context;
    float y[ROWS * WIDTH];
    kernels_ref.swiglu(y, x, e->other, ROWS * WIDTH);
    return product(y, e->dy, ROWS * WIDTH);
}

static double up_loss(const float *x, const void *context)
{
    const Elementwise *e = context;
    float y[ROWS * WIDTH];
    kernels_ref.swiglu(y, e->other, x, ROWS * WIDTH);
    return product(y, e->dy, ROWS * WIDTH);
}

static void check_elementwise_slopes(const Kernels *k)
{
    float *x = filled(ROWS * WIDTH, FILL_NORMAL), *y = filled(ROWS * WIDTH, FILL_NORMAL), *dy = filled(ROWS * WIDTH, FILL_NORMAL);
    float *dx = run_norm(k, dy, x, y, ROWS, WIDTH, false);
    check_slope("rms_norm_backward", norm_loss, &(Elementwise){ dy, y }, x, dx, ROWS * WIDTH);
    SwigluGradient g = run_swiglu(k, dy, x, y, ROWS * WIDTH, 0);
    check_slope("swiglu_backward, gate", gate_loss, &(Elementwise){ dy, y }, x, g.dgate, ROWS * WIDTH);
    check_slope("swiglu_backward, up", up_loss, &(Elementwise){ dy, x }, y, g.dup, ROWS * WIDTH);
    float *all[] = { x, y, dy, dx, g.dgate, g.dup };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void test_slopes(void **state)
{
    (void)state;
    check_elementwise_slopes(&kernels_ref);
    check_elementwise_slopes(check_kernels());
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swiglu_backward),
        cmocka_unit_test(test_swiglu_backward_keeps_nan),
        cmocka_unit_test(test_rms_norm_backward),
        cmocka_unit_test(test_rms_norm_backward_is_upright),
        cmocka_unit_test(test_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
