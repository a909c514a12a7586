/*
 * gptq_higgs.h - GPTQ in the HIGGS domain with any grid (equations: gptq_higgs.c)
 */
#ifndef CORE_QUANTIZE_GPTQ_HIGGS_H
#define CORE_QUANTIZE_GPTQ_HIGGS_H

#include "core/quantize/higgs.h"

/* Rotates weights and Hessian, rounds and packs; higgs_unpack makes W^ of it.  ERR_ARGUMENT as in hessian.h and higgs_pack. */
int gptq_higgs_encode_with(Packed *out, const LayerWeights *layer, const Higgs *higgs, const Evidence *evidence, double percdamp, Draw draw);

#endif
