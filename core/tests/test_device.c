/* What the host does with a back end whose memory it cannot touch, which fails, and which takes other numbers of rows. */
#include <stdio.h>

#include "core/tests/device_work.h"

#include "core/measure/compare.h"
#include "core/measure/gradient_sums.h"
#include "core/measure/kronecker.h"
#include "core/network/device.h"

/* ---- memory that the host cannot touch, weights that are settled ---- */

static void host_touches_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int memory = 0; memory < 2; memory++) {
            Tiny tiny = tiny_open(tiny_names[i]);
            Work want = work_of(kernels_cpu(), tiny.model, memory), got = work_of(device_on(kernels_cpu(), false, false), tiny.model, memory);
            assert_same_work(&want, &got, -1, tiny_names[i]);
            assert_true(device.live == 0 && device.unsettled == 0 && device.operations > 0);
            const Dtype dtype = model_tensor(tiny.model, WEIGHT_GATE, 0)->dtype;
            assert_true((device.halves > 0) == (dtype == DTYPE_BF16 || dtype == DTYPE_F16));
            assert_true((device.aheads > 0) == (!memory && model_shape(tiny.model)->n_blocks > 2));        /* two sets hold two blocks */
            work_free(&want);
            work_free(&got);
            tiny_close(&tiny);
        }
}

/* Layers quantized by what they are given, one after the other: its measurement, and a Kronecker size. */
static Measurement calibrated(double *size, const Kernels *k, const Model *model, const Corpus *corpus, bool noise_too)
{
    Study *study = study_on(model, corpus, k, 1);
    EvidenceSource *evidence;
    WORKS(evidence_open(&evidence, model, corpus, k, &(EvidencePlan){ .expected = NEEDS_INPUTS }));
    study_calibrate(study, evidence);
    const Perturbation *gptq = perturbation_find("gptq"), *sign = perturbation_find("sign");
    Options *options = options_of(gptq, "bits", "3", "group", "16", "sequential", "yes", NULL), *noise = options_of(sign, "t2", "0.02", "fresh", "shared", NULL);
    MapEntry entry[64];
    LayerMap map = { .n = model_layer_count(model), .entry = entry };
    for (int l = 0; l < map.n; l++) entry[l] = noise_too && l % 3 == 0 ? (MapEntry){ l, sign, noise } : (MapEntry){ l, gptq, options };
    Measurement m = measured(study, &map);
    const Layer *l = model_layer(model, 1);
    float *input = xmalloc(sizeof *input * (size_t)(l->cols * l->cols)), *gradient = xmalloc(sizeof *gradient * (size_t)(l->rows * l->rows));
    float *w = xmalloc(sizeof *w * (size_t)(l->rows * l->cols));
    const GradientRequest request = { .probe = PROBE_SIGNS, .group = 16, .label = "factors" };
    kronecker_of(input, gradient, study, &request, 1);
    WORKS(model_read(w, model, l->type, l->block, 0, l->rows));
    *size = kronecker_size(w, w, input, gradient, l->rows, l->cols, k);
    free(input), free(gradient), free(w);
    options_free(options), options_free(noise);
    study_close(&study);
    evidence_close(&evidence);
    return m;
}

static void calibration_on_a_device(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, 24);
    for (int noise = 0; noise < 2; noise++) {       /* shared noise, too, is what later layers see */
        double size[2];
        Measurement want = calibrated(&size[0], kernels_cpu(), tiny.model, &corpus, noise), got = calibrated(&size[1], device_on(kernels_cpu(), false, noise), tiny.model, &corpus, noise);
        assert_same(&want, &got, "sequential");
        assert_true(size[0] == size[1] && size[0] > 0 && device.live == 0 && device.noises == 0);
        measurement_free(&want);
        measurement_free(&got);
    }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void sampling_and_comparing(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied"), other = tiny_open("llama3-gqa-tied");       /* of two widths */
    enum { WINDOWS = 10, LENGTH = 12 };
    int32_t first[WINDOWS] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3 }, ids[2][WINDOWS * LENGTH];
    for (int d = 0; d < 2; d++) {
        Network *net;
        const NetworkPlan plan = { .resident = d };
        WORKS(network_open(&net, tiny.model, d ? device_on(kernels_cpu(), true, true) : kernels_cpu(), &plan, LENGTH));
        WORKS(network_sample(ids[d], net, first, 0, WINDOWS, LENGTH, 7));
        network_close(&net);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    Corpus corpus;
    Comparison want, got;
    work_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    WORKS(compare_models(&want, tiny.model, other.model, &corpus, kernels_cpu(), (int64_t)1 << 30, NULL, NULL));
    WORKS(compare_models(&got, tiny.model, other.model, &corpus, device_on(kernels_cpu(), true, false), (int64_t)1 << 30, NULL, NULL));
    assert_memory_equal(want.kl, got.kl, sizeof(double) * (size_t)corpus.n_windows);
    assert_memory_equal(want.nll, got.nll, sizeof(double) * (size_t)corpus.n_windows);
    assert_true(device.parts > 0 && device.live == 0 && device.unsettled == 0);
    comparison_free(&want);
    comparison_free(&got);
    corpus_free(&corpus);
    tiny_close(&tiny);
    tiny_close(&other);
}

/* ---- failure ---- */

/* One act on a device that fails after so many operations: nothing is kept, and one sentence says it. */
enum { ACT_CLEAN, ACT_NOISE, ACT_GRADIENTS, ACT_POINT, ACT_MATRIX, ACT_SAMPLE, ACT_COMPARE, ACT_CALIBRATION, ACT_SUMS, ACTS };

static int act(int which, Study *study, const Model *model, const Corpus *corpus)
{
    WorkMaps maps = work_maps();
    int status, layer = 0;
    Measurement m = { 0 };
    if (which == ACT_SAMPLE) {
        int32_t first[1] = { 1 }, ids[6];
        Network *net = NULL;
        status = network_open(&net, model, &device.kernels, &(NetworkPlan){ .resident = true }, 6);
        if (status == OK) status = network_sample(ids, net, first, 0, 1, 6, 1);
        network_close(&net);
    } else if (which == ACT_COMPARE) {
        Comparison c = { 0 };
        status = compare_models(&c, model, model, corpus, &device.kernels, (int64_t)1 << 30, NULL, NULL);
        comparison_free(&c);
    } else if (which == ACT_MATRIX) {
        float *g = xmalloc(sizeof *g * (size_t)(model_layer(model, 0)->rows * model_layer(model, 0)->cols));
        const GradientRequest request = { .probe = PROBE_LABELS, .group = 16, .n_layers = 1, .layer = &layer, .label = "matrix" };
        status = measure_gradient(g, study, &request, 0, 0);
        free(g);
    } else if (which == ACT_CALIBRATION) {
        const Evidence *evidence;
        Evidence room;
        EvidenceSource *source;
        WORKS(evidence_open(&source, model, corpus, &device.kernels, &(EvidencePlan){ .expected = NEEDS_INPUTS }));
        status = evidence_for(&evidence, &room, source, &(MapEntry){ 1, perturbation_find("gptq"), NULL }, NULL);
        evidence_close(&source);
    } else if (which == ACT_SUMS) {
        GradientSums sums = { 0 };
        status = gradient_sums(&sums, model, corpus, &device.kernels, true, true);
        gradient_sums_free(&sums);
    } else if (which == ACT_GRADIENTS || which == ACT_POINT) {
        status = work_gradients(&m, study, &maps, which == ACT_POINT ? AT_POINT : AT_CLEAN);
    } else {
        const LayerMap map = work_map(&maps, which == ACT_CLEAN ? CLEAN : MIXED, model);
        status = measure(&m, study, &map);
    }
    measurement_free(&m);
    work_maps_free(&maps);
    return status;
}

static int64_t act_on(int which, int64_t fail_at, bool parts, const Model *model, const Corpus *corpus, int *status, int *kept)
{
    Study *study;
    StudyPlan plan;
    Store *store = store_in_memory();
    const Kernels *k = device_on(kernels_cpu(), parts, parts);
    device.fail_at = fail_at;
    WORKS(study_plan(&plan, model_shape(model), corpus, k, (int64_t)1 << 34));
    WORKS(study_open(&study, model, corpus, k, &plan, 5, store));
    *status = act(which, study, model, corpus);
    *kept = store_count(store);
    study_close(&study);
    WORKS(store_close(&store));
    assert_int_equal(device.live, 0);
    return device.operations;
}

static void failures_keep_nothing(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    int status, kept;
    tiny_corpus(&corpus, &tiny, WHOLE);                     /* two windows that pass together: no record before the last operation */
    for (int which = 0; which < ACTS; which++)
        for (int parts = 0; parts < 2; parts++) {
            const int64_t all = act_on(which, -1, parts, tiny.model, &corpus, &status, &kept), step = all / 60 + 1;
            assert_int_equal(status, OK);
            for (int64_t i = 0; i * step < all + step - 1; i++) {
                const int64_t n = i * step < all ? i * step : all - 1;
                act_on(which, n, parts, tiny.model, &corpus, &status, &kept);
                if (status != ERR_DEVICE || kept) fail_msg("act %d failing after %d of %d operations: %d records, %s", which, (int)n, (int)all, kept, err_last());
                const char *sentence = strstr(err_last(), "back end device: the device is on fire");
                assert_true(sentence && !strstr(sentence + 1, "back end"));
            }
        }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- what a measurement is known by ---- */

/* One store may hold both precisions, each found again by its own; fp32 has the key that it always had. */
static void precisions_are_told_apart(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Store *store = store_in_memory();
    WorkMaps maps = work_maps();
    Kernels half = *kernels_cpu();
    half.precision = "bf16";
    const Kernels *const kernels[] = { kernels_cpu(), &half };
    char key[2][HASH_TEXT], gradient[2][HASH_TEXT];
    for (int i = 0; i < 4; i++) {                           /* the second time everything is found */
        Study *study;
        StudyPlan plan;
        char *text;
        WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, kernels[i % 2], (int64_t)1 << 34));
        WORKS(study_open(&study, tiny.model, &corpus, kernels[i % 2], &plan, 5, store));
        const LayerMap map = work_map(&maps, SHARED, tiny.model);
        const int layer = 2;
        const GradientRequest request = { .probe = PROBE_LABELS, .group = 16, .n_layers = 1, .layer = &layer, .label = "one" };
        WORKS(measure_key(key[i % 2], &text, study, &map));
        WORKS(gradients_key(gradient[i % 2], study, &request));
        assert_non_null(strstr(text, i % 2 ? "\nprecision bf16\n" : "\nprecision fp32\n"));
        assert_int_equal(measure_known(study, &map), i > 1);
        assert_int_equal(gradients_known(study, &request, 2), i > 1 ? 2 : 0);
        Measurement m = measured(study, &map), g;
        WORKS(measure_gradients(&g, study, &request, 2, NULL, NULL));
        assert_int_equal(study_executed(study), i > 1 ? 0 : 3);
        measurement_free(&m);
        measurement_free(&g);
        free(text);
        study_close(&study);
    }
    assert_true(strcmp(key[0], key[1]) && strcmp(gradient[0], gradient[1]));
    assert_int_equal(store_count(store), 6);
    WORKS(store_close(&store));
    work_maps_free(&maps);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- rows of logits; memory ---- */

static void rows_of_logits_change_nothing(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Work want = work_of(&kernels_ref, tiny.model, 1);
    for (int i = 0; i < 3; i++) {
        Kernels other = kernels_ref;
        other.head_rows = (int[]){ 1, 7, 1000 }[i];
        Work got = work_of(&other, tiny.model, i == 1);
        assert_same_work(&want, &got, -1, "rows of logits");
        work_free(&got);
    }
    work_free(&want);
    tiny_close(&tiny);
}

static void plans_know_the_back_end(void **state)
{
    (void)state;
    const ModelShape big = { .n_blocks = 32, .width = 4096, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .feed_forward = 14336, .vocabulary = 128256 };
    const double block = 4096.0 * (2 * 4096 + 2 * 1024 + 3 * 14336), largest = 4096.0 * 14336;
    const NetworkPlan plan = { .resident = true, .chunk_rows = 8192 };
    const BackwardPlan keep = { true, 2048 }, lean = { false, 2048 };
    const Kernels *cpu = kernels_cpu(), *parts = device_on(cpu, true, true);
    Kernels wide = *cpu;
    wide.head_rows = 2048;
    NEAR((double)(network_bytes(&big, &wide, &plan, 512) - network_bytes(&big, cpu, &plan, 512)), 4.0 * (2048 - 128) * (4096 + 128256), 0, "head");
    const NetworkPlan streamed = { .chunk_rows = 8192 };
    const double head = 4096.0 * 128256;
    NEAR((double)(network_bytes(&big, cpu, &plan, 512) - network_bytes(&big, cpu, &streamed, 512)), 4 * 31 * block, 0, "one set of weights");
    NEAR((double)(network_bytes(&big, parts, &plan, 512) - network_bytes(&big, parts, &streamed, 512)), 6 * 30 * block, 0, "two sets of settled weights");
    NEAR((double)(network_bytes(&big, parts, &plan, 512) - network_bytes(&big, cpu, &plan, 512)), 2 * (32 * block + head) - 4 * largest + 8192 * 2.0 * (4096 + 2 * 14336), 0, "settled weights, what is inside a part, no layer of the host's");
    NEAR((double)network_patch_bytes(&big, cpu, 1), 4 * (2 * 8 * largest + block), 0, "weights of windows on the host");
    for (int together = 1; together < 20; together += 6)
        NEAR((double)network_patch_bytes(&big, parts, together), 6 * ((together < 8 ? together : 8) * block + block), 0, "weights of windows");
    NEAR((double)network_patch_bytes(&big, device_on(cpu, false, true), 3), 6 * (3 * largest + block), 0, "one layer's weights of windows");
    device_on(cpu, true, true);
    assert_true(backward_bytes(&big, parts, &keep, 512) == backward_bytes(&big, parts, &lean, 512));
    assert_true(backward_bytes(&big, cpu, &keep, 512) > backward_bytes(&big, cpu, &lean, 512));
    assert_true(kernels_memory(cpu, 123) == 123);
    device.free_bytes = 1000;
    assert_true(kernels_memory(parts, 123) == 900);
}

/* Weights before all else on a device; on the host what saves more of a pass for its bytes. */
static void weights_come_first_on_a_device(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    work_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    for (int d = 0; d < 2; d++) {
        const Kernels *k = d ? device_on(kernels_cpu(), true, true) : kernels_cpu();
        StudyPlan plan, all;
        int weights_alone = 0, states_alone = 0;        /* plans that have the one and not the other */
        WORKS(study_plan(&all, model_shape(tiny.model), &corpus, k, (int64_t)1 << 30));
        assert_true(all.network.resident && all.boundary_stride == 1 && all.keep_logits);
        for (int64_t memory = all.least; memory < all.bytes; memory += 1024) {
            WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, k, memory));
            assert_true(plan.bytes <= memory && plan.least == all.least);
            weights_alone += plan.network.resident && !plan.boundary_stride;
            states_alone += plan.boundary_stride && !plan.network.resident;
        }
        assert_true(d ? weights_alone > 0 : weights_alone == 0 && states_alone > 0);
    }
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* Two texts, measured in turn with one network: what each gives alone.  Memory for one study and half of another's states is enough. */
static void two_studies_share_a_network(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus text[2];
    work_corpus(&text[0], model_shape(tiny.model)->vocabulary);
    tiny_corpus(&text[1], &tiny, WHOLE);                /* longer segments than the lender's */
    for (int memory = 0; memory < 2; memory++) {
        const Kernels *k = device_on(kernels_cpu(), true, true);
        WorkMaps maps = work_maps();
        StudyPlan plan[2], alone[2];
        Study *study[2];
        Measurement own[2][2], mine[2][2];
        WORKS(study_plan_two(plan, model_shape(tiny.model), (const Corpus *[]){ &text[0], &text[1] }, k, (int64_t)1 << 30));
        if (!memory) WORKS(study_plan_two(plan, model_shape(tiny.model), (const Corpus *[]){ &text[0], &text[1] }, k, plan[0].least));
        assert_true(memory || (plan[0].bytes <= plan[0].least && plan[1].bytes == 0));
        for (int i = 0; i < 2; i++) {
            WORKS(study_plan(&alone[i], model_shape(tiny.model), &text[i], k, (int64_t)1 << 30));
            WORKS(study_open(&study[i], tiny.model, &text[i], k, &alone[i], 5, NULL));
            const LayerMap map = work_map(&maps, MIXED, tiny.model);
            own[i][0] = measured(study[i], &map);
            WORKS(work_gradients(&own[i][1], study[i], &maps, AT_POINT));
            study_close(&study[i]);
        }
        assert_true(!memory || plan[0].bytes < alone[0].bytes + alone[1].bytes);
        for (int i = 0; i < 2; i++) WORKS(study_open(&study[i], tiny.model, &text[i], k, &plan[i], 5, NULL));
        study_share(study[1], study[0]);
        const int64_t before = device.halves;
        for (int i = 1; i >= 0; i--) WORKS(work_gradients(&mine[i][1], study[i], &maps, AT_POINT));
        for (int i = 0; i < 2; i++) {
            const LayerMap map = work_map(&maps, MIXED, tiny.model);
            mine[i][0] = measured(study[i], &map);
            assert_same(&own[i][0], &mine[i][0], "shared network");
            assert_same_forms(&own[i][1], &mine[i][1], "shared network");
            for (int j = 0; j < 2; j++) measurement_free(&own[i][j]), measurement_free(&mine[i][j]);
        }
        assert_true(!memory || device.halves - before <= model_shape(tiny.model)->n_parameters + model_shape(tiny.model)->vocabulary * model_shape(tiny.model)->width);
        study_close(&study[1]);
        study_close(&study[0]);
        assert_true(device.live == 0 && device.unsettled == 0);
        work_maps_free(&maps);
    }
    for (int i = 0; i < 2; i++) corpus_free(&text[i]);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_touches_nothing),
        cmocka_unit_test(calibration_on_a_device),
        cmocka_unit_test(sampling_and_comparing),
        cmocka_unit_test(failures_keep_nothing),
        cmocka_unit_test(precisions_are_told_apart),
        cmocka_unit_test(rows_of_logits_change_nothing),
        cmocka_unit_test(plans_know_the_back_end),
        cmocka_unit_test(weights_come_first_on_a_device),
        cmocka_unit_test(two_studies_share_a_network),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
