/*
 * test_backward.c - gradients of norms, SwiGLU and attention against ref, and both against differences of the forward
 */
#include "kernels/tests/check.h"

static const int64_t sizes[] = { 0, 1, 2, 31, 32, 33, 255, 256, 257, 16383, 16385, 100003 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static const int ragged[] = { 1, 64, 65, 0, 3, 130 };
enum { SEQUENCES = sizeof ragged / sizeof *ragged };

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
    static const int widths[] = { 1, 2, 31, 32, 33, 255, 256, 257, 576 };
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
        for (Fill how = 0; how < FILLS; how++) {
            for (int rows = 0; rows < 8; rows += 1 + rows) check_norm(rows, widths[s], how);
            if (how == FILL_NORMAL) check_norm(67, widths[s], how);
        }
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

/* x[0], x[1], x[2]: q, k, v; y: dout.  So are the gradients d[0], d[1], d[2]. */
typedef struct { int H, G, D; const float *x[3], *dout; } Heads;
typedef struct { float *d[3]; } Gradient;

static int64_t head_floats(const Heads *a, const Ragged *batch, int which)
{
    return rows_of(batch) * (which ? a->G : a->H) * a->D;
}

static Gradient run_attention(const Kernels *k, const Heads *a, const Ragged *batch)
{
    static const char *const names[] = { "attention_backward, q", "attention_backward, k", "attention_backward, v" };
    float *in[3], *out[3], *dout = input(k, a->dout, head_floats(a, batch, 0));
    for (int i = 0; i < 3; i++) {
        in[i] = input(k, a->x[i], head_floats(a, batch, i));
        out[i] = output(k, NULL, head_floats(a, batch, i));
    }
    k->attention_backward(out[0], out[1], out[2], dout, in[0], in[1], in[2], batch, a->H, a->G, a->D);
    Gradient g;
    for (int i = 0; i < 3; i++) {
        k->release(in[i]);
        g.d[i] = taken(k, names[i], out[i], head_floats(a, batch, i));
    }
    k->release(dout);
    return g;
}

static void gradient_free(Gradient g)
{
    for (int i = 0; i < 3; i++) free(g.d[i]);
}

/* Where a weight vanishes, exp may stop at its least, the exponential of -87. */
#define LEAST (2 * FLT_MIN / FLT_EPSILON)

/*
 * What the gradients may be off by, in epsilons, one query's share.  A weight P is off by rho epsilon P, where a score
 * is off by (D + 2)/2 epsilon of S = max sum|q k| / sqrt(D), and so is the largest; exp and the quotient add their own,
 * the sum over `seen` weights seen/2 (as in test_products.c).  With A_s = sum|dout v| and M = sum P A,
 * dP is off by (D + 1)/2 of A, its mean by (rho + D/2 + seen/2 + 2) of M: so dS = P (dP - mean) by
 * e = 2 rho + (D + seen)/2 + 5 of P (A + M).  Sums of n such terms times k or q add (n + 2)/2; n is at most
 * what a key's sum is over, queries and heads.
 */
static void add_query_terms(double *dq, double *dk, double *dv, const float *dout, const float *q, const float *k, const float *v,
                            int seen, int n, int64_t stride, int D)
{
    double p[256], size[256], largest = -INFINITY, largest_size = 0, total = 0, mean = 0;
    for (int s = 0; s < seen; s++) {
        double score = 0, magnitude = 0;
        size[s] = 0;
        for (int i = 0; i < D; i++) {
            score += (double)q[i] * k[s * stride + i] / sqrt(D);
            magnitude += fabs((double)q[i] * k[s * stride + i]) / sqrt(D);
            size[s] += fabs((double)dout[i] * v[s * stride + i]);
        }
        p[s] = score;
        largest = score > largest ? score : largest;
        largest_size = magnitude > largest_size ? magnitude : largest_size;
    }
    for (int s = 0; s < seen; s++) total += p[s] = exp(p[s] - largest);
    for (int s = 0; s < seen; s++) mean += (p[s] /= total) * size[s];
    double rho = 2 * expm1(((D + 2) * largest_size + 2) * FLT_EPSILON) / FLT_EPSILON + (seen + 4) / 2.0;
    double e = 2 * rho + (D + seen) / 2.0 + 5;
    for (int s = 0; s < seen; s++)
        for (int i = 0; i < D; i++) {
            double by_score = (size[s] + mean) / sqrt(D);
            dq[i] += by_score * fabs((double)k[s * stride + i]) * (p[s] * (e + (seen + 2) / 2.0) + LEAST);
            dk[s * stride + i] += by_score * fabs((double)q[i]) * (p[s] * (e + (n + 2) / 2.0) + LEAST);
            dv[s * stride + i] += fabs((double)dout[i]) * (p[s] * (rho + (n + 2) / 2.0) + LEAST);
        }
}

static void attention_terms(double *terms[3], const Heads *a, const Ragged *batch)
{
    for (int i = 0; i < 3; i++) terms[i] = xcalloc((unsigned long)head_floats(a, batch, i) + 1, sizeof **terms);
    for (int b = 0; b < batch->n; b++)
        for (int t = 0; t < batch->length[b]; t++)
            for (int h = 0; h < a->H; h++) {
                int64_t at = ((batch->offset[b] + t) * a->H + h) * a->D, key = (batch->offset[b] * a->G + h / (a->H / a->G)) * a->D;
                add_query_terms(terms[0] + at, terms[1] + key, terms[2] + key, a->dout + at, a->x[0] + at, a->x[1] + key, a->x[2] + key,
                                t + 1, batch->length[b] * (a->H / a->G), (int64_t)a->G * a->D, a->D);
            }
}

static void check_attention_alone(const Heads *a, const Ragged *batch, Gradient whole)
{
    for (int b = 0; b < batch->n; b++) {
        int64_t offset[1], at[3];
        Ragged one = packed(offset, batch->length + b, 1);
        for (int i = 0; i < 3; i++) at[i] = batch->offset[b] * (i ? a->G : a->H) * a->D;
        Heads own = { a->H, a->G, a->D, { a->x[0] + at[0], a->x[1] + at[1], a->x[2] + at[2] }, a->dout + at[0] };
        Gradient got = run_attention(check_kernels(), &own, &one);
        for (int i = 0; i < 3; i++)
            check_same("attention_backward of a sequence alone", got.d[i], whole.d[i] + at[i], head_floats(a, &one, i) * (int64_t)sizeof(float));
        gradient_free(got);
    }
}

static void check_attention(int n, int H, int G, int D, Fill how)
{
    int64_t offset[SEQUENCES];
    Ragged batch = packed(offset, ragged, n);
    int64_t queries = rows_of(&batch) * H * D, keys = rows_of(&batch) * G * D;
    float *q = filled(queries, how), *k = filled(keys, how), *v = filled(keys, FILL_OUTLIERS), *dout = filled(queries, FILL_OUTLIERS);
    Heads a = { H, G, D, { q, k, v }, dout };
    Gradient want = run_attention(&kernels_ref, &a, &batch), first = { 0 };
    double *terms[3];
    attention_terms(terms, &a, &batch);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        Gradient got = run_attention(check_kernels(), &a, &batch);
        for (int i = 0; i < 3; i++) {
            check_close(fill_name(how), got.d[i], want.d[i], terms[i], head_floats(&a, &batch, i), 1);
            if (first.d[0]) check_same("attention_backward by other threads", got.d[i], first.d[i], head_floats(&a, &batch, i) * (int64_t)sizeof(float));
        }
        if (first.d[0]) gradient_free(got);
        else first = got;
    }
    check_attention_alone(&a, &batch, first);
    gradient_free(first);
    gradient_free(want);
    for (int i = 0; i < 3; i++) free(terms[i]);
    float *all[] = { q, k, v, dout };
    for (int i = 0; i < 4; i++) free(all[i]);
}

/* One head, groups of several heads, heads of their own, one key-value head for all. */
static void test_attention_backward(void **state)
{
    (void)state;
    static const int heads[][3] = { { 1, 1, 1 }, { 4, 2, 8 }, { 3, 3, 33 }, { 5, 1, 16 }, { 9, 3, 64 } };
    for (size_t s = 0; s < sizeof heads / sizeof *heads; s++)
        for (Fill how = 0; how < FILLS; how++) {
            check_attention(SEQUENCES, heads[s][0], heads[s][1], heads[s][2], how);
            check_attention(0, heads[s][0], heads[s][1], heads[s][2], how);
        }
    check_done();
}

/* A score shifted by the same number for all keys changes nothing: sum_s dS = 0.  With all keys equal, dq = 0. */
static void test_attention_backward_of_equal_keys(void **state)
{
    (void)state;
    enum { H = 4, G = 2, D = 16, T = 150 };
    const int length[] = { T };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *q = filled(T * H * D, FILL_NORMAL), *k = filled(T * G * D, FILL_EQUAL), *v = filled(T * G * D, FILL_NORMAL);
    float *dout = filled(T * H * D, FILL_NORMAL);
    Heads a = { H, G, D, { q, k, v }, dout };
    Gradient got = run_attention(check_kernels(), &a, &batch);
    double *terms[3];
    attention_terms(terms, &a, &batch);
    for (int i = 0; i < T * H * D; i++)
        if (!(fabs((double)got.d[0][i]) <= FLT_EPSILON * terms[0][i])) check_complain("equal keys: dq is %g", got.d[0][i]);
    for (int i = 0; i < 3; i++) free(terms[i]);
    gradient_free(got);
    free(q);
    free(k);
    free(v);
    free(dout);
    check_done();
}

static void test_attention_backward_keeps_nan(void **state)
{
    (void)state;
    enum { H = 2, G = 1, D = 20, T = 70 };
    const int length[] = { 3, T - 3 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    for (int which = 0; which < 4; which++)
        for (int at = 0; at < T; at += 23) {
            float *x[4];
            for (int i = 0; i < 4; i++) x[i] = filled(T * (i % 3 ? G : H) * D, FILL_NORMAL);
            x[which][at * (which % 3 ? G : H) * D + 3] = NAN;
            Heads a = { H, G, D, { x[0], x[1], x[2] }, x[3] };
            Gradient want = run_attention(&kernels_ref, &a, &batch), got = run_attention(check_kernels(), &a, &batch);
            for (int i = 0; i < 3; i++)
                if (i < 2 || which != 2) check_nan("attention_backward", got.d[i], want.d[i], head_floats(&a, &batch, i));     /* dv does not see v */
            gradient_free(want);
            gradient_free(got);
            for (int i = 0; i < 4; i++) free(x[i]);
        }
    check_done();
}

/* A function of n floats whose loss <dy, f(x)> is walked along one direction. */
typedef double (*Loss)(const float *x, const void *context);

/* d/dh of the loss at x + h direction: differences at 1 and 2 steps, combined so that the error is of the fourth order. */
static double slope(Loss loss, const void *context, const float *x, const float *direction, int n)
{
    const double step = 1.0 / 64;
    double at[5];
    for (int i = -2; i <= 2; i++) {
        float *moved = xmalloc(sizeof *moved * (unsigned long)n);
        for (int j = 0; j < n; j++) moved[j] = (float)(x[j] + i * step * direction[j]);
        at[i + 2] = loss(moved, context);
        free(moved);
    }
    return (8 * (at[3] - at[1]) - (at[4] - at[0])) / (12 * step);
}

/* Values of float32 over steps of 1/64 leave some 64 epsilon of the loss's terms. */
static void check_slope(const char *what, Loss loss, const void *context, const float *x, const float *dx, int n)
{
    for (int i = 0; i < 5; i++) {
        float *direction = filled(n, FILL_NORMAL);
        double want = slope(loss, context, x, direction, n), got = 0, size = 0;
        for (int j = 0; j < n; j++) {
            got += (double)dx[j] * direction[j];
            size += fabs((double)dx[j] * direction[j]);
        }
        if (!(fabs(got - want) <= 1e-4 * size)) check_complain("%s: slope %g, by differences %g (of %g)", what, got, want, size);
        free(direction);
    }
}

static double product(const float *x, const float *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * y[i];
    return sum;
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

typedef struct { const Heads *heads; const Ragged *batch; int which; } Walk;

static double attention_loss(const float *x, const void *context)
{
    const Walk *w = context;
    const Heads *a = w->heads;
    const float *in[] = { a->x[0], a->x[1], a->x[2] };
    in[w->which] = x;
    int n = (int)head_floats(a, w->batch, 0);
    float *y = xmalloc(sizeof *y * (unsigned long)n);
    kernels_ref.attention(y, in[0], in[1], in[2], w->batch, w->batch, a->H, a->G, a->D);
    double loss = product(y, a->dout, n);
    free(y);
    return loss;
}

static void check_attention_slopes(const Kernels *k)
{
    const int length[] = { 7, 1, 12 };
    int64_t offset[3];
    Ragged batch = packed(offset, length, 3);
    float *x[4];
    for (int i = 0; i < 4; i++) x[i] = filled(20 * (i % 3 ? 2 : 4) * 6, FILL_NORMAL);
    Heads a = { 4, 2, 6, { x[0], x[1], x[2] }, x[3] };
    Gradient g = run_attention(k, &a, &batch);
    for (int i = 0; i < 3; i++)
        check_slope(i == 0 ? "dq" : i == 1 ? "dk" : "dv", attention_loss, &(Walk){ &a, &batch, i }, x[i], g.d[i], (int)head_floats(&a, &batch, i));
    gradient_free(g);
    for (int i = 0; i < 4; i++) free(x[i]);
}

static void test_slopes(void **state)
{
    (void)state;
    check_elementwise_slopes(&kernels_ref);
    check_elementwise_slopes(check_kernels());
    check_attention_slopes(&kernels_ref);
    check_attention_slopes(check_kernels());
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
        cmocka_unit_test(test_attention_backward),
        cmocka_unit_test(test_attention_backward_of_equal_keys),
        cmocka_unit_test(test_attention_backward_keeps_nan),
        cmocka_unit_test(test_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
