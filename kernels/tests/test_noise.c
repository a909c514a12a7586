/*
 * test_noise.c - noise made by the back end against the host's numbers and formula
 *
 * Where every |w| and t are powers of two, sigma is exact and W^ must be the host's bit for bit; with w far below sigma, W^ is z itself.
 * Elsewhere a group's squares may be summed in another order: W^ must lie between what sigma (1 -+ 1e-14) gives, nearly always one float.
 */
#include "kernels/tests/check.h"

typedef struct {
    int64_t rows, cols, group;
    double t;
    int signs;
    uint64_t seed, stream;
} Case;

typedef struct { float *w; double t2, kappa; } Result;

static const int64_t sizes[] = { 1, 31, 32, 33, 255, 257, 1009 };
static const int64_t groups[] = { 0, 1, 7, 32, 64, 1 << 20 };
enum { SIZES = sizeof sizes / sizeof *sizes, GROUPS = sizeof groups / sizeof *groups };

static const Kernels *with_noise(void)
{
    const Kernels *k = check_kernels();
    if (!k->noise) {
        printf("skipped: the back end %s makes no noise, the host does\n", k->name);
        skip();
    }
    return k;
}

/* out: `shift` floats into an allocation that is aligned for any vector. */
static Result run_noise(const Case *c, const float *w, int shift)
{
    const Kernels *k = with_noise();
    const int64_t n = c->rows * c->cols, all = n + 2 * GUARD + shift;
    float *host = xmalloc(sizeof *host * (unsigned long)all), *w_in = input(k, w, n), *p = k->alloc(all), *out = p + GUARD - 1 + shift;
    for (int64_t i = 0; i < all; i++) host[i] = GUARD_WORD;
    k->upload(p, host, all);
    Result r = { .t2 = -1, .kappa = -1 };
    k->noise(out, &r.t2, &r.kappa, w_in, c->rows, c->cols, c->group, c->t, c->signs, c->seed, c->stream);
    k->download(host, p, all);
    for (int64_t i = 0; i < all; i++)
        if ((i < GUARD - 1 + shift || i >= GUARD - 1 + shift + n) && host[i] != GUARD_WORD) check_complain("noise: wrote outside its output");
    r.w = xmalloc(sizeof *r.w * (unsigned long)(n ? n : 1));
    memcpy(r.w, host + GUARD - 1 + shift, sizeof *r.w * (size_t)n);
    k->release(w_in);
    k->release(p);
    free(host);
    return r;
}

static float *numbers(const Case *c)
{
    const int64_t n = c->rows * c->cols;
    float *z = xmalloc(sizeof *z * (unsigned long)(n ? n : 1));
    (c->signs ? rng_signs : rng_normals)(z, n, c->seed, c->stream, 0);
    return z;
}

static double sigma_of(const Case *c, const float *w, int64_t n)
{
    long double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (long double)w[i] * w[i];
    return c->t * sqrt((double)sum / (double)n);
}

static void check_weights(const Case *c, const float *w, const float *z, const float *got, double slack)
{
    const int64_t n = c->rows * c->cols, width = c->group > 0 && c->group < c->cols ? c->group : c->cols;
    const double whole = sigma_of(c, w, n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = i - i % c->cols % width, end = i - i % c->cols + c->cols;
        const double sigma = c->group > 0 ? sigma_of(c, w + first, width < end - first ? width : end - first) : whole;
        const float a = (float)((double)w[i] + sigma * (1 - slack) * (double)z[i]), b = (float)((double)w[i] + sigma * (1 + slack) * (double)z[i]);
        if (a <= b ? got[i] >= a && got[i] <= b : got[i] >= b && got[i] <= a) continue;
        check_complain("noise: %lldx%lld, group %lld: element %lld is %.9g, not %.9g", (long long)c->rows, (long long)c->cols, (long long)c->group, (long long)i, got[i], a);
        return;
    }
}

static void check_near(const char *what, const Case *c, double got, double want, double bound)
{
    check_note(what, c->rows * c->cols, bound > 0 ? fabs(got - want) / bound : got != want);
    if (!(fabs(got - want) <= bound)) check_complain("%s: %lldx%lld, group %lld: %.17g, not %.17g", what, (long long)c->rows, (long long)c->cols, (long long)c->group, got, want);
}

/* t2 is a sum of squares; of kappa the terms cancel, so they count by their sizes. */
static void check_measure(const Case *c, const float *w, Result r)
{
    long double norm2 = 0, error2 = 0, along = 0, size = 0;
    for (int64_t i = 0; i < c->rows * c->cols; i++) {
        const long double e = (long double)((double)r.w[i] - w[i]);
        norm2 += (long double)w[i] * w[i];
        error2 += e * e;
        along += e * w[i];
        size += fabsl(e * w[i]);
    }
    check_near("t2", c, r.t2, (double)(error2 / norm2), 1e-12 * (double)(error2 / norm2));
    check_near("kappa", c, r.kappa, (double)(-along / norm2), 1e-12 * (double)(size / norm2));
}

static void check_case(const Case *c, const float *w, double slack)
{
    const int64_t bytes = c->rows * c->cols * (int64_t)sizeof *w;
    float *z = numbers(c);
    Result aligned = run_noise(c, w, 0), shifted = run_noise(c, w, 1);
    check_weights(c, w, z, aligned.w, slack);
    check_measure(c, w, aligned);
    check_same("noise: other alignment, W^", shifted.w, aligned.w, bytes);
    check_same("noise: other alignment, t2", &shifted.t2, &aligned.t2, 8);
    check_same("noise: other alignment, kappa", &shifted.kappa, &aligned.kappa, 8);
    free(z);
    free(aligned.w);
    free(shifted.w);
}

static float *constant(int64_t n, float size)
{
    float *w = xmalloc(sizeof *w * (unsigned long)(n ? n : 1));
    for (int64_t i = 0; i < n; i++) w[i] = rng_integer(check_seed(), 7, (uint64_t)i) & 1 ? size : -size;
    return w;
}

/* Rows that are whole fours, as in every model, among them. */
static void for_shapes(void (*f)(int64_t rows, int64_t cols, int64_t group, int turn))
{
    static const int64_t more[][3] = { { 5, 64, 32 }, { 33, 256, 64 }, { 7, 100, 64 }, { 3, 516, 512 }, { 2, 1024, 2048 }, { 9, 4096, 1024 },
                                       { 1, 9000, 6000 }, { 3, 4100, 8192 }, { 4, 640, 132 }, { 130, 132, 0 }, { 1, 65537, 0 } };
    int turn = 0;
    for (int s = 0; s < SIZES; s++)
        for (int g = 0; g < GROUPS; g++) f(sizes[SIZES - 1 - s] % 31 + 1, sizes[s], groups[g], turn++);
    for (size_t s = 0; s < sizeof more / sizeof *more; s++) f(more[s][0], more[s][1], more[s][2], turn++);
}

static Case case_of(int64_t rows, int64_t cols, int64_t group, int turn, double t)
{
    return (Case){ rows, cols, group, t, turn % 3 == 2, 0x9e3779b97f4a7c15u * (uint64_t)(turn + 1), rng_stream(RNG_TEST, turn, 70, 1 << 20) };
}

static void check_numbers(int64_t rows, int64_t cols, int64_t group, int turn)
{
    const Case c = case_of(rows, cols, group, turn, 0x1p100);
    float *w = constant(rows * cols, 0x1p-100f), *z = numbers(&c);
    Result r = run_noise(&c, w, 0);
    check_same("noise: z", r.w, z, rows * cols * (int64_t)sizeof *w);
    free(r.w);
    free(w);
    free(z);
}

static void check_exact(int64_t rows, int64_t cols, int64_t group, int turn)
{
    const Case c = case_of(rows, cols, group, turn, 0.25);
    float *w = constant(rows * cols, 0.125f);
    check_case(&c, w, 0);
    free(w);
}

static void check_formula(int64_t rows, int64_t cols, int64_t group, int turn)
{
    static const double levels[] = { 0.03, 0.3, 1e-4 };
    const Case c = case_of(rows, cols, group, turn, levels[turn % 3]);
    float *w = filled(rows * cols, turn % 2 ? FILL_OUTLIERS : FILL_NORMAL);
    check_case(&c, w, 1e-14);
    free(w);
}

static void test_numbers_are_the_hosts(void **state)
{
    (void)state;
    for_shapes(check_numbers);
    check_done();
}

static void test_exact_sigma(void **state)
{
    (void)state;
    for_shapes(check_exact);
    check_done();
}

/* More groups, and more weights, than a back end may have blocks for at a time. */
static void test_many_groups(void **state)
{
    (void)state;
    check_exact(2100, 131, 131, 1);
    check_exact(1, 530000, 1, 3);
    check_exact(1, 530001, 0, 4);
    check_done();
}

static void test_noise(void **state)
{
    (void)state;
    for_shapes(check_formula);
    check_done();
}

/* Signs give t^2 in every draw, but for W^'s rounding to float. */
static void test_signs_have_no_spread(void **state)
{
    (void)state;
    for (int group = 0; group <= 64; group += 16) {
        const Case c = { 40, 96, group, 0.1, 1, 3, 5 };
        float *w = filled(40 * 96, FILL_NORMAL);
        Result r = run_noise(&c, w, 0);
        check_near("t2 of signs", &c, r.t2, 0.01, 1e-8);
        free(r.w);
        free(w);
    }
    check_done();
}

static void test_zeros(void **state)
{
    (void)state;
    for (int group = 0; group <= 64; group += 32) {
        const Case c = { 9, 96, group, 0.1, 0, 3, 5 };
        float *w = filled(9 * 96, FILL_ZEROS);
        Result r = run_noise(&c, w, 0);
        check_same("noise on zeros", r.w, w, 9 * 96 * 4);
        check_near("t2 of zeros", &c, r.t2, 0, 0);
        check_near("kappa of zeros", &c, r.kappa, 0, 0);
        free(r.w);
        free(w);
    }
    check_done();
}

/* A NaN makes its group one, and both measures; the other groups stay as they are. */
static void test_nan(void **state)
{
    (void)state;
    enum { ROWS = 6, COLS = 200, AT = 4 * COLS + 199 };
    static const int64_t some[] = { 0, 1, 7, 64, 200 };
    for (int g = 0; g < 5; g++) {
        const Case c = { ROWS, COLS, some[g], 0.1, 0, 3, 5 };
        const int64_t width = some[g] ? some[g] : ROWS * COLS, row = some[g] ? AT / COLS * COLS : 0, first = row + (AT - row) / width * width;
        float *w = filled(ROWS * COLS, FILL_NORMAL);
        Result clean = run_noise(&c, w, 0);
        w[AT] = NAN;
        Result r = run_noise(&c, w, 0);
        for (int64_t i = 0; i < ROWS * COLS; i++) {
            const bool inside = i >= first && i <= (some[g] ? AT : ROWS * COLS - 1);
            if (inside ? !isnan(r.w[i]) : r.w[i] != clean.w[i]) check_complain("NaN in a group of %lld: element %lld is %g", (long long)some[g], (long long)i, r.w[i]);
        }
        if (!isnan(r.t2) || !isnan(r.kappa)) check_complain("t2 %g and kappa %g of a NaN", r.t2, r.kappa);
        free(clean.w);
        free(r.w);
        free(w);
    }
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_the_hosts),
        cmocka_unit_test(test_exact_sigma),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_many_groups),
        cmocka_unit_test(test_signs_have_no_spread),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
