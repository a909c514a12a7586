/* test_importance.c - importance rules on numbers worked out by hand, and on tiny models against sorts and sums of our own */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/importance/importance.h"
#include "core/importance/jaccard.h"
#include "core/importance/lim.h"
#include "core/importance/top_tokens.h"
#include "core/importance/zd.h"
#include "core/tests/tiny_golden.h"

/* ---- tokens ---- */

static const float *sorted_logit;

static int by_logit(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorted_logit[x] != sorted_logit[y]) return sorted_logit[x] < sorted_logit[y] ? 1 : -1;
    return (x > y) - (x < y);
}

static int32_t *full_sort(const float *logit, int n)
{
    int32_t *id = xmalloc(sizeof *id * (size_t)n);
    for (int i = 0; i < n; i++) id[i] = i;
    sorted_logit = logit;
    qsort(id, (size_t)n, sizeof *id, by_logit);
    return id;
}

/* Whole numbers, many of them equal. */
static void tokens_against_a_full_sort(void **state)
{
    (void)state;
    const int sizes[] = { 1, 2, 7, 64, 257, 1000 }, ks[] = { 1, 2, 3, 10, 50, 1000 };
    for (int s = 0; s < 6; s++)
        for (int kind = 0; kind < 3; kind++) {
            const int n = sizes[s];
            float *logit = xmalloc(sizeof *logit * (size_t)n);
            for (int i = 0; i < n; i++) {
                const double u = rng_uniform(7, rng_stream(RNG_TEST, kind, s, 0), (uint64_t)i);
                logit[i] = kind == 0 ? (float)u : kind == 1 ? (float)floor(20 * u) : -3;
            }
            int32_t *want = full_sort(logit, n), *got = xmalloc(sizeof *got * (size_t)n);
            for (int j = 0; j < 6; j++) {
                const int k = ks[j] < n ? ks[j] : n;
                assert_true(top_tokens(got, k, logit, n));
                assert_memory_equal(got, want, sizeof *got * (size_t)k);
            }
            logit[n / 2] = NAN;
            assert_false(top_tokens(got, 1, logit, n));
            assert_false(top_tokens(got, n, logit, n));
            free(logit);
            free(want);
            free(got);
        }
}

static void jaccard_by_hand(void **state)
{
    (void)state;
    const int32_t a[] = { 5, 1, 9, 3 }, b[] = { 3, 7, 1, 2 }, c[] = { 0, 4, 6, 8 };
    assert_true(jaccard(a, a, 4) == 1);
    assert_true(jaccard(a, c, 4) == 0);
    assert_true(jaccard(a, b, 4) == 2. / 6);            /* 1 and 3 of 1 2 3 5 7 9 */
    assert_true(jaccard(a, b, 3) == 1. / 5);            /* 1 of 1 3 5 7 9         */
    assert_true(jaccard(a, b, 2) == 0 && jaccard(a, a, 1) == 1);
    const int32_t before[] = { 0, 1, 99, 1, 2, 99, 4, 0, 99 }, after[] = { 2, 3, 88, 3, 1, 88, 3, 2, 88 };
    assert_true(jaccard_of_unions(before, after, 3, 3, 2, 100) == 2. / 5);              /* 0 1 2 4 and 1 2 3 */
    assert_true(jaccard_of_unions(before, after, 3, 3, 3, 100) == 2. / 7);
    assert_true(jaccard_of_unions(before, after, 1, 3, 2, 100) == 0);
}

/* m in common of k: J = m / (2k - m), whatever the tokens are called and in which order they stand. */
static void jaccard_of_sets_of_one_size(void **state)
{
    (void)state;
    for (int k = 1; k <= 20; k++)
        for (int m = 0; m <= k; m++) {
            int32_t a[20], b[20];
            for (int i = 0; i < k; i++) a[i] = (37 * i + 5) % 101, b[i] = (37 * (k - 1 - i < m ? k - 1 - i : k - 1 - i + 30) + 5) % 101;
            assert_true(jaccard(a, b, k) == (double)m / (2 * k - m) && jaccard(b, a, k) == jaccard(a, b, k));
            assert_true(jaccard_of_unions(a, b, 1, k, k, 101) == jaccard(a, b, k));
            for (int i = 0; i < k; i++) a[i] = 63 * a[i] % 101, b[i] = 63 * b[i] % 101;         /* a permutation of the vocabulary */
            assert_true(jaccard(a, b, k) == (double)m / (2 * k - m));
        }
}

/* ---- cosines, shares, ranks ---- */

static void lim_by_hand(void **state)
{
    (void)state;
    const float x[] = { 3, 4, 1, 0 }, y[] = { 4, 3, 0, -2 };
    NEAR(lim(x, y, 2, 2), -(24. / 25 + 0) / 2, 1e-15, "two rows");
    NEAR(lim(x, y, 1, 2), -24. / 25, 1e-15, "one row");
    float many[3 * 50], scaled[3 * 50], opposite[3 * 50];
    for (int i = 0; i < 150; i++) {
        many[i] = (float)(rng_uniform(3, rng_stream(RNG_TEST, 9, 0, 0), (uint64_t)i) - .5);
        scaled[i] = many[i] * (i < 50 ? 8 : i < 100 ? .25f : 1024), opposite[i] = -many[i];
    }
    NEAR(lim(many, many, 3, 50), -1, 1e-15, "the same states");
    NEAR(lim(many, scaled, 3, 50), -1, 1e-15, "the same directions");
    NEAR(lim(many, opposite, 3, 50), 1, 1e-15, "turned round");
    assert_true(lim(scaled, x, 1, 4) == lim(many, x, 1, 4));            /* powers of two change no bit */
    const float zero[] = { 0, 0 };
    assert_true(lim(zero, y, 1, 2) == 0 && lim(y, zero, 1, 2) == 0);
}

static void shares_by_hand(void **state)
{
    (void)state;
    const float w[] = { 0, 0, 0, 4, -4, 0, 0, 0 };      /* mean 0, deviation 2 */
    Moments m = { 0 };
    moments_add(&m, w, 2, 4);
    assert_true(m.n == 8 && m.sum == 0 && m.squares == 32);
    assert_int_equal(outstanding(w, 8, &m, false), 1);
    assert_int_equal(outstanding(w, 8, &m, true), 2);
    Moments first = { 0 };                              /* 0 0 0 4: mean 1, deviation sqrt(3) */
    moments_add(&first, w, 1, 4);
    assert_int_equal(outstanding(w, 4, &first, true), 1);
    const float edge[] = { 1, -1, 1, -1 };              /* z = 1 is not above 1 */
    Moments at = { 0 };
    moments_add(&at, edge, 1, 4);
    assert_int_equal(outstanding(edge, 4, &at, true), 0);
    const float same[] = { 2, 2, 2 };
    Moments none = { 0 };
    moments_add(&none, same, 1, 3);
    assert_int_equal(outstanding(same, 3, &none, true), 0);
}

static void ranks_and_ties(void **state)
{
    (void)state;
    const double value[] = { .5, .75, .5 + 1e-16, .1, .75, .1 * (1 + 1e-14) };
    int rank[6], order[6];
    assert_int_equal(importance_rank(rank, order, value, 6), 3);
    const int want[] = { 1, 4, 0, 2, 3, 5 };
    assert_memory_equal(order, want, sizeof want);
    for (int i = 0; i < 6; i++) assert_int_equal(rank[want[i]], i + 1);
    const double negative[] = { -.2, -.1, -.3 };
    assert_int_equal(importance_rank(rank, order, negative, 3), 0);
    assert_true(order[0] == 1 && order[1] == 0 && order[2] == 2);
}

/* ---- a model, against the network itself ---- */

typedef struct { int blocks, width, vocabulary, segments; float *stream; float *head, *embedding, *gain; } Known;     /* stream [blocks + 1][rows][width] */

static int keep_stream(void *context, Network *net, const Layout *layout, int block, const float *x)
{
    Known *k = context;
    network_kernels(net)->download(k->stream + (block + 1) * layout->rows * k->width, x, layout->rows * k->width);
    return OK;
}

static Known known_of(Study *study)
{
    const Model *model = study_model(study);
    const ModelShape *s = model_shape(model);
    const size_t matrix = (size_t)s->vocabulary * (size_t)s->width, rows = (size_t)study_corpus(study)->n_inputs;
    Known k = { s->n_blocks, s->width, s->vocabulary, study_corpus(study)->n_segments, xmalloc(sizeof(float) * (size_t)(s->n_blocks + 1) * rows * (size_t)s->width),
                xmalloc(sizeof(float) * matrix), xmalloc(sizeof(float) * matrix), xmalloc(sizeof(float) * (size_t)s->width) };
    WORKS(model_read(k.head, model, WEIGHT_HEAD, 0, 0, s->vocabulary));
    WORKS(model_read(k.embedding, model, WEIGHT_EMBEDDING, 0, 0, s->vocabulary));
    WORKS(model_read(k.gain, model, WEIGHT_FINAL_NORM, 0, 0, s->width));
    WORKS(study_streams(study, keep_stream, &k));
    return k;
}

static void known_free(Known *k)
{
    free(k->stream);
    free(k->head);
    free(k->embedding);
    free(k->gain);
}

/* The k likeliest tokens of a state; false where rounding could change who is among them. */
static bool set_of_state(bool *in, const Known *known, const float *x, bool embedding, bool norm, int k)
{
    float *logit = xmalloc(sizeof *logit * (size_t)known->vocabulary);
    double squares = 0, largest = 0;
    for (int j = 0; j < known->width; j++) squares += (double)x[j] * x[j];
    for (int i = 0; i < known->vocabulary; i++) {
        const float *row = (embedding ? known->embedding : known->head) + (int64_t)i * known->width;
        double sum = 0;
        for (int j = 0; j < known->width; j++) sum += (norm ? (double)known->gain[j] : 1) * x[j] * row[j];
        logit[i] = (float)(sum / sqrt(squares));        /* a common factor changes no order */
        largest = fmax(largest, fabs(logit[i]));
    }
    int32_t *id = full_sort(logit, known->vocabulary);
    memset(in, 0, (size_t)known->vocabulary * sizeof *in);
    for (int i = 0; i < k; i++) in[id[i]] = true;
    const bool clear = logit[id[k - 1]] - logit[id[k]] > 1e-5 * largest;
    free(logit);
    free(id);
    return clear;
}

/* Jaccard importance of one block over one segment; NaN where rounding decides. */
static double by_definition(const Known *known, const Layout *layout, int s, int block, bool embedding, bool norm, int k, bool all, bool together)
{
    const int V = known->vocabulary, rows = layout->length[s];
    bool *a = xcalloc(4 * (size_t)V, sizeof *a), *b = a + V, *all_a = a + 2 * V, *all_b = a + 3 * V, clear = true;
    double sum = 0, n = 0;
    for (int r = all ? 0 : rows - 1; r < rows; r++, n++) {
        const int64_t at = layout->offset[s] + r;
        clear &= set_of_state(a, known, known->stream + (block * layout->rows + at) * known->width, embedding, norm, k);
        clear &= set_of_state(b, known, known->stream + ((block + 1) * layout->rows + at) * known->width, embedding, norm, k);
        double common = 0;
        for (int i = 0; i < V; i++) common += a[i] && b[i], all_a[i] |= a[i], all_b[i] |= b[i];
        sum += common / (2 * k - common);
    }
    double common = 0, either = 0;
    for (int i = 0; i < V; i++) common += all_a[i] && all_b[i], either += all_a[i] || all_b[i];
    free(a);
    return !clear ? NAN : together ? 1 - common / either : 1 - sum / n;
}

static Options *jaccard_with(const char *k, bool embedding, bool norm, bool all, bool together)
{
    const ImportanceRule *rule;
    WORKS(importance_find(&rule, "jaccard"));
    Options *o = options_new(rule->options);
    WORKS(options_set(o, "k", k, "test"));
    WORKS(options_set(o, "projection", embedding ? "embedding" : "head", "test"));
    WORKS(options_set(o, "norm", norm ? "yes" : "no", "test"));
    WORKS(options_set(o, "positions", all ? "all" : "last", "test"));
    WORKS(options_set(o, "set", together ? "union" : "position", "test"));
    return o;
}

enum { VARIANTS = 16, LAST_ONLY = 4 };       /* the first of them want the last position's tokens alone */

/* All ways of projecting and of counting in one pass; k differs, so that the widest set serves the others. */
static void check_model(const Tiny *tiny, const char *back_end)
{
    Corpus corpus;
    tiny_corpus(&corpus, tiny, 17);
    Study *study = study_of(tiny->model, &corpus, back_end);
    Known known = known_of(study);
    Layout layout;
    layout_init(&layout, &corpus);
    ImportanceRequest request[VARIANTS + 1];
    Importance got[VARIANTS + 1], alone[LAST_ONLY];
    const int k_of[] = { 5, 1, 3, 12 };
    for (int v = 0; v < VARIANTS; v++) {
        char k[8];
        snprintf(k, sizeof k, "%d", k_of[v / 4]);
        WORKS(importance_find(&request[v].rule, "jaccard"));
        request[v].options = jaccard_with(k, v & 1, v & 2, v / 4 % 2 || v >= 8, v >= 12), request[v].name = "jaccard";
    }
    WORKS(importance_find(&request[VARIANTS].rule, "lim"));
    request[VARIANTS].options = options_new(request[VARIANTS].rule->options), request[VARIANTS].name = "lim";
    WORKS(importance_measure(got, study, request, VARIANTS + 1, NULL));
    WORKS(importance_measure(alone, study, request, LAST_ONLY, NULL));
    int compared = 0;
    for (int v = 0; v <= VARIANTS; v++) {
        for (int b = 0; b < known.blocks; b++)
            for (int w = 0; w < corpus.n_windows; w++) {
                double want = 0;
                int segments = 0;
                for (int s = 0; s < layout.n; s++) {
                    if (layout.window[s] != w) continue;
                    const int64_t at = (b * layout.rows + layout.offset[s]) * known.width;
                    want += v == VARIANTS ? lim(known.stream + at, known.stream + at + layout.rows * known.width, layout.length[s], known.width)
                                          : by_definition(&known, &layout, s, b, v & 1, v & 2, k_of[v / 4], v / 4 % 2 || v >= 8, v >= 12);
                    segments++;
                }
                if (isnan(want)) continue;              /* two logits too near one another for the last bit not to matter */
                compared++;
                NEAR(got[v].by_window[b * corpus.n_windows + w], want / segments, 1e-12, "%s, variant %d, block %d, window %d", back_end, v, b, w);
                if (v < LAST_ONLY) NEAR(alone[v].by_window[b * corpus.n_windows + w], want / segments, 1e-12, "%s, variant %d alone", back_end, v);
            }
        assert_true(got[v].n_windows == 2 && got[v].rank[got[v].order[0]] == 1);
        options_free((Options *)request[v].options);
        importance_free(&got[v]);
        if (v < LAST_ONLY) importance_free(&alone[v]);
    }
    assert_true(compared > VARIANTS * known.blocks);    /* of twice as many */
    layout_free(&layout);
    known_free(&known);
    study_close(&study);
    corpus_free(&corpus);
}

static void states_of_models(void **state)
{
    (void)state;
    const char *const names[] = { "llama3-gqa-tied", "llama-mha-untied", "qwen3-qknorm" };
    for (int m = 0; m < 3; m++) {
        Tiny tiny = tiny_open(names[m]);
        for (int b = 0; b < BACK_ENDS; b++) check_model(&tiny, back_ends[b]);
        tiny_close(&tiny);
    }
}

/* The projection as the model's own is network_logits, to the bit. */
static int compare_projections(void *context, Network *net, const Layout *layout, int block, const float *x)
{
    (void)context, (void)block;
    const int V = model_shape(network_model(net))->vocabulary, rows = layout->length[0];
    const Kernels *k = network_kernels(net);
    float *device = k->alloc((int64_t)rows * V), *own = xmalloc(sizeof *own * (size_t)(rows * V)), *other = xmalloc(sizeof *own * (size_t)(rows * V));
    WORKS(network_logits(net, device, x, rows));
    k->download(own, device, (int64_t)rows * V);
    WORKS(network_project(net, device, x, rows, (Projection){ false, false }));
    k->download(other, device, (int64_t)rows * V);
    assert_memory_equal(own, other, sizeof *own * (size_t)(rows * V));
    WORKS(network_project(net, device, x, rows, (Projection){ true, false }));
    k->download(other, device, (int64_t)rows * V);
    assert_int_equal(memcmp(own, other, sizeof *own * (size_t)(rows * V)) == 0, model_shape(network_model(net))->tied);
    k->release(device);
    free(own);
    free(other);
    return OK;
}

static void the_models_own_projection(void **state)
{
    (void)state;
    const char *const names[] = { "llama3-gqa-tied", "llama-mha-untied" };
    for (int m = 0; m < 2; m++) {
        Tiny tiny = tiny_open(names[m]);
        Corpus corpus;
        tiny_corpus(&corpus, &tiny, WHOLE);
        Study *study = study_of(tiny.model, &corpus, "cpu");
        WORKS(study_streams(study, compare_projections, NULL));
        study_close(&study);
        corpus_free(&corpus);
        tiny_close(&tiny);
    }
}

/* ---- the other rules ---- */

static Importance one(Study *study, const char *name, const double *alpha, const char *option, const char *value)
{
    ImportanceRequest request = { .name = name };
    Importance out;
    WORKS(importance_find(&request.rule, name));
    Options *options = options_new(request.rule->options);
    if (option) WORKS(options_set(options, option, value, "test"));
    request.options = options;
    WORKS(importance_measure(&out, study, &request, 1, alpha));
    options_free(options);
    return out;
}

static double share_of(const Model *model, int block, int from, int to, bool both)
{
    double n = 0, sum = 0, squares = 0, count = 0;
    for (int turn = 0; turn < 2; turn++)
        for (int t = from; t < to; t++) {
            const Layer *l = model_layer(model, model_layer_index(block, (WeightKind)t));
            float *w = xmalloc(sizeof *w * (size_t)(l->rows * l->cols));
            WORKS(model_read(w, model, l->type, block, 0, l->rows));
            const double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
            for (int64_t i = 0; i < l->rows * l->cols; i++) {
                if (turn == 0) n++, sum += w[i], squares += (double)w[i] * w[i];
                else count += both ? fabs((w[i] - mean) / deviation) > 1 : (w[i] - mean) / deviation > 1;
            }
            free(w);
        }
    return count / n;
}

static void shares_of_a_model(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    Importance block = one(study, "zd", NULL, NULL, NULL), both = one(study, "zd", NULL, "sides", "both"), matrix = one(study, "zd", NULL, "over", "matrix");
    for (int b = 0; b < 3; b++) {
        double mean = 0;
        for (int t = 0; t < LAYER_TYPES; t++) mean += share_of(tiny.model, b, t, t + 1, false) / LAYER_TYPES;
        NEAR(block.value[b], -share_of(tiny.model, b, 0, LAYER_TYPES, false), 1e-12, "block %d", b);
        NEAR(both.value[b], -share_of(tiny.model, b, 0, LAYER_TYPES, true), 1e-12, "block %d, both sides", b);
        NEAR(matrix.value[b], -mean, 1e-12, "block %d, matrices", b);
        assert_true(isnan(block.se[b]) && block.n_windows == 0);
    }
    importance_free(&block);
    importance_free(&both);
    importance_free(&matrix);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void sums_and_orders(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    double alpha[2 * 21];
    for (int i = 0; i < 42; i++) alpha[i] = i / 14 == 1 ? 100 + i % 2 : i / 14 + 3 * (i % 2);     /* blocks 0, 1, 2; windows 0, 1 */
    Importance sum = one(study, "alpha", alpha, NULL, NULL), first = one(study, "first-to-last", NULL, NULL, NULL), last = one(study, "last-to-first", NULL, NULL, NULL);
    assert_true(sum.value[0] == 7 * 1.5 && sum.value[1] == 7 * 100.5 && sum.value[2] == 7 * 3.5);
    NEAR(sum.se[0], 7 * 1.5, 1e-12, "half the difference of the two windows");
    assert_true(sum.order[0] == 1 && sum.order[1] == 2 && sum.order[2] == 0);
    for (int b = 0; b < 3; b++) assert_true(first.order[b] == b && last.order[b] == 2 - b);
    Importance random = one(study, "random", NULL, NULL, NULL), again = one(study, "random", NULL, "draw", "1"), other = one(study, "random", NULL, "draw", "2");
    assert_memory_equal(random.value, again.value, 3 * sizeof(double));
    for (int b = 0; b < 3; b++) assert_true(random.value[b] != other.value[b] && random.value[b] > 0 && random.value[b] < 1);
    Importance *all[] = { &sum, &first, &last, &random, &again, &other };
    for (int i = 0; i < 6; i++) importance_free(all[i]);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- store and refusals ---- */

static void found_in_the_store(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Store *store = store_in_memory();
    Importance first, second;
    ImportanceRequest request = { .name = "lim" };
    WORKS(importance_find(&request.rule, "lim"));
    Options *options = options_new(request.rule->options);
    request.options = options;
    StudyPlan plan;
    WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, kernels_cpu(), (int64_t)1 << 30));
    for (int turn = 0; turn < 2; turn++) {
        Study *study;
        WORKS(study_open(&study, tiny.model, &corpus, kernels_cpu(), &plan, 1, store));
        assert_int_equal(importance_missing(study, &request, 1), !turn);
        WORKS(importance_measure(turn ? &second : &first, study, &request, 1, NULL));
        assert_int_equal(store_count(store), 1);
        study_close(&study);
    }
    assert_memory_equal(first.by_window, second.by_window, sizeof(double) * 4);
    assert_true(first.seconds == second.seconds);       /* as measured then */
    importance_free(&first);
    importance_free(&second);
    options_free(options);
    store_close(&store);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void refusals(void **state)
{
    (void)state;
    const ImportanceRule *rule;
    assert_int_equal(importance_find(&rule, "jacard"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "there is no importance rule 'jacard'; did you mean 'jaccard'?");
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    Options *options = jaccard_with("9", false, false, false, false);
    ImportanceRequest request = { .options = options, .name = "jaccard" };
    Importance out;
    WORKS(importance_find(&request.rule, "jaccard"));
    assert_int_equal(importance_measure(&out, study, &request, 1, NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "the 9 likeliest tokens of a vocabulary of 8: k must be at most that");
    WORKS(importance_find(&request.rule, "alpha"));
    assert_int_equal(importance_measure(&out, study, &request, 1, NULL), ERR_ARGUMENT);
    options_free(options);
    study_close(&study);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(2, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_against_a_full_sort),
        cmocka_unit_test(jaccard_by_hand),
        cmocka_unit_test(jaccard_of_sets_of_one_size),
        cmocka_unit_test(lim_by_hand),
        cmocka_unit_test(shares_by_hand),
        cmocka_unit_test(ranks_and_ties),
        cmocka_unit_test(states_of_models),
        cmocka_unit_test(the_models_own_projection),
        cmocka_unit_test(shares_of_a_model),
        cmocka_unit_test(sums_and_orders),
        cmocka_unit_test(found_in_the_store),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("importance", tests, NULL, NULL);
}
