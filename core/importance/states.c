#include "core/importance/states.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/importance/top_tokens.h"
#include "core/network/device.h"

/* Tokens by one projection, as many as the rules that read them want at most. */
typedef struct {
    TokensWanted wanted;
    int32_t *before, *after;        /* [rows or segments][wanted.k] of the streams around the block */
    double seconds;
} TokenSet;

/* A request whose result the store lacks. */
typedef struct { int request, set; double *by_window; double seconds; } Job;    /* set: -1 where it reads no tokens; by_window [n_blocks][n_windows] */

typedef struct {
    Study *study;
    const ImportanceRequest *request;
    const ModelShape *shape;
    const Corpus *corpus;
    int n_jobs, n_sets;
    Job *job;
    TokenSet *set;
    int *segments;                  /* [n_windows] sequences of each window         */
    float *before, *after;          /* the stream before the block, all rows; one segment of the stream after it */
} Pass;

/* ---- records ---- */

static int request_key(char key[HASH_TEXT], char **text, Study *study, const ImportanceRequest *r)
{
    char model[HASH_TEXT];
    TRY(model_hash(model, study_model(study)));
    const Corpus *c = study_corpus(study);
    char *options = options_canonical(r->options);
    *text = xformat("importance 1\nmodel %s\ncorpus %s %s context %d bos %d windows %d\nprecision %s\nrule %s{version=%d%s%s}\n", model, c->hash, c->protocol,
                    c->context, c->bos, c->n_windows, study_kernels(study)->precision, r->rule->name, r->rule->version, *options ? "," : "", options);
    free(options);
    hash_bytes(key, *text, strlen(*text));
    return OK;
}

static int find_record(const Measurement **out, Study *study, const ImportanceRequest *r)
{
    char key[HASH_TEXT], *text;
    *out = NULL;
    if (!study_store(study)) return OK;
    TRY(request_key(key, &text, study, r));
    free(text);
    *out = store_find(study_store(study), key);
    return OK;
}

/* A record as a backward pass has them: no losses, one form, a block in the place of a layer. */
static void record_init(Measurement *m, Study *study, const ImportanceRequest *r, const Job *job)
{
    const Corpus *c = study_corpus(study);
    const int blocks = model_shape(study_model(study))->n_blocks;
    const size_t windows = (size_t)c->n_windows, numbers = (size_t)blocks * windows;
    *m = (Measurement){ .label = xformat("importance by %s", r->name), .n_windows = c->n_windows, .n_layers = blocks, .n_forms = 1, .seconds = job->seconds };
    m->tokens = xmalloc(sizeof *m->tokens * windows);
    memcpy(m->tokens, c->tokens, sizeof *m->tokens * windows);
    double **loss[] = { &m->nll, &m->kl, &m->same_top }, **error[] = { &m->t2, &m->kappa, &m->bits, &m->code_bits, &m->t2_asked };
    for (int i = 0; i < 3; i++) *loss[i] = xmalloc(sizeof(double) * windows);
    for (int i = 0; i < 5; i++) *error[i] = xmalloc(sizeof(double) * (size_t)blocks);
    for (int w = 0; w < c->n_windows; w++) m->nll[w] = m->kl[w] = m->same_top[w] = NAN;
    m->layer = xmalloc(sizeof *m->layer * (size_t)blocks), m->layer_name = xmalloc(sizeof *m->layer_name * (size_t)blocks);
    for (int b = 0; b < blocks; b++) {
        m->t2[b] = m->kappa[b] = m->bits[b] = m->code_bits[b] = m->t2_asked[b] = NAN;
        m->layer[b] = model_layer_index(b, WEIGHT_Q);
        m->layer_name[b] = xformat("blocks.%d", b);
    }
    m->form_name = xmalloc(sizeof *m->form_name), m->form_name[0] = xstrdup("importance");
    m->form = xmalloc(sizeof *m->form * numbers);
    memcpy(m->form, job->by_window, sizeof *m->form * numbers);
}

static int append_record(Study *study, const ImportanceRequest *r, const Job *job)
{
    Measurement m;
    char key[HASH_TEXT], *text;
    if (!study_store(study)) return OK;
    TRY(request_key(key, &text, study, r));
    record_init(&m, study, r, job);
    memcpy(m.key, key, sizeof m.key);
    m.text = text;
    int status = store_append(study_store(study), &m);
    measurement_free(&m);
    return status;
}

/* ---- one block ---- */

static int tokens_after(Pass *p, Network *net, const Layout *layout, const float *x)
{
    for (int i = 0; i < p->n_sets; i++) {
        TokenSet *set = &p->set[i];
        const double start = clock_seconds();
        TRY(stream_tokens(set->after, net, layout, x, set->wanted.projection, set->wanted.k, !set->wanted.all));
        set->seconds += clock_seconds() - start;
    }
    return OK;
}

static void turn_tokens(Pass *p)
{
    for (int i = 0; i < p->n_sets; i++) {
        int32_t *after = p->set[i].after;
        p->set[i].after = p->set[i].before, p->set[i].before = after;
    }
}

/* Every rule on one sequence, whose states after the block are in p->after. */
static void weigh_segment(Pass *p, const Layout *layout, int s, int block)
{
    const int width = p->shape->width, window = layout->window[s];
    for (int j = 0; j < p->n_jobs; j++) {
        Job *job = &p->job[j];
        const ImportanceRequest *r = &p->request[job->request];
        BlockStates states = { .rows = layout->length[s], .width = width, .vocabulary = p->shape->vocabulary, .input = p->before + layout->offset[s] * width, .output = p->after };
        if (job->set >= 0) {
            const TokenSet *set = &p->set[job->set];
            const int64_t at = (set->wanted.all ? layout->offset[s] : s) * set->wanted.k;
            states.most = set->wanted.k, states.token_rows = set->wanted.all ? layout->length[s] : 1;
            states.input_tokens = set->before + at, states.output_tokens = set->after + at;
        }
        const double start = clock_seconds();
        job->by_window[(int64_t)block * p->corpus->n_windows + window] += r->rule->of_states(&states, r->options) / p->segments[window];
        job->seconds += clock_seconds() - start;
    }
}

static int see_stream(void *context, Network *net, const Layout *layout, int block, const float *x)
{
    Pass *p = context;
    const Kernels *k = study_kernels(p->study);
    const int64_t width = p->shape->width;
    TRY(tokens_after(p, net, layout, x));
    for (int s = 0; s < layout->n; s++) {
        const int64_t at = layout->offset[s] * width, n = layout->length[s] * width;
        k->download(p->after, x + at, n);
        TRY(kernels_status(k));
        if (block >= 0) weigh_segment(p, layout, s, block);
        memcpy(p->before + at, p->after, sizeof *p->after * (size_t)n);
    }
    turn_tokens(p);
    return OK;
}

/* ---- the pass ---- */

/* The set of tokens that a rule reads, widened to what it wants. */
static int set_of(Pass *p, const TokensWanted *wanted)
{
    int i = 0;
    for (; i < p->n_sets; i++) {
        const Projection *have = &p->set[i].wanted.projection;
        if (have->embedding == wanted->projection.embedding && have->unnormed == wanted->projection.unnormed) break;
    }
    if (i == p->n_sets) p->set[p->n_sets++] = (TokenSet){ .wanted = { .projection = wanted->projection } };
    TokensWanted *set = &p->set[i].wanted;
    if (wanted->k > set->k) set->k = wanted->k;
    set->all |= wanted->all;
    return i;
}

static int add_job(Pass *p, int i)
{
    const ImportanceRequest *r = &p->request[i];
    Job *job = &p->job[p->n_jobs++];
    *job = (Job){ .request = i, .set = -1, .by_window = xcalloc((size_t)p->shape->n_blocks * (size_t)p->corpus->n_windows, sizeof *job->by_window) };
    if (!r->rule->tokens) return OK;
    TokensWanted wanted;
    r->rule->tokens(&wanted, r->options);
    if (wanted.projection.embedding && p->shape->tied) wanted.projection.embedding = false;
    if (wanted.k > p->shape->vocabulary)
        FAIL(ERR_ARGUMENT, "the %d likeliest tokens of a vocabulary of %d: k must be at most that", wanted.k, p->shape->vocabulary);
    job->set = set_of(p, &wanted);
    return OK;
}

static int pass_init(Pass *p, Study *study, const ImportanceRequest *request, int n)
{
    const size_t rows = (size_t)study_corpus(study)->n_inputs;
    *p = (Pass){ .study = study, .request = request, .shape = model_shape(study_model(study)), .corpus = study_corpus(study) };
    p->job = xcalloc((size_t)n, sizeof *p->job), p->set = xcalloc((size_t)n, sizeof *p->set);
    for (int i = 0; i < n; i++) {
        const Measurement *known = NULL;
        if (!request[i].rule->of_states) continue;
        TRY(find_record(&known, study, &request[i]));
        if (!known) TRY(add_job(p, i));
    }
    if (!p->n_jobs) return OK;
    for (int i = 0; i < p->n_sets; i++) {
        const size_t tokens = (p->set[i].wanted.all ? rows : (size_t)p->corpus->n_segments) * (size_t)p->set[i].wanted.k;
        p->set[i].before = xmalloc(sizeof(int32_t) * tokens), p->set[i].after = xmalloc(sizeof(int32_t) * tokens);
    }
    p->segments = xcalloc((size_t)p->corpus->n_windows, sizeof *p->segments);
    for (int s = 0; s < p->corpus->n_segments; s++) p->segments[p->corpus->segment[s].window]++;
    p->before = xmalloc(sizeof(float) * rows * (size_t)p->shape->width);
    p->after = xmalloc(sizeof(float) * (size_t)p->corpus->longest * (size_t)p->shape->width);
    return OK;
}

static void pass_free(Pass *p)
{
    for (int j = 0; j < p->n_jobs; j++) free(p->job[j].by_window);
    for (int i = 0; i < p->n_sets; i++) {
        free(p->set[i].before);
        free(p->set[i].after);
    }
    free(p->job);
    free(p->set);
    free(p->segments);
    free(p->before);
    free(p->after);
}

/* A rule's seconds are those of the pass without what other rules took. */
static int run_pass(Pass *p)
{
    double start = clock_seconds(), rules = 0;
    TRY(study_streams(p->study, see_stream, p));
    for (int i = 0; i < p->n_sets; i++) rules += p->set[i].seconds;
    for (int j = 0; j < p->n_jobs; j++) rules += p->job[j].seconds;
    const double forward = clock_seconds() - start - rules;
    for (int j = 0; j < p->n_jobs; j++) p->job[j].seconds += forward + (p->job[j].set >= 0 ? p->set[p->job[j].set].seconds : 0);
    return OK;
}

int importance_cost(double *passes, Study *study, const ImportanceRequest *request, int n)
{
    Pass p;
    int status = pass_init(&p, study, request, n);
    const Corpus *c = study_corpus(study);
    const double length = (double)c->n_inputs / c->n_segments, streams = p.shape->n_blocks + 1;
    double flops = p.n_jobs ? network_flops(p.shape, c->n_inputs, length, 0, 0) : 0;
    for (int i = 0; i < p.n_sets; i++) flops += streams * network_flops(p.shape, 0, length, p.shape->n_blocks, p.set[i].wanted.all ? c->n_inputs : c->n_segments);
    *passes = flops / network_flops(p.shape, c->n_inputs, length, 0, c->n_scored);
    pass_free(&p);
    return status;
}

static int put_out(Importance *out, Pass *p, const Job *job)
{
    const ImportanceRequest *r = &p->request[job->request];
    importance_init(out, p->shape->n_blocks, p->corpus->n_windows);
    memcpy(out->by_window, job->by_window, sizeof *job->by_window * (size_t)out->n_blocks * (size_t)out->n_windows);
    out->seconds = job->seconds;
    TRY(importance_finish(out, r->name));
    return append_record(p->study, r, job);
}

static int take_known(Importance *out, Study *study, const ImportanceRequest *r)
{
    const Measurement *known = NULL;
    TRY(find_record(&known, study, r));
    if (!known) return OK;
    const double *form = measurement_form(known, "importance");
    if (!form || known->n_layers != model_shape(study_model(study))->n_blocks || known->n_windows != study_corpus(study)->n_windows)
        FAIL(ERR_FORMAT, "the record of importances by %s in the results file is not one of this model and text", r->name);
    importance_init(out, known->n_layers, known->n_windows);
    memcpy(out->by_window, form, sizeof *out->by_window * (size_t)out->n_blocks * (size_t)out->n_windows);
    out->seconds = known->seconds;
    return importance_finish(out, r->name);
}

int importance_of_states(Importance *out, Study *study, const ImportanceRequest *request, int n)
{
    Pass p;
    int status = pass_init(&p, study, request, n);
    for (int i = 0; i < n && status == OK; i++)
        if (request[i].rule->of_states) status = take_known(&out[i], study, &request[i]);
    if (status == OK && p.n_jobs) status = run_pass(&p);
    for (int j = 0; j < p.n_jobs && status == OK; j++) status = put_out(&out[p.job[j].request], &p, &p.job[j]);
    pass_free(&p);
    return status;
}
