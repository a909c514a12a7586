/*
 * backward_tiles.cuh - what both kernels of attention_backward_bf16.cu do with tiles in shared memory: bring, hold, multiply, put away
 */
#ifndef KERNELS_CUDA_ATTENTION_BACKWARD_TILES_CUH
#define KERNELS_CUDA_ATTENTION_BACKWARD_TILES_CUH

#include "kernels/cuda/attention/tensor.cuh"

enum {
    WARP_ROWS = 16,
    QUERY_WARPS = 8, QUERY_ROWS = QUERY_WARPS * WARP_ROWS, QUERY_THREADS = QUERY_WARPS * WARP,         /* the first kernel: its queries, */
    QUERY_KEYS = 64, QUERY_STEP = 32,                                                                /* keys of a tile, and at a time */
    KEY_WARPS = 4, KEY_ROWS = KEY_WARPS * WARP_ROWS, KEY_THREADS = KEY_WARPS * WARP,                 /* the second one: its keys, */
    KEY_QUERIES = 32, KEY_STEP = 16                                                                  /* queries of a tile, and at a time */
};
static_assert(QUERY_ROWS == 2 * QUERY_KEYS && KEY_ROWS == 2 * KEY_QUERIES, "the block's own rows come by way of the two buffers");

/* The first half of either buffer has q or k, the second one dout or v; then, in the second kernel, what statistics the queries have. */
template <int DIM> struct Layout {
    static constexpr int STRIDE = DIM <= 64 ? 64 : 128;
    static constexpr int QUERY_TILE = QUERY_KEYS * STRIDE, QUERY_BYTES = 4 * QUERY_TILE * (int)sizeof(bf16);
    static constexpr int KEY_TILE = KEY_QUERIES * STRIDE, STATISTICS = 4 * KEY_TILE, EACH = 2 * KEY_QUERIES * (int)(sizeof(float) / sizeof(bf16));
    static constexpr int KEY_BYTES = (STATISTICS + 2 * EACH) * (int)sizeof(bf16);
};

/* Tile [first, first + N) of a sequence, zeros beyond its length and from column D on. */
template <int DIM, int N, int THREADS>
__device__ __forceinline__ void fetch(Shared<bf16> to, int at, Global<const bf16> x, int64_t stride, int first, int length, int D)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, CHUNKS = STRIDE / 8, STEP = THREADS / CHUNKS;
    static_assert(STEP % 8 == 0 && N % STEP == 0, "rows of a thread are swizzled alike");
    int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    if (chunk * 8 >= DIM) return;
    int own = at + swizzled<STRIDE>(row, chunk);
    Global<const bf16> from = x + ((first + row) * stride + chunk * 8);
    UNROLL for (int r = 0; r < N; r += STEP) copy_later(to, own + r * STRIDE, from + r * stride, chunk * 8 < D && first + row + r < length);
}

/* The left operand whose 16 rows start at `at`.  A place in a tile, of chunk 0 or 1, turned over in the bits of an even c is the place
 * of chunk c or c + 1, swizzled. */
template <int DIM> __device__ __forceinline__ void hold(unsigned (&a)[DIM / 16][4], Shared<bf16> shared, int at)
{
    at += swizzled<Layout<DIM>::STRIDE>(threadIdx.x % 16, threadIdx.x % WARP / 16);
    UNROLL for (int c = 0; c < DIM / 8; c += 2) load_matrices(a[c / 2], shared, at ^ 8 * c);
}

/* s = a b^T of the warp's rows and N rows of a tile. */
template <int DIM, int N> __device__ __forceinline__ void product(float (&s)[N / 8][4], const unsigned (&a)[DIM / 16][4], Shared<bf16> shared, int b)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE;
    int lane = threadIdx.x % WARP;
    b += swizzled<STRIDE>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    UNROLL for (int n = 0; n < N / 8; n++)
        UNROLL for (int i = 0; i < 4; i++) s[n][i] = 0;
    UNROLL for (int c = 0; c < DIM / 8; c += 2)
        UNROLL for (int n = 0; n < N / 8; n += 2) {
            unsigned two[4];
            load_matrices(two, shared, (b ^ 8 * c) + 8 * n * STRIDE);
            multiply_add(s[n], a[c / 2], two[0], two[1]);
            multiply_add(s[n + 1], a[c / 2], two[2], two[3]);
        }
}

/* o += a b with 16 rows of a tile. */
template <int DIM> __device__ __forceinline__ void add_product(float (&o)[DIM / 8][4], const unsigned (&a)[4], Shared<bf16> shared, int b)
{
    b += swizzled<Layout<DIM>::STRIDE>(threadIdx.x % 16, threadIdx.x % WARP / 16);
    UNROLL for (int c = 0; c < DIM / 8; c += 2) {
        unsigned two[4];
        load_transposed(two, shared, b ^ 8 * c);
        multiply_add(o[c], a, two[0], two[1]);
        multiply_add(o[c + 1], a, two[2], two[3]);
    }
}

/* Sums of 16 rows, of which the first `rows` are there, to float32 that is aligned as floats are. */
template <int DIM> __device__ __forceinline__ void store(Global<float> to, int64_t stride, const float (&sum)[DIM / 8][4], float scale, int rows, int D)
{
    int lane = threadIdx.x % WARP;
    UNROLL for (int half = 0; half < 2; half++) {
        int row = lane / 4 + 8 * half;
        if (row >= rows) continue;
        UNROLL for (int n = 0; n < DIM / 8; n++) {
            if (8 * n >= D) continue;
            int64_t at = row * stride + 8 * n + lane % 4 * 2;
            to[at] = sum[n][2 * half] * scale;
            to[at + 1] = sum[n][2 * half + 1] * scale;
        }
    }
}

#endif
