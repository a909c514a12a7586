/* test_importance_models.c - importance rules on tiny models, against sorts and sums of our own */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/importance/importance.h"
#include "core/importance/lim.h"
#include "core/tests/full_sort.h"
#include "core/tests/tiny_study.h"

/* ---- states, against the network itself ---- */

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
        TinyStudy t;
        tiny_study_open(&t, names[m], WHOLE, "cpu");
        WORKS(study_streams(t.study, compare_projections, NULL));
        tiny_study_close(&t);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(2, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_of_models),
        cmocka_unit_test(the_models_own_projection),
    };
    return cmocka_run_group_tests_name("importance_models", tests, NULL, NULL);
}
