#include "core/perturb/perturbation.h"

#include <math.h>
#include <stddef.h>

#include "core/base/err.h"

/* Partial sums side by side: as many independent chains as the vector units take, in an order that
 * is written here and not left to the compiler. */
enum { LANES = 8 };

static double total(const double lane[LANES])
{
    double sum = 0;
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

double sum_of_squares(const float *w, int64_t n)
{
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (double)w[i + k] * w[i + k];
    for (int k = 0; i + k < n; k++) lane[k] += (double)w[i + k] * w[i + k];
    return total(lane);
}

void perturbation_measure(PerturbationError *error, const float *out, const float *w, int64_t n)
{
    double e2[LANES] = { 0 }, ew[LANES] = { 0 };
    for (int64_t i = 0; i < n; i += LANES) {
        int width = n - i < LANES ? (int)(n - i) : LANES;
        for (int k = 0; k < width; k++) {
            double e = (double)out[i + k] - w[i + k];
            e2[k] += e * e;
            ew[k] += e * w[i + k];
        }
    }
    double norm2 = sum_of_squares(w, n), error2 = total(e2);
    error->t2 = error2 == 0 ? 0 : error2 / norm2;
    error->kappa = norm2 == 0 ? 0 : 0 - total(ew) / norm2;
}

bool perturbation_is_random(const Perturbation *perturbation, const Options *options)
{
    return perturbation->random && perturbation->random(options);
}

unsigned perturbation_needs(const Perturbation *perturbation, const Options *options)
{
    MaskRule rule;
    unsigned needs = perturbation->needs;
    if (!perturbation->mask) return needs;
    perturbation->mask(&rule, options);
    if (rule.ratio == 0) return needs;
    return needs | (score_reads_gradient(rule.score) ? NEEDS_GRADIENT : 0) | (score_reads_fisher(rule.score) ? NEEDS_FISHER : 0);
}

const char *needs_text(unsigned needs)
{
    const bool gradients = needs & (NEEDS_GRADIENT | NEEDS_FISHER);
    if (!(needs & NEEDS_INPUTS)) return "the gradients by the weights";
    return gradients ? "the inputs of the layers and the gradients by the weights" : "the inputs of the layers";
}

/* A method may do with a part of what the inputs show. */
static int check_evidence(const Perturbation *perturbation, const Options *options, const Evidence *e, int layer)
{
    const unsigned needs = perturbation->needs;
    if (!needs) return OK;
    if (!e) FAIL(ERR_ARGUMENT, "%s needs %s: say which text they come from (calibration)", perturbation->name, needs_text(perturbation_needs(perturbation, options)));
    const char *missing = needs & NEEDS_INPUTS && !e->hessian && !e->input_mean ? "the Hessian"
                        : needs & NEEDS_GRADIENT && !e->gradient                ? "the sum of gradients"
                        : needs & NEEDS_FISHER && !e->fisher                    ? "the sum of squared gradients"
                        : needs & NEEDS_MASK && !e->kept                        ? "the mask of kept weights" : NULL;
    if (missing) FAIL(ERR_ARGUMENT, "%s: %s of layer %d was not collected", perturbation->name, missing, layer);
    return OK;
}

static int check_finite(const PerturbationError *result, const Perturbation *perturbation, int layer)
{
    if (isnan(result->t2)) FAIL(ERR_ARGUMENT, "%s: the weights of layer %d, or what became of them, are not finite", perturbation->name, layer);
    return OK;
}

int perturbation_encode(Packed *out, const Perturbation *perturbation, const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw)
{
    if (perturbation->check) TRY(perturbation->check(weights->rows, weights->cols, options));
    TRY(check_evidence(perturbation, options, evidence, weights->layer));
    return perturbation->encode(out, weights, options, evidence, draw);
}

int perturbation_decode(float *out, PerturbationError *error, const Perturbation *perturbation, const Packed *packed, const LayerWeights *weights,
                        const Options *options, Draw draw)
{
    const LayerWeights shape = { NULL, weights->rows, weights->cols, weights->layer };
    const int64_t n = weights->rows * weights->cols;
    PerturbationError result = { .bits = (double)packed_bits(packed) / (double)n, .code_bits = (double)packed_code_bits(packed) / (double)n };
    perturbation->decode(out, packed, &shape, options, draw);
    perturbation_measure(&result, out, weights->w, n);
    TRY(check_finite(&result, perturbation, weights->layer));
    *error = result;
    return OK;
}

static int quantize(float *out, PerturbationError *error, const Perturbation *perturbation, const LayerWeights *weights,
                    const Options *options, const Evidence *evidence, Draw draw)
{
    Packed packed = { 0 };
    int status = perturbation_encode(&packed, perturbation, weights, options, evidence, draw);
    if (status == OK) status = perturbation_decode(out, error, perturbation, &packed, weights, options, draw);
    packed_free(&packed);
    return status;
}

int perturbation_apply(float *out, PerturbationError *error, const Perturbation *perturbation,
                       const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw)
{
    PerturbationError result = { .bits = NAN, .code_bits = NAN };
    if (perturbation->encode) return quantize(out, error, perturbation, weights, options, evidence, draw);
    if (perturbation->check) TRY(perturbation->check(weights->rows, weights->cols, options));
    TRY(check_evidence(perturbation, options, evidence, weights->layer));
    TRY(perturbation->apply(out, weights, options, draw));
    perturbation_measure(&result, out, weights->w, weights->rows * weights->cols);
    TRY(check_finite(&result, perturbation, weights->layer));
    *error = result;
    return OK;
}
