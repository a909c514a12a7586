/*
 * test_attention_backward_bf16.c - gradients of attention whose products have bf16 inputs, against the definition in double on rounded inputs
 *
 * Always the cuda back end's, whatever LINEARITY_KERNELS says: no other one has it.
 */
#include "kernels/tests/check.h"

static const int lengths[] = { 1, 31, 33, 64, 127, 129, 257, 300 };
enum { SEQUENCES = sizeof lengths / sizeof *lengths, GAP = 3, LONGEST = 300 };
#define UNTOUCHED 1.5f

/* x: q, k, v, dout; those of width H * D first and last.  The gradients are d[0], d[1], d[2]. */
typedef struct { int H, G, D; float *x[4]; } Heads;
typedef struct { float *d[3]; } Gradient;
typedef struct { double *want[3], *bound[3]; } Expected;

static const Kernels *kernels(void)
{
    const char *why;
    const Kernels *k = kernels_choose("cuda", "bf16", &why);
    assert(k && "the cuda back end of precision bf16 is not there");
    return k;
}

static float rounded(float x)
{
    uint32_t bits;
    if (!isfinite(x)) return x;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int width_of(const Heads *a, int which) { return (which % 3 ? a->G : a->H) * a->D; }

/* Sequences one after the other, GAP rows of nobody's between them. */
static Ragged spread(int64_t *offset, const int *length, int n)
{
    for (int b = 0; b < n; b++) offset[b] = b ? offset[b - 1] + length[b - 1] + GAP : 0;
    return (Ragged){ n, length, offset };
}

static int64_t rows_in(const Ragged *batch) { return batch->offset[batch->n - 1] + batch->length[batch->n - 1]; }

static void draw(Heads *a, const Ragged *batch, Fill how)
{
    for (int i = 0; i < 4; i++) a->x[i] = filled(rows_in(batch) * width_of(a, i), i < 2 ? how : FILL_OUTLIERS);
}

static void release(Heads *a)
{
    for (int i = 0; i < 4; i++) free(a->x[i]);
}

static Gradient gradients(const Heads *a, const Ragged *batch)
{
    const Kernels *k = kernels();
    float *in[4], *out[3];
    Gradient g;
    for (int i = 0; i < 4; i++) in[i] = input(k, a->x[i], rows_in(batch) * width_of(a, i));
    for (int i = 0; i < 3; i++) {
        float *untouched = xmalloc(sizeof *untouched * (unsigned long)(rows_in(batch) * width_of(a, i)));
        for (int64_t j = 0; j < rows_in(batch) * width_of(a, i); j++) untouched[j] = UNTOUCHED;
        out[i] = output(k, untouched, rows_in(batch) * width_of(a, i));
        free(untouched);
    }
    k->attention_backward(out[0], out[1], out[2], in[3], in[0], in[1], in[2], batch, a->H, a->G, a->D);
    for (int i = 0; i < 4; i++) k->release(in[i]);
    for (int i = 0; i < 3; i++) {
        const int width = width_of(a, i);
        g.d[i] = taken(k, "attention_backward of bf16", out[i], rows_in(batch) * width);
        for (int b = 0; b + 1 < batch->n; b++)
            for (int64_t j = (batch->offset[b] + batch->length[b]) * width; j < batch->offset[b + 1] * width; j++)
                if (g.d[i][j] != UNTOUCHED) {
                    check_complain("attention_backward of bf16: wrote a row of no sequence");
                    return g;
                }
    }
    return g;
}

static void gradient_free(Gradient g)
{
    for (int i = 0; i < 3; i++) free(g.d[i]);
}

/*
 * What one query gives, and what it may be off by.  epsilon is FLT_EPSILON, u = 2^-8 the rounding to bf16; tensor cores cut off where
 * they add, hence 2 epsilon and not 1/2 for each of the n terms of a sum.
 *
 * A weight P is off by rho P.  Its score is off by 2 D epsilon of S = max sum|q k| / sqrt(D), and so is the log-sum-exp it is taken
 * relative to; scale, the product and the difference round numbers of at most about S, each to an epsilon: (4 D + 8) S epsilon.  The two
 * exponentials, the logarithm and the sum of `seen` weights add (2 seen + 16) epsilon.  Weights of less than FLT_MIN may be 0.
 * With A_s = sum|dout v|, M = sum P A and e = (2 D + 2 seen + 8) epsilon, dP is off by e A and the mean sum P dP / sum P by (2 rho + e) M:
 * dS = P (dP - mean) by P (A + M) (3 rho + e) to the first order, and rounded by u |dS| more.  P is rounded by u P.
 * A sum of n terms P dout, dS k, dS q is off by what they are, and by 2 n epsilon of the sum of their sizes; n: the keys seen, or the
 * queries that share a key, of all heads.  1.01 is for the products of these.
 */
static void add_query(const Heads *a, const Expected *to, const float *const x[4], const int64_t at[2], int seen, int n)
{
    const int D = a->D, stride = a->G * a->D;
    const float *q = x[0] + at[0], *k = x[1] + at[1], *v = x[2] + at[1], *dout = x[3] + at[0];
    double p[LONGEST], dp[LONGEST], size[LONGEST], largest = -INFINITY, terms = 0, total = 0, mean = 0, mean_size = 0;
    for (int s = 0; s < seen; s++) {
        double term = 0;
        p[s] = dp[s] = size[s] = 0;
        for (int i = 0; i < D; i++) {
            p[s] += (double)q[i] * k[s * stride + i] / sqrt(D);
            term += fabs((double)q[i] * k[s * stride + i]) / sqrt(D);
            dp[s] += (double)dout[i] * v[s * stride + i];
            size[s] += fabs((double)dout[i] * v[s * stride + i]);
        }
        largest = fmax(largest, p[s]);
        terms = fmax(terms, term);
    }
    for (int s = 0; s < seen; s++) total += p[s] = exp(p[s] - largest);
    for (int s = 0; s < seen; s++) {
        p[s] /= total;
        mean += p[s] * dp[s];
        mean_size += p[s] * size[s];
    }
    const double rho = expm1(((4.0 * D + 8) * terms + 2 * seen + 16) * FLT_EPSILON), e = (2.0 * D + 2 * seen + 8) * FLT_EPSILON, u = ldexp(1, -8);
    for (int s = 0; s < seen; s++) {
        const double ds = p[s] * (dp[s] - mean), least = 2 * FLT_MIN;
        const double off = 1.01 * (u * fabs(ds) + (p[s] * (3 * rho + e) + least) * (size[s] + mean_size)), p_off = 1.01 * (u + rho) * p[s] + least;
        for (int i = 0; i < D; i++) {
            const double k_i = k[s * stride + i] / sqrt(D), q_i = q[i] / sqrt(D);
            to->want[0][at[0] + i] += ds * k_i;
            to->want[1][at[1] + s * stride + i] += ds * q_i;
            to->want[2][at[1] + s * stride + i] += p[s] * dout[i];
            to->bound[0][at[0] + i] += fabs(k_i) * (off + 2.02 * seen * FLT_EPSILON * fabs(ds));
            to->bound[1][at[1] + s * stride + i] += fabs(q_i) * (off + 2.02 * n * FLT_EPSILON * fabs(ds));
            to->bound[2][at[1] + s * stride + i] += fabs((double)dout[i]) * (p_off + 2.02 * n * FLT_EPSILON * p[s]);
        }
    }
}

static Expected expected(const Heads *a, const Ragged *batch)
{
    Expected e;
    float *x[4];
    for (int i = 0; i < 4; i++) {
        const int64_t n = rows_in(batch) * width_of(a, i);
        x[i] = xmalloc(sizeof *x[i] * (unsigned long)n);
        for (int64_t j = 0; j < n; j++) x[i][j] = rounded(a->x[i][j]);
        if (i == 3) continue;
        e.want[i] = xcalloc((unsigned long)n, sizeof *e.want[i]);
        e.bound[i] = xcalloc((unsigned long)n, sizeof *e.bound[i]);
    }
    for (int b = 0; b < batch->n; b++)
        for (int t = 0; t < batch->length[b]; t++)
            for (int h = 0; h < a->H; h++) {
                const int group = a->H / a->G;
                const int64_t at[2] = { ((batch->offset[b] + t) * a->H + h) * a->D, (batch->offset[b] * a->G + h / group) * a->D };
                add_query(a, &e, (const float *const *)x, at, t + 1, batch->length[b] * group);
            }
    for (int i = 0; i < 4; i++) free(x[i]);
    return e;
}

/* NaN for NaN; a number where an infinity makes the definition NaN would be wrong too.  One complaint for each gradient.
 * Where `leaks`, NaN may also be where the definition has a number. */
static int64_t check_gradients(const Heads *a, Gradient got, const Ragged *batch, const char *what, bool leaks)
{
    Expected e = expected(a, batch);
    int64_t unbounded = 0;
    for (int which = 0; which < 3; which++) {
        const int width = width_of(a, which);
        bool complained = false;
        for (int b = 0; b < batch->n; b++)
            for (int64_t i = batch->offset[b] * width; i < (batch->offset[b] + batch->length[b]) * width; i++) {
                const double want = e.want[which][i], bound = e.bound[which][i], x = got.d[which][i];
                unbounded += isnan(want);
                if (isnan(want) ? isnan(x) : fabs(x - want) <= bound + FLT_MIN || (leaks && isnan(x))) continue;
                if (!complained) check_complain("attention_backward of bf16, %s, heads %d of %d over %d: d%c, row %d of %d, column %d is %g, not %g +- %g", what,
                                                a->H, a->D, a->G, "qkv"[which], (int)(i / width - batch->offset[b]), batch->length[b], (int)(i % width), x, want, bound);
                complained = true;
            }
        free(e.want[which]);
        free(e.bound[which]);
    }
    return unbounded;
}

static void test_against_definition(void **state)
{
    (void)state;
    static const struct { int H, G, D; Fill fill; int longest; } cases[] = {
        { 1, 1, 64, FILL_NORMAL, 300 },   { 3, 1, 128, FILL_NORMAL, 257 }, { 4, 1, 80, FILL_NORMAL, 129 },  { 2, 2, 128, FILL_OUTLIERS, 300 },
        { 6, 2, 16, FILL_NORMAL, 129 },   { 4, 1, 64, FILL_OUTLIERS, 257 }, { 1, 1, 128, FILL_HUGE, 129 },  { 1, 1, 128, FILL_ZEROS, 129 },
        { 1, 1, 64, FILL_EQUAL, 257 },    { 1, 1, 128, FILL_LIMITS, 129 }, { 1, 1, 48, FILL_NORMAL, 129 }, { 1, 1, 96, FILL_OUTLIERS, 129 },
        { 2, 1, 112, FILL_NORMAL, 129 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset[SEQUENCES];
        int n = 0;
        while (n < SEQUENCES && lengths[n] <= cases[i].longest) n++;
        Heads a = { cases[i].H, cases[i].G, cases[i].D, { 0 } };
        Ragged batch = spread(offset, lengths, n);
        draw(&a, &batch, cases[i].fill);
        Gradient got = gradients(&a, &batch);
        check_gradients(&a, got, &batch, fill_name(cases[i].fill), false);
        gradient_free(got);
        release(&a);
    }
    check_done();
}

/* More sequences than a launch takes; each gives the bits that it gives alone. */
static void test_sequences_are_alone(void **state)
{
    (void)state;
    enum { MANY = 70 };
    int64_t offset[MANY];
    int length[MANY];
    for (int b = 0; b < MANY; b++) length[b] = b % 7 == 6 ? 0 : b == 5 ? 200 : b == 68 ? 131 : b % 7 + 1;
    Ragged batch = spread(offset, length, MANY);
    Heads a = { 2, 1, 64, { 0 } };
    draw(&a, &batch, FILL_NORMAL);
    Gradient got = gradients(&a, &batch);
    check_gradients(&a, got, &batch, "many sequences", false);
    for (int b = 0; b < MANY; b++) {
        int64_t none = 0;
        if (length[b] == 0) continue;
        Ragged one = { 1, length + b, &none };
        Heads own = a;
        for (int i = 0; i < 4; i++) own.x[i] += offset[b] * width_of(&a, i);
        Gradient alone = gradients(&own, &one);
        for (int i = 0; i < 3; i++)
            check_same("attention_backward of bf16, a sequence alone", got.d[i] + offset[b] * width_of(&a, i), alone.d[i],
                       (int64_t)sizeof(float) * length[b] * width_of(&a, i));
        gradient_free(alone);
    }
    gradient_free(got);
    release(&a);
    check_done();
}

/* The sum of dS over the keys is 0: where all keys are equal, dq vanishes but for what rounding leaves, u of sum|dS k|. */
static void test_equal_keys(void **state)
{
    (void)state;
    static const int length[] = { 150 };
    int64_t offset[1];
    Ragged batch = spread(offset, length, 1);
    Heads a = { 2, 1, 64, { 0 } };
    draw(&a, &batch, FILL_NORMAL);
    fill(a.x[1], rows_in(&batch) * width_of(&a, 1), FILL_EQUAL);
    Gradient got = gradients(&a, &batch);
    Expected e = expected(&a, &batch);
    for (int64_t i = 0; i < rows_in(&batch) * width_of(&a, 0); i++)
        if (!(fabs((double)got.d[0][i]) <= e.bound[0][i] + FLT_MIN)) check_complain("equal keys: dq is %g, at most %g was expected", got.d[0][i], e.bound[0][i]);
    for (int i = 0; i < 3; i++) {
        free(e.want[i]);
        free(e.bound[i]);
    }
    gradient_free(got);
    release(&a);
    check_done();
}

/* NaN in one number of q, k, v or dout reaches the gradients that depend on it, and no other sequence. */
static void test_nan_is_kept(void **state)
{
    (void)state;
    static const int length[] = { 70, 150 };
    static const int rows[] = { 0, 69, 70 + GAP, 70 + GAP + 77, 70 + GAP + 149 };
    for (int which = 0; which < 4; which++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            int64_t offset[2];
            Ragged batch = spread(offset, length, 2);
            Heads a = { 2, 1, 64, { 0 } };
            draw(&a, &batch, FILL_NORMAL);
            a.x[which][rows[r] * width_of(&a, which) + (int)r * 13] = NAN;
            Gradient got = gradients(&a, &batch);
            if (!check_gradients(&a, got, &batch, "NaN", true)) check_complain("the definition lost the NaN");
            for (int i = 0; i < 3; i++)
                for (int64_t j = 0, at = rows[r] < 70 ? offset[1] * width_of(&a, i) : 0; j < (rows[r] < 70 ? 150 : 70) * width_of(&a, i); j++)
                    if (!isfinite(got.d[i][at + j])) {
                        check_complain("NaN reached another sequence");
                        break;
                    }
            gradient_free(got);
            release(&a);
        }
    check_done();
}

/* Heads that the tensor cores' kernels are not for go to the float32 ones, whose error is far below the bound of rounded products of
 * rounded inputs where the inputs are bf16 already. */
static void test_other_heads(void **state)
{
    (void)state;
    static const int length[] = { 5, 40 }, D[] = { 20, 144 };
    for (int d = 0; d < 2; d++) {
        int64_t offset[2];
        Ragged batch = spread(offset, length, 2);
        Heads a = { 2, 1, D[d], { 0 } };
        draw(&a, &batch, FILL_NORMAL);
        for (int i = 0; i < 4; i++)
            for (int64_t j = 0; j < rows_in(&batch) * width_of(&a, i); j++) a.x[i][j] = rounded(a.x[i][j]);
        Gradient got = gradients(&a, &batch);
        check_gradients(&a, got, &batch, "heads of the float32 kernels", false);
        gradient_free(got);
        release(&a);
    }
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("LINEARITY_KERNELS", "cuda", 1);
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_sequences_are_alone),
        cmocka_unit_test(test_equal_keys),
        cmocka_unit_test(test_nan_is_kept),
        cmocka_unit_test(test_other_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
