/*
 * losses.c - NLL and KL of a final stream, by chunks of the back end's head_rows, summed in double in the
 * order of the positions
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/measure/internal.h"

void positions_init(Positions *out, int n)
{
    double *numbers = xmalloc(sizeof *numbers * 3 * (size_t)n);
    *out = (Positions){ numbers, numbers + n, numbers + 2 * n, xmalloc(sizeof *out->top * (size_t)n) };
}

void positions_free(Positions *positions)
{
    free(positions->log_sum);       /* the others lie behind it */
    free(positions->top);
}

/* Again to the bits of the clean pass: a null run's rounding is not theirs. */
int study_clean_logits(const float **out, Study *study, float *spare, int64_t row, int64_t scored, int n)
{
    *out = study->logits ? study->logits + scored * study->shape->vocabulary : spare;
    if (study->logits) return OK;
    bool other = network_set_rounding(study->net, false);
    int status = network_logits(study->net, spare, study->final + row * study->shape->width, n);
    network_set_rounding(study->net, other);
    return status;
}

/* One chunk of n rows of segment s from its row `first`; scored = its place in the clean arrays. */
static int chunk_losses(Study *study, Network *net, const Positions *out, float *logits, float *spare, const float *x, int s, int first, int n,
                        int64_t scored, bool clean)
{
    const Kernels *k = study->kernels;
    int V = study->shape->vocabulary;
    int64_t row = study->layout.offset[s] + first;
    const int32_t *target = study->corpus->segment[s].targets + first;
    float *q = clean && study->logits ? study->logits + scored * V : logits;
    TRY(network_logits(net, q, x + row * model_shape(network_model(net))->width, n));    /* another model may be wider */
    k->log_sum_exp(out->log_sum, out->top, out->target_logit, q, target, n, V);
    TRY(kernels_status(k));
    if (clean) {
        for (int r = 0; r < n; r++) {
            study->log_sum[scored + r] = out->log_sum[r];
            study->top[scored + r] = out->top[r];
            out->kl[r] = NAN;
        }
        return OK;
    }
    const float *p;
    TRY(study_clean_logits(&p, study, spare, row, scored, n));
    k->kl_divergence(out->kl, p, study->log_sum + scored, q, out->log_sum, n, V);
    return kernels_status(k);
}

/* Adds the scored positions of a chunk to their window. */
static void add_positions(double *nll, double *kl, double *same, const Positions *p, const int32_t *target, const int32_t *clean_top, int n)
{
    for (int r = 0; r < n; r++) {
        if (target[r] < 0) continue;
        *nll += p->log_sum[r] - p->target_logit[r];
        *kl += p->kl[r];
        *same += p->top[r] == clean_top[r];
    }
}

int study_losses(Study *study, Network *net, const float *x, bool clean, double *nll, double *kl, double *same_top)
{
    const Corpus *corpus = study->corpus;
    const Kernels *k = study->kernels;
    const int most = k->head_rows;
    int64_t floats = (int64_t)most * study->shape->vocabulary, scored = 0;
    float *logits = k->alloc(floats), *spare = study->logits || clean ? NULL : k->alloc(floats);
    Positions positions;
    positions_init(&positions, most);
    int status = OK;
    for (int s = 0; s < corpus->n_segments && status == OK; s++) {
        const Segment *segment = &corpus->segment[s];
        for (int first = segment->first_scored; first < segment->length && status == OK; first += most) {
            int n = segment->length - first < most ? segment->length - first : most, w = segment->window;
            status = chunk_losses(study, net, &positions, logits, spare, x, s, first, n, scored, clean);
            if (status == OK) add_positions(&nll[w], &kl[w], &same_top[w], &positions, segment->targets + first, study->top + scored, n);
            scored += n;
        }
    }
    positions_free(&positions);
    k->release(logits);
    k->release(spare);
    return status;
}

int window_means(double *sum, const Corpus *corpus)
{
    for (int w = 0; w < corpus->n_windows; w++) {
        sum[w] /= (double)corpus->tokens[w];
        if (!isfinite(sum[w])) FAIL(ERR_FORMAT, "the loss of window %d is not a finite number", w);
    }
    return OK;
}
