#include "core/measure/gradient_pass.h"

#include <stdlib.h>

#include "core/base/err.h"

static void pass_places(GradientPass *p)
{
    const Corpus *corpus = p->study->corpus;
    const int n = corpus->n_segments, layers = model_layer_count(p->study->model);
    p->scored_before = xcalloc((size_t)n, sizeof *p->scored_before);
    p->row_before = xcalloc((size_t)n, sizeof *p->row_before);
    for (int s = 1; s < n; s++) {
        const Segment *last = &corpus->segment[s - 1];
        p->scored_before[s] = p->scored_before[s - 1] + last->length - last->first_scored;
        p->row_before[s] = corpus->segment[s].window == last->window ? p->row_before[s - 1] + last->length : 0;
    }
    p->index_of = xmalloc(sizeof *p->index_of * (size_t)layers);
    for (int l = 0; l < layers; l++) p->index_of[l] = -1;
    for (int i = 0; i < p->request->n_layers; i++) p->index_of[p->request->layer[i]] = i;
}

void gradient_pass_init(GradientPass *p, Study *study, const GradientRequest *request, Replacement *point)
{
    *p = (GradientPass){ .study = study, .request = request, .point = point };
    const size_t windows = (size_t)study->corpus->n_windows, layers = (size_t)request->n_layers;
    char **name;
    p->n_forms = gradient_form_names(&name, request);
    for (int i = 0; i < p->n_forms; i++) free(name[i]);
    free(name);
    p->form = xcalloc((size_t)p->n_forms * layers * windows, sizeof *p->form);
    p->nll = xcalloc(windows, sizeof *p->nll), p->kl = xcalloc(windows, sizeof *p->kl), p->same_top = xcalloc(windows, sizeof *p->same_top);
    pass_places(p);
}

void gradient_pass_free(GradientPass *p)
{
    void (*release)(float *) = p->study->kernels->release;
    release(p->scale);
    for (int j = 0; j < MOST_ERRORS; j++) release(p->error_device[j]);
    release(p->clean);
    void *all[] = { p->form, p->nll, p->kl, p->same_top, p->scored_before, p->row_before, p->index_of, p->sign, p->host,
                    p->error_host, p->clean_host };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
