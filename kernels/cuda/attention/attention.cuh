/*
 * attention.cuh - what attention and its gradient share: tiles of rows in shared memory, and the two products over them
 *
 * A block of 8 * DOWN threads works on a tile of M * DOWN rows.  Thread (down, across) has the rows down + DOWN i, i < M, and with
 * them the scores of the columns across + 8 j: 4 + N loads of 16 bytes for 16 N multiplications.  All threads of a row lie in one
 * warp, so maxima, sums and the weights on their way through shared memory need no barrier of the block.
 *
 * A row of a tile of D numbers takes D + 4 words (eight rows at one column: 32 banks), a row of weights n + 8 (four rows of eight
 * numbers: 32 banks).  Heads narrower than D are filled with zeros.
 *
 * Query heads that share a key-value head are rows of one matrix: row r of it is query r / group, head r % group of the group.
 * A block loads its keys once for all of them, one query at a time (sampling) too.
 */
#ifndef KERNELS_CUDA_ATTENTION_CUH
#define KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/cuda.cuh"

enum { ACROSS = 8 };
__host__ __device__ constexpr int tile_floats(int rows, int D) { return rows * (D + 4); }
__host__ __device__ constexpr int weight_floats(int rows, int n) { return rows * (n + 8); }

/* Rows [first, ...) of one key-value head's group, in a matrix [tokens][heads][width] that starts at the group's first head. */
struct RowPlace {
    int first, group;
    int64_t token;                          /* numbers from a token to the next */
    int width;
    __device__ __forceinline__ int64_t operator()(int r) const
    {
        return (first + r) / group * token + (int64_t)((first + r) % group) * width;
    }
};

struct KeyPlace {
    int first;
    int64_t token;
    __device__ __forceinline__ int64_t operator()(int r) const { return (first + r) * token; }
};

template <bool VECTORS> __device__ __forceinline__ float4 four_of_row(Global<const float> x, int64_t at, int left)
{
    if (VECTORS) return load4(x, at);
    float4 v = make_float4(x[at], 0, 0, 0);
    if (left > 1) v.y = x[at + 1];
    if (left > 2) v.z = x[at + 2];
    if (left > 3) v.w = x[at + 3];
    return v;
}

template <int D, int ROWS, int THREADS, bool VECTORS, class Place>
__device__ __forceinline__ void load_tile_by(Shared<float> tile, Global<const float> x, Place place, int rows, int width)
{
    UNROLL_BY(4)
    for (int i = threadIdx.x; i < ROWS * D / 4; i += THREADS) {
        int r = i / (D / 4), c = i % (D / 4) * 4;
        float4 v = make_float4(0, 0, 0, 0);
        if (r < rows && c < width) v = four_of_row<VECTORS>(x, place(r) + c, width - c);
        store4(tile, r * (D + 4) + c, v);
    }
}

/* The first `rows` rows at `place`; zeros below them and to their right. */
template <int D, int ROWS, int THREADS, class Place>
__device__ __forceinline__ void load_tile(Shared<float> tile, Global<const float> x, Place place, int rows, int width, bool vectors)
{
    if (vectors) load_tile_by<D, ROWS, THREADS, true>(tile, x, place, rows, width);
    else load_tile_by<D, ROWS, THREADS, false>(tile, x, place, rows, width);
}

/* score[i][j] = a[down + DOWN i] . b[across + 8 j], in the order of the columns: the same bits in every kernel. */
template <int D, int M, int N, int DOWN>
__device__ __forceinline__ void products(float (&score)[M][N], Shared<float> a, Shared<float> b, int down, int across, int width)
{
    UNROLL for (int i = 0; i < M; i++)
        UNROLL for (int j = 0; j < N; j++) score[i][j] = 0;
    UNROLL_BY(2)
    for (int c = 0; c < width; c += 4) {
        float4 x[M];
        UNROLL for (int i = 0; i < M; i++) x[i] = load4(a, (down + DOWN * i) * (D + 4) + c);
        UNROLL for (int j = 0; j < N; j++) {
            float4 y = load4(b, (across + ACROSS * j) * (D + 4) + c);
            UNROLL for (int i = 0; i < M; i++) {
                score[i][j] += x[i].x * y.x;
                score[i][j] += x[i].y * y.y;
                score[i][j] += x[i].z * y.z;
                score[i][j] += x[i].w * y.w;
            }
        }
    }
}

__device__ __forceinline__ void add_scaled(float4 &sum, float weight, float4 v)
{
    sum.x += weight * v.x;
    sum.y += weight * v.y;
    sum.z += weight * v.z;
    sum.w += weight * v.w;
}

/* sum[i] += over s < n (at most INNER) of weight[down + DOWN i][s] b[s], where sees(i, s); columns 4 across + 32 c.
 * What a row does not see is left out, not multiplied by zero: it may be NaN. */
template <int D, int M, int INNER, int DOWN, class Sees>
__device__ __forceinline__ void add_rows(float4 (&sum)[M][D / 32], Shared<float> weight, Shared<float> b, int down, int across, int n, Sees sees)
{
    UNROLL_BY(1)
    for (int s = 0; s < n; s += 4) {
        float w[M][4];
        UNROLL for (int i = 0; i < M; i++) {
            float4 four = load4(weight, (down + DOWN * i) * (INNER + 8) + s);
            w[i][0] = four.x, w[i][1] = four.y, w[i][2] = four.z, w[i][3] = four.w;
        }
        UNROLL for (int e = 0; e < 4; e++)
            UNROLL for (int c = 0; c < D / 32; c++) {
                float4 v = load4(b, (s + e) * (D + 4) + 4 * across + 32 * c);
                UNROLL for (int i = 0; i < M; i++)
                    if (sees(i, s + e)) add_scaled(sum[i][c], w[i][e], v);
            }
    }
}

struct SeesAll { __device__ __forceinline__ bool operator()(int, int) const { return true; } };

/* Over the threads of a row. */
__device__ __forceinline__ float row_max(float x)
{
    for (int step = ACROSS / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

__device__ __forceinline__ float row_sum(float x)
{
    for (int step = ACROSS / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

/* What scores are taken relative to: their largest, or 0 as long as all are -inf. */
__device__ __forceinline__ float reference_score(float largest) { return largest == -INFINITY ? 0 : largest; }

/* out[at + column] = factor * sum, for the columns of this thread. */
template <int D> __device__ __forceinline__ void store_row(Global<float> out, int64_t at, const float4 (&sum)[D / 32], float factor, int across,
                                                           int width, bool vectors)
{
    UNROLL for (int c = 0; c < D / 32; c++) {
        int column = 4 * across + 32 * c;
        float4 v = make_float4(factor * sum[c].x, factor * sum[c].y, factor * sum[c].z, factor * sum[c].w);
        if (vectors && column < width) store4(out, at + column, v);
        if (vectors) continue;
        if (column < width) out[at + column] = v.x;
        if (column + 1 < width) out[at + column + 1] = v.y;
        if (column + 2 < width) out[at + column + 2] = v.z;
        if (column + 3 < width) out[at + column + 3] = v.w;
    }
}

#endif
