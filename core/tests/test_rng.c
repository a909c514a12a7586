#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <Random123/philox.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/rng.h"

/* The known answers of Philox4x32-10 that Random123 publishes (kat_vectors). */
static void test_philox_known_answers(void **state)
{
    (void)state;
    static const struct { uint32_t counter[4], key[2], answer[4]; } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u }, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        philox4x32_ctr_t counter;
        philox4x32_key_t key;
        memcpy(counter.v, known[k].counter, sizeof counter.v);
        memcpy(key.v, known[k].key, sizeof key.v);
        philox4x32_ctr_t r = philox4x32(counter, key);
        assert_memory_equal(r.v, known[k].answer, sizeof r.v);
    }
    for (uint64_t i = 0; i < 4; i++) assert_int_equal(rng_integer(0, 0, i), known[0].answer[i]);
}

static void test_integer_is_placed_as_documented(void **state)
{
    (void)state;
    const uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210, block = 0x0123456789abcdef;
    const philox4x32_ctr_t counter = {{ 0x89abcdef, 0x01234567, 0x76543210, 0xfedcba98 }};
    const philox4x32_key_t key = {{ 0x89abcdef, 0x01234567 }};
    philox4x32_ctr_t r = philox4x32(counter, key);
    for (uint64_t lane = 0; lane < 4; lane++) assert_int_equal(rng_integer(seed, stream, 4 * block + lane), r.v[lane]);
}

static void test_integers_are_those_one_by_one(void **state)
{
    (void)state;
    for (uint64_t first = 0; first < 9; first++)
        for (int n = 0; n < 11; n++) {
            uint32_t out[12] = { [11] = 77 };
            out[n] = 77;
            rng_integers(out, n, 5, 6, first);
            for (int i = 0; i < n; i++) assert_int_equal(out[i], rng_integer(5, 6, first + (uint64_t)i));
            assert_int_equal(out[n], 77);
        }
}

static void test_streams_are_distinct(void **state)
{
    (void)state;
    const uint64_t base = rng_stream(RNG_NOISE, 3, 5, 7);
    assert_true(base != rng_stream(RNG_SIGN, 3, 5, 7));
    assert_true(base != rng_stream(RNG_NOISE, 4, 5, 7));
    assert_true(base != rng_stream(RNG_NOISE, 3, 6, 7));
    assert_true(base != rng_stream(RNG_NOISE, 3, 5, 8));
    assert_true(rng_stream(RNG_NOISE, 1, 0, 0) != rng_stream(RNG_NOISE, 0, 65535, 0));
    assert_true(rng_stream(RNG_NOISE, 0, 1, 0) != rng_stream(RNG_NOISE, 0, 0, (1 << 24) - 1));
}

static void test_uniform_is_open_and_of_53_bits(void **state)
{
    (void)state;
    double sum = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        double u = rng_uniform(1, 2, i);
        uint64_t bits = (uint64_t)rng_integer(1, 2, 2 * i) << 32 | rng_integer(1, 2, 2 * i + 1);
        assert_true(u == ((double)(bits >> 12) + 0.5) / 0x1p52);
        assert_true(u > 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / N - 0.5) < 4 * sqrt(1 / 12.0 / N));
    assert_true(((double)(UINT64_MAX >> 12) + 0.5) / 0x1p52 < 1);
}

/* Box-Muller in double.  The angle is reduced exactly, as cos(2 pi u) of a rounded u would not be. */
static void reference_pair(double pair[2], uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t a = rng_integer(seed, stream, index), b = rng_integer(seed, stream, index + 1);
    double log_u = a < 1u << 31 ? log((a + 0.5) * 0x1p-32) : log1p(-((double)~a + 0.5) * 0x1p-32);
    double turns = (b + 0.5) * 0x1p-32, quarters = nearbyint(4 * turns);
    double angle = 2 * M_PI * (turns - quarters / 4), r = sqrt(-2 * log_u);
    const double at[4] = { cos(angle), -sin(angle), -cos(angle), sin(angle) };
    int q = (int)quarters;
    pair[0] = r * at[q % 4];
    pair[1] = r * at[(q + 3) % 4];
}

static void test_normals_match_double(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    const uint64_t seed = 42, stream = rng_stream(RNG_TEST, 0, 0, 0);
    float *z = xmalloc(N * sizeof *z);
    rng_normals(z, N, seed, stream, 0);
    double worst = 0;
    for (uint64_t i = 0; i < N; i += 2) {
        double pair[2];
        reference_pair(pair, seed, stream, i);
        for (int k = 0; k < 2; k++) {
            double error = fabs(z[i + (uint64_t)k] / pair[k] - 1);
            if (!(error <= worst)) worst = error;
        }
    }
    free(z);
    assert_true(worst <= 4e-7);
    assert_true(worst > 0);                     /* a NaN would have made it so as well, and failed above */
}

static double normal_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_normals_are_normal(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *z = xmalloc(N * sizeof *z);
    rng_normals(z, N, 7, rng_stream(RNG_TEST, 1, 0, 0), 0);
    double m[5] = { 0 }, lag = 0, ks = 0;
    for (int i = 0; i < N; i++) {
        for (int k = 1; k <= 4; k++) m[k] += pow(z[i], k) / N;
        if (i) lag += (double)z[i] * z[i - 1] / N;
    }
    const double se = 1 / sqrt(N);
    assert_true(fabs(m[1]) < 4 * se);
    assert_true(fabs(m[2] - 1) < 4 * se * sqrt(2));
    assert_true(fabs(m[3]) < 4 * se * sqrt(15));
    assert_true(fabs(m[4] - 3) < 4 * se * sqrt(96));
    assert_true(fabs(lag) < 4 * se);
    qsort(z, N, sizeof *z, compare_floats);
    for (int i = 0; i < N; i++) ks = fmax(ks, fabs(normal_cdf(z[i]) - (i + 0.5) / N));
    assert_true(ks < 1.95 * se);                /* level 0.001 */
    assert_true(z[0] < -4.4 && z[N - 1] > 4.4 && z[0] > -6.77 && z[N - 1] < 6.77);
    free(z);
}

typedef void (*Fill)(float *, int64_t, uint64_t, uint64_t, uint64_t);

static void check_split(Fill fill, uint64_t start, int64_t n, const int64_t *pieces, int n_pieces)
{
    float *whole = xmalloc((size_t)n * sizeof *whole), *parts = xmalloc((size_t)(n + 2) * sizeof *parts);
    fill(whole, n, 11, 13, start);
    parts[0] = parts[n + 1] = -77;              /* guards */
    int64_t done = 0;
    for (int k = 0; done < n; k = (k + 1) % n_pieces) {
        int64_t take = pieces[k] < n - done ? pieces[k] : n - done;
        fill(parts + 1 + done, take, 11, 13, start + (uint64_t)done);
        done += take;
        if (done < n) continue;
        assert_true(parts[0] == -77 && parts[n + 1] == -77);
    }
    assert_memory_equal(whole, parts + 1, (size_t)n * sizeof *whole);
    free(whole);
    free(parts);
}

static void test_any_split_gives_the_same_bits(void **state)
{
    (void)state;
    static const int64_t pieces[] = { 1, 63, 64, 65, 0, 127, 3, 129, 2048, 2047, 5000 };
    static const uint64_t starts[] = { 0, 1, 63, 64, 2047, 2049, (1ull << 34) - 100 };  /* the last crosses a carry of the counter */
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (int k = 0; k < 11; k++) {
            int64_t turned[11];
            for (int j = 0; j < 11; j++) turned[j] = pieces[(j + k) % 11];
            check_split(rng_normals, starts[s], 9973, turned, 11);
            check_split(rng_signs, starts[s], 9973, turned, 11);
        }
}

static void test_signs_are_the_bits(void **state)
{
    (void)state;
    enum { N = 10007, FIRST = 37 };
    float s[N];
    double sum = 0;
    rng_signs(s, N, 3, 4, FIRST);
    for (uint64_t i = 0; i < N; i++) {
        uint64_t at = FIRST + i;
        assert_true(s[i] == (rng_integer(3, 4, at / 32) >> at % 32 & 1 ? 1.0f : -1.0f));
        sum += s[i];
    }
    assert_true(fabs(sum) < 4 * sqrt(N));
}

/* The bits themselves, whatever the compiler and the instruction set: a store keeps them for years. */
static void test_normals_are_pinned(void **state)
{
    (void)state;
    enum { N = 65536 };
    float *z = xmalloc(N * sizeof *z);
    char text[HASH_TEXT];
    rng_normals(z, N, 0x0123456789abcdef, rng_stream(RNG_NOISE, 1, 2, 3), 0);
    hash_bytes(text, z, N * sizeof *z);
    free(z);
    assert_string_equal(text, "c154c514e9b8ad31d190c6b5b10b60e810baa75497aee6d0a1c6d670377de58a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_integer_is_placed_as_documented),
        cmocka_unit_test(test_integers_are_those_one_by_one),
        cmocka_unit_test(test_streams_are_distinct),
        cmocka_unit_test(test_uniform_is_open_and_of_53_bits),
        cmocka_unit_test(test_normals_match_double),
        cmocka_unit_test(test_normals_are_normal),
        cmocka_unit_test(test_any_split_gives_the_same_bits),
        cmocka_unit_test(test_signs_are_the_bits),
        cmocka_unit_test(test_normals_are_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
