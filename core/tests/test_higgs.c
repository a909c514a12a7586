/* Stored codes, scales and weights of HIGGS against references and against their equations. */
#include "core/tests/quantizer_calls.h"

#include "core/quantize/higgs.h"
#include "core/tests/quant_golden.h"

/* ---- golden references, with the grids that they were made with ---- */

static const float levels4[] = { -1.510418f, -0.452780f, 0.452780f, 1.510418f };
static const float levels8[] = { -2.151946f, -1.343909f, -0.756005f, -0.245094f, 0.245094f, 0.756005f, 1.343909f, 2.151946f };
static const float levels16[] = { -2.732589f, -2.069017f, -1.618046f, -1.256231f, -0.942340f, -0.656759f, -0.388048f, -0.128395f,
                                  0.128395f, 0.388048f, 0.656759f, 0.942340f, 1.256231f, 1.618046f, 2.069017f, 2.732589f };
static const float pairs16[] = { -.8997f, -1.6360f, -.9612f, 1.6000f, -1.8820f, .6788f, .3630f, -1.9668f, -.6814f, -.5768f, .7270f, .6187f,
                                 .3359f, 1.8371f, 1.8599f, .0367f, .1721f, -.9402f, -1.7600f, -.6244f, -.8994f, .3227f, .8395f, -.3017f,
                                 1.5315f, 1.2942f, -.0012f, .0002f, 1.4275f, -1.2079f, -.1612f, .8788f };
static const Grid golden_grid[] = {
    { .p = 1, .n = 4, .point = levels4 }, { .p = 1, .n = 8, .point = levels8 }, { .p = 1, .n = 16, .point = levels16 }, { .p = 2, .n = 16, .point = pairs16 },
};

static void check_golden(const char *matrix, const char *group, const Grid *grid, bool half)
{
    char name[40], file[32];
    snprintf(name, sizeof name, "higgs.p%dn%d.g%s%s", grid->p, grid->n, group, half ? ".fp16scale" : "");
    snprintf(file, sizeof file, "%s.dequant", matrix);
    int64_t rows, cols, same_rows, same_cols;
    float *w = golden_tensor(matrix, "weight", &rows, &cols), *expected = golden_tensor(file, name, &same_rows, &same_cols);
    assert_true(w && expected && rows == same_rows && cols == same_cols);
    const int64_t n = rows * cols;

    Options *options = settings("higgs", "hadamard", group, "scale_bits", half ? "16" : "64", NULL);
    const LayerWeights layer = { w, rows, cols, 0 }, shape = { NULL, rows, cols, 0 };
    float *out = xmalloc(sizeof *out * (size_t)n);
    Higgs h;
    Packed packed = { 0 };
    PerturbationError error;
    assert_int_equal(higgs_read_with(&h, grid, options, cols), OK);
    assert_int_equal(higgs_encode_with(&packed, &layer, &h, (Draw){ 0 }, "higgs"), OK);
    higgs_unpack(out, &packed, &shape, &h, (Draw){ 0 });
    perturbation_measure(&error, out, w, n);

    const double rms = sqrt(sum_of_squares(w, n) / (double)n), t2 = golden_t2(matrix, name);
    for (int64_t i = 0; i < n; i++)                 /* one rounding to float32; another code would be off by 0.01 rms */
        assert_true(fabs((double)out[i] - expected[i]) <= 1e-6 * rms + 0x1p-23 * fabs(expected[i]));
    assert_true(t2 > 0 && fabs(error.t2 - t2) <= 1e-6 * t2);
    assert_true(packed_bits(&packed) == n / grid->p * (grid->n == 4 ? 2 : grid->n == 8 ? 3 : 4) + n / atoi(group) * (half ? 16 : 64));
    packed_free(&packed);
    options_free(options);
    free(w), free(expected), free(out);
}

static void test_golden(void **state)
{
    (void)state;
    for (int g = 0; g < 4; g++)
        for (int half = 0; half < 2; half++) {
            check_golden("gauss", "256", &golden_grid[g], half);
            check_golden("real", "64", &golden_grid[g], half);
        }
}

/* ---- against the equations, term by term ---- */

static int hadamard_entry(int64_t r, int64_t c) { return __builtin_popcountll((unsigned long long)(r & c)) % 2 ? -1 : 1; }

/* y [g] = H D w / sqrt g, w of length n continued by zeros. */
static void rotate(double *y, const float *w, int64_t n, const float *sign, int64_t g)
{
    for (int64_t r = 0; r < g; r++) {
        y[r] = 0;
        for (int64_t c = 0; c < n; c++) y[r] += hadamard_entry(r, c) * (double)w[c] * (sign ? sign[c] : 1);
        y[r] /= sqrt((double)g);
    }
}

static double distance(const double *z, const float *point, int p)
{
    double sum = 0;
    for (int j = 0; j < p; j++) sum += (z[j] - point[j]) * (z[j] - point[j]);
    return sum;
}

/* No point of the grid is nearer than the one of the code, but for what float32 rounds. */
static void check_nearest(const double *z, uint16_t code, const Grid *grid)
{
    assert_true(code < grid->n);
    const double own = distance(z, grid->point + code * grid->p, grid->p);
    for (int i = 0; i < grid->n; i++) assert_true(own <= distance(z, grid->point + i * grid->p, grid->p) + 1e-5);
}

/* Stored codes, scales and W^ of one group against their equations. */
static void check_group(const float *out, const float *w, int64_t n, const uint16_t *code, double scale, const float *sign, const Higgs *h)
{
    const int p = h->grid->p;
    const int64_t g = h->group;
    double *y = xcalloc((size_t)(g + p), sizeof *y), *z = xcalloc((size_t)(g + p), sizeof *z), *hat = xcalloc((size_t)(g + p), sizeof *hat);
    double norm2 = 0, along = 0;
    rotate(y, w, n, sign, g);
    for (int64_t i = 0; i < g; i++) norm2 += y[i] * y[i];
    const double r = sqrt(norm2 / (double)g);
    for (int64_t i = 0; i < g; i++) z[i] = y[i] / r;
    for (int64_t v = 0; v < h->vectors; v++) {
        check_nearest(z + v * p, code[v], h->grid);
        for (int j = 0; j < p; j++) hat[v * p + j] = h->grid->point[code[v] * p + j];
    }
    for (int64_t i = 0; i < g; i++) along += y[i] * hat[i];
    const double exact = h->unbiased ? norm2 / along : r;
    assert_true(fabs(scale - exact) <= (h->scale_bits == 16 ? 0x1p-11 : h->scale_bits == 32 ? 0x1p-24 : 1e-13) * exact);
    for (int64_t c = 0; c < n; c++) {
        double sum = 0;
        for (int64_t i = 0; i < g; i++) sum += hadamard_entry(c, i) * scale * hat[i];
        assert_true(fabs(out[c] - sum / sqrt((double)g) * (sign ? sign[c] : 1)) <= 0x1p-24 * fabs(out[c]) + 1e-12 * r);
    }
    free(y), free(z), free(hat);
}

static void check_equations(const char *name, int64_t cols, ...)
{
    enum { ROWS = 3 };
    va_list list;
    va_start(list, cols);
    Options *options = options_from(name, list);
    va_end(list);
    float *w = gaussian(ROWS, cols), *out = xmalloc(sizeof *out * (size_t)(ROWS * cols));
    const LayerWeights layer = { w, ROWS, cols, 3 }, shape = { NULL, ROWS, cols, 3 };
    const Draw draw = { 7, 2, 0 };
    const Perturbation *perturbation = perturbation_find(name);
    Higgs h;
    const Grid *levels;
    Packed packed = { 0 };
    if (strcmp(name, "ch8")) assert_int_equal(higgs_read(&h, options, cols), OK);
    else {
        assert_int_equal(grid_uniform(&levels, (int)options_integer(options, "n")), OK);
        assert_int_equal(higgs_read_with(&h, levels, options, cols), OK);
    }
    assert_int_equal(perturbation->encode(&packed, &layer, options, NULL, draw), OK);
    perturbation->decode(out, &packed, &shape, options, draw);

    const int64_t codes = higgs_row_codes(&h);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(ROWS * codes));
    double *scale = xmalloc(sizeof *scale * (size_t)(ROWS * h.groups));
    float *sign = xmalloc(sizeof *sign * (size_t)higgs_padded(&h));
    assert_int_equal(packed.n, 2);
    assert_true(packed.plane[0].n == ROWS * codes && packed.plane[1].n == ROWS * h.groups);
    packed_codes(code, &packed, 0);
    packed_reals(scale, &packed, 1);
    rng_signs(sign, higgs_padded(&h), 7, rng_stream(RNG_ROTATION, 3, 2, 0), 0);
    for (int64_t i = 0; i < ROWS * h.groups; i++) {
        const int64_t r = i / h.groups, c = i % h.groups * h.group, n = h.group < cols - c ? h.group : cols - c;
        check_group(out + r * cols + c, w + r * cols + c, n, code + i * h.vectors, scale[i], h.signs ? sign + c : NULL, &h);
    }
    packed_free(&packed);
    options_free(options);
    free(w), free(out), free(code), free(scale), free(sign);
}

static void test_equations(void **state)
{
    (void)state;
    check_equations("higgs", 192, NULL);
    check_equations("higgs", 192, "p", "3", "n", "830", "scale_bits", "32", NULL);                     /* 64 = 21 * 3 + 1 */
    check_equations("higgs", 192, "p", "4", "n", "4096", "signs", "yes", NULL);
    check_equations("higgs", 192, "p", "5", "n", "1024", "unbiased", "yes", "scale_bits", "64", NULL);
    check_equations("higgs", 100, "p", "4", "n", "256", "hadamard", "64", "signs", "yes", "unbiased", "yes", NULL);     /* 64 + 36 and zeros */
    check_equations("higgs", 100, "p", "2", "n", "88", "hadamard", "256", "scale_bits", "64", NULL);
    check_equations("higgs", 10, "p", "5", "n", "1024", "hadamard", "0", NULL);                         /* groups of 2 */
    check_equations("higgs", 7, "p", "2", "n", "16", NULL);                                             /* groups of 1 */
    check_equations("higgs", 192, "p", "1", "n", "9", "signs", "yes", NULL);
    check_equations("higgs", 192, "p", "1", "n", "16", "levels", "uniform", NULL);
    check_equations("ch8", 192, NULL);
    check_equations("ch8", 100, "hadamard", "32", "signs", "yes", "unbiased", "yes", "scale_bits", "32", "n", "200", NULL);
}

/* ---- what is stored ---- */

static void check_bits(int64_t rows, int64_t cols, double code_bits, double scale_bits, const char *name, ...)
{
    va_list list;
    va_start(list, name);
    Options *options = options_from(name, list);
    va_end(list);
    float *w = gaussian(rows, cols), *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    const LayerWeights layer = { w, rows, cols, 0 };
    PerturbationError error;
    assert_int_equal(perturbation_apply(out, &error, perturbation_find(name), &layer, options, NULL, (Draw){ 0 }), OK);
    const double n = (double)(rows * cols);
    assert_true(error.code_bits == code_bits / n && error.bits == (code_bits + scale_bits) / n);
    options_free(options);
    free(w), free(out);
}

static void test_bits_per_weight(void **state)
{
    (void)state;
    check_bits(2, 576, 576 * 2 / 2 * 8, 2 * 9 * 16, "higgs", NULL);
    check_bits(2, 2048, 2048 * 2 / 2 * 4, 2 * 2 * 32, "higgs", "n", "16", "scale_bits", "32", NULL);            /* 2.03125 */
    check_bits(2, 576, 2 * 9 * 22 * 8, 2 * 9 * 16, "higgs", "p", "3", "n", "256", NULL);                        /* 64 -> 66 */
    check_bits(3, 192, 22 * 117, 3 * 2 * 16, "higgs", "n", "88", "hadamard", "128", NULL);                      /* 192 -> 256; 384 -> 22 words of 18 */
    check_bits(1, 1024, 29 * 117, 64, "higgs", "n", "88", "hadamard", "1024", "scale_bits", "64", NULL);
    check_bits(5, 64, 10 * 117, 5 * 16, "higgs", "p", "3", "n", "830", NULL);
    check_bits(2, 576, 2 * 1024 / 2 * 8, 2 * 16, "higgs", "hadamard", "1024", NULL);
    check_bits(2, 576, 2 * 576 * 8, 2 * 9 * 16, "ch8", NULL);
    check_bits(1, 64, 64 * 7, 16, "ch8", "n", "128", NULL);
}

/* W^ is made of the codes and scales and nothing else: a change of one shows in its group alone. */
static void test_decode_is_of_what_is_stored(void **state)
{
    (void)state;
    enum { ROWS = 4, COLS = 192, N = ROWS * COLS, GROUP = 64 };
    float *w = gaussian(ROWS, COLS), out[N], same[N], other[N];
    PerturbationError error;
    Options *options = settings("higgs", "p", "3", "n", "256", "signs", "yes", NULL);
    const LayerWeights layer = { w, ROWS, COLS, 3 }, shape = { NULL, ROWS, COLS, 3 };
    const Perturbation *higgs = perturbation_find("higgs");
    const Draw draw = { 7, 0, 0 };
    Packed packed = { 0 };
    assert_int_equal(higgs->encode(&packed, &layer, options, NULL, draw), OK);
    assert_int_equal(perturbation_apply(out, &error, higgs, &layer, options, NULL, draw), OK);
    memset(w, 0, sizeof *w * N);
    higgs->decode(same, &packed, &shape, options, draw);
    assert_memory_equal(out, same, sizeof out);
    packed.plane[0].bytes[22 * 5] ^= 1;                                 /* 22 codes of 8 bits: the first of group 5 */
    packed.plane[1].bytes[2 * 9] ^= 1;                                  /* the scale of group 9 */
    higgs->decode(other, &packed, &shape, options, draw);
    for (int i = 0; i < N; i++) assert_true((out[i] != other[i]) == (i / GROUP == 5 || i / GROUP == 9));
    packed_free(&packed);
    options_free(options);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_equations),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_decode_is_of_what_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
