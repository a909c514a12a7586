/*
 * gradient_loss.c - the loss at the head of a backward pass: its value and its gradient by the logits
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/measure/gradient_pass.h"

/* Is there a clean model to compare with?  At the clean weights there is nothing to tell. */
static bool knows_clean(const GradientPass *p) { return p->point && p->study->clean_nll; }

static void add_losses(GradientPass *p, const Positions *at, const int32_t *target, int64_t scored, int window, int n)
{
    for (int r = 0; r < n; r++) {
        if (target[r] < 0) continue;
        p->nll[window] += at->log_sum[r] - at->target_logit[r];
        if (!knows_clean(p)) continue;
        p->kl[window] += at->kl[r];
        p->same_top[window] += at->top[r] == p->study->top[scored + r];
    }
}

/* Signs of n rows from `row` of the window on: those of a row begin at a multiple of 32. */
static void draw_signs(GradientPass *p, int window, int64_t row, int n)
{
    const int64_t words = (p->study->shape->vocabulary + 31) / 32;
    const uint64_t stream = rng_stream(RNG_PROBE, 0, p->request->draw, window);
    if (!p->sign) p->sign = xmalloc(sizeof *p->sign * (size_t)(p->study->kernels->head_rows * words));
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int r = 0; r < n; r++) rng_integers(p->sign + r * words, words, p->study->seed, stream, (uint64_t)((row + r) * words));
}

/* The id whose cumulated probability first exceeds u. */
static int32_t draw_id(const float *logits, double log_sum, int V, double u)
{
    double sum = 0;
    for (int i = 0; i < V; i++) {
        sum += exp(logits[i] - log_sum);
        if (sum > u) return i;
    }
    return V - 1;
}

/* Labels drawn from the model's own predictions, where there is something to predict. */
static void draw_labels(GradientPass *p, int32_t *label, const float *logits, const double *log_sum, const int32_t *target, int window, int64_t row, int n)
{
    const int V = p->study->shape->vocabulary;
    const uint64_t stream = rng_stream(RNG_PROBE, 1, p->request->draw, window);
    if (!p->host) p->host = xmalloc(sizeof *p->host * (size_t)p->study->kernels->head_rows * (size_t)V);
    p->study->kernels->download(p->host, logits, (int64_t)n * V);
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int r = 0; r < n; r++)
        label[r] = target[r] < 0 ? -1 : draw_id(p->host + (int64_t)r * V, log_sum[r], V, rng_uniform(p->study->seed, stream, (uint64_t)(row + r)));
}

int gradient_pass_loss(void *context, float *logits, int s, int first, int n)
{
    GradientPass *p = context;
    const Kernels *k = p->study->kernels;
    const Segment *segment = &p->study->corpus->segment[s];
    const int V = p->study->shape->vocabulary, window = segment->window;
    const int32_t *target = segment->targets + first;
    const int64_t scored = p->scored_before[s] + first - segment->first_scored, row = p->row_before[s] + first;
    const float *clean = NULL;
    if (knows_clean(p)) {
        if (!p->clean && !p->study->logits) p->clean = k->alloc((int64_t)k->head_rows * V);
        TRY(study_clean_logits(&clean, p->study, p->clean, p->study->layout.offset[s] + first, scored, n));
    }
    Positions at;
    positions_init(&at, n);
    double *product = xmalloc(sizeof *product * (size_t)n);
    if (p->request->probe == PROBE_SIGNS) {
        draw_signs(p, window, row, n);
        k->log_sum_exp_signed(at.log_sum, at.top, at.target_logit, product, logits, target, p->sign, n, V);
    } else
        k->log_sum_exp(at.log_sum, at.top, at.target_logit, logits, target, n, V);
    if (clean) k->kl_divergence(at.kl, clean, p->study->log_sum + scored, logits, at.log_sum, n, V);
    add_losses(p, &at, target, scored, window, n);
    int32_t *label = xmalloc(sizeof *label * (size_t)n);
    switch (p->request->probe) {
    case PROBE_SIGNS:
        k->logit_probe(logits, at.log_sum, product, p->sign, target, n, V);
        break;
    case PROBE_SAMPLED:
        draw_labels(p, label, logits, at.log_sum, target, window, row, n);
        k->logit_difference(logits, at.log_sum, NULL, NULL, label, n, V);
        break;
    case PROBE_KL:
        k->logit_difference(logits, at.log_sum, clean, p->study->log_sum + scored, target, n, V);
        break;
    default:
        k->logit_difference(logits, at.log_sum, NULL, NULL, target, n, V);
    }
    free(label);
    free(product);
    positions_free(&at);
    return kernels_status(k);
}
