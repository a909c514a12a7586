#include "core/saliency/saliency.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/base/rng.h"

Score score_of(const char *word)
{
    static const char *const words[] = { "tacq", "qal", "msg", "gradient", "error", "magnitude", "hessian", "fisher", "random" };
    int s = 0;
    while (strcmp(words[s], word)) s++, assert(s <= SCORE_RANDOM);
    return (Score)s;
}

bool score_reads_gradient(Score s) { return s == SCORE_TACQ || s == SCORE_QAL || s == SCORE_MSG || s == SCORE_GRADIENT; }
bool score_reads_fisher(Score s) { return s == SCORE_FISHER; }
bool score_reads_quantized(Score s) { return s == SCORE_TACQ || s == SCORE_QAL || s == SCORE_ERROR || s == SCORE_FISHER; }
bool score_reads_hessian(Score s) { return s == SCORE_HESSIAN; }

static double score_at(Score score, const SaliencyInput *in, int64_t i)
{
    const double w = in->w[i];
    switch (score) {
    case SCORE_TACQ:      return fabs(w) * fabs(in->gradient[i]) * fabs(in->quantized[i] - w);
    case SCORE_QAL:       return fabs(in->gradient[i]) * fabs(in->quantized[i] - w);
    case SCORE_MSG:       return fabs(w) * fabs(in->gradient[i]);
    case SCORE_GRADIENT:  return fabs(in->gradient[i]);
    case SCORE_ERROR:     return fabs(in->quantized[i] - w);
    case SCORE_MAGNITUDE: return fabs(w);
    case SCORE_HESSIAN:   return w / in->diagonal[i % in->cols] * (w / in->diagonal[i % in->cols]);
    case SCORE_FISHER:    return in->fisher[i] * (in->quantized[i] - w) * (in->quantized[i] - w);
    default:              return rng_uniform(in->seed, in->stream, (uint64_t)i);
    }
}

void saliency(float *out, Score score, const SaliencyInput *in)
{
    const int64_t n = in->rows * in->cols;
#pragma omp parallel for schedule(static) if (n >= 1 << 15)
    for (int64_t i = 0; i < n; i++) out[i] = (float)score_at(score, in, i);
}
