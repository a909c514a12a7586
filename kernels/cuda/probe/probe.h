/*
 * probe.h - functions of the cuda back end that are no slots of the table, on host memory, for the tests
 */
#ifndef KERNELS_CUDA_PROBE_H
#define KERNELS_CUDA_PROBE_H

#include <stdint.h>

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif
/* attention_bf16 with q, k and v side by side in rows of (H + 2G) D numbers; out: [rows][H*D], written where a sequence has rows.
 * The 16 bits of each number, bf16. */
void probe_attention_bf16(uint16_t *out, const uint16_t *qkv, const Ragged *batch, int H, int G, int D);
#ifdef __cplusplus
}
#endif

#endif
