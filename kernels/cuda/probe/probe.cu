/*
 * probe.cu - what the tests call of functions that are no slots: host arrays in, host arrays out
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/probe/probe.h"

static bf16 *taken(const uint16_t *host, int64_t n)
{
    float *p = alloc_cuda((n + 1) / 2);
    device_put(p, host, n * (int64_t)sizeof *host);
    return reinterpret_cast<bf16 *>(p);
}

void probe_attention_bf16(uint16_t *out, const uint16_t *qkv, const Ragged *batch, int H, int G, int D)
{
    const int64_t width = (int64_t)(H + 2 * G) * D, heads = (int64_t)H * D;
    int64_t rows = 0;
    for (int b = 0; b < batch->n; b++) rows = batch->offset[b] + batch->length[b] > rows ? batch->offset[b] + batch->length[b] : rows;
    bf16 *to = taken(out, rows * heads), *from = taken(qkv, rows * width);
    attention_bf16(to, from, width, from + heads, from + heads + (int64_t)G * D, width, batch, H, G, D);
    device_get(out, to, rows * heads * (int64_t)sizeof *out);
    release_cuda(reinterpret_cast<float *>(to));
    release_cuda(reinterpret_cast<float *>(from));
}
