/*
 * test_attention_bf16.c - attention of bf16 on tensor cores, against its definition in double on the same bf16 inputs
 *
 * Always the cuda back end's, whatever LINEARITY_KERNELS says: no other one has it.
 */
#include "kernels/cuda/probe/probe.h"
#include "kernels/tests/check.h"

static const int lengths[] = { 1, 31, 32, 33, 64, 127, 128, 129, 255, 257, 300 };
enum { SEQUENCES = sizeof lengths / sizeof *lengths, GAP = 3 };

typedef struct { int H, G, D; } Heads;

static uint16_t rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? 0x7fc0 : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widened(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static int width_of(const Heads *a) { return (a->H + 2 * a->G) * a->D; }

/* Sequences one after the other, GAP rows of nobody's between them. */
static Ragged spread(int64_t *offset, const int *length, int n)
{
    for (int b = 0; b < n; b++) offset[b] = b ? offset[b - 1] + length[b - 1] + GAP : 0;
    return (Ragged){ n, length, offset };
}

static int64_t rows_in(const Ragged *batch) { return batch->offset[batch->n - 1] + batch->length[batch->n - 1]; }

static uint16_t *drawn(const Heads *a, const Ragged *batch, Fill how)
{
    int64_t n = rows_in(batch) * width_of(a);
    float *x = filled(n, how);
    uint16_t *qkv = xmalloc(sizeof *qkv * (unsigned long)n);
    for (int64_t i = 0; i < n; i++) qkv[i] = rounded(x[i]);
    free(x);
    return qkv;
}

#define UNTOUCHED 0x3fc0                    /* 1.5 */

static uint16_t *attention(const Heads *a, const uint16_t *qkv, const Ragged *batch)
{
    int64_t n = rows_in(batch) * a->H * a->D;
    uint16_t *out = xmalloc(sizeof *out * (unsigned long)n);
    for (int64_t i = 0; i < n; i++) out[i] = UNTOUCHED;
    probe_attention_bf16(out, qkv, batch, a->H, a->G, a->D);
    for (int b = 0; b + 1 < batch->n; b++)
        for (int64_t i = (batch->offset[b] + batch->length[b]) * a->H * a->D; i < batch->offset[b + 1] * a->H * a->D; i++)
            if (out[i] != UNTOUCHED) {
                check_complain("attention_bf16: wrote a row of no sequence");
                return out;
            }
    return out;
}

/*
 * One query against the keys it sees.  Of a weight w = P v: its rounding to bf16 is 2^-8; a score is off by at most 2 D epsilon of
 * S = max sum|q k| / sqrt(D) and so is what it is taken relative to (tensor cores cut off where they add, hence 2 and not 1/2), the
 * exponential by 4 epsilon; sums of `seen` weights and products by 2 seen epsilon.  The output is rounded to bf16, 2^-8 of it.
 */
static void attend(double *want, double *bound, const uint16_t *q, const uint16_t *k, const uint16_t *v, int seen, int64_t stride, int D)
{
    double p[512], largest = -INFINITY, size = 0, total = 0;
    for (int s = 0; s < seen; s++) {
        double score = 0, terms = 0;
        for (int i = 0; i < D; i++) {
            double term = (double)widened(q[i]) * widened(k[s * stride + i]) / sqrt(D);
            score += term;
            terms += fabs(term);
        }
        p[s] = score;
        if (score > largest) largest = score;
        if (terms > size) size = terms;
    }
    for (int s = 0; s < seen; s++) total += p[s] = exp(p[s] - largest);
    double share = ldexp(1, -8) + expm1((4.0 * D * size + 4 + 4 * seen) * FLT_EPSILON);
    for (int i = 0; i < D; i++) {
        double sum = 0, terms = 0;
        for (int s = 0; s < seen; s++) {
            sum += p[s] / total * widened(v[s * stride + i]);
            terms += p[s] / total * fabs((double)widened(v[s * stride + i]));
        }
        want[i] = sum;
        bound[i] = 1.01 * (share * terms + ldexp(1, -8) * fabs(sum)) + FLT_MIN;
    }
}

/* Returns how many elements are to be NaN or infinite. */
static int64_t check_attention(const Heads *a, const uint16_t *out, const uint16_t *qkv, const Ragged *batch, const char *what)
{
    const int D = a->D, stride = width_of(a);
    double want[128], bound[128];
    int64_t unbounded = 0;
    double worst = 0;
    for (int b = 0; b < batch->n; b++)
        for (int t = 0; t < batch->length[b]; t++)
            for (int h = 0; h < a->H; h++) {
                const uint16_t *first = qkv + batch->offset[b] * stride, *k = first + (a->H + h / (a->H / a->G)) * D;
                attend(want, bound, first + t * stride + h * D, k, k + a->G * D, t + 1, stride, D);
                for (int i = 0; i < D; i++) {
                    double got = widened(out[((batch->offset[b] + t) * a->H + h) * D + i]);
                    unbounded += !isfinite(want[i]);
                    if (isfinite(want[i])) worst = fabs(got - want[i]) / bound[i] > worst ? fabs(got - want[i]) / bound[i] : worst;
                    if (isfinite(want[i]) ? fabs(got - want[i]) <= bound[i] : isnan(want[i]) ? isnan(got) : got == want[i]) continue;
                    check_complain("attention_bf16, %s, heads %d of %d over %d: query %d of %d, head %d, element %d is %g, not %g +- %g", what,
                                   a->H, D, a->G, t, batch->length[b], h, i, got, want[i], bound[i]);
                    return unbounded;
                }
            }
    check_note("attention_bf16", rows_of(batch) * a->H * D, worst);
    return unbounded;
}

static void test_against_definition(void **state)
{
    (void)state;
    static const struct { Heads heads; Fill fill; int longest; } cases[] = {
        { { 1, 1, 64 }, FILL_NORMAL, 300 },  { { 3, 1, 128 }, FILL_NORMAL, 300 }, { { 4, 1, 80 }, FILL_NORMAL, 300 },
        { { 2, 1, 128 }, FILL_OUTLIERS, 300 }, { { 2, 2, 64 }, FILL_OUTLIERS, 257 }, { { 1, 1, 128 }, FILL_HUGE, 257 },
        { { 1, 1, 128 }, FILL_ZEROS, 129 },  { { 1, 1, 64 }, FILL_EQUAL, 257 },   { { 1, 1, 128 }, FILL_LIMITS, 129 },
        { { 6, 2, 16 }, FILL_NORMAL, 129 },  { { 1, 1, 48 }, FILL_NORMAL, 129 },  { { 1, 1, 96 }, FILL_OUTLIERS, 129 },
        { { 2, 1, 112 }, FILL_NORMAL, 129 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset[SEQUENCES];
        int n = 0;
        while (n < SEQUENCES && lengths[n] <= cases[i].longest) n++;
        Ragged batch = spread(offset, lengths, n);
        uint16_t *qkv = drawn(&cases[i].heads, &batch, cases[i].fill), *out = attention(&cases[i].heads, qkv, &batch);
        check_attention(&cases[i].heads, out, qkv, &batch, fill_name(cases[i].fill));
        free(qkv);
        free(out);
    }
    check_done();
}

/* Scores that rise, or fall, by far more than weights can: the largest so far is overtaken tile after tile, or never. */
static void test_scores_that_rise(void **state)
{
    (void)state;
    static const int length[] = { 300 };
    const Heads a = { 1, 1, 64 };
    for (int rising = 0; rising < 2; rising++) {
        int64_t offset[1];
        Ragged batch = spread(offset, length, 1);
        uint16_t *qkv = drawn(&a, &batch, FILL_NORMAL);
        for (int t = 0; t < length[0]; t++) {
            qkv[t * 192] = rounded(8);
            qkv[t * 192 + 64] = rounded((float)(rising ? t : -t));
        }
        uint16_t *out = attention(&a, qkv, &batch);
        check_attention(&a, out, qkv, &batch, rising ? "rising scores" : "falling scores");
        free(qkv);
        free(out);
    }
    check_done();
}

/* More sequences than a launch takes; each gives the bits that it gives alone. */
static void test_sequences_are_alone(void **state)
{
    (void)state;
    enum { MANY = 70 };
    const Heads a = { 2, 1, 64 };
    int64_t offset[MANY];
    int length[MANY];
    for (int b = 0; b < MANY; b++) length[b] = b % 7 == 6 ? 0 : b == 5 ? 200 : b == 68 ? 131 : b % 7 + 1;
    Ragged batch = spread(offset, length, MANY);
    uint16_t *qkv = drawn(&a, &batch, FILL_NORMAL), *out = attention(&a, qkv, &batch);
    check_attention(&a, out, qkv, &batch, "many sequences");
    for (int b = 0; b < MANY; b++) {
        int64_t none = 0;
        if (length[b] == 0) continue;
        Ragged one = { 1, length + b, &none };
        uint16_t *alone = attention(&a, qkv + offset[b] * width_of(&a), &one);
        check_same("attention_bf16 of a sequence alone", out + offset[b] * a.H * a.D, alone, (int64_t)sizeof *out * length[b] * a.H * a.D);
        free(alone);
    }
    free(qkv);
    free(out);
    check_done();
}

/* NaN and infinity in one number of q, k or v reach the outputs that see it, and no others. */
static void test_unbounded_numbers(void **state)
{
    (void)state;
    static const int length[] = { 200, 70 };
    const Heads a = { 2, 1, 128 };
    static const struct { int column, row; float value; } cases[] = {
        { 5, 150, NAN }, { 2 * 128 + 7, 64, NAN }, { 2 * 128 + 7, 199, NAN },           /* q, k */
        { 3 * 128, 0, NAN }, { 3 * 128 + 127, 77, NAN }, { 3 * 128 + 10, 129, NAN }, { 3 * 128 + 65, 190, INFINITY },
        { 3 * 128 + 9, 130, -INFINITY },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset[2];
        Ragged batch = spread(offset, length, 2);
        uint16_t *qkv = drawn(&a, &batch, FILL_NORMAL);
        qkv[cases[i].row * width_of(&a) + cases[i].column] = rounded(cases[i].value);
        uint16_t *out = attention(&a, qkv, &batch);
        if (!check_attention(&a, out, qkv, &batch, "an unbounded number")) check_complain("the definition lost the NaN");
        free(qkv);
        free(out);
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
        cmocka_unit_test(test_scores_that_rise),
        cmocka_unit_test(test_sequences_are_alone),
        cmocka_unit_test(test_unbounded_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
