/*
 * test_gradients.c - gradients of matrix products against ref and against identities
 */
#include "kernels/tests/check.h"

static const int ragged[] = { 1, 64, 65, 0, 3, 130 };
enum { SEQUENCES = sizeof ragged / sizeof *ragged };

static const int shapes[][2] = { { 1, 1 }, { 2, 3 }, { 1, 257 }, { 33, 31 }, { 255, 32 }, { 64, 256 }, { 65, 300 }, { 257, 2 }, { 300, 70 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A product's gradients start from `start`, to which they are added, or anew where it is NULL. */
typedef struct {
    int C, N;
    int64_t w_stride;
    const float *dy, *x, *w, *start;
} Product;

static int64_t product_weights(const Product *p, int sequences)
{
    return p->w_stride ? p->w_stride * (sequences - 1) + (int64_t)p->N * p->C : (int64_t)p->N * p->C;
}

static float *run_input(const Kernels *k, const Product *p, const Ragged *batch)
{
    int64_t rows = rows_of(batch);
    float *dy = input(k, p->dy, rows * p->N), *w = input(k, p->w, batch->n ? product_weights(p, batch->n) : 0);
    float *dx = output(k, p->start, rows * p->C);
    k->matmul_backward(dx, dy, w, p->w_stride, batch, p->C, p->N, p->start != NULL);
    k->release(dy);
    k->release(w);
    return taken(k, "matmul_backward", dx, rows * p->C);
}

static float *run_weights(const Kernels *k, const Product *p, const Ragged *batch)
{
    int64_t rows = rows_of(batch), floats = (int64_t)p->N * p->C;
    float *dy = input(k, p->dy, rows * p->N), *x = input(k, p->x, rows * p->C), *g = output(k, p->start, floats);
    k->weight_gradient(g, dy, x, batch, p->C, p->N, p->start != NULL);
    k->release(dy);
    k->release(x);
    return taken(k, "weight_gradient", g, floats);
}

/* sum_j |dy[r][j] w[j][c]| + |start| */
static double *input_terms(const Product *p, const Ragged *batch)
{
    double *terms = xcalloc((unsigned long)(rows_of(batch) * p->C + 1), sizeof *terms);
    for (int b = 0; b < batch->n; b++)
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++)
            for (int c = 0; c < p->C; c++) {
                double sum = p->start ? fabs((double)p->start[r * p->C + c]) : 0;
                for (int j = 0; j < p->N; j++)
                    sum += fabs((double)p->dy[r * p->N + j] * p->w[b * p->w_stride + (int64_t)j * p->C + c]);
                terms[r * p->C + c] = sum;
            }
    return terms;
}

/* Of the rows [first, first + rows): sum of dy[r][j] x[r][c] to g, of the |terms| to size. */
static void gradient_and_size(double *g, double *size, const Product *p, int64_t first, int64_t rows, int j, int c)
{
    *g = *size = 0;
    for (int64_t r = first; r < first + rows; r++) {
        double term = (double)p->dy[r * p->N + j] * p->x[r * p->C + c];
        *g += term;
        *size += fabs(term);
    }
}

/* sum_r |dy[r][j] x[r][c]| + |start| */
static double *weight_terms(const Product *p, const Ragged *batch)
{
    int64_t floats = (int64_t)p->N * p->C;
    double *terms = xcalloc((unsigned long)floats, sizeof *terms), g;
    for (int64_t i = 0; i < floats; i++) {
        gradient_and_size(&g, terms + i, p, 0, rows_of(batch), (int)(i / p->C), (int)(i % p->C));
        if (p->start) terms[i] += fabs((double)p->start[i]);
    }
    return terms;
}

static void check_inputs_alone(const Product *p, const Ragged *batch, const float *whole)
{
    for (int b = 0; b < batch->n; b++) {
        int64_t offset[1];
        Ragged one = packed(offset, batch->length + b, 1);
        Product own = *p;
        own.dy += batch->offset[b] * p->N;
        own.w += b * p->w_stride;
        if (p->start) own.start += batch->offset[b] * p->C;
        float *got = run_input(check_kernels(), &own, &one);
        check_same("matmul_backward of a sequence alone", got, whole + batch->offset[b] * p->C, rows_of(&one) * p->C * (int64_t)sizeof *got);
        free(got);
    }
}

/* Sequence after sequence: adding them one by one gives the bits of all at once. */
static void check_weights_one_by_one(const Product *p, const Ragged *batch, const float *whole)
{
    float *sum = NULL;
    for (int b = 0; b < batch->n; b++) {
        if (!batch->length[b]) continue;
        int64_t offset[1];
        Ragged one = packed(offset, batch->length + b, 1);
        Product own = *p;
        own.dy += batch->offset[b] * p->N;
        own.x += batch->offset[b] * p->C;
        if (sum) own.start = sum;
        float *next = run_weights(check_kernels(), &own, &one);
        free(sum);
        sum = next;
    }
    if (sum) check_same("weight_gradient, sequences one by one", sum, whole, (int64_t)p->N * p->C * (int64_t)sizeof *sum);
    free(sum);
}

/* n products, n additions (the start too) in any order and the rounding of ref (for the weights, after each sequence),
 * half an epsilon each: k = (n + 1 + roundings) / 2, n = N for the inputs, the rows for the weights. */
static void check_product(const Product *p, const Ragged *batch, bool weights)
{
    float *(*run)(const Kernels *, const Product *, const Ragged *) = weights ? run_weights : run_input;
    int64_t floats = weights ? (int64_t)p->N * p->C : rows_of(batch) * p->C;
    float *want = run(&kernels_ref, p, batch), *first = NULL;
    double *terms = weights ? weight_terms(p, batch) : input_terms(p, batch);
    double k = (double)(weights ? rows_of(batch) + 1 + batch->n : p->N + 2) / 2;
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run(check_kernels(), p, batch);
        check_close(weights ? "weight_gradient" : "matmul_backward", got, want, terms, floats, k);
        if (first) check_same("gradient by other threads", got, first, floats * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    if (weights) check_weights_one_by_one(p, batch, first);
    else check_inputs_alone(p, batch, first);
    free(first);
    free(want);
    free(terms);
}

static void check_matmul_backward(int C, int N, bool own_weights, bool add, Fill how)
{
    int64_t offset[SEQUENCES], stride = own_weights ? (int64_t)N * C + 5 : 0;
    Ragged batch = packed(offset, ragged, SEQUENCES);
    float *dy = filled(rows_of(&batch) * N, how), *w = filled(own_weights ? stride * SEQUENCES : (int64_t)N * C, FILL_OUTLIERS);
    float *start = filled(rows_of(&batch) * C, FILL_OUTLIERS);
    check_product(&(Product){ C, N, stride, dy, NULL, w, add ? start : NULL }, &batch, false);
    free(dy);
    free(w);
    free(start);
}

static void test_matmul_backward(void **state)
{
    (void)state;
    for (int s = 0; s < SHAPES; s++)
        for (Fill how = 0; how < FILLS; how++)
            for (int variant = 0; variant < 4; variant++)
                if (variant == (int)how % 4 || s < 4) check_matmul_backward(shapes[s][0], shapes[s][1], variant & 1, variant & 2, how);
    check_done();
}

static void check_weight_gradient(const int *length, int n, int C, int N, bool add, Fill how)
{
    int64_t offset[SEQUENCES];
    Ragged batch = packed(offset, length, n);
    float *dy = filled(rows_of(&batch) * N, how), *x = filled(rows_of(&batch) * C, FILL_OUTLIERS), *start = filled((int64_t)N * C, FILL_OUTLIERS);
    check_product(&(Product){ C, N, 0, dy, x, NULL, add ? start : NULL }, &batch, true);
    free(dy);
    free(x);
    free(start);
}

/* No rows at all still means zeros, or the start. */
static void test_weight_gradient(void **state)
{
    (void)state;
    static const int empty[] = { 0, 0 };
    for (int s = 0; s < SHAPES; s++)
        for (int add = 0; add < 2; add++) {
            for (Fill how = 0; how < FILLS; how++)
                if ((int)how % 2 == add || s < 4) check_weight_gradient(ragged, SEQUENCES, shapes[s][0], shapes[s][1], add, how);
            for (int n = 0; n <= 2; n++) check_weight_gradient(empty, n, shapes[s][0], shapes[s][1], add, FILL_NORMAL);
        }
    check_done();
}

/* More rows than a tile has, and no sequence at all. */
static void test_long_and_no_sequences(void **state)
{
    (void)state;
    static const int length[] = { 300, 513 };
    int64_t offset[2];
    float *dy = filled(813 * 20, FILL_NORMAL), *x = filled(813 * 30, FILL_NORMAL), *w = filled(20 * 30, FILL_NORMAL);
    for (int n = 0; n <= 2; n++) {
        Ragged batch = packed(offset, length, n);
        for (int weights = 0; weights < 2; weights++) check_product(&(Product){ 30, 20, 0, dy, x, w, NULL }, &batch, weights);
    }
    free(dy);
    free(x);
    free(w);
    check_done();
}

/* As long as a vocabulary: a back end may cut the sum. */
static void test_long_sums(void **state)
{
    (void)state;
    enum { C = 24, N = 8192 };
    static const int length[] = { 40, 3 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    float *dy = filled(43 * N, FILL_NORMAL), *x = filled(43 * C, FILL_NORMAL), *w = filled(N * C, FILL_OUTLIERS);
    for (int add = 0; add < 2; add++) check_product(&(Product){ C, N, 0, dy, x, w, add ? x : NULL }, &batch, false);
    free(dy);
    free(x);
    free(w);
    check_done();
}

/* <dy, W x> = <W^T dy, x> = <G, W>: each side is a sum of dy w x, rounded as its product is and summed in double. */
static void test_adjoint(void **state)
{
    (void)state;
    enum { C = 270, N = 131, ROWS = 77 };
    const Kernels *k = check_kernels();
    const int length[] = { 30, 1, ROWS - 31 };
    int64_t offset[3];
    Ragged batch = packed(offset, length, 3);
    float *x = filled(ROWS * C, FILL_OUTLIERS), *w = filled(N * C, FILL_NORMAL), *dy = filled(ROWS * N, FILL_OUTLIERS);
    float *x_in = input(k, x, ROWS * C), *w_in = input(k, w, N * C), *y_out = output(k, NULL, ROWS * N);
    k->matmul(y_out, N, x_in, w_in, 0, NULL, &batch, C, N);
    float *y = taken(k, "matmul", y_out, ROWS * N);
    Product p = { C, N, 0, dy, x, w, NULL };
    float *dx = run_input(k, &p, &batch), *g = run_weights(k, &p, &batch);
    double by_output = 0, by_input = 0, by_weights = 0, size = 0;
    for (int i = 0; i < ROWS * N; i++) by_output += (double)dy[i] * y[i];
    for (int i = 0; i < ROWS * C; i++) by_input += (double)dx[i] * x[i];
    for (int i = 0; i < N * C; i++) by_weights += (double)g[i] * w[i];
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < N; j++)
            for (int c = 0; c < C; c++) size += fabs((double)dy[r * N + j] * w[j * C + c] * x[r * C + c]);
    if (!(fabs(by_output - by_input) <= (C + N + 2) / 2.0 * FLT_EPSILON * size)) check_complain("<dy, W x> %g, <W^T dy, x> %g", by_output, by_input);
    if (!(fabs(by_output - by_weights) <= (C + ROWS + 2) / 2.0 * FLT_EPSILON * size)) check_complain("<dy, W x> %g, <G, W> %g", by_output, by_weights);
    k->release(x_in);
    k->release(w_in);
    free(x);
    free(w);
    free(dy);
    free(y);
    free(dx);
    free(g);
    check_done();
}

static void test_gradients_keep_nan(void **state)
{
    (void)state;
    enum { C = 300, N = 70, ROWS = 70 };
    const int length[] = { 1, ROWS - 1 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    for (int which = 0; which < 8; which++) {
        Fill how = which & 1 ? FILL_ZEROS : FILL_NORMAL;
        float *dy = filled(ROWS * N, how), *x = filled(ROWS * C, how), *w = filled(N * C, how), *start = filled(ROWS * C, how);
        *(which < 2 ? &dy[N - 1] : which < 4 ? &x[ROWS * C - 1] : which < 6 ? &w[N * C - 1] : &start[N * C / 2]) = NAN;
        Product p = { C, N, 0, dy, x, w, which < 6 ? NULL : start };
        for (int weights = 0; weights < 2; weights++) {
            if ((which / 2 == 1 && !weights) || (which / 2 == 2 && weights)) continue;      /* not an input of this one */
            float *want = weights ? run_weights(&kernels_ref, &p, &batch) : run_input(&kernels_ref, &p, &batch);
            float *got = weights ? run_weights(check_kernels(), &p, &batch) : run_input(check_kernels(), &p, &batch);
            check_nan("gradient", got, want, weights ? N * C : ROWS * C);
            free(want);
            free(got);
        }
        free(dy);
        free(x);
        free(w);
        free(start);
    }
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul_backward),
        cmocka_unit_test(test_weight_gradient),
        cmocka_unit_test(test_long_and_no_sequences),
        cmocka_unit_test(test_long_sums),
        cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_gradients_keep_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
