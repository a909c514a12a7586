/*
 * test_products.c - matrix products and attention against ref, for any threads, batch and split
 */
#include "kernels/tests/check.h"

static const int ragged[] = { 1, 64, 65, 0, 3, 130 };
enum { SEQUENCES = sizeof ragged / sizeof *ragged };

typedef struct {
    bool halves;
    int C, N;
    int64_t out_stride, w_stride;
    const float *x, *w, *bias;      /* bias may be NULL */
} Product;

static int64_t product_weights(const Product *p, const Ragged *batch)
{
    return p->w_stride ? p->w_stride * (batch->n - 1) + (int64_t)p->N * p->C : (int64_t)p->N * p->C;
}

/* Computes the columns [first, first + N) of a product whose rows have out_stride floats. */
static void multiply_columns(const Kernels *k, float *out, const float *x, const float *w, const float *bias,
                             const Product *p, const Ragged *batch, int first, int N)
{
    (p->halves ? k->matmul_halves : k->matmul)(out + first, p->out_stride, x, w + (int64_t)first * p->C, p->w_stride,
                                               bias ? bias + first : NULL, batch, p->C, N);
}

/* In steps of `columns` columns (0: all at once).  What lies beyond N in each row must keep its NaN. */
static float *run_product(const Kernels *k, const Product *p, const Ragged *batch, int columns)
{
    int64_t rows = rows_of(batch), floats = rows ? (rows - 1) * p->out_stride + p->N : 0;
    float *x = input(k, p->x, rows * p->C), *w = input(k, p->w, product_weights(p, batch));
    float *bias = p->bias ? input(k, p->bias, p->N) : NULL, *out = output(k, NULL, floats);
    if (!columns) columns = p->N;
    for (int first = 0; first < p->N; first += columns)
        multiply_columns(k, out, x, w, bias, p, batch, first, p->N - first < columns ? p->N - first : columns);
    k->release(x);
    k->release(w);
    k->release(bias);
    float *host = taken(k, "matmul", out, floats);
    for (int64_t i = 0; i < floats; i++) {
        if (i % p->out_stride < p->N) continue;
        if (!isnan(host[i])) check_complain("matmul: wrote between its rows");
        host[i] = 0;
    }
    return host;
}

/* sum_c |x[r][c] w[j][c]| + |bias[j]| */
static double *product_terms(const Product *p, const Ragged *batch)
{
    double *terms = xcalloc((unsigned long)(rows_of(batch) * p->out_stride + 1), sizeof *terms);
    for (int b = 0; b < batch->n; b++)
        for (int64_t r = batch->offset[b]; r < batch->offset[b] + batch->length[b]; r++)
            for (int j = 0; j < p->N; j++) {
                double sum = p->bias ? fabs((double)p->bias[j]) : 0;
                for (int c = 0; c < p->C; c++)
                    sum += fabs((double)p->x[r * p->C + c] * p->w[b * p->w_stride + (int64_t)j * p->C + c]);
                terms[r * p->out_stride + j] = sum;
            }
    return terms;
}

static void check_one_by_one(const Product *p, const Ragged *batch, const float *whole)
{
    for (int b = 0; b < batch->n; b++) {
        int64_t offset[1];
        Ragged one = packed(offset, batch->length + b, 1);
        Product own = *p;
        own.x += batch->offset[b] * p->C;
        own.w += b * p->w_stride;
        float *got = run_product(check_kernels(), &own, &one, 0);
        int64_t floats = one.length[0] ? (one.length[0] - 1) * p->out_stride + p->N : 0;
        check_same("matmul of a sequence alone", got, whole + batch->offset[b] * p->out_stride, floats * (int64_t)sizeof *got);
        free(got);
    }
}

/* C products, C additions (the bias too) in any order and the rounding of ref, half an epsilon each:
 * k = (C + 2) / 2 for every way to sum. */
static void check_product(const Product *p, const Ragged *batch)
{
    int64_t rows = rows_of(batch), floats = rows ? (rows - 1) * p->out_stride + p->N : 0;
    float *want = run_product(&kernels_ref, p, batch, 0), *first = NULL;
    double *terms = product_terms(p, batch);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_product(check_kernels(), p, batch, threads == 3 ? MATMUL_COLUMNS : 0);
        check_close("matmul", got, want, terms, floats, (p->C + 2) / 2.0);
        if (first) check_same("matmul split or by other threads", got, first, floats * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    check_one_by_one(p, batch, first);
    free(first);
    free(want);
    free(terms);
}

static void check_matmul(bool halves, int C, int N, int64_t gap, bool own_weights, bool biased, Fill how)
{
    int64_t offset[SEQUENCES], stride = own_weights ? (int64_t)N * C + 5 : 0;
    Ragged batch = packed(offset, ragged, SEQUENCES);
    float *x = filled(rows_of(&batch) * C, how), *bias = filled(N, FILL_NORMAL);
    float *w = filled(own_weights ? stride * SEQUENCES : (int64_t)N * C, FILL_OUTLIERS);
    check_product(&(Product){ halves, C, N, N + gap, stride, x, w, biased ? bias : NULL }, &batch);
    free(x);
    free(w);
    free(bias);
}

static void test_matmul(void **state)
{
    (void)state;
    static const int shapes[][2] = { { 1, 1 }, { 2, 3 }, { 1, 257 }, { 33, 31 }, { 255, 32 }, { 64, 256 }, { 65, 600 }, { 257, 2 } };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (Fill how = 0; how < FILLS; how++)
            for (int variant = 0; variant < 8; variant++)
                if (variant % (int)FILLS == (int)how || s < 4)
                    check_matmul(variant & 1, shapes[s][0], shapes[s][1], variant & 2 ? 7 : 0, variant & 4, variant & 2, how);
    check_done();
}

/* More rows than one tile has, and no sequence at all. */
static void test_matmul_of_long_and_of_no_sequences(void **state)
{
    (void)state;
    static const int length[] = { 300, 513 };
    int64_t offset[2];
    float *x = filled(813 * 20, FILL_NORMAL), *w = filled(270 * 20, FILL_NORMAL);
    for (int n = 0; n <= 2; n++) {
        Ragged batch = packed(offset, length, n);
        for (int halves = 0; halves < 2; halves++) check_product(&(Product){ halves, 20, 270, 270, 0, x, w, NULL }, &batch);
    }
    free(x);
    free(w);
    check_done();
}

/* Sequences of equal length, which a back end may take together, in rows that are wider than what is written. */
static void test_matmul_of_equal_sequences(void **state)
{
    (void)state;
    enum { C = 20, N = 70, EQUAL = 5 };
    static const int length[EQUAL] = { 33, 33, 33, 9, 9 };
    int64_t offset[EQUAL];
    Ragged batch = packed(offset, length, EQUAL);
    float *x = filled(117 * C, FILL_NORMAL), *w = filled(EQUAL * (N * C + 3), FILL_NORMAL);
    for (int variant = 0; variant < 4; variant++) check_product(&(Product){ variant & 1, C, N, N + 9, variant & 2 ? N * C + 3 : 0, x, w, NULL }, &batch);
    free(x);
    free(w);
    check_done();
}

static void test_matmul_by_the_identity(void **state)
{
    (void)state;
    enum { C = 300 };
    const int length[] = { 33 };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *x = filled(33 * C, FILL_OUTLIERS), *w = filled(C * C, FILL_ZEROS);
    for (int c = 0; c < C; c++) w[c * C + c] = 1;
    for (int halves = 0; halves < 2; halves++) {
        float *got = run_product(check_kernels(), &(Product){ halves, C, C, C, 0, x, w, NULL }, &batch, 0);
        check_close("matmul by the identity", got, x, NULL, 33 * C, 0);
        free(got);
    }
    free(x);
    free(w);
    check_done();
}

/* A NaN must reach its row or column, against zeros too. */
static void test_matmul_keeps_nan(void **state)
{
    (void)state;
    enum { C = 70, N = 300, ROWS = 70 };
    const int length[] = { 1, ROWS - 1 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    for (int which = 0; which < 6; which++) {
        float *x = filled(ROWS * C, which & 1 ? FILL_ZEROS : FILL_NORMAL), *w = filled(N * C, which & 1 ? FILL_ZEROS : FILL_NORMAL);
        float *bias = filled(N, FILL_NORMAL);
        *(which < 2 ? &x[C - 1] : which < 4 ? &w[N * C - 1] : &bias[N / 2]) = NAN;
        for (int halves = 0; halves < 2; halves++) {
            Product p = { halves, C, N, N, 0, x, w, bias };
            float *want = run_product(&kernels_ref, &p, &batch, 0), *got = run_product(check_kernels(), &p, &batch, 0);
            check_nan("matmul", got, want, ROWS * N);
            free(want);
            free(got);
        }
        free(x);
        free(w);
        free(bias);
    }
    check_done();
}

typedef struct { int H, G, D; const float *q, *k, *v; } Heads;

static float *run_attention(const Kernels *kernels, const Heads *a, const Ragged *queries, const Ragged *keys)
{
    int64_t n = rows_of(queries) * a->H * a->D, past = rows_of(keys) * a->G * a->D;
    float *q = input(kernels, a->q, n), *k = input(kernels, a->k, past), *v = input(kernels, a->v, past), *out = output(kernels, NULL, n);
    kernels->attention(out, q, k, v, queries, keys, a->H, a->G, a->D);
    kernels->release(q);
    kernels->release(k);
    kernels->release(v);
    return taken(kernels, "attention", out, n);
}

/* What one output may be off by, in FLT_EPSILON.  A score is a sum of D products and one product with
 * the scale: off by (D + 2)/2 epsilon of S = max sum|q k| / sqrt(D); so is the largest, from which it is
 * subtracted.  exp turns that into a relative error, adds 2 epsilon of its own, and it acts on the sum of
 * weights as well.  The sums over `seen` keys and the quotient add (seen + 4)/2. */
static double attention_bound(const float *q, const float *k, int seen, int64_t stride, int D)
{
    double largest = 0;
    for (int s = 0; s < seen; s++) {
        double sum = 0;
        for (int i = 0; i < D; i++) sum += fabs((double)q[i] * k[s * stride + i]);
        largest = sum > largest ? sum : largest;
    }
    double score = (D + 2) * largest / sqrt(D);
    return 2 * expm1((score + 2) * FLT_EPSILON) / FLT_EPSILON + (seen + 4) / 2.0;
}

/* terms: bound / epsilon * sum_s p_s |v_s|, with sum_s p_s |v_s| from ref on |v|. */
static double *attention_terms(const Heads *a, const Ragged *queries, const Ragged *keys)
{
    int64_t past = rows_of(keys) * a->G * a->D;
    float *size = xmalloc(sizeof *size * (unsigned long)(past + 1));
    for (int64_t i = 0; i < past; i++) size[i] = fabsf(a->v[i]);
    Heads positive = *a;
    positive.v = size;
    float *mean = run_attention(&kernels_ref, &positive, queries, keys);
    double *terms = xmalloc(sizeof *terms * (unsigned long)(rows_of(queries) * a->H * a->D + 1));
    for (int b = 0; b < queries->n; b++)
        for (int t = 0; t < queries->length[b]; t++)
            for (int h = 0; h < a->H; h++) {
                int64_t at = ((queries->offset[b] + t) * a->H + h) * a->D;
                const float *key = a->k + (keys->offset[b] * a->G + h / (a->H / a->G)) * a->D;
                double bound = attention_bound(a->q + at, key, keys->length[b] - queries->length[b] + t + 1, (int64_t)a->G * a->D, a->D);
                for (int i = 0; i < a->D; i++) terms[at + i] = bound * mean[at + i];
            }
    free(mean);
    free(size);
    return terms;
}

static void check_alone(const Heads *a, const Ragged *queries, const Ragged *keys, const float *whole)
{
    for (int b = 0; b < queries->n; b++) {
        int64_t offset[2];
        Ragged q = packed(offset, queries->length + b, 1), k = packed(offset + 1, keys->length + b, 1);
        Heads own = { a->H, a->G, a->D, a->q + queries->offset[b] * a->H * a->D, a->k + keys->offset[b] * a->G * a->D,
                      a->v + keys->offset[b] * a->G * a->D };
        float *got = run_attention(check_kernels(), &own, &q, &k);
        check_same("attention of a sequence alone", got, whole + queries->offset[b] * a->H * a->D,
                   rows_of(&q) * a->H * a->D * (int64_t)sizeof *got);
        free(got);
    }
}

static void check_attention(const int *queries, const int *keys, int n, int H, int G, int D, Fill how)
{
    int64_t offset[SEQUENCES], key_offset[SEQUENCES];
    Ragged q = packed(offset, queries, n), k = packed(key_offset, keys, n);
    int64_t floats = rows_of(&q) * H * D, past = rows_of(&k) * G * D;
    float *x = filled(floats, how), *y = filled(past, how), *z = filled(past, FILL_OUTLIERS), *first = NULL;
    Heads a = { H, G, D, x, y, z };
    float *want = run_attention(&kernels_ref, &a, &q, &k);
    double *terms = attention_terms(&a, &q, &k);
    for (int threads = 1; threads <= 3; threads++) {
        kernels_set_threads(threads);
        float *got = run_attention(check_kernels(), &a, &q, &k);
        check_close("attention", got, want, terms, floats, 1);
        if (first) check_same("attention by other threads", got, first, floats * (int64_t)sizeof *got);
        if (!first) first = got;
        else free(got);
    }
    check_alone(&a, &q, &k, first);
    free(first);
    free(want);
    free(terms);
    free(x);
    free(y);
    free(z);
}

/* Equal numbers of keys and queries, more keys than queries, and one query at a time as in sampling. */
static void test_attention(void **state)
{
    (void)state;
    static const int more[] = { 1, 80, 65, 4, 64, 200 }, one[] = { 1, 1, 1, 0, 1, 1 };
    static const int heads[][3] = { { 1, 1, 1 }, { 4, 2, 8 }, { 3, 3, 33 }, { 9, 3, 64 } };
    for (size_t s = 0; s < sizeof heads / sizeof *heads; s++)
        for (Fill how = 0; how < FILLS; how++) {
            int H = heads[s][0], G = heads[s][1], D = heads[s][2];
            check_attention(ragged, ragged, SEQUENCES, H, G, D, how);
            check_attention(ragged, more, SEQUENCES, H, G, D, how);
            check_attention(one, more, SEQUENCES, H, G, D, how);
            check_attention(ragged, ragged, 0, H, G, D, how);
        }
    check_done();
}

/* Equal keys: every output is the mean of the values seen. */
static void test_attention_to_equal_keys(void **state)
{
    (void)state;
    enum { H = 4, G = 2, D = 16, T = 150 };
    const int length[] = { T };
    int64_t offset[1];
    Ragged batch = packed(offset, length, 1);
    float *q = filled(T * H * D, FILL_LIMITS), *k = filled(T * G * D, FILL_EQUAL), *v = filled(T * G * D, FILL_NORMAL);
    float *got = run_attention(check_kernels(), &(Heads){ H, G, D, q, k, v }, &batch, &batch);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < D; i++) {
            double sum = 0, size = 0;
            for (int t = 0; t < T; t++) {
                sum += v[(t * G + h / 2) * D + i];
                size += fabs((double)v[(t * G + h / 2) * D + i]);
                double error = fabs(got[(t * H + h) * D + i] - sum / (t + 1));
                if (!(error <= (t + 5) * FLT_EPSILON / 2 * size / (t + 1))) check_complain("attention: row %d is off the mean by %g", t, error);
            }
        }
    free(got);
    free(q);
    free(k);
    free(v);
    check_done();
}

static void test_attention_keeps_nan(void **state)
{
    (void)state;
    enum { H = 2, G = 1, D = 20, T = 70 };
    const int length[] = { 3, T - 3 };
    int64_t offset[2];
    Ragged batch = packed(offset, length, 2);
    for (int which = 0; which < 3; which++)
        for (int at = 0; at < T; at += 23) {
            float *q = filled(T * H * D, FILL_NORMAL), *k = filled(T * G * D, FILL_NORMAL), *v = filled(T * G * D, FILL_NORMAL);
            *(which == 0 ? &q[at * H * D + 3] : which == 1 ? &k[at * G * D + 3] : &v[at * G * D + 3]) = NAN;
            Heads a = { H, G, D, q, k, v };
            float *want = run_attention(&kernels_ref, &a, &batch, &batch), *got = run_attention(check_kernels(), &a, &batch, &batch);
            check_nan("attention", got, want, T * H * D);
            free(want);
            free(got);
            free(q);
            free(k);
            free(v);
        }
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_of_long_and_of_no_sequences),
        cmocka_unit_test(test_matmul_of_equal_sequences),
        cmocka_unit_test(test_matmul_by_the_identity),
        cmocka_unit_test(test_matmul_keeps_nan),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_to_equal_keys),
        cmocka_unit_test(test_attention_keeps_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
