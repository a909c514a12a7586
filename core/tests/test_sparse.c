#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/quantize/sparse.h"

static uint32_t draw(uint64_t i) { return rng_integer(5, rng_stream(RNG_TEST, 0, 0, 0), i); }

/* About one weight of so many, by chance; row 1 keeps none. */
static KeptWeights kept_of(int64_t rows, int64_t cols, uint32_t one_of)
{
    KeptWeights kept = { 0, xcalloc((size_t)rows + 1, sizeof *kept.first), xmalloc(sizeof *kept.column * (size_t)(rows * cols)) };
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++)
            if (r != 1 && draw((uint64_t)(r * cols + c)) % one_of == 0) kept.column[kept.n++] = (uint32_t)c;
        kept.first[r + 1] = kept.n;
    }
    return kept;
}

/* Values come back where they were, nothing else is touched, and the bits are those of the planes: 16 + value_bits a weight, counts besides. */
static void comes_back(int64_t rows, int64_t cols, uint32_t one_of, int value_bits, int count_bits)
{
    KeptWeights kept = kept_of(rows, cols, one_of);
    float *w = xmalloc(sizeof *w * (size_t)(rows * cols));
    double *value = xmalloc(sizeof *value * (size_t)(kept.n + 1));
    for (int64_t i = 0; i < rows * cols; i++) w[i] = -1;
    for (int64_t k = 0; k < kept.n; k++) value[k] = (double)(draw((uint64_t)k + (1 << 30)) % 2048) / 64;      /* exact in a half */
    Packed packed = { 0 };
    packed_add_integers(&packed, (int64_t[]){ 7 }, 1, 3);               /* a dense form before it */
    assert_true(sparse_pack(&packed, &kept, value, rows, cols, value_bits));
    assert_int_equal(packed_bits(&packed) - 3, kept.n * ((cols > 65536 ? 32 : 16) + value_bits) + rows * count_bits);
    assert_int_equal(packed_bits(&packed) - 3, sparse_bits(&kept, rows, cols, value_bits));
    assert_int_equal(packed_code_bits(&packed), 0);
    sparse_unpack(w, &packed, 1, rows, cols);
    int64_t k = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const bool here = k < kept.first[r + 1] && kept.column[k] == (uint32_t)c;
            assert_true(w[r * cols + c] == (here ? (float)value[k] : -1));
            k += here;
        }
    assert_int_equal(k, kept.n);
    packed_free(&packed);
    kept_free(&kept);
    free(w), free(value);
}

static void test_values_come_back(void **state)
{
    (void)state;
    comes_back(3, 7, 1, 16, 3);                 /* all of them: 7 in a row */
    comes_back(2, 8, 1, 32, 4);
    comes_back(40, 300, 100, 16, 4);
    comes_back(2, 70000, 5000, 16, 4);
}

static void test_nothing_kept(void **state)
{
    (void)state;
    int64_t first[3] = { 0, 0, 0 };
    const KeptWeights none = { 0, first, NULL };
    Packed packed = { 0 };
    float w[2] = { 1, 2 };
    assert_true(sparse_pack(&packed, &none, NULL, 2, 1, 16));
    assert_int_equal(packed.n, 0);
    assert_int_equal(sparse_bits(&none, 2, 1, 16), 0);
    sparse_unpack(w, &packed, 0, 2, 1);
    assert_true(w[0] == 1 && w[1] == 2);
}

/* Values are rounded to what is stored, and one that no half holds is told. */
static void test_values_are_rounded(void **state)
{
    (void)state;
    int64_t first[2] = { 0, 1 };
    uint32_t column[1] = { 0 };
    const KeptWeights one = { 1, first, column };
    for (int bits = 16; bits <= 32; bits += 16) {
        Packed packed = { 0 };
        float w = 0;
        assert_true(sparse_pack(&packed, &one, (double[]){ 1 + 0x1p-11 + 0x1p-20 }, 1, 1, bits));
        sparse_unpack(&w, &packed, 0, 1, 1);
        assert_true(w == (bits == 16 ? 1 + 0x1p-10f : (float)(1 + 0x1p-11 + 0x1p-20)));
        packed_free(&packed);
        assert_true(sparse_pack(&packed, &one, (double[]){ 1e6 }, 1, 1, bits) == (bits == 32));
        packed_free(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back), cmocka_unit_test(test_nothing_kept), cmocka_unit_test(test_values_are_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
