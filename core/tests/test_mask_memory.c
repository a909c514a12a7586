/* What masks and evidence cost: nothing in vain, no more memory than is said, kept layers change nothing; models with masks are measured. */
#include "core/tests/mask_case.h"

#include "core/measure/gradient_sums.h"

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
        cmocka_unit_test(nothing_is_collected_in_vain),
        cmocka_unit_test(sums_that_do_not_fit_are_refused),
        cmocka_unit_test(rankings_hold_no_candidates),
        cmocka_unit_test(rankings_that_went_are_made_again),
        cmocka_unit_test(masks_stay),
        cmocka_unit_test(masked_models_are_measured),
        cmocka_unit_test(kept_layers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
