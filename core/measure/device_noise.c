#include "core/measure/device_noise.h"

#include <math.h>

#include "core/base/err.h"
#include "core/measure/internal.h"

int device_noise(bool *made, float *out, PerturbationError *error, const Study *study, const MapEntry *entry, const float *clean, Draw draw,
                 double factor)
{
    const Kernels *k = study->kernels;
    const Perturbation *p = entry->perturbation;
    const Layer *layer = model_layer(study->model, entry->layer);
    *made = k->noise && p->noise;
    if (!*made) return OK;
    if (p->check) TRY(p->check(layer->rows, layer->cols, entry->options));
    NoiseForm form;
    PerturbationError got = { .bits = NAN, .code_bits = NAN };
    p->noise(&form, entry->layer, entry->options, draw);
    k->noise(out, &got.t2, &got.kappa, clean, layer->rows, layer->cols, form.group, factor * form.t, form.signs, draw.seed, form.stream);
    TRY(kernels_status(k));
    if (isnan(got.t2)) FAIL(ERR_ARGUMENT, "%s: what became of the weights is not finite", p->name);
    *error = got;
    return OK;
}
