#include "core/measure/device_quantize.h"

#include <math.h>

#include "core/base/err.h"
#include "core/network/device.h"

int device_quantize(bool *made, float *out, PerturbationError *error, const Kernels *k, const Perturbation *p, const LayerWeights *weights,
                    const Options *options, Draw draw)
{
    *made = false;
    if (!p->quantize_on || !k->relative_error) return OK;
    if (p->check) TRY(p->check(weights->rows, weights->cols, options));
    PerturbationError got;
    TRY(p->quantize_on(made, out, &got, k, weights, options, draw));
    if (!*made) return OK;
    k->relative_error(&got.t2, &got.kappa, out, weights->w, weights->rows * weights->cols);
    TRY(kernels_status(k));
    *made = isfinite(got.t2);
    if (*made) *error = got;
    return OK;
}
