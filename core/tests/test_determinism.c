/* The same bits whatever the threads, the batches, the memory and where a pass starts. */
#include "core/tests/tiny_golden.h"

#include "core/measure/compare.h"

/* Documents of several segments, some longer than the rows of logits that are made together, and more windows than weights are made at once. */
static void ragged_corpus(Corpus *out, int vocabulary)
{
    enum { WINDOWS = 11, CONTEXT = 150, MOST = 290 };
    static const int length[WINDOWS] = { 3, 151, 290, 2, 17, 64, 30, 33, 150, 5, 90 };
    Cut cut = { 0 };
    for (int w = 0; w < WINDOWS; w++) {
        int32_t ids[MOST];
        for (int t = 0; t < length[w]; t++) ids[t] = (7 * t * t + 13 * w + t) % vocabulary;
        cut_document(&cut, w, ids, length[w], w == 9 ? 1 : CONTEXT);
    }
    cut_finish(out, &cut, "documents", CONTEXT, false, -1);
}

/* What is measured in every setting. */
enum { NOISE_SEQUENCE, NOISE_SHARED, ROUNDED, MIXED, LAST_BLOCK, NULL_RUN, CLEAN, MAPS };
typedef struct { Options *sequence, *shared, *rtn; MapEntry entry[64]; } Plan;

static LayerMap map_of(Plan *plan, int which, const Model *model)
{
    const Perturbation *gaussian = perturbation_find("gaussian"), *sign = perturbation_find("sign"), *rtn = perturbation_find("rtn");
    int layers = model_layer_count(model), first = which == LAST_BLOCK ? layers - 3 : which == MIXED ? layers / 2 : 0;
    LayerMap map = { .entry = plan->entry, .draw = 3, .null_run = which == NULL_RUN };
    if (which == NULL_RUN || which == CLEAN) return map;
    for (int l = first; l < layers; l++) {
        const MapEntry own = { l, gaussian, plan->sequence }, shared = { l, sign, plan->shared }, rounded = { l, rtn, plan->rtn };
        int kind = which == MIXED ? l % 4 : which == LAST_BLOCK ? NOISE_SEQUENCE : which;
        if (kind < 3) plan->entry[map.n++] = kind == NOISE_SEQUENCE ? own : kind == NOISE_SHARED ? shared : rounded;
    }
    return map;
}

typedef struct { Measurement m[MAPS]; } Results;

static Results results_of(const Model *model, const Corpus *corpus, const Kernels *kernels, const StudyPlan *plan)
{
    Results results;
    Study *study;
    Plan maps = { options_of(perturbation_find("gaussian"), "t2", "0.03", "group", "16", NULL),
                  options_of(perturbation_find("sign"), "t2", "0.01", "fresh", "shared", NULL),
                  options_of(perturbation_find("rtn"), "bits", "4", "group", "16", NULL), { { 0 } } };
    WORKS(study_open(&study, model, corpus, kernels, plan, 5, NULL));
    for (int i = 0; i < MAPS; i++) {
        LayerMap map = map_of(&maps, i, model);
        results.m[i] = measured(study, &map);
    }
    study_close(&study);
    options_free(maps.sequence);
    options_free(maps.shared);
    options_free(maps.rtn);
    return results;
}

static void results_free(Results *results)
{
    for (int i = 0; i < MAPS; i++) measurement_free(&results->m[i]);
}

static void assert_results(const Results *a, const Results *b, const char *what)
{
    for (int i = 0; i < MAPS; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s, map %d", what, i);
        if (i == CLEAN) assert_memory_equal(a->m[i].nll, b->m[i].nll, sizeof(double) * (size_t)a->m[i].n_windows);
        else assert_same(&a->m[i], &b->m[i], name);
    }
}

static void check_plans(const char *name, const char *back_end, const char *precision, unsigned plans)
{
    const char *why;
    const Kernels *kernels = kernels_choose(back_end, precision, &why);
    assert_non_null(kernels);
    Tiny tiny = tiny_open(name);
    Corpus corpus;
    ragged_corpus(&corpus, model_shape(tiny.model)->vocabulary);
    StudyPlan rich, poor, nothing = { .network.chunk_rows = corpus.longest };
    WORKS(study_plan(&rich, model_shape(tiny.model), &corpus, kernels, (int64_t)1 << 34));
    WORKS(study_plan(&poor, model_shape(tiny.model), &corpus, kernels, rich.least));
    assert_true(rich.keep_logits && rich.network.resident && rich.network.chunk_rows > corpus.n_inputs);
    assert_true(poor.bytes <= rich.least);
    kernels_set_threads(1);
    Results want = results_of(tiny.model, &corpus, kernels, &rich);
    for (int i = 0; i < 8; i++) {
        if (!(plans >> i & 1)) continue;
        StudyPlan plan = i == 7 ? nothing : rich;
        if (i == 0) plan = poor;
        if (i == 1) kernels_set_threads(2);
        if (i == 2) plan.network.chunk_rows = 1;
        if (i == 3) plan.network.chunk_rows = 300;
        if (i == 4) plan.boundary_stride = 0;
        if (i == 5) plan.boundary_stride = 2, plan.keep_logits = false;
        if (i == 6) plan.network.resident = false;
        Results got = results_of(tiny.model, &corpus, kernels, &plan);
        char what[128];
        snprintf(what, sizeof what, "%s, %s %s, plan %d", name, back_end, precision, i);
        assert_results(&want, &got, what);
        results_free(&got);
        kernels_set_threads(1);
    }
    for (int i = 0; i < MAPS; i++)
        for (int w = 0; i != CLEAN && w < corpus.n_windows; w++) assert_true(want.m[i].kl[w] > 0);
    results_free(&want);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void plans_on_ref(void **state)
{
    (void)state;
    check_plans("llama-v8", "ref", "fp32", 0xff);
}

static void plans_on_cpu(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) check_plans(tiny_names[i], "cpu", "fp32", 0xff);
}

static void plans_on_cuda(void **state)
{
    (void)state;
    check_plans("llama3-gqa-tied", "cuda", "fp32", 1 << 3 | 1 << 6);
    check_plans("qwen3-qknorm", "cuda", "bf16", 1 << 6 | 1 << 7);
}

/* A window alone, and among others. */
static void windows_do_not_see_each_other(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("qwen3-qknorm");
    Corpus corpus;
    ragged_corpus(&corpus, 97);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    Options *options = options_of(perturbation_find("gaussian"), "t2", "0.03", "fresh", "shared", NULL);
    MapEntry entry = { 8, perturbation_find("gaussian"), options };
    LayerMap map = { .n = 1, .entry = &entry };
    Measurement all = measured(study, &map);
    for (int w = 0, s = 0; w < corpus.n_windows; w++) {
        Corpus alone = corpus;
        Segment segment[8];
        alone.segment = segment;
        alone.n_windows = 1;
        alone.n_segments = 0;
        alone.tokens = corpus.tokens + w;
        alone.n_inputs = alone.longest = 0;
        for (; s < corpus.n_segments && corpus.segment[s].window == w; s++) {
            segment[alone.n_segments] = corpus.segment[s];
            segment[alone.n_segments].window = 0;
            alone.n_inputs += segment[alone.n_segments].length;
            if (segment[alone.n_segments].length > alone.longest) alone.longest = segment[alone.n_segments].length;
            alone.n_segments++;
        }
        Study *single = study_of(tiny.model, &alone, "cpu");
        Measurement one = measured(single, &map);
        assert_memory_equal(&one.nll[0], &all.nll[w], sizeof(double));
        assert_memory_equal(&one.kl[0], &all.kl[w], sizeof(double));
        measurement_free(&one);
        study_close(&single);
    }
    measurement_free(&all);
    options_free(options);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static Comparison comparison_of(const Tiny *a, const Tiny *b, const Corpus *corpus, int64_t memory)
{
    Comparison c;
    WORKS(compare_models(&c, a->model, b->model, corpus, kernels_cpu(), memory, NULL, NULL));
    return c;
}

/* The least memory that is not refused. */
static int64_t least_memory(const Tiny *a, const Tiny *b, const Corpus *corpus)
{
    int64_t low = 0, high = (int64_t)1 << 30;
    while (high - low > 1) {
        Comparison c;
        int64_t middle = (low + high) / 2;
        if (compare_models(&c, a->model, b->model, corpus, kernels_cpu(), middle, NULL, NULL) == OK) {
            comparison_free(&c);
            high = middle;
        } else low = middle;
    }
    return high;
}

static void slices_of_a_comparison(void **state)
{
    (void)state;
    Tiny narrow = tiny_open("llama-mha-untied"), wide = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    ragged_corpus(&corpus, 97);
    int64_t least = least_memory(&narrow, &wide, &corpus);
    Comparison want = comparison_of(&narrow, &wide, &corpus, (int64_t)1 << 30);
    for (int64_t memory = least; memory < 8 * least; memory = memory * 7 / 5) {
        Comparison got = comparison_of(&narrow, &wide, &corpus, memory);
        size_t n = sizeof(double) * (size_t)corpus.n_windows;
        assert_memory_equal(want.nll, got.nll, n);
        assert_memory_equal(want.other_nll, got.other_nll, n);
        assert_memory_equal(want.kl, got.kl, n);
        assert_memory_equal(want.same_top, got.same_top, n);
        comparison_free(&got);
    }
    comparison_free(&want);
    corpus_free(&corpus);
    tiny_close(&narrow);
    tiny_close(&wide);
}

/* `ppl` and a study's clean pass are the same number. */
static void comparison_equals_study(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    ragged_corpus(&corpus, 97);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    Measurement clean;
    Comparison c;
    WORKS(study_clean(&clean, study));
    WORKS(compare_models(&c, tiny.model, NULL, &corpus, kernels_cpu(), (int64_t)1 << 30, NULL, NULL));
    assert_memory_equal(clean.nll, c.nll, sizeof(double) * (size_t)corpus.n_windows);
    comparison_free(&c);
    measurement_free(&clean);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_on_ref),
        cmocka_unit_test(plans_on_cpu),
        cmocka_unit_test(plans_on_cuda),
        cmocka_unit_test(windows_do_not_see_each_other),
        cmocka_unit_test(slices_of_a_comparison),
        cmocka_unit_test(comparison_equals_study),
    };
    start_with(1, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
