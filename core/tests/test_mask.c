/* Masks of whole models: against gradients of PyTorch in float64, one threshold for all layers, cut from one ranking. */
#include "core/tests/golden_gradients.h"

#include "core/measure/evidence.h"
#include "core/measure/gradient_sums.h"
#include "core/measure/masks.h"
#include "core/tests/model_files.h"

enum { MOST_LAYERS = 64 };

typedef struct { Tiny tiny; Corpus corpus; EvidenceSource *source; } Case;

/* In place, since the source borrows the text. */
static void case_open(Case *c, const char *name)
{
    c->tiny = tiny_open(name);
    tiny_corpus(&c->corpus, &c->tiny, WHOLE);
    WORKS(evidence_open(&c->source, c->tiny.model, &c->corpus, kernels_cpu(), &(EvidencePlan){ .expected = NEEDS_INPUTS }));
}

static void case_close(Case *c)
{
    evidence_close(&c->source);
    corpus_free(&c->corpus);
    tiny_close(&c->tiny);
}

/* Which weights of all layers are kept, as bytes one layer behind the other; the caller frees. */
static unsigned char *kept_weights(int64_t *count, const Case *c, const Options *options)
{
    const Model *model = c->tiny.model;
    unsigned char *kept = xcalloc((size_t)mask_weights(model), 1), *at = kept;
    *count = 0;
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *layer = model_layer(model, l);
        const Evidence *e;
        Evidence room;
        WORKS(evidence_for(&e, &room, c->source, &(MapEntry){ l, perturbation_find("tacq"), options }, NULL));
        assert_non_null(e->hessian);
        assert_int_equal(e->kept->first[0], 0);
        assert_int_equal(e->kept->first[layer->rows], e->kept->n);
        for (int64_t r = 0; r < layer->rows; r++)
            for (int64_t k = e->kept->first[r]; k < e->kept->first[r + 1]; k++) {
                assert_true(e->kept->column[k] < layer->cols && (k == e->kept->first[r] || e->kept->column[k] > e->kept->column[k - 1]));
                at[r * layer->cols + e->kept->column[k]] = 1;
            }
        *count += e->kept->n;
        at += layer->rows * layer->cols;
    }
    return kept;
}

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

/* Nothing that a mask does not need is computed: with none, or with sizes alone, there is no backward pass. */
static void nothing_is_collected_in_vain(void **state)
{
    (void)state;
    static const struct { const char *score, *ratio; bool gradients, quantized; } row[] = {
        { "tacq", "0", false, false }, { "tacq", "0.000001", false, false }, { "magnitude", "0.01", false, false }, { "error", "0.01", false, true },
        { "msg", "0.01", true, false }, { "tacq", "0.01", true, true }, { "fisher", "0.01", true, true },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Case c;
        case_open(&c, "llama-v8");
        Options *options = options_of(perturbation_find("tacq"), "score", row[i].score, "ratio", row[i].ratio, NULL);
        int64_t count;
        free(kept_weights(&count, &c, options));
        const EvidenceCosts costs = evidence_costs(c.source);
        assert_true((costs.gradients.seconds > 0) == row[i].gradients && (costs.quantized.seconds > 0) == row[i].quantized);
        options_free(options);
        case_close(&c);
    }
}

/* What does not fit the host is refused before a pass begins. */
static void sums_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    Case c;
    case_open(&c, "llama-v8");
    const ModelShape *shape = model_shape(c.tiny.model);
    EvidenceNeeds needs = { .kinds = NEEDS_GRADIENT | NEEDS_FISHER };
    const int64_t sums = gradient_sums_kept(shape), weights = sums / 4;
    FreeMemory host = { evidence_host_bytes(shape, &needs), "a test" };
    assert_true(host.bytes == 2 * sums);
    assert_int_equal(evidence_check_host(shape, &needs, 0, &host), OK);
    assert_int_equal(evidence_check_host(shape, &needs, 1, &host), ERR_MEMORY);
    assert_non_null(strstr(err_last(), "free (a test)"));
    Options *tenth = options_of(perturbation_find("tacq"), "ratio", "0.1", NULL), *all = options_of(perturbation_find("tacq"), "ratio", "1", NULL);
    evidence_needs_add(&needs, perturbation_find("tacq"), tenth);
    assert_int_equal(evidence_check_host(shape, &needs, 0, &host), ERR_MEMORY);
    assert_true(evidence_host_bytes(shape, &needs) == 2 * sums + top_k_bytes(weights / 10, weights) + 4 * (weights / 10));
    evidence_needs_add(&needs, perturbation_find("tacq"), all);
    assert_true(evidence_host_bytes(shape, &needs) == 2 * sums + 12 * weights + 12 * weights + 4 * (int64_t)(1.1 * (double)weights));   /* of all weights there are no more candidates than weights */
    evidence_needs_add(&needs, perturbation_find("rtn"), NULL);
    assert_true(needs.masks == 2 && needs.largest == 1);
    options_free(tenth), options_free(all);
    case_close(&c);
}

/* Rankings are kept, their candidates are not: what masks_bytes promises. */
static void rankings_hold_no_candidates(void **state)
{
    (void)state;
    static const char *const score[] = { "magnitude", "random", "msg" };
    Case c;
    case_open(&c, "llama-mha-untied");
    Masks masks = { 0 };
    for (int s = 0; s < 3; s++) {
        Options *options = options_of(perturbation_find("tacq"), "score", score[s], "ratio", "0.01", NULL);
        const KeptWeights *kept;
        WORKS(masks_kept(&kept, &masks, c.source, &(MapEntry){ 0, perturbation_find("tacq"), options }));
        assert_int_equal(masks.ranking[s].top.n, mask_count(.02, mask_weights(c.tiny.model)));
        assert_int_equal(masks.ranking[s].top.room, masks.ranking[s].top.n);
        options_free(options);
    }
    masks_free(&masks);
    case_close(&c);
}

/* More scores than rankings are kept: what went is made again, the same.  Masks stay, whoever asks for theirs by turns. */
static void rankings_that_went_are_made_again(void **state)
{
    (void)state;
    static const char *const score[] = { "magnitude", "random", "msg", "gradient", "hessian", "error" };
    enum { SCORES = sizeof score / sizeof *score };
    Case c;
    case_open(&c, "llama3-gqa-tied");
    unsigned char *first[SCORES];
    const size_t n = (size_t)mask_weights(c.tiny.model);
    for (int i = 0; i < 2 * SCORES; i++) {
        const int s = i < SCORES ? i : 2 * SCORES - 1 - i;          /* back in the other order: some are still there */
        const double ratio = i < SCORES ? .01 : .006;
        Options *options = options_of(perturbation_find("tacq"), "score", score[s], "ratio", i < SCORES ? "0.01" : "0.006", NULL);
        int64_t count;
        unsigned char *kept = kept_weights(&count, &c, options);
        assert_int_equal(count, mask_count(ratio, (int64_t)n));
        if (i < SCORES) first[s] = kept;
        for (size_t w = 0; i >= SCORES && w < n; w++) assert_true(kept[w] <= first[s][w]);          /* the largest of the same scores */
        if (i >= SCORES) free(kept);
        for (int other = 0; i < SCORES && other < s; other++) assert_true(memcmp(first[other], first[s], n) != 0);
        options_free(options);
    }
    for (int s = 0; s < SCORES; s++) free(first[s]);
    case_close(&c);
}

static void masks_stay(void **state)
{
    (void)state;
    static const char *const score[] = { "magnitude", "random", "msg", "gradient", "hessian", "error" };
    enum { SCORES = sizeof score / sizeof *score };
    Case c;
    case_open(&c, "llama3-gqa-tied");
    Masks masks = { 0 };
    for (int layer = 0; layer < 3; layer++)
        for (int s = 0; s < SCORES; s++) {
            Options *options = options_of(perturbation_find("tacq"), "score", score[s], "ratio", "0.01", NULL);
            const KeptWeights *kept;
            WORKS(masks_kept(&kept, &masks, c.source, &(MapEntry){ layer, perturbation_find("tacq"), options }));
            options_free(options);
        }
    assert_int_equal(masks.n_masks, SCORES);
    assert_int_equal(masks.next_ranking, SCORES);
    masks_free(&masks);
    case_close(&c);
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

/* ---- measured ---- */

static Measurement measured_with(Study *study, const Options *options, const Perturbation *p)
{
    MapEntry entry[MOST_LAYERS];
    const int n = model_layer_count(study_model(study));
    for (int l = 0; l < n; l++) entry[l] = (MapEntry){ l, p, options };
    return measured(study, &(LayerMap){ .n = n, .entry = entry });
}

/* A mask costs bits and saves error, more where it knows the loss; sequential inputs are those of the masked model. */
static void masked_models_are_measured(void **state)
{
    (void)state;
    Case c;
    case_open(&c, "llama-mha-untied");
    const Perturbation *tacq = perturbation_find("tacq"), *gptq = perturbation_find("gptq");
    Options *plain = options_of(gptq, "bits", "2", "group", "0", "clip", "mse", NULL), *empty = options_of(tacq, "bits", "2", "ratio", "0", NULL);
    Options *mask = options_of(tacq, "bits", "2", "ratio", "0.03", NULL), *chance = options_of(tacq, "bits", "2", "ratio", "0.03", "score", "random", NULL);
    Options *in_turn = options_of(tacq, "bits", "2", "ratio", "0.03", "sequential", "yes", NULL);
    Study *study = study_of(c.tiny.model, &c.corpus, "cpu");
    study_calibrate(study, c.source);
    Measurement m[] = { measured_with(study, plain, gptq), measured_with(study, empty, tacq), measured_with(study, mask, tacq), measured_with(study, chance, tacq),
                        measured_with(study, in_turn, tacq), measured_with(study, in_turn, tacq) };
    assert_memory_equal(m[0].kl, m[1].kl, sizeof *m[0].kl * 2);
    assert_string_not_equal(m[0].key, m[1].key);
    assert_true(m[2].kl[0] + m[2].kl[1] < m[0].kl[0] + m[0].kl[1]);
    assert_true(m[2].kl[0] + m[2].kl[1] < m[3].kl[0] + m[3].kl[1]);
    assert_memory_equal(m[4].kl, m[5].kl, sizeof *m[4].kl * 2);
    assert_true(m[4].kl[0] != m[2].kl[0]);
    const char *inputs = strstr(m[2].text, " calibration ");
    assert_non_null(inputs);
    for (int i = 0; i < 6; i++) measurement_free(&m[i]);
    Options *all[] = { plain, empty, mask, chance, in_turn };
    for (int i = 0; i < 5; i++) options_free(all[i]);
    study_close(&study);
    case_close(&c);
}

/* Whether quantized layers are kept, some of them or all: the same measurements; all of them are made once. */
static void kept_layers_change_nothing(void **state)
{
    (void)state;
    static const int64_t room[] = { 0, 9000, 1 << 30 };
    Case c;
    case_open(&c, "llama-mha-untied");
    const Perturbation *tacq = perturbation_find("tacq"), *gptq = perturbation_find("gptq");
    Options *mask = options_of(tacq, "bits", "2", "ratio", "0.03", NULL), *plain = options_of(gptq, "bits", "3", "group", "16", NULL);
    const MapEntry entry[2] = { { 0, tacq, mask }, { 0, gptq, plain } };
    Measurement first[2];
    for (int i = 0; i < 3; i++) {
        EvidenceSource *source;
        WORKS(evidence_open(&source, c.tiny.model, &c.corpus, kernels_cpu(), &(EvidencePlan){ .quantized = room[i] }));
        double seconds[2] = { 0 };
        for (int again = 0; again < 2; again++) {
            Study *study = study_of(c.tiny.model, &c.corpus, "cpu");
            study_calibrate(study, source);
            for (int p = 0; p < 2; p++) {
                Measurement m = measured_with(study, entry[p].options, entry[p].perturbation);
                if (i + again) assert_same(&m, &first[p], "kept layers");
                if (i + again) measurement_free(&m);
                else first[p] = m;
                const double spent = evidence_quantizing(source, &entry[p]).seconds;
                assert_true(spent > 0 && (!again || (spent > seconds[p]) == (i < 2)));
                seconds[p] = spent;
            }
            study_close(&study);
        }
        evidence_close(&source);
    }
    for (int p = 0; p < 2; p++) measurement_free(&first[p]);
    options_free(mask), options_free(plain);
    case_close(&c);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(1, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_of_golden_gradients),
        cmocka_unit_test(counts),
        cmocka_unit_test(shares_are_cut_from_one_ranking),
        cmocka_unit_test(nothing_is_collected_in_vain),
        cmocka_unit_test(sums_that_do_not_fit_are_refused), cmocka_unit_test(rankings_hold_no_candidates),
        cmocka_unit_test(rankings_that_went_are_made_again), cmocka_unit_test(masks_stay),
        cmocka_unit_test(inputs_that_were_never_there_keep_nothing),
        cmocka_unit_test(masked_models_are_measured),
        cmocka_unit_test(kept_layers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
