/* Forms of gradients against exact Fisher traces (enumerated independently), and against losses that are measured. */
#include "core/tests/tiny_study.h"

#include "core/base/rng.h"
#include "core/measure/gradients.h"
#include "core/measure/replacement.h"

static const char *const golden_type[LAYER_TYPES] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                                      "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };

enum { FISHER_TOKENS = 11 };
static const double LARGEST_Z = 4.5;

/* The golden sequence of the Fisher traces, `copies` windows of it: each has a probe of its own. */
static void fisher_corpus(Corpus *out, const Tiny *tiny, int copies)
{
    Cut cut = { 0 };
    int n;
    int32_t *ids = golden_ids(json_object_get(json_object_get(tiny->json, "fisher"), "ids"), &n);
    assert_int_equal(n, FISHER_TOKENS + 1);
    for (int w = 0; w < copies; w++) cut_document(&cut, w, ids, n, WHOLE);
    cut_finish(out, &cut, "fisher", WHOLE, false, -1);
    free(ids);
}

static GradientRequest request_of(const Model *model, int *layer, Probe probe)
{
    for (int l = 0; l < model_layer_count(model); l++) layer[l] = l;
    return (GradientRequest){ .probe = probe, .group = 16, .n_layers = model_layer_count(model), .layer = layer, .label = "test" };
}

/* How far the mean of n numbers is from its expectation, in its standard errors. */
static double z_score(const double *x, int n, double expected)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) mean += x[i] / n;
    for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return (mean - expected) / sqrt(squares / (n - 1) / n);
}

static double exact(const Tiny *tiny, const Layer *layer, const char *what)
{
    char key[128];
    snprintf(key, sizeof key, "layers.%d.%s", layer->block, golden_type[layer->type]);
    const json_t *matrix = json_object_get(json_object_get(json_object_get(tiny->json, "fisher"), "matrices"), key);
    assert_non_null(matrix);
    return number(matrix, what) / (2 * FISHER_TOKENS);
}

static void check_traces(const char *name, Probe probe, int seeds)
{
    Tiny tiny = tiny_open(name);
    Corpus corpus;
    int layers[64];
    fisher_corpus(&corpus, &tiny, seeds);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    GradientRequest request = request_of(tiny.model, layers, probe);
    Measurement m;
    WORKS(measure_gradients(&m, study, &request, seeds, NULL, NULL));
    static const struct { const char *form, *golden; } pair[] = { { "sigma", "mean_w2_trF" }, { "group", "group_scaled" }, { "rho", "rho" } };
    for (int l = 0; l < m.n_layers; l++)
        for (int f = 0; f < 3; f++) {
            double z = z_score(measurement_form(&m, pair[f].form) + (int64_t)l * seeds, seeds, exact(&tiny, model_layer(tiny.model, l), pair[f].golden));
            NEAR(z, 0, LARGEST_Z, "%s, %s, %s of %s, z", name, probe_name[probe], pair[f].form, model_layer(tiny.model, l)->name);
        }
    measurement_free(&m);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void probes_are_unbiased(void **state)
{
    (void)state;
    check_traces("llama-mha-untied", PROBE_SIGNS, 4096);
    check_traces("llama-v8", PROBE_SIGNS, 4096);
    check_traces("llama-mha-untied", PROBE_SAMPLED, 2048);
    check_traces("llama-v8", PROBE_SAMPLED, 4096);
}

/* ---- the shortcut that is often taken: squares of single positions, sum_s ||dy_s||^2 ||x_s||^2 ---- */

typedef struct { const Study *study; const Kernels *kernels; uint64_t seed; const Corpus *corpus; double *shortcut; int windows; const Layout *layout; int V; } Shortcut;

static int shortcut_loss(void *context, float *logits, int s, int first, int n)
{
    const Shortcut *c = context;
    const Segment *segment = &c->corpus->segment[s];
    double log_sum[FISHER_TOKENS], target_logit[FISHER_TOKENS], product[FISHER_TOKENS];
    int32_t top[FISHER_TOKENS];
    uint32_t sign[FISHER_TOKENS * 8];
    const int words = (c->V + 31) / 32;
    assert_true(words <= 8 && first == 0 && n <= FISHER_TOKENS);
    rng_integers(sign, (int64_t)n * words, c->seed, rng_stream(RNG_PROBE, 0, 0, segment->window), 0);
    c->kernels->log_sum_exp_signed(log_sum, top, target_logit, product, logits, segment->targets, sign, n, c->V);
    c->kernels->logit_probe(logits, log_sum, product, sign, segment->targets, n, c->V);
    return OK;
}

static double row_square(const float *x, int64_t row, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[row * n + i] * x[row * n + i];
    return sum;
}

/* Rows of n numbers of a batch that begins at row 0. */
static float *on_host(const Kernels *k, const float *x, const Ragged *batch, int64_t n)
{
    const int64_t rows = batch->offset[batch->n - 1] + batch->length[batch->n - 1];
    float *host = xmalloc(sizeof *host * (size_t)(rows * n));
    k->download(host, x, rows * n);
    return host;
}

static int shortcut_layer(void *context, const LayerGradient *g)
{
    Shortcut *c = context;
    float *dy = on_host(c->kernels, g->dy, &g->batch, g->rows), *x = on_host(c->kernels, g->x, &g->batch, g->cols);
    for (int b = 0; b < g->batch.n; b++)
        for (int64_t r = g->batch.offset[b]; r < g->batch.offset[b] + g->batch.length[b]; r++)
            c->shortcut[(int64_t)g->layer * c->windows + c->layout->window[g->first_segment + b]] +=
                row_square(dy, r, g->rows) * row_square(x, r, g->cols);
    free(dy);
    free(x);
    return OK;
}

static double trace_of(const Tiny *tiny, const Layer *layer) { return exact(tiny, layer, "trF") * 2 * FISHER_TOKENS; }

/* Biased where attention mixes positions downstream: k and v, not the last block's gate, up and down. */
static void squares_of_positions_are_biased(void **state)
{
    (void)state;
    enum { SEEDS = 2048 };
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    Layout layout;
    fisher_corpus(&corpus, &tiny, SEEDS);
    layout_init(&layout, &corpus);
    int n = model_layer_count(tiny.model), failed = 0;
    Shortcut c = { .kernels = kernels_cpu(), .seed = 1, .corpus = &corpus, .windows = SEEDS, .layout = &layout, .V = model_shape(tiny.model)->vocabulary };
    c.shortcut = xcalloc((size_t)n * SEEDS, sizeof *c.shortcut);
    Network *net;
    NetworkPlan plan = { .resident = true, .chunk_rows = 512 };
    BackwardPlan backward = { true, 128 };
    WORKS(network_open(&net, tiny.model, c.kernels, &plan, corpus.longest));
    GradientVisitor visitor = { &c, 0, shortcut_loss, shortcut_layer };
    for (int s = 0; s < layout.n;) {
        int segments = backward_segments(&layout, s, &backward);
        WORKS(network_backward(net, &corpus, &layout, s, segments, &backward, NULL, &visitor));
        s += segments;
    }
    for (int l = 0; l < n; l++) {
        const Layer *layer = model_layer(tiny.model, l);
        double z = z_score(c.shortcut + (int64_t)l * SEEDS, SEEDS, trace_of(&tiny, layer));
        if (layer->type == WEIGHT_K || layer->type == WEIGHT_V) {
            if (!(fabs(z) <= LARGEST_Z)) failed++;
            else fail_msg("%s: the shortcut passes with z = %g", layer->name, z);
        }
        if (layer->block == model_shape(tiny.model)->n_blocks - 1 && layer->type >= WEIGHT_O) NEAR(z, 0, LARGEST_Z, "%s, z of the shortcut", layer->name);
    }
    assert_int_equal(failed, 2 * model_shape(tiny.model)->n_blocks);
    free(c.shortcut);
    network_close(&net);
    layout_free(&layout);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- slopes ---- */

static Measurement scaled_noise(Study *study, const char *t2, bool mirrored, double scale)
{
    const Perturbation *law = perturbation_find("gaussian");
    Options *options = options_of(law, "t2", t2, "group", "16", NULL);
    MapEntry entry[64];
    int n = model_layer_count(study_model(study));
    for (int l = 0; l < n; l++) entry[l] = (MapEntry){ l, law, options };
    LayerMap map = { .n = n, .entry = entry, .mirrored = mirrored, .scale = scale };
    Measurement m = measured(study, &map);
    options_free(options);
    return m;
}

static Measurement noise_measured(Study *study, const char *t2, bool mirrored) { return scaled_noise(study, t2, mirrored, 0); }

/* One noise at sizes (1 -+ h): d loss / d size at 1 is the sum over layers of <G, delta>. */
static void slopes_are_derivatives(void **state)
{
    (void)state;
    const double h = 1e-3, t2 = 0.01;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            TinyStudy t;
            tiny_study_open(&t, tiny_names[i], 24, "ref");
            int layers[64], n = model_layer_count(t.model);
            const Perturbation *law = perturbation_find("gaussian");
            Options *options = options_of(law, "t2", "0.01", "group", "16", NULL);
            MapEntry entry[64];
            for (int l = 0; l < n; l++) entry[l] = (MapEntry){ l, law, options };
            LayerMap point = { .n = n, .entry = entry, .mirrored = mirrored };
            char level[2][40];
            for (int s = 0; s < 2; s++) snprintf(level[s], sizeof level[s], "%.17g", t2 * pow(s ? 1 + h : 1 - h, 2));
            Measurement below = noise_measured(t.study, level[0], mirrored), above = noise_measured(t.study, level[1], mirrored);
            Measurement there = noise_measured(t.study, "0.01", mirrored);
            for (int kl = 0; kl < 2; kl++) {
                GradientRequest request = request_of(t.model, layers, kl ? PROBE_KL : PROBE_LABELS);
                request.point = &point;
                Measurement m;
                WORKS(measure_gradients(&m, t.study, &request, t.corpus.n_windows, NULL, NULL));
                for (int w = 0; w < t.corpus.n_windows; w++) {
                    double sum = 0, size = 0;
                    for (int l = 0; l < n; l++) sum += measurement_form(&m, "dot")[l * t.corpus.n_windows + w], size += fabs(measurement_form(&m, "dot")[l * t.corpus.n_windows + w]);
                    double want = kl ? (above.kl[w] - below.kl[w]) / (2 * h) : (above.nll[w] - below.nll[w]) / (2 * h);
                    NEAR(sum, want, 2e-3 * size, "%s, %s, window %d", tiny_names[i], kl ? "KL" : "NLL", w);
                    NEAR(m.nll[w], there.nll[w], 1e-12, "%s, NLL at the point", tiny_names[i]);
                    NEAR(m.kl[w], there.kl[w], 1e-12, "%s, KL at the point", tiny_names[i]);
                    for (int l = 0; l < n; l++) NEAR(measurement_form(&m, "t2")[l * t.corpus.n_windows + w], t2, 0.3 * t2, "t2");
                }
                for (int l = 0; l < n; l++) NEAR(m.t2[l], there.t2[l], 1e-12 * t2, "t2 of %s", m.layer_name[l]);
                measurement_free(&m);
            }
            measurement_free(&below);
            measurement_free(&above);
            measurement_free(&there);
            options_free(options);
            tiny_study_close(&t);
        }
}

/* Opposite errors: the mean of both delta-NLL has no first order in the error, their difference nothing else. */
static void mirrored_errors_are_opposite(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama-mha-untied", WHOLE, "ref");
    int layers[64], n = model_layer_count(t.model);
    Measurement clean, plus = noise_measured(t.study, "1e-6", false), minus = noise_measured(t.study, "1e-6", true);
    WORKS(study_clean(&clean, t.study));
    GradientRequest request = request_of(t.model, layers, PROBE_LABELS);
    Options *options = options_of(perturbation_find("gaussian"), "t2", "1e-6", "group", "16", NULL);
    ErrorForm error = { "noise", perturbation_find("gaussian"), options, 0 };
    request.n_errors = 1, request.error = &error;
    Measurement m;
    WORKS(measure_gradients(&m, t.study, &request, 2, NULL, NULL));
    for (int w = 0; w < 2; w++) {
        double dot = 0, square = 0, tokens = (double)t.corpus.tokens[w];
        for (int l = 0; l < n; l++) {
            double d = measurement_form(&m, "noise.dot")[l * 2 + w];
            dot += d;
            NEAR(measurement_form(&m, "noise.square")[l * 2 + w], d * d * tokens / 2, 1e-9 * d * d * tokens, "square of %s", m.layer_name[l]);
            NEAR(measurement_form(&m, "noise.t2")[l * 2 + w], 1e-6, 3e-7, "t2");
            square += d * d;
        }
        NEAR((plus.nll[w] - minus.nll[w]) / 2, dot, 2e-3 * sqrt(square), "window %d: first order", w);
        assert_true(fabs((plus.nll[w] + minus.nll[w]) / 2 - clean.nll[w]) < 0.1 * sqrt(square));
        NEAR(plus.t2[0], minus.t2[0], 1e-3 * plus.t2[0], "t2");
    }
    measurement_free(&m);
    measurement_free(&clean);
    measurement_free(&plus);
    measurement_free(&minus);
    options_free(options);
    tiny_study_close(&t);
}

/* ---- whole matrices ---- */

/* One position: G = dy x', so ||G||^2 = tr S_x tr S_delta and the Kronecker form of any error is exact. */
static void kronecker_factors_of_one_position(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    Cut cut = { 0 };
    const int32_t ids[] = { 5, 9 };
    cut_document(&cut, 0, ids, 2, WHOLE);
    cut_finish(&corpus, &cut, "pair", WHOLE, false, -1);
    for (int b = 0; b < BACK_ENDS; b++) {
        Study *study = study_of(tiny.model, &corpus, back_ends[b]);
        int layers[64];
        GradientRequest request = request_of(tiny.model, layers, PROBE_LABELS);
        for (int l = 0; l < model_layer_count(tiny.model); l++) {
            const Layer *layer = model_layer(tiny.model, l);
            const size_t R = (size_t)layer->rows, C = (size_t)layer->cols;
            float *g = xmalloc(sizeof *g * R * C), *sx = xmalloc(sizeof *sx * C * C), *sd = xmalloc(sizeof *sd * R * R);
            WORKS(measure_gradient(g, study, &request, 0, l));
            kronecker_of(sx, sd, study, &request, l);
            double squares = 0, trace_x = 0, trace_d = 0;
            for (size_t i = 0; i < R * C; i++) squares += (double)g[i] * g[i];
            for (size_t c = 0; c < C; c++) trace_x += sx[c * C + c];
            for (size_t r = 0; r < R; r++) trace_d += sd[r * R + r];
            NEAR(trace_x * trace_d, squares, 1e-5 * squares, "%s, %s", back_ends[b], layer->name);
            for (size_t r = 0; r < R; r++)
                for (size_t c = 0; c < C; c += 5) NEAR((double)sx[c * C + c] * sd[r * R + r], pow(g[r * C + c], 2), 1e-5 * squares, "%s: outer product", layer->name);
            free(g);
            free(sx);
            free(sd);
        }
        study_close(&study);
    }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* Half an error of t2 is an error of t2 / 4, under a key of its own; a scale of 1 changes nothing, not even the key. */
static void scaled_errors_are_smaller(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama-mha-untied", WHOLE, "ref");
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        Measurement whole = noise_measured(t.study, "0.04", mirrored), half = scaled_noise(t.study, "0.04", mirrored, 0.5);
        Measurement quarter = noise_measured(t.study, "0.01", mirrored), same = scaled_noise(t.study, "0.04", mirrored, 1);
        for (int w = 0; w < t.corpus.n_windows; w++) {
            NEAR(half.kl[w], quarter.kl[w], 1e-5 * quarter.kl[w], "KL of window %d", w);
            assert_true(same.kl[w] == whole.kl[w]);
        }
        NEAR(half.t2[0], quarter.t2[0], 1e-5 * quarter.t2[0], "t2");
        NEAR(half.t2_asked[0], 0.01, 1e-12, "t2 asked for");
        assert_string_equal(same.key, whole.key);
        assert_string_not_equal(half.key, whole.key);
        assert_string_not_equal(half.key, quarter.key);
        Measurement *all[] = { &whole, &half, &quarter, &same };
        for (int i = 0; i < 4; i++) measurement_free(all[i]);
    }
    tiny_study_close(&t);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_are_unbiased),
        cmocka_unit_test(squares_of_positions_are_biased),
        cmocka_unit_test(slopes_are_derivatives),
        cmocka_unit_test(mirrored_errors_are_opposite), cmocka_unit_test(scaled_errors_are_smaller),
        cmocka_unit_test(kronecker_factors_of_one_position),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
