/*
 * test_elementwise_bf16.c - what the cuda back end does in bf16 between products, against double arithmetic on the same rounded inputs
 */
#include "kernels/cuda/probe/probe_elementwise.h"
#include "kernels/tests/check.h"

static const int64_t sizes[] = { 0, 1, 2, 7, 8, 9, 255, 256, 257, 2047, 2049, 16385 };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Half a step of bf16 is at most 2^-8 of a number: so many FLT_EPSILON. */
#define HALF_STEP 32768.0

static void check_cuda_done(void)
{
    const char *why = NULL;
    const Kernels *k = kernels_choose("cuda", "bf16", &why);
    if (!k || k->failure()) check_complain("%s", k ? k->failure() : why);
    check_done();
}

/* To the nearest, ties to even. */
static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (!isnan(x)) bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float *filled_bf16(int64_t n, Fill how)
{
    float *x = filled(n, how);
    for (int64_t i = 0; i < n; i++) x[i] = rounded(x[i]);
    return x;
}

static void test_rounding(void **state)
{
    (void)state;
    static const float special[] = { 0, -0.0f, 1, 1.00390625f, 1.01171875f, -1.00390625f, 1.003906250001f, 3.4e38f, -3.4e38f, 1e-40f, 1e-45f, INFINITY, NAN };
    enum { SPECIAL = sizeof special / sizeof *special };
    for (int s = 0; s < SIZES; s++)
        for (int shift = 0; shift < 2; shift++) {
            int64_t n = sizes[s];
            float *x = filled(n, FILL_OUTLIERS), *got = filled(n, FILL_ZEROS), *want = filled(n, FILL_ZEROS);
            for (int64_t i = 0; i < n; i++) {
                if (i % 3 == 0) x[i] = special[i / 3 % SPECIAL];
                want[i] = rounded(x[i]);
            }
            probe_to_bf16(got, x, n, shift);
            for (int64_t i = 0; i < n; i++)
                if (isnan(want[i]) ? !isnan(got[i]) : got[i] != want[i]) check_complain("%.9g was rounded to %.9g, not %.9g", x[i], got[i], want[i]);
            free(x);
            free(got);
            free(want);
        }
    check_cuda_done();
}

/* float32 as in swiglu, 4 epsilon, and the last rounding. */
static void test_swiglu(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++)
        for (Fill how = 0; how < FILLS; how++)
            for (int shift = 0; shift < 2; shift++) {
                int64_t n = sizes[s];
                float *gate = filled_bf16(n, how), *up = filled_bf16(n, FILL_OUTLIERS), *got = filled(n, FILL_ZEROS), *want = filled(n, FILL_ZEROS);
                double *terms = xmalloc(sizeof *terms * (unsigned long)(n + 1));
                if (n) gate[n - 1] = NAN;
                for (int64_t i = 0; i < n; i++) {
                    want[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
                    terms[i] = (HALF_STEP + 4) * fabs((double)want[i]) + FLT_MIN / FLT_EPSILON * (1 + fabs((double)gate[i] * up[i]));
                }
                probe_swiglu_bf16(got, gate, up, n, shift);
                check_close("swiglu in bf16", got, want, terms, n, 1);
                free(gate);
                free(up);
                free(got);
                free(want);
                free(terms);
            }
    check_cuda_done();
}

/* 3 epsilon as in rms_norm, and the last rounding. */
static void test_rms_norm(void **state)
{
    (void)state;
    static const int widths[] = { 1, 33, 64, 128, 129, 576, 1024, 1028, 4096, 8196 };
    enum { ROWS = 6 };
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int shift = 0; shift < 2; shift++) {
            int C = widths[w];
            float *x = filled(ROWS * C, FILL_OUTLIERS), *gain = filled(C, FILL_NORMAL), *got = filled(ROWS * C, FILL_ZEROS), *want = filled(ROWS * C, FILL_ZEROS);
            x[2 * C + C / 2] = NAN;
            kernels_ref.rms_norm(want, x, gain, ROWS, C, 1e-5f);
            probe_rms_norm_bf16(got, x, gain, ROWS, C, 1e-5f, shift);
            check_close("rms_norm to bf16", got, want, NULL, ROWS * C, HALF_STEP + 3);
            free(x);
            free(gain);
            free(got);
            free(want);
        }
    check_cuda_done();
}

enum { POSITIONS = 70 };

/* One row in double; terms: what its float32 roundings are relative to.  A row without a gain is rotated alone. */
static void norm_rotate_row(float *x, double *terms, const float *gain, float epsilon, const float *cosine, const float *sine, int heads, int D)
{
    for (int h = 0; h < heads; h++, x += D, terms += D) {
        double squares = 0;
        for (int i = 0; i < D; i++) squares += (double)x[i] * x[i];
        double scale = gain ? 1 / sqrt(squares / D + epsilon) : 1;
        for (int i = 0; i < D / 2; i++) {
            double u = x[i] * scale * (gain ? gain[i] : 1), v = x[i + D / 2] * scale * (gain ? gain[i + D / 2] : 1);
            x[i] = (float)(u * cosine[i] - v * sine[i]);
            x[i + D / 2] = (float)(v * cosine[i] + u * sine[i]);
            terms[i] = terms[i + D / 2] = 16 * (fabs(u) + fabs(v));
        }
    }
}

/* The sum of squares is of D float32 terms in a tree (D/4 + 8 halves at most, of which the root takes half), scale, gain and rotation 5: 16
 * epsilon do for D up to 128.  Columns beside the heads stay as they are. */
static void check_norm_rotate(int heads, int D, int extra, bool with_gain, Fill how)
{
    static const int length[] = { 1, 17, 0, POSITIONS, 3 };
    int64_t offset[5], first = 8 * (extra % 3), stride = first + (int64_t)heads * D + extra;
    Ragged batch = packed(offset, length, 5);
    int64_t rows = rows_of(&batch), n = rows * stride;
    float *x = filled_bf16(n, how), *want = filled(n, FILL_ZEROS), *gain = filled(D, FILL_NORMAL), *cosine = filled(POSITIONS * D / 2, FILL_ZEROS),
          *sine = filled(POSITIONS * D / 2, FILL_ZEROS);
    double *terms = calloc((size_t)n, sizeof *terms);
    for (int i = 0; i < POSITIONS * D / 2; i++) {
        double angle = i / (D / 2) * pow(10000, -(double)(i % (D / 2)) / (D / 2));
        cosine[i] = (float)cos(angle), sine[i] = (float)sin(angle);
    }
    x[first + 2] = NAN;
    memcpy(want, x, sizeof *x * (size_t)n);
    for (int b = 0; b < batch.n; b++)
        for (int t = 0; t < length[b]; t++) {
            int64_t at = (offset[b] + t) * stride + first;
            norm_rotate_row(want + at, terms + at, with_gain ? gain : NULL, 1e-5f, cosine + t * (D / 2), sine + t * (D / 2), heads, D);
        }
    for (int64_t i = 0; i < n; i++) terms[i] += terms[i] > 0 ? HALF_STEP * fabs((double)want[i]) : 0;
    probe_norm_rotate_bf16(x, rows, stride, first, with_gain ? gain : NULL, 1e-5f, cosine, sine, POSITIONS, &batch, heads, D);
    check_close("norm and rotation in bf16", x, want, terms, n, 1);
    check_nan("norm and rotation in bf16", x, want, n);
    float *all[] = { x, want, gain, cosine, sine };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(terms);
}

static void test_norm_rotate(void **state)
{
    (void)state;
    static const int widths[] = { 16, 32, 48, 64, 80, 96, 128 }, counts[] = { 1, 3, 9, 17 };
    for (size_t d = 0; d < sizeof widths / sizeof *widths; d++)
        for (size_t h = 0; h < sizeof counts / sizeof *counts; h++)
            for (Fill how = FILL_NORMAL; how <= FILL_EQUAL; how++) {
                check_norm_rotate(counts[h], widths[d], 16, true, how);
                check_norm_rotate(counts[h], widths[d], h % 2 ? 0 : 13, false, how);
            }
    check_cuda_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const char *why = NULL;
    const Kernels *k = kernels_choose("cuda", "bf16", &why);
    if (!k) {
        printf("skipped: %s\n", why);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_rms_norm),
        cmocka_unit_test(test_norm_rotate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
