/*
 * tensor.cuh - tensor cores and what feeds them: products of 16 x 8 x 16 bf16, matrices out of shared memory, copies that run on
 *
 * A warp holds matrices in pieces ("fragments", PTX ISA, mma.m16n8k16 and ldmatrix).  With g = lane / 4, t = lane % 4, two bf16
 * a register, the lower column (for b: the lower row) in the low half:
 *
 *     a [16][16]   a[0]: row g, columns 2t, 2t+1     a[1]: row g + 8     a[2], a[3]: the same rows, columns 2t + 8, 2t + 9
 *     b [16][8]    b0:   rows 2t, 2t+1, column g     b1:   rows 2t + 8, 2t + 9
 *     c [16][8]    c[0], c[1]: row g, columns 2t, 2t+1     c[2], c[3]: row g + 8
 *
 * load_matrices takes four matrices of 8 x 8 bf16: lane i names row i % 8 (16 bytes of shared memory, aligned) of matrix i / 8, and
 * register j of a lane receives columns 2t, 2t+1 of row g of matrix j;  load_transposed: rows 2t, 2t+1 of column g.
 * Eight rows come in one pass where they lie in different banks, which swizzled() sees to.
 */
#ifndef KERNELS_CUDA_TENSOR_CUH
#define KERNELS_CUDA_TENSOR_CUH

#include "kernels/cuda/device.cuh"

#ifdef LINEARITY_SHIM
#include "kernels/cuda/shim/tensor.h"
#else

/* c += a b */
__device__ __forceinline__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ unsigned shared_address(const bf16 *shared, int i) { return (unsigned)__cvta_generic_to_shared(shared) + 2 * i; }

/* This lane's row starts at element i. */
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const bf16 *shared, int i)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(shared, i)) : "memory");
}
__device__ __forceinline__ void load_transposed(unsigned (&r)[4], const bf16 *shared, int i)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(shared, i)) : "memory");
}

/* Eight numbers to element i of shared memory, or zeros where !there (from is not read then).  They are there for the thread
 * that asked once it waited, for its block after a barrier behind that. */
__device__ __forceinline__ void copy_later(bf16 *shared, int i, const bf16 *from, bool there)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" : : "r"(shared_address(shared, i)), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
/* Waits until at most LEFT of the groups this thread committed are on their way. */
template <int LEFT> __device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_group %0;" : : "n"(LEFT) : "memory"); }
#endif

/* Where the eight numbers `chunk` of a row lie in a tile whose rows are STRIDE numbers, 64 or a multiple: the same chunk of eight
 * rows that follow each other lies in eight different groups of four banks, and so do eight chunks of one row. */
template <int STRIDE> __device__ __forceinline__ int swizzled(int row, int chunk) { return row * STRIDE + (chunk ^ (row & 7)) * 8; }

#endif
