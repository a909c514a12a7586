/*
 * probe_elementwise.cu - operations of bf16 on host arrays, for tests
 */
#include <string.h>

#include <vector>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/probe_elementwise.h"

enum { SPARE = 16 };            /* numbers beside an array, none of which an operation may touch */

/* n numbers after `shift` others, as float or bf16. */
template <class T> struct OnDevice {
    int64_t n;
    float *memory;
    T *p;
    OnDevice(int64_t count, int shift) : n(count), memory(alloc_cuda(count + 2 * SPARE)), p((T *)memory + shift) {}
    ~OnDevice() { release_cuda(memory); }
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
    std::vector<uint16_t> bits((size_t)from->n);
    device_get(bits.data(), from->p, from->n * (int64_t)sizeof(uint16_t));
    for (int64_t i = 0; i < from->n; i++) {
        uint32_t word = (uint32_t)bits[(size_t)i] << 16;
        memcpy(to + i, &word, sizeof word);
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
