/* Masks of whole models: against gradients of PyTorch in float64, one threshold for all layers, cut from one ranking. */
#include "core/tests/mask_case.h"

static float *weights_of(const Model *model, int l)
{
    const Layer *layer = model_layer(model, l);
    float *w = xmalloc(sizeof *w * (size_t)(layer->rows * layer->cols));
    WORKS(model_read(w, model, layer->type, layer->block, 0, layer->rows));
    return w;
}

/* |W| (|g_0| + |g_1|) |Q - W| of all weights, or a factor of it, from golden gradients. */
static double *golden_scores(const Case *c, const char *name, const char *score, const Options *gptq)
{
    const Model *model = c->tiny.model;
    double *out = xmalloc(sizeof *out * (size_t)mask_weights(model)), *at = out;
    Doubles golden = doubles_open(name);
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *layer = model_layer(model, l);
        const int64_t n = layer->rows * layer->cols;
        const Perturbation *p = perturbation_find("gptq");
        const Evidence *e;
        Evidence room;
        PerturbationError error;
        double *g[2] = { golden_gradient(&golden, 0, layer), golden_gradient(&golden, 1, layer) };
        float *w = weights_of(model, l), *q = xmalloc(sizeof *q * (size_t)n);
        WORKS(evidence_for(&e, &room, c->source, &(MapEntry){ l, p, gptq }, NULL));
        WORKS(perturbation_apply(q, &error, p, &(LayerWeights){ w, layer->rows, layer->cols, l }, gptq, e, (Draw){ 0 }));
        for (int64_t i = 0; i < n; i++) {
            const double gradient = fabs(g[0][i]) + fabs(g[1][i]), fisher = g[0][i] * g[0][i] + g[1][i] * g[1][i], change = fabs((double)q[i] - w[i]), size = fabs((double)w[i]);
            at[i] = !strcmp(score, "tacq") ? gradient * change * size : !strcmp(score, "qal") ? gradient * change : !strcmp(score, "msg") ? gradient * size : fisher * change * change;
        }
        at += n;
        free(g[0]), free(g[1]), free(w), free(q);
    }
    doubles_close(&golden);
    return out;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* Every kept weight's score is at least, every other's at most, that of the K-th: within what float32 gradients are good for. */
static void check_golden(const char *name, const char *score, const char *ratio)
{
    Case c;
    case_open(&c, name);
    Options *options = options_of(perturbation_find("tacq"), "bits", "2", "score", score, "ratio", ratio, NULL);
    Options *gptq = options_of(perturbation_find("gptq"), "bits", "2", "group", "0", "clip", "mse", NULL);
    const int64_t n = mask_weights(c.tiny.model), k = mask_count(atof(ratio), n);
    int64_t count;
    unsigned char *kept = kept_weights(&count, &c, options);
    double *s = golden_scores(&c, name, score, gptq), *sorted = xmalloc(sizeof *sorted * (size_t)n);
    memcpy(sorted, s, sizeof *s * (size_t)n);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    assert_int_equal(count, k);
    assert_true(k > 50);
    for (int64_t i = 0; i < n; i++) {
        if (kept[i] && !(s[i] >= sorted[k - 1] * (1 - 1e-4))) fail_msg("%s, %s: weight %ld of score %g is kept, the K-th is %g", name, score, (long)i, s[i], sorted[k - 1]);
        if (!kept[i] && !(s[i] <= sorted[k - 1] * (1 + 1e-4))) fail_msg("%s, %s: weight %ld of score %g is not kept, the K-th is %g", name, score, (long)i, s[i], sorted[k - 1]);
    }
    free(kept), free(s), free(sorted);
    options_free(options), options_free(gptq);
    case_close(&c);
}

static void masks_of_golden_gradients(void **state)
{
    (void)state;
    static const char *const score[] = { "tacq", "qal", "msg", "fisher" };
    for (int s = 0; s < 4; s++) {
        check_golden("llama-mha-untied", score[s], "0.0035");
        check_golden("qwen3-qknorm", score[s], "0.05");
    }
}

static void counts(void **state)
{
    (void)state;
    assert_int_equal(mask_count(0, 1000), 0);
    assert_int_equal(mask_count(0.0035, 1000), 3);
    assert_int_equal(mask_count(0.0035, 6979321856), 24427626);        /* Llama-3-8B */
    assert_int_equal(mask_count(1, 1000), 1000);
}

/* A mask is a part of every larger one of the same scores, and the same whatever was asked for before. */
static void shares_are_cut_from_one_ranking(void **state)
{
    (void)state;
    static const char *const ratio[] = { "0.004", "0.015", "0.001", "0.3", "0.002" };
    static const char *const score[] = { "tacq", "magnitude", "hessian", "random", "error", "gradient" };
    for (int s = 0; s < 6; s++) {
        Case c;
        case_open(&c, "llama3-gqa-tied");
        unsigned char *kept[5];
        int64_t count[5];
        const int64_t n = mask_weights(c.tiny.model);
        for (int i = 0; i < 5; i++) {
            Options *options = options_of(perturbation_find("tacq"), "score", score[s], "ratio", ratio[i], NULL);
            kept[i] = kept_weights(&count[i], &c, options);
            assert_int_equal(count[i], mask_count(atof(ratio[i]), n));
            Case fresh;
            case_open(&fresh, "llama3-gqa-tied");
            int64_t alone;
            unsigned char *again = kept_weights(&alone, &fresh, options);
            assert_int_equal(alone, count[i]);
            assert_memory_equal(again, kept[i], (size_t)n);
            free(again);
            case_close(&fresh);
            options_free(options);
        }
        for (int a = 0; a < 5; a++)
            for (int b = 0; b < 5; b++)
                for (int64_t i = 0; count[a] < count[b] && i < n; i++) assert_true(kept[b][i] >= kept[a][i]);
        for (int i = 0; i < 5; i++) free(kept[i]);
        case_close(&c);
    }
}

/* The model in a folder, with one gain of a block's first norm 0: its q, k and v never see that input. */
static void write_deaf_model(const char *folder, const char *name, const char *gain, int input)
{
    static const char *const files[] = { "config.json", "model.safetensors" };
    for (int i = 0; i < 2; i++) {
        char *from = xformat("core/tests/golden/tiny/%s/%s", name, files[i]), *to = xformat("%s/%s", folder, files[i]);
        Bytes bytes = bytes_read(from);
        if (i == 1) {
            uint64_t header;
            memcpy(&header, bytes.data, sizeof header);
            json_t *root = json_loadb((const char *)bytes.data + sizeof header, header, 0, NULL), *offsets = json_object_get(json_object_get(root, gain), "data_offsets");
            assert_non_null(offsets);
            memset(bytes.data + sizeof header + header + json_integer_value(json_array_get(offsets, 0)) + 4 * input, 0, 4);
            json_decref(root);
        }
        bytes_write(&bytes, to);
        bytes_free(&bytes);
        free(from), free(to);
    }
}

/* Weights of an input that is always 0 cost nothing, whatever their size: no bits for them. */
static void inputs_that_were_never_there_keep_nothing(void **state)
{
    (void)state;
    enum { INPUT = 7 };
    char *folder = folder_make();
    write_deaf_model(folder, "llama-mha-untied", "model.layers.0.input_layernorm.weight", INPUT);
    Case c = { .tiny = tiny_open("llama-mha-untied") };
    tiny_corpus(&c.corpus, &c.tiny, WHOLE);
    model_close(&c.tiny.model);
    WORKS(model_open(&c.tiny.model, folder));
    WORKS(evidence_open(&c.source, c.tiny.model, &c.corpus, kernels_cpu(), &(EvidencePlan){ .expected = NEEDS_INPUTS }));
    Options *options = options_of(perturbation_find("tacq"), "score", "hessian", "ratio", "0.3", NULL);
    int64_t count, of_input = 0;
    unsigned char *kept = kept_weights(&count, &c, options);
    const unsigned char *at = kept;
    for (int l = 0; l < model_layer_count(c.tiny.model); l++) {
        const Layer *layer = model_layer(c.tiny.model, l);
        const bool deaf = layer->block == 0 && (layer->type == WEIGHT_Q || layer->type == WEIGHT_K || layer->type == WEIGHT_V);
        for (int64_t r = 0; deaf && r < layer->rows; r++) of_input += at[r * layer->cols + INPUT];
        at += layer->rows * layer->cols;
    }
    assert_int_equal(count, mask_count(.3, mask_weights(c.tiny.model)));
    assert_int_equal(of_input, 0);
    free(kept);
    options_free(options);
    case_close(&c);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(1, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_of_golden_gradients),
        cmocka_unit_test(counts),
        cmocka_unit_test(shares_are_cut_from_one_ranking),
        cmocka_unit_test(inputs_that_were_never_there_keep_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
