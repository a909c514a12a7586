#include "core/measure/evidence.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/size.h"
#include "core/measure/gradient_sums.h"
#include "core/measure/masks.h"
#include "core/measure/quantized.h"

struct EvidenceSource {
    const Model *model;
    const Corpus *text;
    const Kernels *kernels;
    EvidencePlan plan;
    Calibration *inputs;            /* of the clean model; NULL until asked for */
    GradientSums sums;
    StageCost passes;               /* theirs */
    Masks masks;
    QuantizedModels quantized;
};

int evidence_open(EvidenceSource **out, const Model *model, const Corpus *text, const Kernels *kernels, const EvidencePlan *plan)
{
    *out = xcalloc(1, sizeof **out);
    **out = (EvidenceSource){ .model = model, .text = text, .kernels = kernels, .plan = *plan };
    (*out)->quantized = (QuantizedModels){ .n_layers = model_layer_count(model), .room = plan->quantized };
    return OK;
}

void evidence_close(EvidenceSource **source)
{
    if (!*source) return;
    calibration_close(&(*source)->inputs);
    gradient_sums_free(&(*source)->sums);
    masks_free(&(*source)->masks);
    quantized_free(&(*source)->quantized);
    free(*source);
    *source = NULL;
}

static int inputs_of(Evidence *room, EvidenceSource *s, int layer)
{
    if (!s->inputs) TRY(calibration_open(&s->inputs, s->model, s->text, s->kernels, s->plan.inputs, false));
    return calibration_evidence(room, s->inputs, layer);
}

/* What is not there yet, and with it what is expected. */
static int collect_sums(EvidenceSource *s, unsigned needs)
{
    const bool gradient = needs & NEEDS_GRADIENT && !s->sums.gradient, fisher = needs & NEEDS_FISHER && !s->sums.fisher;
    if (!gradient && !fisher) return OK;
    GradientSums found = { 0 };
    const StageBegun stage = stage_begin();
    int status = gradient_sums(&found, s->model, s->text, s->kernels, !s->sums.gradient && (gradient || s->plan.expected & NEEDS_GRADIENT),
                               !s->sums.fisher && (fisher || s->plan.expected & NEEDS_FISHER));
    if (status != OK) {
        gradient_sums_free(&found);
        return status;
    }
    stage_end(&s->passes, &stage);
    s->sums.n_layers = found.n_layers;
    if (found.gradient) s->sums.gradient = found.gradient;
    if (found.fisher) s->sums.fisher = found.fisher;
    return OK;
}

int evidence_sums(const float **gradient, const float **fisher, EvidenceSource *s, bool with_gradient, bool with_fisher, int layer)
{
    TRY(collect_sums(s, (with_gradient ? NEEDS_GRADIENT : 0) | (with_fisher ? NEEDS_FISHER : 0)));
    *gradient = with_gradient ? s->sums.gradient[layer] : NULL;
    *fisher = with_fisher ? s->sums.fisher[layer] : NULL;
    return OK;
}

int evidence_for(const Evidence **out, Evidence *room, EvidenceSource *s, const MapEntry *entry, Calibration *sequential)
{
    const unsigned needs = entry->perturbation->needs;
    *out = NULL;
    if (!needs) return OK;
    if (!s)
        FAIL(ERR_ARGUMENT, "%s needs to see %s: give calibration.file, a text that they are taken from", entry->perturbation->name,
             needs_text(perturbation_needs(entry->perturbation, entry->options)));
    *room = (Evidence){ 0 };
    const KeptWeights *kept = NULL;
    if (needs & NEEDS_MASK) TRY(masks_kept(&kept, &s->masks, s, entry));        /* which asks for evidence of other layers on its way */
    TRY(collect_sums(s, needs));
    if (needs & NEEDS_INPUTS) TRY(sequential ? calibration_evidence(room, sequential, entry->layer) : inputs_of(room, s, entry->layer));
    if (needs & NEEDS_GRADIENT) room->gradient = s->sums.gradient[entry->layer];
    if (needs & NEEDS_FISHER) room->fisher = s->sums.fisher[entry->layer];
    room->kept = kept;
    *out = room;
    return OK;
}

/* Its quantized layer depends on the model, the text and the options alone. */
static bool is_kept(const MapEntry *entry)
{
    const Perturbation *p = entry->perturbation;
    return p->encode && p->needs && !perturbation_is_random(p, entry->options) && !(p->sequential && p->sequential(entry->options));
}

static char *text_of(const MapEntry *entry)
{
    char *values = options_canonical(entry->options), *text = xformat("%s{%s}", entry->perturbation->name, values);
    free(values);
    return text;
}

static int encode(Packed *out, StageCost *cost, EvidenceSource *s, const MapEntry *entry, const LayerWeights *weights, Draw draw)
{
    const Evidence *evidence;
    Evidence room;
    TRY(evidence_for(&evidence, &room, s, entry, NULL));
    const StageBegun stage = stage_begin();
    TRY(perturbation_encode(out, entry->perturbation, weights, entry->options, evidence, draw));
    stage_end(cost, &stage);
    return OK;
}

static int kept_form(float *out, PerturbationError *error, EvidenceSource *s, const MapEntry *entry, const LayerWeights *weights, Draw draw, const char *text)
{
    const Packed *known = quantized_find(&s->quantized, text, entry->layer);
    if (known) return perturbation_decode(out, error, entry->perturbation, known, weights, entry->options, draw);
    Packed packed = { 0 };
    StageCost cost = { 0 };
    int status = encode(&packed, &cost, s, entry, weights, draw);
    if (status == OK) status = perturbation_decode(out, error, entry->perturbation, &packed, weights, entry->options, draw);
    if (status == OK) quantized_keep(&s->quantized, text, entry->layer, &packed, &cost);
    packed_free(&packed);
    return status;
}

int evidence_apply(float *out, PerturbationError *error, EvidenceSource *s, const MapEntry *entry, const LayerWeights *weights, Draw draw,
                   Calibration *sequential)
{
    if (s && is_kept(entry)) {
        char *text = text_of(entry);
        int status = kept_form(out, error, s, entry, weights, draw, text);
        free(text);
        return status;
    }
    const Evidence *evidence;
    Evidence room;
    TRY(evidence_for(&evidence, &room, s, entry, sequential));
    return perturbation_apply(out, error, entry->perturbation, weights, entry->options, evidence, draw);
}

StageCost evidence_quantizing(const EvidenceSource *s, const MapEntry *entry)
{
    char *text = text_of(entry);
    const StageCost cost = quantized_cost(&s->quantized, text);
    free(text);
    return cost;
}

int evidence_sequential(Calibration **out, EvidenceSource *s) { return calibration_open(out, s->model, s->text, s->kernels, 0, true); }

EvidenceCosts evidence_costs(const EvidenceSource *s) { return (EvidenceCosts){ s->passes, s->masks.quantizing, s->masks.ranking_cost }; }

const Model *evidence_model(const EvidenceSource *source) { return source->model; }

const Corpus *evidence_corpus(const EvidenceSource *source) { return source->text; }

int64_t evidence_bytes(const ModelShape *shape, const Corpus *text, const Kernels *kernels, unsigned expected, bool sequential)
{
    int64_t bytes = 0;
    if (expected & NEEDS_INPUTS) bytes += calibration_bytes(shape, text, kernels, false);
    const int walks = expected & NEEDS_MASK ? 2 : 1;        /* a mask's while that of the model that asks for it waits */
    if (expected & NEEDS_INPUTS && sequential) bytes += walks * calibration_bytes(shape, text, kernels, true);
    if (expected & (NEEDS_GRADIENT | NEEDS_FISHER)) bytes += gradient_sums_bytes(shape, text, kernels);
    return bytes;
}

void evidence_needs_add(EvidenceNeeds *needs, const Perturbation *perturbation, const Options *options)
{
    MaskRule rule = { .ratio = 0 };
    if (perturbation->mask) perturbation->mask(&rule, options);
    needs->kinds |= perturbation_needs(perturbation, options);
    if (!(rule.ratio > 0)) return;
    needs->masks++;
    needs->kept += rule.ratio;
    needs->largest = rule.ratio > needs->largest ? rule.ratio : needs->largest;
}

int64_t evidence_host_bytes(const ModelShape *shape, const EvidenceNeeds *needs)
{
    const int kinds = (needs->kinds & NEEDS_GRADIENT ? 1 : 0) + (needs->kinds & NEEDS_FISHER ? 1 : 0);
    const int64_t sums = gradient_sums_kept(shape), weights = sums / (int64_t)sizeof(float);
    return kinds * sums + masks_bytes(weights, needs->masks, (int64_t)(needs->kept * (double)weights), mask_count(needs->largest, weights));
}

int evidence_check_host(const ModelShape *shape, const EvidenceNeeds *needs, int64_t work, const FreeMemory *host)
{
    char needed[SIZE_TEXT], free_bytes[SIZE_TEXT];
    const int64_t bytes = evidence_host_bytes(shape, needs) + work;
    if (bytes > host->bytes)
        FAIL(ERR_MEMORY, "what is collected from the calibration text (%s) takes %s, and %s are free (%s): use fewer or shorter windows, a method that asks for less, or a larger host",
             needs_text(needs->kinds), size_text(needed, bytes), size_text(free_bytes, host->bytes), host->source);
    return OK;
}
