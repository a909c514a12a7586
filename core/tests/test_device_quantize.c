/* Quantized on a device (ref, and the back end of LINEARITY_KERNELS) or on the host: the same weights, the same rate. */
#include "core/measure/device_quantize.h"
#include "core/tests/quantizer_calls.h"

enum { ROWS = 7, COLS = 200 };

/* Quantizes w on k and compares; returns whether k did it. */
static bool compared(const Kernels *k, const char *name, Options *options, const float *w)
{
    const Perturbation *p = perturbation_find(name);
    const Draw draw = { 7, 1, 0 };
    float want[ROWS * COLS], got[ROWS * COLS], *clean = k->alloc(ROWS * COLS), *out = k->alloc(ROWS * COLS);
    PerturbationError host, device;
    bool made;
    k->upload(clean, w, ROWS * COLS);
    const int status = perturbation_apply(want, &host, p, &(LayerWeights){ w, ROWS, COLS, 3 }, options, NULL, draw);
    assert_int_equal(device_quantize(&made, out, &device, k, p, &(LayerWeights){ clean, ROWS, COLS, 3 }, options, draw), OK);
    if (made) {
        assert_int_equal(status, OK);
        k->download(got, out, ROWS * COLS);
        assert_memory_equal(got, want, sizeof want);
        assert_true(device.bits == host.bits && device.code_bits == host.code_bits);
        assert_true(fabs(device.t2 - host.t2) <= 1e-13 * host.t2 && fabs(device.kappa - host.kappa) <= 1e-13 * sqrt(host.t2));
    }
    k->release(clean);
    k->release(out);
    options_free(options);
    return made;
}

static void quantized_where_they_are(const Kernels *k)
{
    float *w = gaussian(ROWS, COLS);
    assert_true(compared(k, "rtn", settings("rtn", NULL), w));
    assert_true(compared(k, "rtn", settings("rtn", "bits", "3", "group", "0", "symmetric", "yes", "scale_bits", "32", NULL), w));
    assert_true(compared(k, "higgs", settings("higgs", NULL), w));
    assert_true(compared(k, "higgs", settings("higgs", "p", "3", "n", "64", "hadamard", "128", "signs", "yes", "unbiased", "yes", NULL), w));
    assert_true(compared(k, "higgs", settings("higgs", "p", "1", "n", "88", "levels", "uniform", NULL), w));
    assert_false(compared(k, "rtn", settings("rtn", "clip", "mse", NULL), w));
    assert_false(compared(k, "higgs", settings("higgs", "hadamard", "16384", NULL), w));
    assert_false(compared(k, "nf", settings("nf", NULL), w));
    for (int i = 0; i < ROWS * COLS; i++) w[i] += 0.5f;                 /* zero points outside of the codes */
    assert_true(compared(k, "rtn", settings("rtn", "group", "8", NULL), w));
    w[3] = 1e30f;                                                       /* no half: the host says so */
    assert_false(compared(k, "rtn", settings("rtn", NULL), w));
    w[3] = NAN;
    assert_false(compared(k, "higgs", settings("higgs", NULL), w));
    free(w);
}

static void the_same_weights(void **state)
{
    (void)state;
    const char *name = getenv("LINEARITY_KERNELS");
    quantized_where_they_are(&kernels_ref);
    if (name && strcmp(name, "cpu")) quantized_where_they_are(kernels_find(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_same_weights) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
