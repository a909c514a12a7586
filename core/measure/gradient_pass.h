/*
 * gradient_pass.h - what the files behind gradients.h share
 */
#ifndef CORE_MEASURE_GRADIENT_PASS_H
#define CORE_MEASURE_GRADIENT_PASS_H

#include "core/measure/gradients.h"
#include "core/measure/internal.h"
#include "core/measure/replacement.h"

/* A pass over some windows: sums of each window, in the order of the corpus. */
typedef struct {
    Study *study;
    const GradientRequest *request;
    Replacement *point;             /* NULL at the clean weights */
    int n_forms;
    double *form;                   /* [n_forms][n_layers][n_windows] */
    double *nll, *kl, *same_top;    /* [n_windows]                    */
    int *index_of;                  /* [model layers] place among those asked for, -1 */

    int64_t *scored_before;         /* [n_segments] scored positions of the clean pass before this segment */
    int64_t *row_before;            /* [n_segments] rows of its window before this segment */
    uint32_t *sign;                 /* [head_rows of the back end][words] */
    float *clean, *host;            /* [..][vocabulary] clean logits; logits on the host; NULL before they are needed */

    float *scale;                   /* mean squares of the groups of the layer at work, in the back end's memory; NULL before needed */
    float *error_device[MOST_ERRORS];   /* weights with an error, for the segments that pass together; NULL before needed */
    float *error_host, *clean_host;
    bool clean_is_here;             /* clean_host holds the weights of the layer at work */
} GradientPass;

/* point: of the request, NULL at the clean weights; all must outlive the pass. */
void gradient_pass_init(GradientPass *out, Study *study, const GradientRequest *request, Replacement *point);
void gradient_pass_free(GradientPass *pass);

/* loss and layer of a GradientVisitor whose context is the pass. */
int gradient_pass_loss(void *pass, float *logits, int segment, int first, int n);
int gradient_pass_layer(void *pass, const LayerGradient *gradient);

/* Names of the forms of a request, in their order; the caller frees each and the list.  Returns their number. */
int gradient_form_names(char ***out, const GradientRequest *request);

#endif
