/* The forward pass against float64 references, in both orders of rotation; what a damaged model does to it. */
#include "core/tests/tiny_golden.h"

#include "core/measure/compare.h"
#include "core/network/network.h"
#include "core/tests/model_files.h"

/* Everything that one run leaves: logits of every position, 2-norms of the normed final states. */
typedef struct { int rows, vocabulary; float *logits; double *norm; } Pass;

static void run_blocks(Network *net, float *x, const Layout *layout, const Corpus *corpus)
{
    WORKS(network_embed(net, x, layout, corpus));
    for (int b = 0; b < model_shape(network_model(net))->n_blocks; b++) WORKS(network_block(net, x, layout, b, NULL));
}

static void read_norms(double *norm, const Network *net, const float *x, int rows)
{
    const Kernels *k = network_kernels(net);
    const ModelShape *s = model_shape(network_model(net));
    float *gain = xmalloc(sizeof *gain * (size_t)s->width), *host = xmalloc(sizeof *host * (size_t)(rows * s->width));
    float *device_gain = k->alloc(s->width), *normed = k->alloc((int64_t)rows * s->width);
    WORKS(model_read(gain, network_model(net), WEIGHT_FINAL_NORM, 0, 0, s->width));
    k->upload(device_gain, gain, s->width);
    k->rms_norm(normed, x, device_gain, rows, s->width, s->norm_epsilon);
    k->download(host, normed, (int64_t)rows * s->width);
    for (int t = 0; t < rows; t++) norm[t] = sqrt(sum_of_squares(host + t * s->width, s->width));
    k->release(device_gain);
    k->release(normed);
    free(gain);
    free(host);
}

static Pass pass_over(const Model *model, const int32_t *ids, int n, const char *back_end, bool resident)
{
    const Kernels *k = kernels_find(back_end);
    const ModelShape *s = model_shape(model);
    Cut cut = { 0 };
    Corpus corpus;
    int32_t *longer = xmalloc(sizeof *longer * (size_t)(n + 1));        /* the last id is an input too */
    memcpy(longer, ids, sizeof *ids * (size_t)n);
    longer[n] = 0;
    cut_document(&cut, 0, longer, n + 1, WHOLE);
    cut_finish(&corpus, &cut, "golden", WHOLE, false, -1);
    Layout layout;
    layout_init(&layout, &corpus);
    Network *net;
    NetworkPlan plan = { .resident = resident };
    WORKS(network_open(&net, model, k, &plan, corpus.longest));
    Pass pass = { n, s->vocabulary, xmalloc(sizeof(float) * (size_t)(n * s->vocabulary)), xmalloc(sizeof(double) * (size_t)n) };
    float *x = k->alloc(layout.rows * s->width), *logits = k->alloc((int64_t)n * s->vocabulary);
    run_blocks(net, x, &layout, &corpus);
    read_norms(pass.norm, net, x, n);
    network_logits(net, logits, x, n);
    k->download(pass.logits, logits, (int64_t)n * s->vocabulary);
    k->release(x);
    k->release(logits);
    network_close(&net);
    layout_free(&layout);
    corpus_free(&corpus);
    free(longer);
    return pass;
}

static void pass_free(Pass *pass)
{
    free(pass->logits);
    free(pass->norm);
}

static double log_sum(const float *logits, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp(logits[i]);
    return log(sum);
}

static double entropy(const float *logits, int n)
{
    double total = log_sum(logits, n), sum = 0;
    for (int i = 0; i < n; i++) sum += exp(logits[i] - total) * (total - logits[i]);
    return sum;
}

static void check_logits(const Pass *pass, const json_t *golden, const char *name)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(golden, "logits"), i, entry) {
        int position = (int)number(entry, "position");
        const json_t *values = json_object_get(entry, "values");
        assert_int_equal(json_array_size(values), pass->vocabulary);
        for (int v = 0; v < pass->vocabulary; v++)
            NEAR(pass->logits[position * pass->vocabulary + v], element(values, (size_t)v), 5e-5, "%s, logit %d at %d", name, v, position);
    }
    assert_int_equal(i, 4);
}

static void check_pass(const Pass *pass, const int32_t *ids, const json_t *golden, const char *name)
{
    const json_t *nll = json_object_get(golden, "nll"), *norm = json_object_get(golden, "final_state_norm");
    double sum = 0, entropies = 0;
    for (int t = 0; t < pass->rows; t++) {
        const float *logits = pass->logits + t * pass->vocabulary;
        NEAR(pass->norm[t], element(norm, (size_t)t), 2e-6 * element(norm, (size_t)t), "%s, norm of state %d", name, t);
        entropies += entropy(logits, pass->vocabulary);
        if (t + 1 == pass->rows) break;
        double loss = log_sum(logits, pass->vocabulary) - logits[ids[t + 1]];
        NEAR(loss, element(nll, (size_t)t), 4e-5, "%s, NLL of token %d", name, t + 1);
        sum += loss;
    }
    NEAR(sum / (pass->rows - 1), number(golden, "nll_mean"), 4e-6, "%s, mean NLL", name);
    NEAR(entropies / pass->rows, number(golden, "entropy_mean"), 4e-6, "%s, mean entropy", name);
    check_logits(pass, golden, name);
}

static void forward_equals_float64(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Tiny tiny = tiny_open(tiny_names[i]);
        for (int k = 0; k < 2; k++)
            for (int b = 0; b < BACK_ENDS; b++) {
                const json_t *golden = tiny_forward(&tiny, k);
                int n;
                int32_t *ids = golden_ids(json_object_get(golden, "ids"), &n);
                char name[128];
                snprintf(name, sizeof name, "%s, sequence %d, %s", tiny_names[i], k, back_ends[b]);
                Pass pass = pass_over(tiny.model, ids, n, back_ends[b], k == 0);
                check_pass(&pass, ids, golden, name);
                pass_free(&pass);
                free(ids);
            }
        tiny_close(&tiny);
    }
}

/* Every prefix of a sequence as a window of its own with one scored token: losses of single tokens,
 * counted as the measurement counts them, and prefixes that do not see what follows. */
static void prefixes_as_windows(Corpus *out, const json_t *golden)
{
    Cut cut = { 0 };
    int n;
    int32_t *ids = golden_ids(json_object_get(golden, "ids"), &n);
    for (int t = 1; t < n; t++) cut_segment(&cut, t - 1, ids, t + 1, t);
    cut_finish(out, &cut, "prefixes", n, false, -1);
    free(ids);
}

static void losses_of_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Tiny tiny = tiny_open(tiny_names[i]);
        const json_t *golden = tiny_forward(&tiny, 0), *nll = json_object_get(golden, "nll");
        Corpus corpus;
        prefixes_as_windows(&corpus, golden);
        for (int b = 0; b < BACK_ENDS; b++) {
            Comparison c;
            WORKS(compare_models(&c, tiny.model, NULL, &corpus, kernels_find(back_ends[b]), (int64_t)1 << 30, NULL, NULL));
            assert_int_equal(c.n_windows, json_array_size(nll));
            for (int t = 0; t < c.n_windows; t++) NEAR(c.nll[t], element(nll, (size_t)t), 4e-5, "%s, %s, token %d", tiny_names[i], back_ends[b], t + 1);
            comparison_free(&c);
        }
        corpus_free(&corpus);
        tiny_close(&tiny);
    }
}

/* Targets of -1 among scored ones count neither in the sum nor in the mean. */
static void targets_left_out(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("qwen2-bias-tied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, 16);
    double sum[2] = { 0 };
    for (int s = 0, t = 0; s < corpus.n_segments; s++) {
        const Segment *segment = &corpus.segment[s];
        int w = segment->window;
        if (s > 0 && w != corpus.segment[s - 1].window) t = 0;
        for (int i = 0; i < segment->length; i++, t++)
            if (t % 3 == 1) {
                ((int32_t *)(uintptr_t)segment->targets)[i] = -1;
                corpus.tokens[w]--;
            }
    }
    Comparison one, both;
    WORKS(compare_models(&both, tiny.model, tiny.model, &corpus, kernels_cpu(), (int64_t)1 << 30, NULL, NULL));
    corpus_free(&corpus);
    Cut cut = { 0 };                    /* the same, each scored target a window of its own */
    int32_t *ids[2];
    for (int k = 0, n, window = 0; k < 2; k++) {
        ids[k] = golden_ids(json_object_get(tiny_forward(&tiny, k), "ids"), &n);
        for (int t = 0; t + 1 < n; t++) {
            int first = t / 16 * 16;
            if (t % 3 != 1) cut_segment(&cut, window++, ids[k] + first, t + 2 - first, t + 1 - first);
        }
    }
    cut_finish(&corpus, &cut, "tokens", 16, false, -1);
    WORKS(compare_models(&one, tiny.model, NULL, &corpus, kernels_cpu(), (int64_t)1 << 30, NULL, NULL));
    int scored = 26;                    /* of the first sequence's 39 */
    for (int w = 0; w < one.n_windows; w++) sum[w >= scored] += one.nll[w];
    NEAR(both.nll[0], sum[0] / scored, 4e-6, "first sequence");
    NEAR(both.other_nll[1], sum[1] / (one.n_windows - scored), 4e-6, "second sequence");
    for (int k = 0; k < 2; k++) {
        assert_true(both.kl[k] == 0 && both.same_top[k] == 1);
        free(ids[k]);
    }
    comparison_free(&one);
    comparison_free(&both);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- the other order of rotation ---- */

static Model *model_from_writer(GgufWriter *writer, const char *folder)
{
    char *path = xformat("%s/model.gguf", folder);
    Bytes file = gguf_finish(writer, 3);
    bytes_write(&file, path);
    bytes_free(&file);
    Model *model = NULL;
    WORKS(model_open(&model, path));
    free(path);
    return model;
}

static void adjacent_pairs_are_the_same_function(void **state)
{
    (void)state;
    static const struct { const char *name; double theta; } llama[] = { { "llama-v8", 1e4 }, { "llama-mha-untied", 1e4 }, { "llama-sharded", 1e4 } };
    for (int i = 0; i < 3; i++) {
        Tiny tiny = tiny_open(llama[i].name);
        char *folder = folder_make();
        GgufWriter writer = gguf_from_model(tiny.model, "llama", llama[i].theta);
        Model *pairs = model_from_writer(&writer, folder);
        int n;
        int32_t *ids = golden_ids(json_object_get(tiny_forward(&tiny, 1), "ids"), &n);
        for (int b = 0; b < BACK_ENDS; b++) {
            Pass halves = pass_over(tiny.model, ids, n, back_ends[b], true), adjacent = pass_over(pairs, ids, n, back_ends[b], true);
            assert_memory_equal(halves.logits, adjacent.logits, sizeof(float) * (size_t)(n * halves.vocabulary));
            pass_free(&halves);
            pass_free(&adjacent);
        }
        free(ids);
        model_close(&pairs);
        folder_remove(folder);
        tiny_close(&tiny);
    }
}

/* ---- 16-bit weights ---- */

/* Matrices in 16 bits and pairs of adjacent rows: what goes to a device as it is and what the host puts in order make the model that reads
 * as float32; nearly the reference's logits. */
static void halves_are_the_same_weights(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        Tiny tiny = tiny_open("llama-v8");
        char *folder = folder_make();
        const Dtype dtype = d ? DTYPE_F16 : DTYPE_BF16;
        GgufWriter writer = gguf_from_model_in(dtype, tiny.model, "llama", 1e4);
        Model *half = model_from_writer(&writer, folder);
        const ModelShape *s = model_shape(half);
        for (WeightKind kind = 0; kind <= WEIGHT_HEAD; kind++) {
            bool bf16;
            if (kind != WEIGHT_HEAD && !model_tensor(half, kind, 0)) continue;
            const unsigned char *bits = model_half(&bf16, half, kind, 0, 1);
            const bool there = kind != WEIGHT_Q && kind != WEIGHT_K && (kind <= WEIGHT_DOWN || kind == WEIGHT_EMBEDDING || kind == WEIGHT_HEAD);
            assert_true((bits != NULL) == there);
            if (!there) continue;
            const int64_t cols = model_tensor(half, kind == WEIGHT_HEAD && s->tied ? WEIGHT_EMBEDDING : kind, 0)->shape[1];
            float *want = xmalloc(sizeof *want * (size_t)cols), *got = xmalloc(sizeof *got * (size_t)cols);
            WORKS(model_read(want, half, kind, 0, 1, 1));
            dtype_to_float(got, bits, cols, bf16 ? DTYPE_BF16 : DTYPE_F16);
            assert_memory_equal(want, got, sizeof *got * (size_t)cols);
            free(want);
            free(got);
        }
        int n;
        int32_t *ids = golden_ids(json_object_get(tiny_forward(&tiny, 1), "ids"), &n);
        Pass host = pass_over(half, ids, n, "ref", true);
        for (int resident = 0; resident < 2; resident++) {
            Pass device = pass_over(half, ids, n, "cuda", resident);
            for (int i = 0; i < n * s->vocabulary; i++) NEAR(device.logits[i], host.logits[i], 1e-4, "logit %d", i);
            pass_free(&device);
        }
        pass_free(&host);
        free(ids);
        model_close(&half);
        folder_remove(folder);
        tiny_close(&tiny);
    }
}

/* A row that is not finite is named as on the host, whatever the bits of the others. */
static void halves_that_are_not_finite(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    char *folder = folder_make(), *path = xformat("%s/model.gguf", folder);
    const ModelShape *s = model_shape(tiny.model);
    for (int d = 0; d < 2; d++) {
        GgufWriter writer = gguf_from_model_in(d ? DTYPE_F16 : DTYPE_BF16, tiny.model, "llama", 1e4);
        Bytes file = gguf_finish(&writer, 3);
        char *sentence[2];
        const size_t end = file.n - (size_t)s->width * 4, at = end - end % 32 - 2 * (size_t)s->feed_forward * 3 - 32;      /* before the last vector: down */
        const uint16_t bad = d ? 0x7c01 : 0x7f80;       /* NaN, infinity */
        memcpy(file.data + at, &bad, sizeof bad);
        bytes_write(&file, path);
        bytes_free(&file);
        Model *model;
        WORKS(model_open(&model, path));
        for (int b = 0; b < 2; b++) {
            Network *net;
            const NetworkPlan plan = { .resident = true };
            assert_int_equal(network_open(&net, model, kernels_find(b ? "cuda" : "ref"), &plan, 8), ERR_FORMAT);
            sentence[b] = xstrdup(err_last());
        }
        assert_string_equal(sentence[0], sentence[1]);
        assert_non_null(strstr(sentence[0], "tensor 'blk.2.ffn_down.weight' holds a value that is not finite (row "));
        free(sentence[0]);
        free(sentence[1]);
        model_close(&model);
    }
    free(path);
    folder_remove(folder);
    tiny_close(&tiny);
}

/* ---- limits ---- */

/* Llama-3 8B and 70B: the products leave 32 bits far behind. */
static void bytes_of_large_models(void **state)
{
    (void)state;
    ModelShape big = { .n_blocks = 32, .width = 4096, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .feed_forward = 14336, .vocabulary = 128256 };
    NetworkPlan resident = { .resident = true, .chunk_rows = 8192 }, streamed = { .chunk_rows = 8192 };
    const double block = 4096.0 * (2 * 4096 + 2 * 1024 + 3 * 14336), all = (double)network_bytes(&big, kernels_cpu(), &resident, 8192);
    NEAR(all - (double)network_bytes(&big, kernels_cpu(), &streamed, 8192), 31 * 4 * block, 0, "31 resident blocks");
    assert_true(all > 4 * (32 * block + 128256.0 * 4096) && all < 1.4 * 4 * (32 * block + 128256.0 * 4096));
    NEAR((double)network_patch_bytes(&big, kernels_cpu(), 1), 4 * (16 * 4096.0 * 14336 + block), 0, "patches");
    big = (ModelShape){ .n_blocks = 80, .width = 8192, .n_heads = 64, .n_kv_heads = 8, .head_dim = 128, .feed_forward = 28672, .vocabulary = 128256 };
    assert_true((double)network_bytes(&big, kernels_cpu(), &resident, 8192) > 4.0 * 80 * 8192 * (2.0 * 8192 + 2048 + 3.0 * 28672));
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_equals_float64),
        cmocka_unit_test(losses_of_tokens),
        cmocka_unit_test(targets_left_out),
        cmocka_unit_test(adjacent_pairs_are_the_same_function),
        cmocka_unit_test(halves_are_the_same_weights),
        cmocka_unit_test(halves_that_are_not_finite),
        cmocka_unit_test(bytes_of_large_models),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
