/*
 * test_forms.c - gradient forms against sums in double, for any threads and batch, and against the gradient itself
 */
#include "kernels/tests/check.h"

static const int ragged[] = { 1, 64, 65, 0, 3, 130 };
enum { SEQUENCES = sizeof ragged / sizeof *ragged, MATRICES = 20 };

typedef struct {
    int C, N, group, n;
    const float *dy, *x, *scale;
    const float *matrix[MATRICES];
    int64_t stride[MATRICES];
} Case;

typedef struct { double *energy, *group_energy, *dot; } Forms;

static int64_t case_groups(const Case *c) { return (c->C + c->group - 1) / c->group; }

static Forms run_forms(const Kernels *k, const Case *c, const Ragged *batch)
{
    int64_t rows = rows_of(batch), floats = (int64_t)c->N * c->C, bytes = batch->n * 8;
    float *dy = input(k, c->dy, rows * c->N), *x = input(k, c->x, rows * c->C), *scale = input(k, c->scale, c->N * case_groups(c));
    float *matrix[MATRICES] = { 0 };
    for (int i = 0; i < c->n; i++) matrix[i] = input(k, c->matrix[i], batch->n ? c->stride[i] * (batch->n - 1) + floats : 0);
    Forms f = { host_output(bytes), host_output(bytes), host_output(bytes * c->n) };
    FormInput in = { c->group, scale, c->n, (const float *const *)matrix, c->stride };
    k->gradient_forms(f.energy, f.group_energy, f.dot, dy, x, batch, c->C, c->N, &in);
    k->release(dy);
    k->release(x);
    k->release(scale);
    for (int i = 0; i < c->n; i++) k->release(matrix[i]);
    check_host_guards("energy", f.energy, bytes);
    check_host_guards("group_energy", f.group_energy, bytes);
    check_host_guards("dot", f.dot, bytes * c->n);
    return f;
}

static void forms_free(Forms f)
{
    host_free(f.energy);
    host_free(f.group_energy);
    host_free(f.dot);
}

/* What the forms of sequence b may be off by: [0] energy, [1] group energy, [2 + i] dot.  G is off by d = (T + 1)/2
 * epsilon sum|dy x|, so G^2 by d (2 |G| + d), G E by d |E|; a float32 product and float32 sums of 64 of them add
 * (64 + 1)/2 epsilon of the terms' sizes. */
static void form_bounds(double *bound, const Case *c, const Ragged *batch, int b)
{
    double half = FLT_EPSILON / 2;
    for (int i = 0; i < 2 + c->n; i++) bound[i] = DBL_MIN;
    for (int64_t e = 0; e < (int64_t)c->N * c->C; e++) {
        int64_t j = e / c->C, column = e % c->C;
        double g = 0, size = 0;
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++) {
            double term = (double)c->dy[r * c->N + j] * c->x[r * c->C + column];
            g += term;
            size += fabs(term);
        }
        double d = (batch->length[b] + 1) * half * size, off = d * (2 * fabs(g) + d) + 65 * half * (fabs(g) + d) * (fabs(g) + d);
        bound[0] += off;
        bound[1] += off * c->scale[j * case_groups(c) + column / c->group];
        for (int i = 0; i < c->n; i++) bound[2 + i] += (d + 65 * half * (fabs(g) + d)) * fabs((double)c->matrix[i][b * c->stride[i] + e]);
    }
}

static void check_form(const char *what, double got, double want, double bound)
{
    check_note(what, 1, fabs(got - want) / bound);
    if (!(fabs(got - want) <= bound)) check_complain("%s: %.17g, not %.17g +- %.3g", what, got, want, bound);
}

static void check_against_ref(const Case *c, const Ragged *batch, Forms got, Forms want)
{
    for (int b = 0; b < batch->n; b++) {
        double bound[2 + MATRICES];
        form_bounds(bound, c, batch, b);
        check_form("energy", got.energy[b], want.energy[b], bound[0]);
        check_form("group_energy", got.group_energy[b], want.group_energy[b], bound[1]);
        for (int i = 0; i < c->n; i++) check_form("dot", got.dot[b * c->n + i], want.dot[b * c->n + i], bound[2 + i]);
    }
}

static void check_same_forms(const char *what, const Case *c, Forms got, Forms want, int first, int n)
{
    check_same(what, got.energy, want.energy + first, n * 8);
    check_same(what, got.group_energy, want.group_energy + first, n * 8);
    check_same(what, got.dot, want.dot + first * c->n, n * c->n * 8);
}

static void check_forms_alone(const Case *c, const Ragged *batch, Forms whole)
{
    for (int b = 0; b < batch->n; b++) {
        int64_t offset[1];
        Ragged one = packed(offset, batch->length + b, 1);
        Case own = *c;
        own.dy += batch->offset[b] * c->N;
        own.x += batch->offset[b] * c->C;
        for (int i = 0; i < c->n; i++) own.matrix[i] += b * c->stride[i];
        Forms got = run_forms(check_kernels(), &own, &one);
        check_same_forms("forms of a sequence alone", c, got, whole, b, 1);
        forms_free(got);
    }
}

static void check_case(const Case *c, const Ragged *batch)
{
    Forms want = run_forms(&kernels_ref, c, batch), first = { 0 };
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        Forms got = run_forms(check_kernels(), c, batch);
        if (first.energy) check_same_forms("forms by other threads", c, got, first, 0, batch->n);
        if (first.energy) forms_free(got);
        else first = got;
    }
    check_against_ref(c, batch, first, want);
    check_forms_alone(c, batch, first);
    forms_free(first);
    forms_free(want);
}

/* The second matrix is another one for each sequence. */
static void check_forms(int C, int N, int group, int n, Fill how)
{
    int64_t offset[SEQUENCES], floats = (int64_t)N * C, stride = floats + 3;
    Ragged batch = packed(offset, ragged, SEQUENCES);
    float *dy = filled(rows_of(&batch) * N, how), *x = filled(rows_of(&batch) * C, FILL_OUTLIERS);
    float *scale = filled((int64_t)N * ((C + group - 1) / group), FILL_OUTLIERS);
    float *shared = filled(floats, FILL_OUTLIERS), *own = filled(stride * SEQUENCES, FILL_NORMAL);
    for (int64_t i = 0; i < (int64_t)N * ((C + group - 1) / group); i++) scale[i] = fabsf(scale[i]);
    check_case(&(Case){ C, N, group, n, dy, x, scale, { shared, own }, { 0, stride } }, &batch);
    batch.n = 0;
    check_case(&(Case){ C, N, group, n, dy, x, scale, { shared, own }, { 0, stride } }, &batch);
    free(dy);
    free(x);
    free(scale);
    free(shared);
    free(own);
}

/* Groups that divide C and that do not, that fill lanes and that do not, one for all; several tiles each way. */
static void test_forms(void **state)
{
    (void)state;
    static const int shapes[][3] = { { 1, 1, 1 }, { 2, 3, 32 }, { 1, 257, 1 }, { 33, 31, 7 }, { 255, 32, 16 }, { 64, 256, 32 },
                                     { 65, 300, 48 }, { 257, 2, 1000 }, { 600, 70, 31 }, { 530, 33, 256 } };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (Fill how = 0; how < FILLS; how++)
            if ((int)(s % 2) == (int)how % 2 || s < 4) check_forms(shapes[s][0], shapes[s][1], shapes[s][2], (int)(s + how) % 3, how);
    check_done();
}

/* As many matrices as a kernel may take at once, one more, and more than that; some of a sequence's own, which lie anywhere. */
static void test_many_matrices(void **state)
{
    (void)state;
    static const int shapes[][4] = { { 64, 37, 32, 3 }, { 33, 20, 7, 8 }, { 132, 9, 200, 17 }, { 40, 11, 8, 18 }, { 65, 3, 16, MATRICES } };
    const int length[] = { 3, 0, 5 };
    int64_t offset[3];
    Ragged batch = packed(offset, length, 3);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int C = shapes[s][0], N = shapes[s][1], group = shapes[s][2], n = shapes[s][3];
        const int64_t floats = (int64_t)N * C, scales = (int64_t)N * ((C + group - 1) / group);
        float *dy = filled(8 * N, FILL_NORMAL), *x = filled(8 * C, FILL_OUTLIERS), *scale = filled(scales, FILL_OUTLIERS), *matrix[MATRICES];
        for (int64_t i = 0; i < scales; i++) scale[i] = fabsf(scale[i]);
        Case c = { C, N, group, n, dy, x, scale, { 0 }, { 0 } };
        for (int i = 0; i < n; i++) {
            c.stride[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? floats : floats + 1;
            c.matrix[i] = matrix[i] = filled(2 * c.stride[i] + floats, FILL_NORMAL);
        }
        check_case(&c, &batch);
        for (int i = 0; i < n; i++) free(matrix[i]);
        free(dy);
        free(x);
        free(scale);
    }
    check_done();
}

/* Long rows and many of them: a back end that makes the gradient in parts needs several. */
static void test_forms_of_a_large_matrix(void **state)
{
    (void)state;
    enum { C = 64000, N = 140, T = 2, GROUP = 1600 };
    const int length[] = { T };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *dy = filled(T * N, FILL_NORMAL), *x = filled(T * C, FILL_NORMAL), *scale = filled(N * C / GROUP, FILL_NORMAL), *e = filled((int64_t)N * C, FILL_NORMAL);
    for (int i = 0; i < N * C / GROUP; i++) scale[i] = fabsf(scale[i]);
    Case c = { C, N, GROUP, 1, dy, x, scale, { e }, { 0 } };
    Forms got = run_forms(check_kernels(), &c, &batch), want = run_forms(&kernels_ref, &c, &batch);
    check_against_ref(&c, &batch, got, want);
    forms_free(got);
    forms_free(want);
    free(dy);
    free(x);
    free(scale);
    free(e);
    check_done();
}

/* energy = |G|^2 with G of weight_gradient; so is the product with E = G, and the group energy with scales of 1. */
static void test_forms_are_of_the_gradient(void **state)
{
    (void)state;
    enum { C = 300, N = 270, T = 77 };
    const Kernels *k = check_kernels();
    const int length[] = { T };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *dy = filled(T * N, FILL_OUTLIERS), *x = filled(T * C, FILL_NORMAL), *one = filled(N * 7, FILL_ZEROS);
    for (int i = 0; i < N * 7; i++) one[i] = 1;
    float *dy_in = input(k, dy, T * N), *x_in = input(k, x, T * C), *out = output(k, NULL, N * C);
    k->weight_gradient(out, dy_in, x_in, &batch, C, N, 0);
    k->release(dy_in);
    k->release(x_in);
    float *g = taken(k, "weight_gradient", out, N * C);
    Case c = { C, N, 48, 1, dy, x, one, { g }, { 0 } };
    Forms f = run_forms(k, &c, &batch);
    double energy = 0, bound[2 + MATRICES];
    for (int i = 0; i < N * C; i++) energy += (double)g[i] * g[i];
    form_bounds(bound, &c, &batch, 0);
    check_form("energy of the gradient", f.energy[0], energy, 2 * bound[0]);
    check_form("dot with the gradient", f.dot[0], energy, 2 * bound[2]);
    check_form("group energy with scales of 1", f.group_energy[0], f.energy[0], 65 * FLT_EPSILON * energy);
    forms_free(f);
    free(g);
    free(dy);
    free(x);
    free(one);
    check_done();
}

/* A group of its own with scale 1, zeros elsewhere: the energy of that group alone; all groups together, the energy. */
static void test_group_energies_add_up(void **state)
{
    (void)state;
    enum { C = 70, N = 3, T = 5, GROUP = 32, GROUPS = 3 };
    const int length[] = { T };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *dy = filled(T * N, FILL_NORMAL), *x = filled(T * C, FILL_NORMAL), *scale = filled(N * GROUPS, FILL_ZEROS);
    double sum = 0, energy = 0;
    for (int i = 0; i < N * GROUPS; i++) {
        scale[i] = 1;
        Forms f = run_forms(check_kernels(), &(Case){ C, N, GROUP, 0, dy, x, scale, { 0 }, { 0 } }, &batch);
        scale[i] = 0;
        sum += *f.group_energy;
        energy = *f.energy;
        if (!(*f.group_energy > 0)) check_complain("group %d has energy %g", i, *f.group_energy);
        forms_free(f);
    }
    check_form("sum of the group energies", sum, energy, 65 * FLT_EPSILON * energy);
    free(dy);
    free(x);
    free(scale);
    check_done();
}

static void test_forms_keep_nan(void **state)
{
    (void)state;
    enum { C = 300, N = 70, T = 35, GROUPS = 10 };
    const int length[] = { 3, T - 3 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    for (int which = 0; which < 8; which++) {
        Fill how = which & 1 ? FILL_ZEROS : FILL_NORMAL;
        float *dy = filled(T * N, how), *x = filled(T * C, how), *scale = filled(N * GROUPS, FILL_EQUAL), *e = filled(N * C, how);
        *(which < 2 ? &dy[2 * N + N - 1] : which < 4 ? &x[2 * C] : which < 6 ? &scale[N * GROUPS - 1] : &e[N * C - 1]) = NAN;
        Forms f = run_forms(check_kernels(), &(Case){ C, N, 32, 1, dy, x, scale, { e }, { 0 } }, &batch);
        if (isnan(f.energy[0]) != (which < 4)) check_complain("energy is %g, NaN number %d", f.energy[0], which);
        if (isnan(f.group_energy[0]) != (which < 6)) check_complain("group energy is %g, NaN number %d", f.group_energy[0], which);
        if (isnan(f.dot[0]) != (which < 4 || which >= 6)) check_complain("dot is %g, NaN number %d", f.dot[0], which);
        if (isnan(f.energy[1])) check_complain("the NaN of another sequence");
        forms_free(f);
        free(dy);
        free(x);
        free(scale);
        free(e);
    }
    check_done();
}

/* Scales to the rounding of a float, the sum of squares to that of doubles. */
static void check_group_scales(int rows, int cols, int group, Fill how)
{
    const Kernels *k = check_kernels();
    const int64_t n = (int64_t)rows * ((cols + group - 1) / group);
    float *w = filled((int64_t)rows * cols, how), *in = input(k, w, (int64_t)rows * cols), *out = output(k, NULL, n), *want = xmalloc(sizeof *want * (unsigned long)n);
    const double sum = k->group_scales(out, in, rows, cols, group), wanted = kernels_ref.group_scales(want, w, rows, cols, group);
    k->release(in);
    float *got = taken(k, "group_scales", out, n);
    check_close("group_scales", got, want, NULL, n, 1);
    if (!(fabs(sum - wanted) <= 1e-12 * wanted)) check_complain("the sum of squares is %.17g, not %.17g", sum, wanted);
    free(w);
    free(got);
    free(want);
}

static void test_group_scales(void **state)
{
    (void)state;
    static const int shapes[][3] = { { 1, 1, 1 }, { 3, 31, 32 }, { 33, 32, 7 }, { 255, 257, 64 }, { 700, 1000, 3 }, { 5, 4099, 4099 } };
    if (!check_kernels()->group_scales) {
        printf("skipped: this back end leaves group_scales to the host\n");
        return;
    }
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (Fill how = 0; how < FILLS; how++) check_group_scales(shapes[s][0], shapes[s][1], shapes[s][2], how);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_many_matrices),
        cmocka_unit_test(test_forms_of_a_large_matrix),
        cmocka_unit_test(test_forms_are_of_the_gradient),
        cmocka_unit_test(test_group_energies_add_up),
        cmocka_unit_test(test_forms_keep_nan),
        cmocka_unit_test(test_group_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
