/* Losses of trained models on text, against transformers: the default model, and two of llama2.c in LINEARITY_DATA. */
#include "core/tests/tiny_golden.h"

#include "core/measure/compare.h"
#include "core/tests/model_files.h"

static const int64_t PLENTY = (int64_t)1 << 34;

/* ---- the default model ---- */

enum { AT_ONCE = 128 };             /* rows of logits */

/* -log p of every target of one window; returns their mean. */
static double token_losses(double *nll, const Model *model, const int32_t *ids, int n)
{
    const Kernels *k = kernels_cpu();
    const ModelShape *s = model_shape(model);
    Corpus corpus;
    WORKS(corpus_from_ids(&corpus, ids, 1, n, "golden", -1));
    Layout layout;
    layout_init(&layout, &corpus);
    Network *net;
    NetworkPlan plan = { .resident = false };
    WORKS(network_open(&net, model, k, &plan, corpus.longest));
    float *x = k->alloc(layout.rows * s->width), *logits = k->alloc((int64_t)AT_ONCE * s->vocabulary);
    WORKS(network_embed(net, x, &layout, &corpus));
    for (int b = 0; b < s->n_blocks; b++) WORKS(network_block(net, x, &layout, b, NULL));
    double sum = 0;
    for (int first = 0; first < n - 1; first += AT_ONCE) {
        double log_sum[AT_ONCE], target[AT_ONCE];
        int32_t top[AT_ONCE];
        int rows = n - 1 - first < AT_ONCE ? n - 1 - first : AT_ONCE;
        network_logits(net, logits, x + (int64_t)first * s->width, rows);
        k->log_sum_exp(log_sum, top, target, logits, ids + first + 1, rows, s->vocabulary);
        for (int r = 0; r < rows; r++) sum += nll[first + r] = log_sum[r] - target[r];
    }
    k->release(x);
    k->release(logits);
    network_close(&net);
    layout_free(&layout);
    corpus_free(&corpus);
    return sum / (n - 1);
}

static void default_model(void **state)
{
    (void)state;
    const char *path = getenv("LINEARITY_MODEL");
    if (!path || access(path, R_OK) != 0) {
        print_message("SKIPPED: LINEARITY_MODEL does not name a file\n");
        skip();
    }
    json_t *golden = json_load_file("core/tests/golden/smollm2.json", 0, NULL);
    const json_t *hf = json_object_get(golden, "hf"), *halves = json_object_get(golden, "llama.cpp");
    Model *model;
    WORKS(model_open(&model, path));
    int n;
    int32_t *ids = golden_ids(json_object_get(hf, "ids_window0"), &n);
    double *nll = xmalloc(sizeof *nll * (size_t)n);
    NEAR(token_losses(nll, model, ids, n), element(json_object_get(hf, "nll_mean"), 0), 1e-5, "hf, mean");
    for (int t = 0; t + 1 < n; t++) NEAR(nll[t], element(json_object_get(hf, "nll_window0"), (size_t)t), 2e-4, "hf, target %d", t + 1);

    ids[0] = (int32_t)json_integer_value(json_object_get(halves, "bos"));
    int first = (int)json_integer_value(json_object_get(halves, "first_scored_target"));
    token_losses(nll, model, ids, n);
    double sum = 0;
    for (int t = first; t < n; t++) {
        NEAR(nll[t - 1], element(json_object_get(halves, "nll_window0"), (size_t)(t - first)), 2e-4, "llama.cpp, target %d", t);
        sum += nll[t - 1];
    }
    NEAR(sum / (n - first), element(json_object_get(halves, "nll_mean"), 0), 1e-5, "llama.cpp, mean");
    free(nll);
    free(ids);
    model_close(&model);
    json_decref(golden);
}

/* ---- llama2.c's models on their stories ---- */

static char *data_path(const char *relative)
{
    const char *folder = getenv("LINEARITY_DATA");
    char *path = folder && *folder ? xformat("%s/%s", folder, relative) : NULL;
    if (path && access(path, R_OK) == 0) return path;
    free(path);
    print_message("SKIPPED: needs %s in the folder LINEARITY_DATA\n", relative);
    return NULL;
}

/* Documents of the model's own context, BOS first. */
static void stories_corpus(Corpus *out, const char *path, const Model *model)
{
    Tokenizer *tokenizer;
    const ModelShape *s = model_shape(model);
    char *text = data_path("data/text/tinystories-sample.txt");
    assert_non_null(text);
    WORKS(tokenizer_open(&tokenizer, path));
    CorpusOptions options = { .protocol = "documents", .context = s->context, .model_context = s->context, .vocabulary = s->vocabulary, .bos = BOS_YES };
    WORKS(corpus_open(out, text, tokenizer, &options));
    tokenizer_close(&tokenizer);
    free(text);
}

static Comparison losses_of(const Model *model, const Corpus *corpus)
{
    Comparison c;
    WORKS(compare_models(&c, model, NULL, corpus, kernels_cpu(), PLENTY, NULL, NULL));
    return c;
}

static double mean_loss(const Comparison *c, const Corpus *corpus)
{
    double sum = 0;
    for (int w = 0; w < c->n_windows; w++) sum += c->nll[w] * (double)corpus->tokens[w];
    return sum / (double)corpus->n_scored;
}

/* The published weights rotate adjacent pairs; as such a GGUF they are the same function, bit for bit: the first stories. */
static void check_pairs(const Model *model, const Corpus *all, const Comparison *want)
{
    enum { STORIES = 30 };
    Corpus corpus = *all;
    corpus.n_windows = STORIES;
    corpus.n_segments = 0;
    while (all->segment[corpus.n_segments].window < STORIES) corpus.n_segments++;
    char *folder = folder_make(), *path = xformat("%s/pairs.gguf", folder);
    GgufWriter writer = gguf_from_model(model, "llama", 1e4);
    Bytes file = gguf_finish(&writer, 3);
    bytes_write(&file, path);
    bytes_free(&file);
    Model *pairs;
    WORKS(model_open(&pairs, path));
    Comparison got = losses_of(pairs, &corpus);
    assert_memory_equal(want->nll, got.nll, sizeof *got.nll * STORIES);
    comparison_free(&got);
    model_close(&pairs);
    folder_remove(folder);
    free(path);
}

static void check_stories(const char *name, double nll, int64_t tokens, bool as_pairs)
{
    char *path = data_path(name);
    if (!path) skip();
    Model *model;
    Corpus corpus;
    WORKS(model_open(&model, path));
    stories_corpus(&corpus, path, model);
    assert_int_equal(corpus.n_windows, 317);
    assert_int_equal(corpus.n_scored, tokens);
    Comparison c = losses_of(model, &corpus);
    NEAR(mean_loss(&c, &corpus), nll, 5.1e-6, "%s", name);
    if (as_pairs) check_pairs(model, &corpus, &c);
    comparison_free(&c);
    corpus_free(&corpus);
    model_close(&model);
    free(path);
}

static void stories260k(void **state)
{
    (void)state;
    check_stories("models/stories260K", 1.51337, 129900, true);
}

static void babyllama(void **state)
{
    (void)state;
    check_stories("models/babyllama", 0.83410, 256399, false);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = { cmocka_unit_test(default_model), cmocka_unit_test(stories260k), cmocka_unit_test(babyllama) };
    start_with(0, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
