/* Masked GPTQ against the textbook: a full inverse, one column after the other, no blocks; and its ends, GPTQ and W itself. */
#include "core/tests/data_aware.h"

#include "core/quantize/uniform.h"

/* Every weight of which `keeps` is true. */
typedef bool (*Keeps)(int64_t row, int64_t column);
static bool none(int64_t row, int64_t column) { return (void)row, (void)column, false; }
static bool every(int64_t row, int64_t column) { return (void)row, (void)column, true; }
static bool scattered(int64_t row, int64_t column) { return (row * 31 + column * 17) % 23 == 0 || column == 5 || (row == 3 && column % 4 == 1); }
static bool whole_row(int64_t row, int64_t column) { return (void)column, row == 2; }

static KeptWeights kept_of(Keeps keeps, int64_t rows, int64_t cols)
{
    unsigned char *mark = xmalloc((size_t)(rows * cols));
    for (int64_t i = 0; i < rows * cols; i++) mark[i] = keeps(i / cols, i % cols);
    KeptWeights kept = kept_of_marks(mark, rows, cols);
    free(mark);
    return kept;
}

/* ---- the textbook ---- */

/* h becomes its inverse, by Gauss and Jordan. */
static void invert(double *h, int64_t n)
{
    double *a = xcalloc((size_t)(n * 2 * n), sizeof *a);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) a[i * 2 * n + j] = h[i * n + j];
        a[i * 2 * n + n + i] = 1;
    }
    for (int64_t i = 0; i < n; i++) {
        const double pivot = a[i * 2 * n + i];
        for (int64_t j = 0; j < 2 * n; j++) a[i * 2 * n + j] /= pivot;
        for (int64_t r = 0; r < n; r++) {
            const double factor = r == i ? 0 : a[r * 2 * n + i];
            for (int64_t j = 0; j < 2 * n; j++) a[r * 2 * n + j] -= factor * a[i * 2 * n + j];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) h[i * n + j] = a[i * 2 * n + n + j];
    free(a);
}

/* The inverse of what is left of H when column `first` is gone too: one step of elimination in the inverse. */
static void drop_column(double *inverse, int64_t n, int64_t first)
{
    const double pivot = inverse[first * n + first];
    for (int64_t i = first + 1; i < n; i++)
        for (int64_t j = first + 1; j < n; j++) inverse[i * n + j] -= inverse[i * n + first] * inverse[first * n + j] / pivot;
}

static UniformGrid grid_of_others(const double *row, const KeptWeights *kept, int64_t r, int64_t first, int64_t n, const Uniform *u)
{
    double *w = xmalloc(sizeof *w * (size_t)n), sum = 0;
    bool *out = xcalloc((size_t)n, sizeof *out);
    int64_t others = n;
    for (int64_t k = kept->first[r]; k < kept->first[r + 1]; k++)
        if (kept->column[k] >= first && kept->column[k] < first + n) out[kept->column[k] - first] = true, others--;
    for (int64_t i = 0; i < n; i++) sum += out[i] ? 0 : row[first + i];
    for (int64_t i = 0; i < n; i++) w[i] = out[i] ? (others ? sum / (double)others : 0) : row[first + i];
    const UniformGrid grid = uniform_fit(w, n, u);
    free(w), free(out);
    return grid;
}

static bool is_kept(const KeptWeights *kept, int64_t r, int64_t c)
{
    for (int64_t k = kept->first[r]; k < kept->first[r + 1]; k++)
        if (kept->column[k] == c) return true;
    return false;
}

/* Optimal Brain Surgeon for one weight of each row at a time: delta = -(w_j - w^_j) / [H^-1]_jj [H^-1]_j,:. */
static void textbook(double *out, const float *w, const float *hessian, int64_t rows, int64_t cols, const KeptWeights *kept, Uniform u)
{
    double *inverse = xmalloc(sizeof *inverse * (size_t)(cols * cols)), mean = 0;
    UniformGrid *grid = xmalloc(sizeof *grid * (size_t)rows);
    for (int64_t j = 0; j < cols; j++) mean += hessian[j * cols + j] / (double)cols;
    for (int64_t i = 0; i < cols * cols; i++) inverse[i] = hessian[i] + (i % (cols + 1) == 0 ? 0.01 * mean : 0);
    invert(inverse, cols);
    for (int64_t i = 0; i < rows * cols; i++) out[i] = w[i];
    for (int64_t j = 0; j < cols; j++) {
        for (int64_t r = 0; r < rows; r++) {
            double *row = out + r * cols;
            if (j % u.group == 0) grid[r] = grid_of_others(row, kept, r, j, u.group < cols - j ? u.group : cols - j, &u);
            const double rounded = is_kept(kept, r, j) ? row[j] : uniform_value(uniform_code(row[j], &grid[r], &u), &grid[r]);
            const double error = (row[j] - rounded) / inverse[j * cols + j];
            row[j] = rounded;
            for (int64_t k = j + 1; k < cols; k++) row[k] -= error * inverse[j * cols + k];
        }
        drop_column(inverse, cols, j);
    }
    free(inverse), free(grid);
}

enum { ROWS = 9, COLS = 150 };      /* more than a block of the loop */

static void check_textbook(Keeps keeps, const char *bits, const char *group, const char *clip)
{
    double mean[COLS], *expected = xmalloc(sizeof *expected * ROWS * COLS);
    float *h = made_up_hessian(mean, COLS, 400, 3), *w = normals(ROWS * COLS, 2), out[ROWS * COLS];
    KeptWeights kept = kept_of(keeps, ROWS, COLS);
    const Evidence evidence = { .hessian = h, .kept = &kept };
    PerturbationError error;
    Uniform u = { .bits = atoi(bits), .scale_bits = 64, .group = atoi(group) ? atoi(group) : COLS, .search = !strcmp(clip, "mse"), .norm = 2.4 };
    textbook(expected, w, h, ROWS, COLS, &kept, u);
    assert_int_equal(quantize_with("tacq", out, &error, w, ROWS, COLS, &evidence, "bits", bits, "group", group, "clip", clip, "scale_bits", "64", "value_bits", "32", NULL), OK);
    for (int64_t i = 0; i < ROWS * COLS; i++)
        if (!(fabs(out[i] - expected[i]) <= 1e-6)) fail_msg("%s bits, group %s: weight %ld, %ld is %g, not %g", bits, group, (long)(i / COLS), (long)(i % COLS), out[i], expected[i]);
    kept_free(&kept);
    free(h), free(w), free(expected);
}

static void same_as_the_textbook(void **state)
{
    (void)state;
    const Keeps keeps[] = { none, scattered, whole_row };
    for (int i = 0; i < 3; i++) {
        check_textbook(keeps[i], "2", "0", "mse");
        check_textbook(keeps[i], "3", "0", "minmax");
        check_textbook(keeps[i], "3", "32", "mse");
        check_textbook(keeps[i], "2", "140", "minmax");
    }
}

/* ---- its ends ---- */

typedef struct { float *w, *h, out[ROWS * COLS], other[ROWS * COLS]; double mean[COLS]; } Case;

static Case *new_case(void)
{
    Case *c = xmalloc(sizeof *c);
    c->h = made_up_hessian(c->mean, COLS, 400, 3);
    c->w = normals(ROWS * COLS, 2);
    return c;
}

static void case_free(Case *c)
{
    free(c->w), free(c->h), free(c);
}

static void nothing_kept_is_gptq(void **state)
{
    (void)state;
    static const char *const groups[] = { "0", "32", "140" }, *const orders[] = { "no", "yes" }, *const symmetric[] = { "no", "yes" };
    Case *c = new_case();
    KeptWeights kept = kept_of(none, ROWS, COLS);
    const Evidence evidence = { .hessian = c->h, .kept = &kept };
    for (int g = 0; g < 3; g++)
        for (int o = 0; o < 2; o++)
            for (int s = 0; s < 2; s++) {
                PerturbationError error, plain;
                assert_int_equal(quantize_with("tacq", c->out, &error, c->w, ROWS, COLS, &evidence, "bits", "3", "group", groups[g], "act_order", orders[o], "symmetric", symmetric[s], NULL), OK);
                assert_int_equal(quantize_with("gptq", c->other, &plain, c->w, ROWS, COLS, &evidence, "bits", "3", "group", groups[g], "act_order", orders[o], "symmetric", symmetric[s],
                                               "clip", "mse", NULL), OK);
                assert_memory_equal(c->out, c->other, sizeof c->out);
                assert_true(error.bits == plain.bits && error.code_bits == plain.code_bits && error.t2 == plain.t2);
            }
    kept_free(&kept);
    case_free(c);
}

static void all_kept_is_the_weights(void **state)
{
    (void)state;
    Case *c = new_case();
    KeptWeights kept = kept_of(every, ROWS, COLS);
    const Evidence evidence = { .hessian = c->h, .kept = &kept };
    PerturbationError error;
    for (int o = 0; o < 2; o++) {
        assert_int_equal(quantize_with("tacq", c->out, &error, c->w, ROWS, COLS, &evidence, "value_bits", "32", "act_order", o ? "yes" : "no", NULL), OK);
        assert_memory_equal(c->out, c->w, sizeof c->out);
        assert_true(error.t2 == 0);
        assert_int_equal(quantize_with("tacq", c->out, &error, c->w, ROWS, COLS, &evidence, "act_order", o ? "yes" : "no", NULL), OK);
        for (int i = 0; i < ROWS * COLS; i++) assert_true(fabs(c->out[i] - c->w[i]) <= 0x1p-11 * fabs(c->w[i]));
    }
    kept_free(&kept);
    case_free(c);
}

/* Kept weights cost 16 bits and their value, and the rows their numbers; everything else as in gptq. */
static void bits_are_counted(void **state)
{
    (void)state;
    static const struct { const char *word; int bits; } value[] = { { "16", 16 }, { "32", 32 } };
    static const char *const symmetric[] = { "no", "yes" };
    Case *c = new_case();
    KeptWeights kept = kept_of(scattered, ROWS, COLS);
    const Evidence evidence = { .hessian = c->h, .kept = &kept };
    int64_t largest = 0;
    for (int64_t r = 0; r < ROWS; r++) largest = kept.first[r + 1] - kept.first[r] > largest ? kept.first[r + 1] - kept.first[r] : largest;
    assert_true(largest >= 32 && largest < 64);     /* six bits a row */
    for (int v = 0; v < 2; v++)
        for (int s = 0; s < 2; s++) {
            PerturbationError error, plain;
            assert_int_equal(quantize_with("tacq", c->out, &error, c->w, ROWS, COLS, &evidence, "value_bits", value[v].word, "symmetric", symmetric[s], NULL), OK);
            assert_int_equal(quantize_with("gptq", c->other, &plain, c->w, ROWS, COLS, &evidence, "bits", "3", "group", "0", "symmetric", symmetric[s], "clip", "mse", NULL), OK);
            const double more = (6.0 * ROWS + (double)kept.n * (16 + value[v].bits)) / (ROWS * COLS);
            assert_true(fabs(error.bits - plain.bits - more) <= 1e-12);
            assert_true(error.code_bits == plain.code_bits && error.t2 < plain.t2);
        }
    kept_free(&kept);
    case_free(c);
}

/* An outlier that is kept leaves its row the grid of the others, whatever its size. */
static void outliers_stretch_no_grid(void **state)
{
    (void)state;
    Case *c = new_case();
    memset(c->h, 0, sizeof *c->h * COLS * COLS);
    for (int64_t j = 0; j < COLS; j++) c->h[j * COLS + j] = 1;
    KeptWeights kept = kept_of(scattered, ROWS, COLS);
    const Evidence evidence = { .hessian = c->h, .kept = &kept };
    PerturbationError error;
    assert_int_equal(quantize_with("tacq", c->out, &error, c->w, ROWS, COLS, &evidence, NULL), OK);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t k = kept.first[r]; k < kept.first[r + 1]; k++) c->w[r * COLS + kept.column[k]] *= 1000;
    assert_int_equal(quantize_with("tacq", c->other, &error, c->w, ROWS, COLS, &evidence, NULL), OK);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < COLS; j++)
            if (!is_kept(&kept, r, j)) assert_true(c->out[r * COLS + j] == c->other[r * COLS + j]);
    kept_free(&kept);
    case_free(c);
}

/* Kept in the order of columns, whatever the loop's order; and the same in any number of threads. */
static void orders_and_threads(void **state)
{
    (void)state;
    enum { MANY = 230 };
    double mean[COLS];
    float *h = made_up_hessian(mean, COLS, 400, 3), *w = normals(MANY * COLS, 2), *out[3];
    KeptWeights kept = kept_of(scattered, MANY, COLS);
    const Evidence evidence = { .hessian = h, .kept = &kept };
    PerturbationError error;
    for (int o = 0; o < 2; o++) {
        for (int i = 0; i < 3; i++) {
            out[i] = xmalloc(sizeof(float) * MANY * COLS);
            kernels_set_threads(1 + 2 * i);
            assert_int_equal(quantize_with("tacq", out[i], &error, w, MANY, COLS, &evidence, "act_order", o ? "yes" : "no", NULL), OK);
            assert_memory_equal(out[i], out[0], sizeof(float) * MANY * COLS);
        }
        for (int64_t r = 0; r < MANY; r++)      /* near what they were: corrections are small beside a weight of size 1 */
            for (int64_t k = kept.first[r]; k < kept.first[r + 1]; k++)
                assert_true(fabs(out[0][r * COLS + kept.column[k]] - w[r * COLS + kept.column[k]]) < 1.5);
        for (int i = 0; i < 3; i++) free(out[i]);
    }
    kernels_set_threads(1);
    kept_free(&kept);
    free(h), free(w);
}

static void refusals(void **state)
{
    (void)state;
    float w[4] = { 1, 2, 1e6f, 3 }, h[4] = { 2, 1, 1, 2 }, out[4];
    PerturbationError error = { .t2 = -1 };
    KeptWeights kept = kept_of(every, 2, 2);
    const Evidence without = { .hessian = h }, evidence = { .hessian = h, .kept = &kept };
    assert_int_equal(quantize_with("tacq", out, &error, w, 2, 2, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "tacq needs the inputs of the layers and the gradients by the weights"));
    assert_int_equal(quantize_with("tacq", out, &error, w, 2, 2, &without, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "tacq: the mask of kept weights of layer 3 was not collected"));
    assert_int_equal(quantize_with("tacq", out, &error, w, 2, 2, &evidence, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "set value_bits=32"));
    assert_true(error.t2 == -1);
    assert_int_equal(quantize_with("tacq", out, &error, w, 2, 2, &evidence, "value_bits", "32", NULL), OK);
    kept_free(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_textbook),
        cmocka_unit_test(nothing_kept_is_gptq),
        cmocka_unit_test(all_kept_is_the_weights),
        cmocka_unit_test(bits_are_counted),
        cmocka_unit_test(outliers_stretch_no_grid),
        cmocka_unit_test(orders_and_threads),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
