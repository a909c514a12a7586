/* Text sampled from a model follows its own probabilities, id by id, whoever else is sampled. */
#include "core/tests/tiny_golden.h"

#include "core/base/rng.h"
#include "core/network/network.h"

static Network *network_of(const Model *model, const char *back_end, bool resident, int longest)
{
    Network *net;
    NetworkPlan plan = { .resident = resident };
    WORKS(network_open(&net, model, kernels_find(back_end), &plan, longest));
    return net;
}

static int32_t *sampled(const Model *model, const char *back_end, bool resident, const int32_t *first, int windows, int length, uint64_t seed)
{
    int32_t *ids = xmalloc(sizeof *ids * (size_t)(windows * length));
    Network *net = network_of(model, back_end, resident, length);
    WORKS(network_sample(ids, net, first, 0, windows, length, seed));
    network_close(&net);
    return ids;
}

/* Softmax of the logits after each id of one text, by the full forward pass: [n][vocabulary]. */
static double *probabilities(const Model *model, const char *back_end, const int32_t *ids, int n)
{
    const Kernels *k = kernels_find(back_end);
    int V = model_shape(model)->vocabulary;
    int32_t *longer = xcalloc((size_t)n + 1, sizeof *longer);
    memcpy(longer, ids, sizeof *ids * (size_t)n);
    Corpus corpus;
    WORKS(corpus_from_ids(&corpus, longer, 1, n + 1, "sampled", -1));
    Layout layout;
    layout_init(&layout, &corpus);
    Network *net = network_of(model, back_end, true, n);
    float *x = k->alloc((int64_t)n * model_shape(model)->width), *logits = k->alloc((int64_t)n * V), *host = xmalloc(sizeof *host * (size_t)(n * V));
    WORKS(network_embed(net, x, &layout, &corpus));
    for (int b = 0; b < model_shape(model)->n_blocks; b++) WORKS(network_block(net, x, &layout, b, NULL));
    network_logits(net, logits, x, n);
    k->download(host, logits, (int64_t)n * V);
    double *p = xmalloc(sizeof *p * (size_t)(n * V));
    for (int t = 0; t < n; t++) {
        double total = 0;
        for (int v = 0; v < V; v++) total += p[t * V + v] = exp(host[t * V + v]);
        for (int v = 0; v < V; v++) p[t * V + v] /= total;
    }
    k->release(x);
    k->release(logits);
    free(host);
    free(longer);
    network_close(&net);
    layout_free(&layout);
    corpus_free(&corpus);
    return p;
}

/* Does id t + 1 follow from the full pass and the uniform number of (seed, window, t)?  Away from the
 * boundaries between two ids by 1e-5, which no rounding of the incremental pass reaches, it must. */
static int boundary_cases(const double *p, const int32_t *ids, int V, int length, int window, uint64_t seed)
{
    int near = 0;
    for (int t = 0; t + 1 < length; t++) {
        double u = rng_uniform(seed, rng_stream(RNG_SAMPLE, 0, 0, window), (uint64_t)t), below = 0;
        for (int v = 0; v < ids[t + 1]; v++) below += p[t * V + v];
        double above = below + p[t * V + ids[t + 1]];
        if (!(below - 1e-5 <= u && u <= above + 1e-5)) fail_msg("window %d, id %d: u = %.9f is not in [%.9f, %.9f]", window, t + 1, u, below, above);
        near += !(below + 1e-5 < u && u < above - 1e-5);
    }
    return near;
}

static void ids_follow_the_full_pass(void **state)
{
    (void)state;
    enum { MOST = 20, LENGTH = 90 };                /* more windows than are sampled together */
    for (int i = 0; i < TINY_MODELS; i++) {
        Tiny tiny = tiny_open(tiny_names[i]);
        int V = model_shape(tiny.model)->vocabulary, near = 0;
        int32_t first[MOST];
        for (int w = 0; w < MOST; w++) first[w] = 5 * w % V;
        for (int b = 0; b < BACK_ENDS; b++) {
            if (b == CUDA && i != 1) continue;      /* through the launch shim a token takes a while */
            int32_t *ids = sampled(tiny.model, back_ends[b], b == 0, first, MOST, LENGTH, 7);
            for (int w = 0; w < MOST; w += 3) {
                assert_int_equal(ids[w * LENGTH], first[w]);
                double *p = probabilities(tiny.model, back_ends[b], ids + w * LENGTH, LENGTH);
                near += boundary_cases(p, ids + w * LENGTH, V, LENGTH, w, 7);
                free(p);
            }
            free(ids);
        }
        assert_true(near < 15);                     /* of 1246 ids with V boundaries 2e-5 wide each, about 1 to 3 */
        tiny_close(&tiny);
    }
}

static void more_windows_change_nothing(void **state)
{
    (void)state;
    enum { MANY = 37, LENGTH = 40 };
    static const int windows[] = { 1, 2, 7, 8, 9, 32 };
    Tiny tiny = tiny_open("qwen3-qknorm");
    int32_t first[MANY];
    for (int w = 0; w < MANY; w++) first[w] = 2 * w;
    int32_t *all = sampled(tiny.model, "cpu", true, first, MANY, LENGTH, 3);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        int32_t *some = sampled(tiny.model, "cpu", i % 2, first, windows[i], LENGTH, 3);
        assert_memory_equal(all, some, sizeof *some * (size_t)(windows[i] * LENGTH));
        free(some);
    }
    for (int from = SAMPLE_GROUP; from < MANY; from += 2 * SAMPLE_GROUP) {
        int32_t *rest = xmalloc(sizeof *rest * MANY * LENGTH);
        Network *net = network_of(tiny.model, "cpu", true, LENGTH);
        WORKS(network_sample(rest, net, first + from, from, MANY - from, LENGTH, 3));
        assert_memory_equal(all + from * LENGTH, rest, sizeof *rest * (size_t)((MANY - from) * LENGTH));
        network_close(&net);
        free(rest);
    }
    kernels_set_threads(2);
    int32_t *threads = sampled(tiny.model, "cpu", true, first, MANY, LENGTH, 3);
    kernels_set_threads(1);
    assert_memory_equal(all, threads, sizeof *all * MANY * LENGTH);
    int32_t *other = sampled(tiny.model, "cpu", true, first, MANY, LENGTH, 4);
    assert_memory_not_equal(all, other, sizeof *all * MANY * LENGTH);
    free(threads);
    free(other);
    free(all);
    tiny_close(&tiny);
}

/* Short windows take less room than the rows that are sampled together. */
static void short_windows(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    int32_t first[3] = { 1, 2, 3 };
    int32_t *longer = sampled(tiny.model, "cpu", true, first, 3, 30, 1), *shorter = sampled(tiny.model, "cpu", true, first, 3, 4, 1);
    for (int w = 0; w < 3; w++) assert_memory_equal(longer + w * 30, shorter + w * 4, sizeof *shorter * 4);
    free(longer);
    free(shorter);
    Network *net = network_of(tiny.model, "cpu", true, 4);
    int32_t ids[5];
    assert_int_equal(network_sample(ids, net, first, 0, 1, 5, 1), ERR_ARGUMENT);
    network_close(&net);
    tiny_close(&tiny);
}

/* Pairs (id 1, id 2) after one first id against the product of the model's own probabilities: chi-square within 4
 * standard deviations of its degrees of freedom. */
static void frequencies_are_the_probabilities(void **state)
{
    (void)state;
    enum { V = 8, WINDOWS = 4000, LENGTH = 3 };
    Tiny tiny = tiny_open("llama-v8");
    static int32_t first[WINDOWS];
    for (int w = 0; w < WINDOWS; w++) first[w] = 2;
    int32_t *ids = sampled(tiny.model, "cpu", true, first, WINDOWS, LENGTH, 11);
    double count[V][V] = { { 0 } }, chi2 = 0;
    for (int w = 0; w < WINDOWS; w++) count[ids[w * LENGTH + 1]][ids[w * LENGTH + 2]]++;
    int cells = 0;
    double rest = 0, rest_count = 0;
    for (int a = 0; a < V; a++) {
        int32_t prefix[2] = { 2, a };
        double *p = probabilities(tiny.model, "cpu", prefix, 2);
        for (int b = 0; b < V; b++) {
            double expected = WINDOWS * p[a] * p[V + b];
            if (expected < 5) {
                rest += expected;
                rest_count += count[a][b];
                continue;
            }
            chi2 += (count[a][b] - expected) * (count[a][b] - expected) / expected;
            cells++;
        }
        free(p);
    }
    assert_true(rest > 5);
    chi2 += (rest_count - rest) * (rest_count - rest) / rest;       /* rare pairs together */
    if (!(chi2 <= cells + 4 * sqrt(2.0 * cells) && chi2 >= cells - 4 * sqrt(2.0 * cells))) fail_msg("chi^2 = %.1f for %d degrees of freedom", chi2, cells);
    free(ids);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_follow_the_full_pass),
        cmocka_unit_test(more_windows_change_nothing),
        cmocka_unit_test(short_windows),
        cmocka_unit_test(frequencies_are_the_probabilities),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
