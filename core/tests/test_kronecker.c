#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/measure/kronecker.h"
#include "core/tests/tiny_study.h"

enum { R = 7, C = 11 };

static void normals(float *x, int64_t n, int sequence) { rng_normals(x, n, 5, rng_stream(RNG_TEST, 0, 0, sequence), 0); }

/* A A' + I / 2 */
static void positive(float *out, int n, int sequence)
{
    float a[C * C];
    normals(a, n * n, sequence);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            out[i * n + j] = i == j ? .5f : 0;
            for (int k = 0; k < n; k++) out[i * n + j] += a[i * n + k] * a[j * n + k];
        }
}

static void equals_the_definition(void **state)
{
    (void)state;
    float e[R * C], w[R * C], sx[C * C], sd[R * R];
    normals(e, R * C, 1), normals(w, R * C, 2), positive(sx, C, 3), positive(sd, R, 4);
    double form = 0, tx = 0, td = 0, norm2 = 0;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            for (int k = 0; k < C; k++)
                for (int l = 0; l < C; l++) form += (double)sd[i * R + j] * e[j * C + k] * sx[k * C + l] * e[i * C + l];
    for (int k = 0; k < C; k++) tx += sx[k * (C + 1)];
    for (int i = 0; i < R; i++) td += sd[i * (R + 1)];
    for (int i = 0; i < R * C; i++) norm2 += (double)w[i] * w[i];
    const double expected = form * R * C / (tx * td * norm2);
    const Kernels *const kernels[] = { &kernels_ref, kernels_cpu() };
    for (int k = 0; k < 2; k++) assert_true(fabs(kronecker_size(e, w, sx, sd, R, C, kernels[k]) - expected) <= 1e-5 * expected);
}

/* With white factors it is t^2, whatever the error; noise that is alike in all directions has K = t^2 in the mean whatever the factors. */
static void is_t2_where_nothing_is_special(void **state)
{
    (void)state;
    enum { DRAWS = 3000 };
    float e[R * C], w[R * C], sx[C * C] = { 0 }, sd[R * R] = { 0 };
    normals(e, R * C, 1), normals(w, R * C, 2);
    for (int k = 0; k < C; k++) sx[k * (C + 1)] = 3;
    for (int i = 0; i < R; i++) sd[i * (R + 1)] = .1f;
    const double t2 = sum_of_squares(e, R * C) / sum_of_squares(w, R * C);
    assert_true(fabs(kronecker_size(e, w, sx, sd, R, C, &kernels_ref) - t2) <= 1e-6 * t2);
    positive(sx, C, 3), positive(sd, R, 4);
    double sum = 0, squares = 0;
    for (int d = 0; d < DRAWS; d++) {
        normals(e, R * C, 100 + d);
        const double ratio = kronecker_size(e, w, sx, sd, R, C, &kernels_ref) / (sum_of_squares(e, R * C) / sum_of_squares(w, R * C));
        sum += ratio / DRAWS, squares += ratio * ratio / DRAWS;
    }
    const double se = sqrt((squares - sum * sum) / DRAWS);
    assert_true(fabs(sum - 1) <= 4 * se && se < .02);
}

/* ---- several layers at once ---- */

typedef struct { const Model *model; float *input[64], *gradient[64]; int n; } Seen;

static int keep(void *context, int layer, const float *input, const float *gradient)
{
    Seen *seen = context;
    const Layer *l = model_layer(seen->model, layer);
    const size_t x = sizeof *input * (size_t)(l->cols * l->cols), d = sizeof *gradient * (size_t)(l->rows * l->rows);
    seen->input[layer] = memcpy(xmalloc(x), input, x);
    seen->gradient[layer] = memcpy(xmalloc(d), gradient, d);
    seen->n++;
    return OK;
}

static void memory_changes_nothing(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "qwen3-qknorm", 30, "cpu");
    const int layer[] = { 1, 3, 4, 6, 8, 13 };
    const GradientRequest request = { .probe = PROBE_SIGNS, .group = 64, .n_layers = 6, .layer = layer, .label = "factors" };
    Seen all = { .model = t.model }, few = { .model = t.model };
    WORKS(measure_kronecker(t.study, &request, 1 << 30, keep, &all));
    WORKS(measure_kronecker(t.study, &request, 20000, keep, &few));
    assert_int_equal(all.n, 6);
    assert_int_equal(few.n, 6);
    for (int i = 0; i < 6; i++) {
        const Layer *l = model_layer(t.model, layer[i]);
        assert_memory_equal(all.input[layer[i]], few.input[layer[i]], sizeof(float) * (size_t)(l->cols * l->cols));
        assert_memory_equal(all.gradient[layer[i]], few.gradient[layer[i]], sizeof(float) * (size_t)(l->rows * l->rows));
        free(all.input[layer[i]]), free(few.input[layer[i]]), free(all.gradient[layer[i]]), free(few.gradient[layer[i]]);
    }
    tiny_study_close(&t);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(2, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(is_t2_where_nothing_is_special),
        cmocka_unit_test(memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
