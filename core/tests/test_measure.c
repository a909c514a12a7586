/* KL and delta-NLL of stated perturbations against float64 references; failures in the middle of a pass. */
#include "core/tests/tiny_study.h"

#include "core/measure/compare.h"
#include "core/measure/gradients.h"
#include "core/model/safetensors.h"
#include "core/tests/model_files.h"

/* ---- a perturbation made for the tests: W' = float32(W + s E), E given ---- */

static const Option added_options[] = { { "s", OPTION_NUMBER, false, NULL, -10, 10, NULL, "", "multiple of E" }, { 0 } };
static const float *added_error[64];        /* by layer */

static int added_apply(float *out, const LayerWeights *layer, const Options *options, Draw draw)
{
    (void)draw;
    const float *error = added_error[layer->layer];
    double s = options_number(options, "s");
    for (int64_t i = 0; i < layer->rows * layer->cols; i++) out[i] = (float)(layer->w[i] + s * (double)error[i]);
    return OK;
}

static const Perturbation added = { .name = "added", .summary = "", .version = 1, .options = added_options, .apply = added_apply };

static char *golden_layer_name(const Layer *layer)
{
    static const char *const name[LAYER_TYPES] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                                   "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };
    return xformat("layers.%d.%s", layer->block, name[layer->type]);
}

static void read_errors(const Model *model, const char *name)
{
    char path[256];
    Safetensors files = { 0 };
    snprintf(path, sizeof path, "core/tests/golden/tiny/%s/error.safetensors", name);
    WORKS(safetensors_open(&files, path));
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *layer = model_layer(model, l);
        char *key = golden_layer_name(layer);
        const Tensor *tensor = tensor_set_find(&files.tensors, key);
        assert_true(tensor && tensor->dtype == DTYPE_F32 && tensor->shape[0] == layer->rows && tensor->shape[1] == layer->cols);
        float *error = xmalloc(tensor->n_bytes);
        memcpy(error, tensor->data, tensor->n_bytes);
        added_error[l] = error;
        free(key);
    }
    safetensors_close(&files);
}

static void free_errors(void)
{
    for (int l = 0; l < 64; l++) {
        free((void *)(uintptr_t)added_error[l]);
        added_error[l] = NULL;
    }
}

/* ---- against the references ---- */

static double kl_tolerance(double t2, bool all)
{
    static const double level[] = { 1e-8, 1e-4, 1e-2, 0.1, 1 }, one[] = { 2e-2, 3e-4, 3e-5, 1e-5, 1e-5 }, joint[] = { 2e-3, 6e-5, 1e-5, 1e-5, 1e-5 };
    for (int i = 0; i < 5; i++)
        if (fabs(t2 / level[i] - 1) < 0.01) return all ? joint[i] : one[i];
    fail_msg("no tolerance for t^2 = %g", t2);
    return 0;
}

/* The layers that a reference names: one, or "*" all of them. */
static int golden_map(MapEntry *entry, const Model *model, const char *matrix, const Options *options)
{
    int n = 0;
    for (int l = 0; l < model_layer_count(model); l++) {
        char *name = golden_layer_name(model_layer(model, l));
        if (!strcmp(matrix, "*") || !strcmp(matrix, name)) entry[n++] = (MapEntry){ l, &added, options };
        free(name);
    }
    return n;
}

static void check_level(Study *study, const double *clean, const json_t *level, const char *matrix, const char *name)
{
    Options *options = options_new(added_options);
    char s[32];
    snprintf(s, sizeof s, "%.17g", number(level, "s"));
    WORKS(options_set(options, "s", s, "test"));
    MapEntry entry[64];
    LayerMap map = { .entry = entry, .n = golden_map(entry, study_model(study), matrix, options) };
    assert_true(map.n > 0);
    Measurement m = measured(study, &map);
    const json_t *kl = json_object_get(level, "kl_mean"), *delta = json_object_get(level, "delta_nll_mean"), *t2 = json_object_get(level, "t2");
    for (int i = 0; i < map.n; i++) {           /* a list for "*" is in the file's order: not ours, so its range is what is checked */
        double want = json_is_array(t2) ? element(t2, 0) : json_number_value(t2);
        NEAR(m.t2[i], want, (map.n > 1 ? 1e-4 : 1e-7) * want, "%s, %s, t^2", name, matrix);
    }
    for (int k = 0; k < 2; k++) {
        double want = element(kl, (size_t)k);
        NEAR(m.kl[k], want, kl_tolerance(m.t2[0], map.n > 1) * want, "%s, %s, s = %s, KL of sequence %d", name, matrix, s, k);
        NEAR(m.nll[k] - clean[k], element(delta, (size_t)k), 5e-6, "%s, %s, s = %s, delta of sequence %d", name, matrix, s, k);
    }
    measurement_free(&m);
    options_free(options);
}

static void check_perturbations(const char *name, const char *back_end)
{
    Tiny tiny = tiny_open(name);
    Corpus corpus;
    read_errors(tiny.model, name);
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_of(tiny.model, &corpus, back_end);
    Measurement clean;
    WORKS(study_clean(&clean, study));
    size_t i, j, levels = 0;
    const json_t *perturbation, *level;
    json_array_foreach(json_object_get(tiny.json, "perturbations"), i, perturbation)
        json_array_foreach(json_object_get(perturbation, "levels"), j, level) {
            check_level(study, clean.nll, level, json_string_value(json_object_get(perturbation, "matrix")), name);
            levels++;
        }
    assert_int_equal(levels, 15 * 5);
    measurement_free(&clean);
    study_close(&study);
    corpus_free(&corpus);
    free_errors();
    tiny_close(&tiny);
}

static void perturbations_on_ref(void **state)
{
    (void)state;
    check_perturbations("llama-mha-untied", "ref");
    check_perturbations("qwen2-bias-tied", "ref");
}

static void perturbations_on_cpu(void **state)
{
    (void)state;
    check_perturbations("llama-mha-untied", "cpu");
    check_perturbations("qwen2-bias-tied", "cpu");
}

static void perturbations_on_cuda(void **state)
{
    (void)state;
    check_perturbations("qwen2-bias-tied", "cuda");
}

/* ---- identities ---- */

/* W' = W: by s = 0 as shared weights, and by noise of t^2 = 0 as each window's own. */
static void nothing_changed_is_exactly_zero(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int b = 0; b < BACK_ENDS; b++) {
            TinyStudy t;
            tiny_study_open(&t, tiny_names[i], 24, back_ends[b]);
            const Perturbation *gaussian = perturbation_find("gaussian");
            Options *none = options_of(gaussian, "t2", "0", NULL), *shared = options_of(gaussian, "t2", "0", "fresh", "shared", NULL);
            MapEntry entry[64];
            LayerMap map = { .entry = entry, .n = model_layer_count(t.model) };
            for (int l = 0; l < map.n; l++) entry[l] = (MapEntry){ l, gaussian, l % 2 ? shared : none };
            Measurement clean, same = measured(t.study, &map);
            WORKS(study_clean(&clean, t.study));
            for (int w = 0; w < t.corpus.n_windows; w++) {
                assert_true(same.kl[w] == 0 && same.nll[w] == clean.nll[w] && same.same_top[w] == 1);
                assert_true(isnan(clean.kl[w]));
            }
            for (int l = 0; l < map.n; l++) assert_true(same.t2[l] == 0);
            measurement_free(&clean);
            measurement_free(&same);
            options_free(none);
            options_free(shared);
            tiny_study_close(&t);
        }
}

static void two_models_and_one_twice(void **state)
{
    (void)state;
    for (int b = 0; b < BACK_ENDS; b++) {
        Tiny narrow = tiny_open("llama-mha-untied"), wide = tiny_open("llama3-gqa-tied");       /* 48 and 64 wide */
        const Kernels *k = kernels_find(back_ends[b]);
        Corpus corpus;
        tiny_corpus(&corpus, &narrow, 24);
        Comparison both, back, alone, self;
        WORKS(compare_models(&both, narrow.model, wide.model, &corpus, k, (int64_t)1 << 30, NULL, NULL));
        WORKS(compare_models(&back, wide.model, narrow.model, &corpus, k, (int64_t)1 << 30, NULL, NULL));
        WORKS(compare_models(&alone, wide.model, NULL, &corpus, k, (int64_t)1 << 30, NULL, NULL));
        WORKS(compare_models(&self, wide.model, wide.model, &corpus, k, (int64_t)1 << 30, NULL, NULL));
        for (int w = 0; w < corpus.n_windows; w++) {
            assert_true(both.other_nll[w] == alone.nll[w] && both.nll[w] == back.other_nll[w] && both.same_top[w] == back.same_top[w]);
            assert_true(self.kl[w] == 0 && self.other_nll[w] == self.nll[w] && self.same_top[w] == 1);
            assert_true(both.kl[w] > 0.1 && back.kl[w] > 0.1);
        }
        Comparison *const all[] = { &both, &back, &alone, &self };
        for (int i = 0; i < 4; i++) comparison_free(all[i]);
        corpus_free(&corpus);
        tiny_close(&narrow);
        tiny_close(&wide);
    }
}

/* ---- failures on the way ---- */

static int refusing_per_window(const Options *options) { (void)options; return 1; }

static int refusing_apply(float *out, const LayerWeights *layer, const Options *options, Draw draw)
{
    (void)options;
    if (draw.sequence == 1) FAIL(ERR_ARGUMENT, "refused");
    memcpy(out, layer->w, sizeof *out * (size_t)(layer->rows * layer->cols));
    return OK;
}

static int damaging_apply(float *out, const LayerWeights *layer, const Options *options, Draw draw)
{
    TRY(added_apply(out, layer, options, draw));
    out[3] = NAN;
    return OK;
}

static void failures_leave_the_study_usable(void **state)
{
    (void)state;
    static const Option no_options[] = { { 0 } };
    const Perturbation refusing = { .name = "refusing", .summary = "", .version = 1, .options = no_options, .per_sequence = refusing_per_window, .apply = refusing_apply };
    const Perturbation damaging = { .name = "damaging", .summary = "", .version = 1, .options = added_options, .apply = damaging_apply };
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    read_errors(tiny.model, "llama-mha-untied");
    tiny_corpus(&corpus, &tiny, WHOLE);
    Options *none = options_new(no_options), *tenth = options_of(&added, "s", "0.1", NULL), *huge = options_of(perturbation_find("gaussian"), "t2", "1000000", NULL);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    MapEntry good = { 9, &added, tenth }, refused = { 9, &refusing, none }, damaged = { 9, &damaging, tenth }, enormous = { 9, perturbation_find("gaussian"), huge };
    Measurement before = measured(study, &(LayerMap){ .n = 1, .entry = &good }), m = { .n_windows = -7 };
    assert_int_equal(measure(&m, study, &(LayerMap){ .n = 1, .entry = &refused, .label = "probe" }), ERR_ARGUMENT);
    assert_string_equal(err_last(), "probe: blocks.1.v: refused");
    assert_int_equal(measure(&m, study, &(LayerMap){ .n = 1, .entry = &damaged }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "blocks.1.v: damaging"));
    assert_int_equal(m.n_windows, -7);
    m = measured(study, &(LayerMap){ .n = 1, .entry = &enormous });
    for (int w = 0; w < 2; w++) assert_true(isfinite(m.kl[w]) && m.kl[w] > 1);
    measurement_free(&m);
    Measurement after = measured(study, &(LayerMap){ .n = 1, .entry = &good });
    assert_same(&before, &after, "after failures");
    assert_int_equal(study_executed(study), 3);
    measurement_free(&before);
    measurement_free(&after);
    options_free(none);
    options_free(tenth);
    options_free(huge);
    study_close(&study);
    corpus_free(&corpus);
    free_errors();
    tiny_close(&tiny);
}

/* A model whose last value of one tensor is NaN. */
static Model *damaged_model(const Model *model, const char *folder, WeightKind kind, int block)
{
    GgufWriter writer = { 0 };
    gguf_put_shape(&writer, model_shape(model), "llama", 1e4);
    for (int b = 0; b < model_shape(model)->n_blocks; b++)
        for (WeightKind k = WEIGHT_Q; k < WEIGHT_COUNT; k++) {
            if (b > 0 && k >= WEIGHT_EMBEDDING) continue;
            gguf_put_weight(&writer, model, k, b, true);
            float nan = NAN;
            if (k == kind && b == block) memcpy(writer.data.data + writer.data.n - sizeof nan, &nan, sizeof nan);
        }
    Bytes file = gguf_finish(&writer, 3);
    char *path = xformat("%s/damaged.gguf", folder);
    bytes_write(&file, path);
    bytes_free(&file);
    Model *damaged = NULL;
    WORKS(model_open(&damaged, path));
    free(path);
    return damaged;
}

/* Met when the network is opened, or in the middle of the pass where weights are converted block by block. */
static void weights_that_are_not_finite(void **state)
{
    (void)state;
    static const struct { WeightKind kind; int block; const char *name; } place[] = {
        { WEIGHT_V, 1, "blk.1.attn_v.weight" }, { WEIGHT_DOWN, 0, "blk.0.ffn_down.weight" }, { WEIGHT_FINAL_NORM, 0, "output_norm.weight" },
        { WEIGHT_EMBEDDING, 0, "token_embd.weight" } };
    Tiny tiny = tiny_open("llama-mha-untied");
    int32_t ids[6] = { 1, 96, 5, 96, 0, 3 };
    Corpus corpus;
    WORKS(corpus_from_ids(&corpus, ids, 2, 3, "random", -1));
    for (int i = 0; i < 4; i++)
        for (int resident = 0; resident < 2; resident++) {
            char *folder = folder_make();
            Model *damaged = damaged_model(tiny.model, folder, place[i].kind, place[i].block);
            StudyPlan plan = { .network = { .resident = resident }, .keep_logits = resident, .boundary_stride = 1 };
            Study *study;
            WORKS(study_open(&study, damaged, &corpus, kernels_cpu(), &plan, 1, NULL));
            for (int attempt = 0; attempt < 2; attempt++) {
                Measurement m;
                assert_int_equal(study_clean(&m, study), ERR_FORMAT);
                assert_non_null(strstr(err_last(), place[i].name));
            }
            Comparison c;
            assert_int_equal(compare_models(&c, tiny.model, damaged, &corpus, kernels_cpu(), (int64_t)1 << 30, NULL, NULL), ERR_FORMAT);
            study_close(&study);
            model_close(&damaged);
            folder_remove(folder);
        }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* Seed and draw are part of a key where they change W^, and only there. */
static void seeds_in_keys(void **state)
{
    (void)state;
    static const struct { const char *name, *option, *value; bool random; } cases[] = {
        { "gaussian", "t2", "0.01", true }, { "rtn", "bits", "4", false }, { "higgs", "signs", "no", false }, { "higgs", "signs", "yes", true },
        { "ch8", "signs", "no", false }, { "ch8", "signs", "yes", true } };
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    StudyPlan plan;
    WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, kernels_cpu(), (int64_t)1 << 34));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Perturbation *perturbation = perturbation_find(cases[i].name);
        Options *options = options_of(perturbation, cases[i].option, cases[i].value, NULL);
        const MapEntry entry = { 1, perturbation, options };
        char key[3][HASH_TEXT], gradient[3][HASH_TEXT];
        for (int k = 0; k < 3; k++) {               /* a seed and a draw, another seed, another draw */
            const LayerMap map = { .n = 1, .entry = &entry, .draw = k == 2 };
            const ErrorForm error = { "e", perturbation, options, k == 2 };
            const GradientRequest request = { .probe = PROBE_LABELS, .group = 64, .n_layers = 1, .layer = &entry.layer, .n_errors = 1, .error = &error };
            Study *study;
            WORKS(study_open(&study, tiny.model, &corpus, kernels_cpu(), &plan, k == 1 ? 2 : 1, NULL));
            WORKS(measure_key(key[k], NULL, study, &map));
            WORKS(gradients_key(gradient[k], study, &request));
            study_close(&study);
        }
        for (int k = 1; k < 3; k++) {
            assert_int_equal(strcmp(key[0], key[k]) != 0, cases[i].random);
            assert_int_equal(strcmp(gradient[0], gradient[k]) != 0, cases[i].random);
        }
        options_free(options);
    }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perturbations_on_ref),
        cmocka_unit_test(perturbations_on_cpu),
        cmocka_unit_test(perturbations_on_cuda),
        cmocka_unit_test(nothing_changed_is_exactly_zero),
        cmocka_unit_test(two_models_and_one_twice),
        cmocka_unit_test(failures_leave_the_study_usable),
        cmocka_unit_test(weights_that_are_not_finite),
        cmocka_unit_test(seeds_in_keys),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
