#include "core/measure/gradients.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/measure/gradient_pass.h"

const char *const probe_name[PROBES] = { "signs", "sampled", "labels", "kl" };

/* ---- the key of one window ---- */

static void add_text(char **text, char *line)
{
    char *longer = xformat("%s%s", *text, line);
    free(*text);
    free(line);
    *text = longer;
}

/* Content of a window: its segments, what is scored, and its number, which the probe and fresh noise depend on. */
static void window_hash(char out[HASH_TEXT], const Corpus *corpus, int window)
{
    Hash *hash = hash_begin();
    for (int s = 0; s < corpus->n_segments; s++) {
        const Segment *segment = &corpus->segment[s];
        if (segment->window != window) continue;
        const int32_t head[2] = { segment->length, segment->first_scored };
        hash_add(hash, head, sizeof head);
        hash_add(hash, segment->inputs, sizeof *segment->inputs * (size_t)segment->length);
        hash_add(hash, segment->targets, sizeof *segment->targets * (size_t)segment->length);
    }
    hash_end(hash, out);
}

/* What does not depend on the window, and only what a result depends on: labels and the KL are not drawn, forms at
 * perturbed weights have no groups. */
static int request_text(char **out, Study *study, const GradientRequest *r)
{
    char model[HASH_TEXT];
    TRY(model_hash(model, study->model));
    const LayerMap nothing = { 0 }, *point = r->point ? r->point : &nothing;
    const bool drawn = r->probe == PROBE_SIGNS || r->probe == PROBE_SAMPLED;
    char *text = xformat("gradients 1\nmodel %s\nprecision %s\nprobe %s", model, study->kernels->precision, probe_name[r->probe]);
    if (drawn) add_text(&text, xformat(" seed %llu draw %d", (unsigned long long)study->seed, r->draw));
    add_text(&text, r->point ? xstrdup("\nperturbed\nlayers") : xformat("\ngroup %d\nlayers", r->group));
    if (r->n_layers == model_layer_count(study->model)) add_text(&text, xstrdup(" *"));
    else
        for (int i = 0; i < r->n_layers; i++) add_text(&text, xformat(" %s", model_layer(study->model, r->layer[i])->name));
    add_text(&text, xstrdup("\n"));
    for (int j = 0; j < r->n_errors; j++) {
        char *what = perturbation_text(study, r->error[j].perturbation, r->error[j].options, r->error[j].draw);
        add_text(&text, xformat("error %s=%s\n", r->error[j].name, what));
        free(what);
    }
    for (int i = 0; i < point->n; i++) add_text(&text, replacement_text(study, &point->entry[i], point));
    *out = text;
    return OK;
}

int gradients_key(char key[HASH_TEXT], Study *study, const GradientRequest *request)
{
    char *text;
    TRY(request_text(&text, study, request));
    hash_bytes(key, text, strlen(text));
    free(text);
    return OK;
}

static char *window_text(char key[HASH_TEXT], const char *request, const Corpus *corpus, int window)
{
    char content[HASH_TEXT];
    window_hash(content, corpus, window);
    char *text = xformat("%swindow %d %s\n", request, window, content);
    hash_bytes(key, text, strlen(text));
    return text;
}

/* ---- records ---- */

static int lowest_block(const Study *study, const GradientRequest *r)
{
    return r->n_layers ? model_layer(study->model, r->layer[0])->block : 0;
}

static void layer_columns(Measurement *m, const Study *study, const GradientRequest *r)
{
    const size_t layers = (size_t)r->n_layers;
    m->n_layers = r->n_layers;
    m->layer = xcalloc(layers, sizeof *m->layer);
    m->layer_name = xcalloc(layers, sizeof *m->layer_name);
    double **number[] = { &m->t2, &m->kappa, &m->bits, &m->code_bits, &m->t2_asked };
    for (int i = 0; i < 5; i++) *number[i] = xcalloc(layers, sizeof(double));
    for (int i = 0; i < r->n_layers; i++) {
        m->layer[i] = r->layer[i];
        m->layer_name[i] = xstrdup(model_layer(study->model, r->layer[i])->name);
        m->bits[i] = m->code_bits[i] = m->t2_asked[i] = NAN;
    }
    m->n_forms = gradient_form_names(&m->form_name, r);
}

static void point_errors(Measurement *m, const GradientPass *p, int window)
{
    for (int e = 0; p->point && e < p->point->map->n; e++) {
        const int place = p->index_of[p->point->map->entry[e].layer];
        if (place < 0) continue;
        const PerturbationError *error = replacement_error(p->point, e, window);
        m->t2[place] = error->t2, m->kappa[place] = error->kappa, m->bits[place] = error->bits, m->code_bits[place] = error->code_bits;
    }
}

/* The record of a window that has been run; ERR_FORMAT where something in it is not finite. */
static int window_record(Measurement *out, const GradientPass *p, int window, const char *key, char *text, double seconds)
{
    const int windows = p->study->corpus->n_windows;
    const double tokens = (double)p->study->corpus->tokens[window];
    const bool clean = p->study->clean_nll != NULL;
    Measurement m = { .n_windows = 1, .text = text, .label = xformat("%s window %d", p->request->label, window), .seconds = seconds };
    memcpy(m.key, key, HASH_TEXT);
    m.tokens = xmalloc(sizeof *m.tokens);
    m.tokens[0] = p->study->corpus->tokens[window];
    double **loss[] = { &m.nll, &m.kl, &m.same_top }, sum[] = { p->nll[window], p->kl[window], p->same_top[window] };
    for (int i = 0; i < 3; i++) {
        *loss[i] = xmalloc(sizeof(double));
        (*loss[i])[0] = sum[i] / tokens;
    }
    if (!p->request->point) m.kl[0] = NAN, m.same_top[0] = 1;
    layer_columns(&m, p->study, p->request);
    point_errors(&m, p, window);
    m.form = xmalloc(sizeof *m.form * (size_t)(m.n_forms * m.n_layers));
    bool finite = isfinite(m.nll[0]) && (!p->request->point || !clean || isfinite(m.kl[0]));
    for (int64_t i = 0; i < (int64_t)m.n_forms * m.n_layers; i++) {
        m.form[i] = p->form[i * windows + window];
        finite &= isfinite(m.form[i]) != 0;
    }
    *out = m;
    return finite ? OK : err_set(ERR_FORMAT, "the gradient of window %d is not a finite number", window);
}

/* ---- running what the store lacks ---- */

typedef struct {
    Study *study;
    const GradientRequest *request;
    char *text;                     /* of the request                               */
    int n_windows;
    Measurement *record;            /* [n_windows]; text NULL where still to be run */
    GradientProgress progress;
    void *context;
} Job;

static bool is_missing(const Job *job, int window) { return window < job->n_windows && !job->record[window].text; }

static int finish_window(Job *job, const GradientPass *p, int window, double seconds)
{
    char key[HASH_TEXT];
    char *text = window_text(key, job->text, job->study->corpus, window);
    Measurement *m = &job->record[window];
    TRY(window_record(m, p, window, key, text, seconds));
    if (job->study->store) TRY(store_append(job->study->store, m));
    job->study->executed++;
    if (job->progress) job->progress(job->context, m->label);
    return OK;
}

/* Segments of missing windows from s on that pass together. */
static int together(const Job *job, int s)
{
    int n = backward_segments(&job->study->layout, s, &job->study->plan.backward), same = 0;
    while (same < n && is_missing(job, job->study->layout.window[s + same])) same++;
    return same;
}

static bool ends_window(const Layout *l, int s) { return s + 1 == l->n || l->window[s + 1] != l->window[s]; }

static int run_segments(Job *job, GradientPass *p)
{
    const Study *study = job->study;
    const GradientVisitor visitor = { p, lowest_block(study, job->request), gradient_pass_loss, gradient_pass_layer };
    double start = clock_seconds();
    for (int s = 0; s < study->layout.n;) {
        if (!is_missing(job, study->layout.window[s])) {
            s++;
            continue;
        }
        int n = together(job, s), done = 0;
        TRY(network_backward(study->net, study->corpus, &study->layout, s, n, &study->plan.backward, p->point ? &p->point->patch : NULL, &visitor));
        for (int i = s; i < s + n; i++) done += ends_window(&study->layout, i);
        double now = clock_seconds(), each = done ? (now - start) / done : 0;
        for (int i = s; i < s + n; i++)
            if (ends_window(&study->layout, i)) TRY(finish_window(job, p, study->layout.window[i], each));
        if (done) start = now;
        s += n;
    }
    return OK;
}

static int run_missing(Job *job)
{
    const GradientRequest *r = job->request;
    TRY(r->point || r->probe == PROBE_KL ? study_prepare(job->study) : study_network(job->study));
    Replacement point = { 0 };
    GradientPass pass;
    if (r->point) replacement_init(&point, job->study, r->point);
    gradient_pass_init(&pass, job->study, r, r->point ? &point : NULL);
    int status = run_segments(job, &pass);
    gradient_pass_free(&pass);
    if (r->point) replacement_free(&point);
    return status;
}

/* ---- putting windows together ---- */

static void append_window(Measurement *out, const Measurement *one, int w)
{
    out->tokens[w] = one->tokens[0], out->nll[w] = one->nll[0], out->kl[w] = one->kl[0], out->same_top[w] = one->same_top[0];
    out->seconds += one->seconds;
    for (int i = 0; i < out->n_layers; i++) {
        out->t2[i] += one->t2[i] / out->n_windows, out->kappa[i] += one->kappa[i] / out->n_windows;
        out->bits[i] = w ? out->bits[i] + one->bits[i] / out->n_windows : one->bits[i] / out->n_windows;
        out->code_bits[i] = w ? out->code_bits[i] + one->code_bits[i] / out->n_windows : one->code_bits[i] / out->n_windows;
    }
    for (int f = 0; f < out->n_forms; f++) {                /* a store may keep a record's forms in another order */
        const double *form = measurement_form(one, out->form_name[f]);
        for (int i = 0; i < out->n_layers; i++) out->form[((int64_t)f * out->n_layers + i) * out->n_windows + w] = form[i];
    }
}

static void put_together(Measurement *out, const Job *job)
{
    const size_t n = (size_t)job->n_windows;
    Measurement m = { .n_windows = job->n_windows, .text = xstrdup(job->text), .label = xstrdup(job->request->label) };
    m.tokens = xcalloc(n, sizeof *m.tokens);
    double **loss[] = { &m.nll, &m.kl, &m.same_top };
    for (int i = 0; i < 3; i++) *loss[i] = xcalloc(n, sizeof(double));
    layer_columns(&m, job->study, job->request);
    m.form = xcalloc((size_t)(m.n_forms * m.n_layers) * n, sizeof *m.form);
    for (int w = 0; w < job->n_windows; w++) append_window(&m, &job->record[w], w);
    *out = m;
}

static int look_up(Job *job)
{
    int known = 0;
    for (int w = 0; w < job->n_windows; w++) {
        char key[HASH_TEXT];
        free(window_text(key, job->text, job->study->corpus, w));
        const Measurement *found = job->study->store ? store_find(job->study->store, key) : NULL;
        if (!found) continue;
        measurement_copy(&job->record[w], found);
        known++;
    }
    return known;
}

static int job_init(Job *job, Study *study, const GradientRequest *request, int n_windows)
{
    *job = (Job){ .study = study, .request = request, .n_windows = n_windows < study->corpus->n_windows ? n_windows : study->corpus->n_windows };
    TRY(request_text(&job->text, study, request));
    job->record = xcalloc((size_t)job->n_windows, sizeof *job->record);
    return OK;
}

static void job_free(Job *job)
{
    for (int w = 0; w < job->n_windows; w++) measurement_free(&job->record[w]);
    free(job->record);
    free(job->text);
}

int measure_gradients(Measurement *out, Study *study, const GradientRequest *request, int n_windows, GradientProgress progress, void *context)
{
    Job job;
    TRY(job_init(&job, study, request, n_windows));
    job.progress = progress, job.context = context;
    int status = look_up(&job) < job.n_windows ? run_missing(&job) : OK;
    if (status == OK) put_together(out, &job);
    else err_context(status, "%s", request->label);
    job_free(&job);
    return status;
}

int gradients_known(Study *study, const GradientRequest *request, int n_windows)
{
    Job job;
    if (job_init(&job, study, request, n_windows) != OK) return 0;
    int known = look_up(&job);
    job_free(&job);
    return known;
}

double gradients_cost(const Study *study, const GradientRequest *request)
{
    const Corpus *c = study->corpus;
    const double length = (double)c->n_inputs / c->n_segments, forward = network_flops(study->shape, c->n_inputs, length, 0, scored_rows(c));
    const double all = backward_flops(study->shape, c->n_inputs, length, scored_rows(c), study->plan.backward.keep) / forward;
    return 1 + (all - 1) * (study->shape->n_blocks - lowest_block(study, request)) / study->shape->n_blocks;      /* blocks below are left out on the way back */
}
