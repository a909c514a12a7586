/*
 * tensor.h - tensor.cuh on the host, by the definitions of PTX ISA: every lane hands in its fragments, and takes its part of the result
 *
 * Products of bf16 are exact in float32; they are summed in float32, first k first.
 */
#ifndef KERNELS_CUDA_SHIM_TENSOR_H
#define KERNELS_CUDA_SHIM_TENSOR_H

#include "kernels/cuda/shim/shim.h"

namespace shim {

struct Fragments { unsigned a[4], b[2]; };

static inline float half_of(unsigned pair, int high) { return to_float({ (uint16_t)(high ? pair >> 16 : pair) }); }

/* Row r of a, column k; row k of b, column n: who holds them, in which register, in which half. */
static inline float element_a(const Fragments *f, int r, int k) { return half_of(f[r % 8 * 4 + k % 8 / 2].a[r / 8 + k / 8 * 2], k % 2); }
static inline float element_b(const Fragments *f, int k, int n) { return half_of(f[n * 4 + k % 8 / 2].b[k / 8], k % 2); }

/* Four matrices of eight rows of eight numbers: the row that each lane named. */
struct Matrices {
    uint16_t row[32][8];
    Matrices(const bf16 *mine)
    {
        touch_shared(mine, 16, READ);
        const unsigned char (*all)[PAYLOAD] = exchange(mine, 16);
        for (int i = 0; i < 32; i++) memcpy(row[i], all[i], 16);
    }
};

}   // namespace shim

static inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    shim::Fragments mine = { { a[0], a[1], a[2], a[3] }, { b0, b1 } }, f[32];
    const unsigned char (*all)[shim::PAYLOAD] = shim::exchange(&mine, sizeof mine);
    for (int i = 0; i < 32; i++) memcpy(&f[i], all[i], sizeof mine);
    int g = shim::lane() / 4, t = shim::lane() % 4;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) c[i] += shim::element_a(f, g + i / 2 * 8, k) * shim::element_b(f, k, 2 * t + i % 2);
}

static inline void load_matrices(unsigned (&r)[4], Shared<bf16> shared, int i)
{
    shim::Matrices m(shared.p + i);
    int g = shim::lane() / 4, t = shim::lane() % 4;
    for (int j = 0; j < 4; j++) r[j] = (unsigned)m.row[8 * j + g][2 * t + 1] << 16 | m.row[8 * j + g][2 * t];
}

static inline void load_transposed(unsigned (&r)[4], Shared<bf16> shared, int i)
{
    shim::Matrices m(shared.p + i);
    int g = shim::lane() / 4, t = shim::lane() % 4;
    for (int j = 0; j < 4; j++) r[j] = (unsigned)m.row[8 * j + 2 * t + 1][g] << 16 | m.row[8 * j + 2 * t][g];
}

static inline void copy_later(Shared<bf16> shared, int i, Global<const bf16> from, bool there) { shim::copy_later(shared.p + i, from.p, 16, !there); }
static inline void commit_copies() { shim::commit_copies(); }
template <int LEFT> static inline void wait_copies() { shim::wait_copies(LEFT); }

#endif
