#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/model/dequantize.h"
#include "core/quantize/packed.h"
#include "core/quantize/scale.h"

/* Bytes that the planes really hold, against the bits that are reported. */
static void check_size(const Packed *packed)
{
    int64_t bytes = 0;
    for (int i = 0; i < packed->n; i++) bytes += (packed->plane[i].bits + 7) / 8;
    assert_true(8 * bytes >= packed_bits(packed) && 8 * bytes < packed_bits(packed) + 8 * packed->n);
}

static void codes_come_back(int levels, int64_t n, int64_t bits)
{
    uint16_t *code = xmalloc(sizeof *code * (size_t)n), *back = xmalloc(sizeof *back * (size_t)n);
    Packed packed = { 0 };
    for (int64_t i = 0; i < n; i++) code[i] = (uint16_t)(rng_integer(3, rng_stream(RNG_TEST, 0, 0, 0), (uint64_t)i) % (uint32_t)levels);
    code[0] = (uint16_t)(levels - 1);
    packed_add_codes(&packed, code, n, levels);
    packed_codes(back, &packed, 0);
    assert_memory_equal(code, back, sizeof *code * (size_t)n);
    assert_int_equal(packed_bits(&packed), bits);
    assert_int_equal(packed_code_bits(&packed), bits);
    check_size(&packed);
    packed_free(&packed);
    free(code), free(back);
}

static void test_codes_of_powers_of_two(void **state)
{
    (void)state;
    for (int bits = 1; bits <= 16; bits++) {
        codes_come_back(1 << bits, 1, bits);
        codes_come_back(1 << bits, 1001, 1001 * bits);
        codes_come_back(1 << bits, 100003, 100003 * (int64_t)bits);
    }
    codes_come_back(1, 5, 5);
}

/* In words of as many digits of base n as 120 bits hold; never more than 2 % above log2 n. */
static void test_codes_of_other_sizes(void **state)
{
    (void)state;
    codes_come_back(88, 18, 117);
    codes_come_back(88, 19, 2 * 117);
    codes_come_back(3, 75, 119);
    for (int levels = 3; levels < 10000; levels = levels * 3 / 2 + 1) {
        Packed packed = { 0 };
        static uint16_t zeros[1 << 14];
        packed_add_codes(&packed, zeros, 1 << 14, levels);
        assert_true((double)packed_bits(&packed) >= (1 << 14) * log2(levels) && (double)packed_bits(&packed) <= 1.02 * (1 << 14) * log2(levels));
        const int64_t bits = packed_bits(&packed);
        packed_free(&packed);
        codes_come_back(levels, 1 << 14, bits);
    }
}

static void test_integers(void **state)
{
    (void)state;
    for (int width = 1; width <= 64; width++) {
        enum { N = 99 };
        int64_t value[N], back[N];
        Packed packed = { 0 };
        for (int i = 0; i < N; i++) {
            uint64_t word = ((uint64_t)rng_integer(1, 2, (uint64_t)(2 * i)) << 32 | rng_integer(1, 2, (uint64_t)(2 * i + 1))) >> (64 - width);
            value[i] = (int64_t)word;
        }
        packed_add_integers(&packed, value, N, width);
        packed_integers(back, &packed, 0, false);
        assert_memory_equal(value, back, sizeof value);
        packed_integers(back, &packed, 0, true);
        for (int i = 0; i < N; i++) {
            const int64_t expected = width < 64 && value[i] >> (width - 1) ? (int64_t)((uint64_t)value[i] - ((uint64_t)1 << width)) : value[i];
            assert_true(back[i] == expected);
        }
        assert_int_equal(packed_bits(&packed), N * width);
        assert_int_equal(packed_code_bits(&packed), 0);
        packed_free(&packed);
    }
}

static void test_reals(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {            /* every half, both ways */
        if ((h & 0x7fff) > 0x7c00) continue;
        assert_true(real_image(half_to_float((uint16_t)h), 16) == h);
        assert_true(real_of_image(h, 16) == half_to_float((uint16_t)h));
    }
    const int widths[] = { 16, 32, 64 };
    for (int k = 0; k < 3; k++) {
        double value[300], back[300];
        for (int i = 0; i < 300; i++) value[i] = scale_stored(ldexp(rng_uniform(1, 7, (uint64_t)i) - .5, i % 40 - 26), widths[k]);
        Packed packed = { 0 };
        packed_add_reals(&packed, value, 300, widths[k]);
        packed_reals(back, &packed, 0);
        assert_memory_equal(value, back, sizeof value);
        assert_int_equal(packed_bits(&packed), 300 * widths[k]);
        packed_free(&packed);
    }
}

static void test_planes_add_up(void **state)
{
    (void)state;
    const uint16_t code[10] = { 1, 2, 3 };
    const double scale[2] = { .5, .25 };
    const int64_t zero[2] = { 3, -1 };
    double back[2];
    Packed packed = { 0 };
    packed_add_codes(&packed, code, 10, 4);
    packed_add_reals(&packed, scale, 2, 16);
    packed_add_integers(&packed, zero, 2, 3);
    assert_int_equal(packed_bits(&packed), 20 + 32 + 6);
    assert_int_equal(packed_code_bits(&packed), 20);
    packed_reals(back, &packed, 1);
    assert_memory_equal(back, scale, sizeof scale);
    check_size(&packed);
    packed_free(&packed);
    packed_free(&packed);
    assert_int_equal(packed_bits(&packed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_of_powers_of_two),
        cmocka_unit_test(test_codes_of_other_sizes),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_planes_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
