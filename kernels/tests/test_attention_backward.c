/*
 * test_attention_backward.c - gradients of attention against ref, and both against differences of the forward
 */
#include "kernels/tests/slope.h"

static const int ragged[] = { 1, 64, 65, 0, 3, 130 };
enum { SEQUENCES = sizeof ragged / sizeof *ragged };
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
            check_close(i == 0 ? "attention_backward dq" : i == 1 ? "attention_backward dk" : "attention_backward dv", got.d[i], want.d[i], terms[i], head_floats(&a, &batch, i), 1);
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
    check_attention_slopes(&kernels_ref);
    check_attention_slopes(check_kernels());
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_backward),
        cmocka_unit_test(test_attention_backward_of_equal_keys),
        cmocka_unit_test(test_attention_backward_keeps_nan),
        cmocka_unit_test(test_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
