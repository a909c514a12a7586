/* The backward pass against float64 references, and against itself: both plans, any batch, any number of threads, the same bits. */
#include "core/tests/golden_gradients.h"

#include "core/measure/gradients.h"

static Study *study_with(const Model *model, const Corpus *corpus, const char *back_end, bool keep, int64_t rows)
{
    Study *study;
    StudyPlan plan;
    WORKS(study_plan(&plan, model_shape(model), corpus, kernels_find(back_end), (int64_t)1 << 34));
    plan.backward = (BackwardPlan){ keep, rows };
    plan.network.resident = keep;
    WORKS(study_open(&study, model, corpus, kernels_find(back_end), &plan, 1, NULL));
    return study;
}

static GradientRequest request_of(const Model *model, int *layer, Probe probe)
{
    for (int l = 0; l < model_layer_count(model); l++) layer[l] = l;
    return (GradientRequest){ .probe = probe, .group = 16, .n_layers = model_layer_count(model), .layer = layer, .label = "test" };
}

/* golden: gradient of the mean NLL; g: of the sum. */
static void check_matrix(const float *g, const float *w, const Layer *layer, const json_t *golden, double tokens, const char *name)
{
    double squares = 0, dot = 0, norm = number(golden, "norm"), size = 0;
    const int64_t n = layer->rows * layer->cols;
    for (int64_t i = 0; i < n; i++) squares += (double)g[i] * g[i], dot += (double)g[i] * w[i], size += (double)w[i] * w[i];
    NEAR(sqrt(squares) / tokens, norm, 1e-5 * norm, "%s %s, norm", name, layer->name);
    NEAR(dot / tokens, number(golden, "dot_W"), 1e-5 * norm * sqrt(size), "%s %s, dot with W", name, layer->name);
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(golden, "entries"), i, entry) {
        int64_t at = (int64_t)number(entry, "row") * layer->cols + (int64_t)number(entry, "col");
        NEAR(g[at] / tokens, number(entry, "value"), 2e-5 * norm, "%s %s, entry %d", name, layer->name, (int)i);
    }
}

static void check_whole(const Doubles *all, const float *g, const Layer *layer, int sequence, double tokens)
{
    char key[128];
    snprintf(key, sizeof key, "seq%d.layers.%d.%s", sequence, layer->block, golden_type[layer->type]);
    const int64_t n = layer->rows * layer->cols;
    double *want = doubles_read(all, key, n), difference = 0, size = 0;
    for (int64_t i = 0; i < n; i++) difference += pow(g[i] / tokens - want[i], 2), size += want[i] * want[i];
    NEAR(sqrt(difference / size), 0, 2e-5, "%s", key);
    free(want);
}

static void check_gradients(const char *name, const char *back_end, bool keep)
{
    Tiny tiny = tiny_open(name);
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    bool whole = !strcmp(name, "llama-mha-untied") || !strcmp(name, "qwen3-qknorm");
    Doubles all = { 0 };
    if (whole) all = doubles_open(name);
    Study *study = study_with(tiny.model, &corpus, back_end, keep, keep ? 0 : 512);
    int layers[64];
    GradientRequest request = request_of(tiny.model, layers, PROBE_LABELS);
    for (int l = 0; l < model_layer_count(tiny.model); l++) {
        const Layer *layer = model_layer(tiny.model, l);
        float *g = xmalloc(sizeof *g * (size_t)(layer->rows * layer->cols)), *w = xmalloc(sizeof *w * (size_t)(layer->rows * layer->cols));
        char key[128];
        snprintf(key, sizeof key, "layers.%d.%s", layer->block, golden_type[layer->type]);
        WORKS(model_read(w, tiny.model, layer->type, layer->block, 0, layer->rows));
        for (int k = 0; k < 2; k++) {
            WORKS(measure_gradient(g, study, &request, k, l));
            const json_t *golden = json_object_get(json_array_get(json_object_get(tiny.json, "gradients"), (size_t)k), key);
            assert_non_null(golden);
            check_matrix(g, w, layer, golden, (double)corpus.tokens[k], name);
            if (whole) check_whole(&all, g, layer, k, (double)corpus.tokens[k]);
        }
        free(g);
        free(w);
    }
    if (whole) doubles_close(&all);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void gradients_equal_float64(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int b = 0; b < BACK_ENDS; b++)
            for (int keep = 0; keep < 2; keep++) check_gradients(tiny_names[i], back_ends[b], keep);
}

/* Windows of several segments, one of them a single position; fresh noise in every window. */
static Measurement forms_of(const Model *model, const Corpus *corpus, const char *back_end, bool keep, int64_t rows, bool perturbed)
{
    int layers[64];
    Study *study = study_with(model, corpus, back_end, keep, rows);
    const Perturbation *gaussian = perturbation_find("gaussian"), *rtn = perturbation_find("rtn");
    Options *noise = options_of(gaussian, "t2", "0.01", "group", "16", NULL), *round = options_of(rtn, "bits", "4", "group", "16", NULL);
    MapEntry entry[64];
    for (int l = 0; l < model_layer_count(model); l++) entry[l] = l % 2 ? (MapEntry){ l, rtn, round } : (MapEntry){ l, gaussian, noise };
    LayerMap point = { .n = model_layer_count(model), .entry = entry };
    ErrorForm error[] = { { "rtn", rtn, round, 0 }, { "noise", gaussian, noise, 3 } };
    GradientRequest request = request_of(model, layers, perturbed ? PROBE_KL : PROBE_SIGNS);
    if (perturbed) request.point = &point;
    else request.n_errors = 2, request.error = error;
    Measurement m;
    WORKS(measure_gradients(&m, study, &request, corpus->n_windows, NULL, NULL));
    options_free(noise);
    options_free(round);
    study_close(&study);
    return m;
}

static void assert_same_forms(const Measurement *a, const Measurement *b, const char *what)
{
    assert_int_equal(a->n_forms, b->n_forms);
    const size_t n = (size_t)a->n_forms * (size_t)a->n_layers * (size_t)a->n_windows;
    for (size_t i = 0; i < n; i++)
        if (a->form[i] != b->form[i]) fail_msg("%s: form %zu is %.17g and %.17g", what, i, a->form[i], b->form[i]);
    assert_memory_equal(a->nll, b->nll, sizeof(double) * (size_t)a->n_windows);
    assert_memory_equal(a->kl, b->kl, sizeof(double) * (size_t)a->n_windows);
}

static void plans_and_threads_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const names[] = { "qwen3-qknorm", "qwen2-bias-tied", "llama-sharded" };
    for (int i = 0; i < 3; i++)
        for (int perturbed = 0; perturbed < 2; perturbed++) {
            Tiny tiny = tiny_open(names[i]);
            Corpus corpus;
            tiny_corpus(&corpus, &tiny, i == 2 ? WHOLE : 19);
            kernels_set_threads(1);
            Measurement one = forms_of(tiny.model, &corpus, "cpu", true, 0, perturbed);
            for (int threads = 1; threads <= 3; threads++)
                for (int keep = 0; keep < 2; keep++)
                    for (int64_t rows = 0; rows <= 200; rows += 50) {
                        kernels_set_threads(threads);
                        Measurement other = forms_of(tiny.model, &corpus, "cpu", keep, rows, perturbed);
                        assert_same_forms(&one, &other, names[i]);
                        measurement_free(&other);
                    }
            kernels_set_threads(1);
            measurement_free(&one);
            corpus_free(&corpus);
            tiny_close(&tiny);
        }
}

static void back_ends_agree(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int perturbed = 0; perturbed < 2; perturbed++) {
            Tiny tiny = tiny_open(tiny_names[i]);
            Corpus corpus;
            tiny_corpus(&corpus, &tiny, 24);
            Measurement ref = forms_of(tiny.model, &corpus, "ref", true, 0, perturbed), cpu = forms_of(tiny.model, &corpus, "cpu", false, 100, perturbed);
            Measurement cuda = forms_of(tiny.model, &corpus, "cuda", true, 100, perturbed);
            const int64_t block = (int64_t)ref.n_layers * ref.n_windows;
            for (int f = 0; f < ref.n_forms; f++) {
                double scale = 0;
                for (int64_t j = 0; j < block; j++) scale = fmax(scale, fabs(ref.form[f * block + j]));
                for (int64_t j = 0; j < block; j++)
                    NEAR(cpu.form[f * block + j], ref.form[f * block + j], 2e-5 * scale, "%s, form %s, %d", tiny_names[i], ref.form_name[f], (int)j);
                for (int64_t j = 0; j < block; j++)
                    NEAR(cuda.form[f * block + j], ref.form[f * block + j], 2e-5 * scale, "%s, cuda, form %s, %d", tiny_names[i], ref.form_name[f], (int)j);
            }
            measurement_free(&ref);
            measurement_free(&cpu);
            measurement_free(&cuda);
            corpus_free(&corpus);
            tiny_close(&tiny);
        }
}

/* Blocks below the lowest layer asked for are left out, which changes nothing above. */
static void layers_left_out(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_with(tiny.model, &corpus, "cpu", true, 512);
    int layers[64], n = model_layer_count(tiny.model);
    GradientRequest request = request_of(tiny.model, layers, PROBE_SIGNS);
    Measurement all, some;
    WORKS(measure_gradients(&all, study, &request, 2, NULL, NULL));
    request.layer = layers + LAYER_TYPES + 2;
    request.n_layers = n - LAYER_TYPES - 2;
    WORKS(measure_gradients(&some, study, &request, 2, NULL, NULL));
    for (int f = 0; f < all.n_forms; f++)
        for (int i = 0; i < some.n_layers; i++)
            for (int w = 0; w < 2; w++)
                assert_true(some.form[(f * some.n_layers + i) * 2 + w] == all.form[(f * n + LAYER_TYPES + 2 + i) * 2 + w]);
    measurement_free(&all);
    measurement_free(&some);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* Segments one at a time, or all at once: sums over a window, and over all of them. */
static void matrices_add_up(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    int layers[64], down = WEIGHT_DOWN;
    tiny_corpus(&corpus, &tiny, 16);
    const Layer *layer = model_layer(tiny.model, down);
    const size_t R = (size_t)layer->rows, C = (size_t)layer->cols;
    float *matrix[2][3];
    for (int i = 0; i < 2; i++) {
        Study *study = study_with(tiny.model, &corpus, "cpu", true, i ? 512 : 0);
        GradientRequest request = request_of(tiny.model, layers, PROBE_SIGNS);
        const size_t size[] = { R * C, C * C, R * R };
        for (int j = 0; j < 3; j++) matrix[i][j] = xmalloc(sizeof(float) * size[j]);
        WORKS(measure_gradient(matrix[i][0], study, &request, 1, down));
        kronecker_of(matrix[i][1], matrix[i][2], study, &request, down);
        study_close(&study);
    }
    for (size_t k = 0; k < R * C; k++) NEAR(matrix[0][0][k], matrix[1][0][k], 1e-5, "gradient");
    for (size_t k = 0; k < C * C; k++) NEAR(matrix[0][1][k], matrix[1][1][k], 1e-5, "input moment");
    for (size_t k = 0; k < R * R; k++) NEAR(matrix[0][2][k], matrix[1][2][k], 1e-5, "gradient moment");
    for (int i = 0; i < 6; i++) free(matrix[i / 3][i % 3]);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_float64),
        cmocka_unit_test(plans_and_threads_give_the_same_bits),
        cmocka_unit_test(back_ends_agree),
        cmocka_unit_test(layers_left_out),
        cmocka_unit_test(matrices_add_up),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
