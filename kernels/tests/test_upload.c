/*
 * test_upload.c - arrays from the host: pieces of large ones, 16-bit numbers widened where they land, uploads beside what is computed
 */
#include "core/model/tensor.h"
#include "kernels/tests/check.h"

static void check_half(const Kernels *k, const unsigned char *bits, int64_t n, int bf16)
{
    float *want = xmalloc(sizeof *want * (unsigned long)(n + 1)), *out = output(k, NULL, n);
    dtype_to_float(want, bits, n, bf16 ? DTYPE_BF16 : DTYPE_F16);
    k->upload_half(out, bits, n, bf16);
    float *got = taken(k, "upload_half", out, n);
    for (int64_t i = 0; i < n; i++)
        if (isnan(want[i]) ? !isnan(got[i]) : memcmp(&got[i], &want[i], sizeof *got) != 0) {
            check_complain("upload_half, bf16 %d: number %lld of %lld is %.9g, not %.9g", bf16, (long long)i, (long long)n, got[i], want[i]);
            break;
        }
    free(want);
    free(got);
}

/* Every number that 16 bits can be, at every place of a word. */
static void test_halves(void **state)
{
    (void)state;
    enum { ALL = 1 << 16 };
    const Kernels *k = check_kernels();
    if (!k->upload_half) return;
    static unsigned char bytes[2 * ALL + 8];
    for (int shift = 0; shift < 4; shift++) {
        for (int i = 0; i < ALL; i++) bytes[shift + 2 * i] = (unsigned char)i, bytes[shift + 2 * i + 1] = (unsigned char)(i >> 8);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            static const int64_t sizes[] = { 0, 1, 2, 255, 256, 2047, 2048, 2049, ALL };
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) check_half(k, bytes + shift, sizes[s], bf16);
        }
    }
    check_done();
}

/* More than one piece and more than two of them, ends that are no whole piece; what the host does to its array afterwards is its own affair. */
static void test_pieces(void **state)
{
    (void)state;
    const Kernels *k = check_kernels();
    static const int64_t sizes[] = { 1, 16384, 16385, 8 << 20, (8 << 20) + 1, (24 << 20) + 12345 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        float *host = xmalloc(sizeof *host * (unsigned long)n), *p = k->alloc(n), *got = xmalloc(sizeof *got * (unsigned long)n);
        for (int64_t i = 0; i < n; i++) host[i] = (float)(i * 2654435761u % 16777213);
        k->upload(p, host, n);
        memset(host, 0xff, sizeof *host * (size_t)n);
        k->download(got, p, n);
        for (int64_t i = 0; i < n; i++)
            if (got[i] != (float)(i * 2654435761u % 16777213)) {
                check_complain("upload: number %lld of %lld", (long long)i, (long long)n);
                break;
            }
        k->release(p);
        free(host);
        free(got);
    }
    check_done();
}

static void test_pieces_of_halves(void **state)
{
    (void)state;
    const Kernels *k = check_kernels();
    if (!k->upload_half) return;
    const int64_t n = (16 << 20) + 77;
    uint16_t *bits = xmalloc(sizeof *bits * (unsigned long)n);
    for (int64_t i = 0; i < n; i++) bits[i] = (uint16_t)(i % 30011);
    check_half(k, (const unsigned char *)bits, n, 1);
    free(bits);
    check_done();
}

/* Two places in turn: what came ahead is what the operations after it read, and what came before is what those before it have read. */
static void test_ahead(void **state)
{
    (void)state;
    enum { N = 1 << 18, ROUNDS = 20 };
    const Kernels *k = check_kernels();
    if (!k->ahead) return;
    float *host = filled(N, FILL_ZEROS), *place[2] = { k->alloc(N), k->alloc(N) }, *sum = output(k, host, N);
    for (int i = 0; i < N; i++) host[i] = 1;
    k->upload(place[0], host, N);
    for (int round = 1; round <= ROUNDS; round++) {
        k->mark();
        k->add(sum, place[(round - 1) % 2], N);
        for (int i = 0; i < N; i++) host[i] = (float)(1 << round % 8);
        k->ahead(1);
        k->upload(place[round % 2], host, N);
        if (k->settle) k->settle(place[round % 2], N);
        k->ahead(0);
    }
    float *got = taken(k, "uploads ahead", sum, N), want = 0;
    for (int round = 0; round < ROUNDS; round++) want += (float)(1 << round % 8);
    for (int i = 0; i < N; i++)
        if (got[i] != want) {
            check_complain("uploads ahead: sum %d is %g, not %g", i, got[i], want);
            break;
        }
    free(got);
    free(host);
    k->release(place[0]);
    k->release(place[1]);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("LINEARITY_KERNELS", "cuda", 0);         /* the others have no such slots */
    check_start(argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_halves), cmocka_unit_test(test_pieces), cmocka_unit_test(test_pieces_of_halves), cmocka_unit_test(test_ahead) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
