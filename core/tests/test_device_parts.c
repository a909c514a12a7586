/* Parts of a block as single operations, and noise made on the device: the same bits as operation by operation on the host. */
#include <stdio.h>

#include "core/tests/device_work.h"

/* ---- parts ---- */

static void parts_are_the_same_function(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int memory = 0; memory < 2; memory++) {
            Tiny tiny = tiny_open(tiny_names[i]);
            Work want = work_of(kernels_cpu(), tiny.model, memory), got = work_of(device_on(kernels_cpu(), true, false), tiny.model, memory);
            assert_same_work(&want, &got, -1, tiny_names[i]);
            assert_true(device.live == 0 && device.unsettled == 0);
            work_free(&want);
            work_free(&got);
            tiny_close(&tiny);
        }
}

/* A back end whose parts compute something else than its single operations. */
static void growing_part(float *x, const FeedForwardPart *p, const Ragged *batch)
{
    device_feed_forward_part(x, p, batch);
    for (int64_t i = 0; i < device_rows(batch) * p->C; i++) real(x)[i] *= 1.01f;
}

static Study *growing_study(const Model *model, const Corpus *corpus, int64_t rows)
{
    Study *study;
    StudyPlan plan;
    device_on(kernels_cpu(), true, true);
    device.kernels.feed_forward_part = growing_part;
    WORKS(study_plan(&plan, model_shape(model), corpus, &device.kernels, (int64_t)1 << 34));
    assert_false(plan.backward.keep);
    plan.backward = (BackwardPlan){ true, rows };           /* what cannot be kept is not, whatever the plan says */
    WORKS(study_open(&study, model, corpus, &device.kernels, &plan, 5, NULL));
    return study;
}

/* All that ends in a loss goes through the parts: the model against itself is exactly 0 however its own weights come, and the
 * losses of a backward pass are those of the forward pass. */
static void every_loss_goes_through_parts(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("qwen3-qknorm");
    Corpus corpus;
    work_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    Study *study = growing_study(tiny.model, &corpus, 100);
    WorkMaps maps = work_maps();
    Options *none = options_of(perturbation_find("gaussian"), "t2", "0", NULL), *shared = options_of(perturbation_find("gaussian"), "t2", "0", "fresh", "shared", NULL);
    MapEntry entry[64];
    LayerMap itself = { .entry = entry };
    for (int l = 0; l < model_layer_count(tiny.model); l++)
        if (l % 3) entry[itself.n++] = (MapEntry){ l, perturbation_find("gaussian"), l % 3 == 1 ? none : shared };
    Measurement clean, same = measured(study, &itself), forms, point, null;
    const LayerMap mixed = work_map(&maps, MIXED, tiny.model), null_run = { .null_run = true };
    WORKS(study_clean(&clean, study));
    Measurement perturbed = measured(study, &mixed);
    null = measured(study, &null_run);
    WORKS(work_gradients(&forms, study, &maps, AT_CLEAN));
    WORKS(work_gradients(&point, study, &maps, AT_POINT));
    for (int w = 0; w < corpus.n_windows; w++) {
        assert_true(same.kl[w] == 0 && same.nll[w] == clean.nll[w]);
        assert_true(forms.nll[w] == clean.nll[w]);
        assert_true(point.nll[w] == perturbed.nll[w] && point.kl[w] == perturbed.kl[w] && perturbed.kl[w] > 0);
        assert_true(null.kl[w] > 0);                        /* single operations: another model here */
    }
    Measurement *all[] = { &clean, &same, &forms, &point, &perturbed, &null };
    for (int i = 0; i < 6; i++) measurement_free(all[i]);
    options_free(none), options_free(shared);
    work_maps_free(&maps);
    study_close(&study);
    assert_true(device.live == 0);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* Two parts for each block of a pass, more where windows have weights of their own. */
static void parts_are_counted(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    Study *study;
    StudyPlan plan;
    const Kernels *k = device_on(kernels_cpu(), true, true);
    const int blocks = model_shape(tiny.model)->n_blocks;
    work_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, k, (int64_t)1 << 34));
    assert_true(plan.network.chunk_rows >= corpus.n_inputs && corpus.n_segments > 8 && corpus.n_segments <= 16);
    WORKS(study_open(&study, tiny.model, &corpus, k, &plan, 5, NULL));
    Measurement m;
    WORKS(study_clean(&m, study));
    assert_int_equal(device.parts, 2 * blocks);
    measurement_free(&m);
    Options *noise = options_of(perturbation_find("sign"), "t2", "0.01", NULL);
    const MapEntry entry = { model_layer_index(0, WEIGHT_UP), perturbation_find("sign"), noise };
    m = measured(study, &(LayerMap){ .n = 1, .entry = &entry });
    assert_int_equal(device.parts, 4 * blocks + 1);
    assert_int_equal(device.noises, corpus.n_windows);
    measurement_free(&m);
    options_free(noise);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- noise ---- */

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static void noise_is_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++)
        for (int parts = 0; parts < 2; parts++) {
            Tiny tiny = tiny_open(tiny_names[i]);
            Work want = work_of(kernels_cpu(), tiny.model, i % 2), got = work_of(device_on(kernels_cpu(), parts, true), tiny.model, i % 2);
            assert_same_work(&want, &got, MIRRORED, tiny_names[i]);
            const Measurement *a = &want.m[MIRRORED], *b = &got.m[MIRRORED];         /* an error that is rounded once less */
            for (int l = 0; l < a->n_layers; l++) NEAR(b->t2[l], a->t2[l], 1e-5 * a->t2[l], "t2 of the mirror image");
            for (int w = 0; w < a->n_windows; w++) {
                NEAR(b->kl[w], a->kl[w], 1e-4 * largest(a->kl, a->n_windows), "KL of the mirror image");
                NEAR(b->nll[w], a->nll[w], 1e-5, "NLL of the mirror image");
            }
            assert_true(device.live == 0 && device.unsettled == 0 && device.noises > 0);
            work_free(&want);
            work_free(&got);
            tiny_close(&tiny);
        }
}

/* Once the clean pass is done, noise moves the embeddings to the device and nothing else: no weights. */
static void noise_needs_no_weights_of_the_host(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    const Kernels *k = device_on(kernels_cpu(), true, true);
    work_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    Study *study = study_on(tiny.model, &corpus, k, 5);
    WorkMaps maps = work_maps();
    Measurement m;
    WORKS(study_clean(&m, study));
    measurement_free(&m);
    for (int which = FRESH; which <= ROUNDED; which++) {
        const int64_t before = device.uploaded, embedded = corpus.n_inputs * model_shape(tiny.model)->width;
        const LayerMap map = work_map(&maps, which, tiny.model);
        m = measured(study, &map);
        if (which == ROUNDED) assert_true(device.uploaded - before > embedded);
        else assert_int_equal(device.uploaded - before, embedded);
        for (int l = 0; l < m.n_layers; l++) assert_true(m.t2[l] > 0 && isnan(m.bits[l]) == (which != ROUNDED));
        measurement_free(&m);
    }
    work_maps_free(&maps);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void noise_without_a_size_is_refused(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    const Kernels *k = device_on(kernels_cpu(), false, true);
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_on(tiny.model, &corpus, k, 5);
    Options *options = options_of(perturbation_find("gaussian"), NULL);
    const MapEntry entry = { 3, perturbation_find("gaussian"), options };
    Measurement m;
    assert_int_equal(measure(&m, study, &(LayerMap){ .n = 1, .entry = &entry, .label = "sizeless" }), ERR_ARGUMENT);
    assert_string_equal(err_last(), "sizeless: blocks.0.o: noise: t2, the relative error, is not set");
    assert_int_equal(device.noises, 0);
    options_free(options);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_same_function),
        cmocka_unit_test(every_loss_goes_through_parts),
        cmocka_unit_test(parts_are_counted),
        cmocka_unit_test(noise_is_the_same),
        cmocka_unit_test(noise_needs_no_weights_of_the_host),
        cmocka_unit_test(noise_without_a_size_is_refused),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
