/*
 * saliency.h - how much a model would lose with a single weight: what decides which weights are kept
 *
 *     tacq       |W| |G| |Q - W|      arXiv 2504.07389: the product of the next two, with the gradient once
 *     qal        |G| |Q - W|          first-order change of the loss by quantizing the weight
 *     msg        |W| |G|              first-order change of the loss by removing it
 *     gradient   |G|
 *     error      |Q - W|
 *     magnitude  |W|                  PB-LLM's rule (arXiv 2310.00034), one threshold for the whole model
 *     hessian    W^2 / U_jj^2         the other one: what removing it costs in output error; U of hessian.h
 *     fisher     F (Q - W)^2          second-order change by quantizing it, the Fisher matrix its diagonal
 *     random     uniform              a control
 *
 * |G| and F are sums over the windows of a text (core/measure/gradient_sums.h), Q the quantized weight.  Only the order of scores matters.
 */
#ifndef CORE_SALIENCY_SALIENCY_H
#define CORE_SALIENCY_SALIENCY_H

#include <stdbool.h>
#include <stdint.h>

#define SCORE_WORDS "tacq|qal|msg|gradient|error|magnitude|hessian|fisher|random"
typedef enum { SCORE_TACQ, SCORE_QAL, SCORE_MSG, SCORE_GRADIENT, SCORE_ERROR, SCORE_MAGNITUDE, SCORE_HESSIAN, SCORE_FISHER, SCORE_RANDOM } Score;

/* By its word, which is one of SCORE_WORDS. */
Score score_of(const char *word);

/* What saliency reads of a layer; arrays that a score does not look at may be NULL. */
bool score_reads_gradient(Score score);
bool score_reads_fisher(Score score);
bool score_reads_quantized(Score score);
bool score_reads_hessian(Score score);

typedef struct {
    int64_t rows, cols;
    const float *w, *quantized, *gradient, *fisher;     /* [rows][cols] */
    const double *diagonal;                             /* [cols] U_jj; infinite where the input was never there */
    uint64_t seed, stream;                              /* random       */
} SaliencyInput;

/* out [rows][cols] >= 0: products in double, rounded once. */
void saliency(float *out, Score score, const SaliencyInput *in);

#endif
