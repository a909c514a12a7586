/* Block formats against gguf's own dequantization (core/tests/golden/dequant), bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/model/dequantize.h"
#include "core/model/safetensors.h"

static const Tensor *part(const Safetensors *golden, Dtype dtype, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%s", dtype_name(dtype), what);
    const Tensor *tensor = tensor_set_find(&golden->tensors, name);
    if (!tensor) fail_msg("the golden file has no %s", name);
    return tensor;
}

static void every_format_equals_gguf(void **state)
{
    (void)state;
    Safetensors golden;
    if (safetensors_open(&golden, "core/tests/golden/dequant/dequant.safetensors") != OK) fail_msg("%s", err_last());
    for (Dtype dtype = DTYPE_F16; dtype < DTYPE_COUNT; dtype++) {
        const Tensor *blocks = part(&golden, dtype, "blocks"), *weights = part(&golden, dtype, "weights");
        int64_t n = weights->shape[0];
        assert_int_equal(blocks->n_bytes / dtype_block_bytes(dtype) * (size_t)dtype_block_weights(dtype), n);
        float *out = malloc(((size_t)n + 1) * sizeof *out);
        out[n] = 12345.0f;
        dtype_to_float(out, blocks->data, n, dtype);
        for (int64_t i = 0; i < n; i++)
            if (memcmp(&out[i], weights->data + 4 * i, 4) != 0)
                fail_msg("%s: weight %lld is %a", dtype_name(dtype), (long long)i, (double)out[i]);
        assert_true(out[n] == 12345.0f);
        free(out);
    }
    safetensors_close(&golden);
}

/* The definition: (-1)^s 2^(e-15) (1 + f/1024), without the 1 and with e = 1 where e is 0. */
static void every_half_has_its_value(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        float got = half_to_float((uint16_t)bits);
        assert_int_equal(signbit(got) != 0, bits >> 15);
        if (exponent == 31) {
            assert_true(fraction ? isnan(got) : isinf(got));
            continue;
        }
        double want = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        assert_true(fabs((double)got) == want);
    }
}

static float between(float low, float high) { return low + (high - low) / 2; }

/* Both signs of every half, of what lies half-way to the next and of the neighbours of that; then what no half holds. */
static void every_float_goes_to_the_nearest_half(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7c00; h++) {
        const float low = half_to_float(h), high = h == 0x7bff ? 65536 : half_to_float(h + 1), middle = between(low, high);
        const uint16_t even = (uint16_t)(h + h % 2), minus = 0x8000;
        assert_int_equal(float_to_half(low), h);
        assert_int_equal(float_to_half(-low), h | minus);
        assert_int_equal(float_to_half(middle), even);
        assert_int_equal(float_to_half(-middle), even | minus);
        assert_int_equal(float_to_half(nextafterf(middle, 0)), h);
        assert_int_equal(float_to_half(nextafterf(middle, INFINITY)), h + 1);
    }
    assert_int_equal(float_to_half(INFINITY), 0x7c00);
    assert_int_equal(float_to_half(-3e38f), 0xfc00);
    assert_int_equal(float_to_half(1e-45f), 0);
    assert_int_equal(float_to_half(NAN) & 0x7fff, 0x7e00);
}

/* A format does not care where its blocks stand in memory. */
static void blocks_need_no_alignment(void **state)
{
    (void)state;
    unsigned char bytes[BLOCK_LARGE + 1];
    float aligned[BLOCK_LARGE], shifted[BLOCK_LARGE];
    for (Dtype dtype = DTYPE_F32; dtype < DTYPE_COUNT; dtype++) {
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(7 * i % 64);
        dtype_to_float(aligned, bytes, dtype_block_weights(dtype), dtype);
        memmove(bytes + 1, bytes, sizeof bytes - 1);
        dtype_to_float(shifted, bytes + 1, dtype_block_weights(dtype), dtype);
        assert_memory_equal(aligned, shifted, (size_t)dtype_block_weights(dtype) * sizeof *aligned);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_equals_gguf),
        cmocka_unit_test(every_half_has_its_value),
        cmocka_unit_test(every_float_goes_to_the_nearest_half),
        cmocka_unit_test(blocks_need_no_alignment),
    };
    return cmocka_run_group_tests_name("dequant", tests, NULL, NULL);
}
