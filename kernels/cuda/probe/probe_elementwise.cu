/*
 * probe_elementwise.cu - operations of bf16 on host arrays, for tests
 */
#include <string.h>

#include <vector>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/probe/probe_elementwise.h"

enum { SPARE = 16, FILLED = 0x4141 };       /* numbers beside an array, which no operation may touch, and what they are as bf16 */

/* n numbers of float or bf16, the first of them SPARE + shift numbers from the start of an allocation. */
template <class T> struct OnDevice {
    int64_t n, before, all;
    T *memory, *p;
    OnDevice(int64_t count, int shift)
        : n(count), before(SPARE + shift), all(before + count + SPARE), memory((T *)alloc_cuda(all)), p(memory + before)
    {
        if (!device_failed()) CHECK(cudaMemsetAsync(memory, FILLED & 255, (size_t)all * sizeof(T), device_stream()));
    }
    ~OnDevice() { release_cuda((float *)memory); }
};

static void put(OnDevice<float> *to, const float *from) { device_put(to->p, from, to->n * (int64_t)sizeof *from); }

static void put(OnDevice<bf16> *to, const float *from)
{
    OnDevice<float> x(to->n, 0);
    put(&x, from);
    to_bf16_cuda(to->p, x.p, to->n);
}

static void get(float *to, const OnDevice<bf16> *from)
{
    std::vector<uint16_t> bits((size_t)from->all, FILLED);
    device_get(bits.data(), from->memory, from->all * (int64_t)sizeof(uint16_t));
    for (int64_t i = 0; i < from->all; i++) {
        const bool inside = i >= from->before && i < from->before + from->n;
        uint32_t word = (uint32_t)bits[(size_t)i] << 16;
        if (inside) memcpy(to + i - from->before, &word, sizeof word);
        else if (bits[(size_t)i] != FILLED) device_fail("an operation wrote outside its output");
    }
}

void probe_to_bf16(float *out, const float *x, int64_t n, int shift)
{
    OnDevice<float> in(n, shift);
    OnDevice<bf16> rounded(n, shift);
    put(&in, x);
    to_bf16_cuda(rounded.p, in.p, n);
    get(out, &rounded);
}

void probe_swiglu_bf16(float *out, const float *gate, const float *up, int64_t n, int shift)
{
    OnDevice<bf16> g(n, shift), u(n, shift), y(n, shift);
    put(&g, gate);
    put(&u, up);
    swiglu_bf16(y.p, g.p, u.p, n);
    get(out, &y);
}

void probe_rms_norm_bf16(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon, int shift)
{
    OnDevice<float> in(rows * C, shift), g(C, shift);
    OnDevice<bf16> y(rows * C, shift);
    put(&in, x);
    put(&g, gain);
    rms_norm_bf16(y.p, in.p, g.p, rows, C, epsilon);
    get(out, &y);
}

void probe_norm_rotate_bf16(float *x, int64_t rows, int64_t stride, int64_t first, const float *gain, float epsilon, const float *cosine,
                            const float *sine, int positions, const Ragged *batch, int heads, int D)
{
    OnDevice<bf16> in(rows * stride, 0);
    OnDevice<float> g(D, 0), c((int64_t)positions * D / 2, 0), s((int64_t)positions * D / 2, 0);
    put(&in, x);
    if (gain) put(&g, gain);
    put(&c, cosine);
    put(&s, sine);
    norm_rotate_bf16(in.p + first, stride, gain ? g.p : NULL, epsilon, c.p, s.p, batch, heads, D);
    get(x, &in);
}
