/*
 * attention_backward_bf16.cu - gradients of causal attention on tensor cores: inputs of every product bf16, sums float32
 *
 *     P = softmax(q k^T / sqrt(D)),  dP = dout v^T,  mean = rowsum(P * dP),  dS = P * (dP - mean),
 *     dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D),  dv = P^T dout
 *
 * The scheme is FlashAttention-2's (Dao 2023) without its atomics, in two kernels.  The first has a block for 128 queries of a head and
 * goes through their keys twice: for the statistics of each row (log2 of the sum of weights, mean), then for dq.  The second has a
 * block for 64 keys and goes through all queries that see them, for all heads that share the keys, in order.  It makes q k^T and dP
 * transposed: then P^T and dS^T lie in registers as left operands of the products that follow, as P does in attention_bf16.cu.
 *
 * A warp has 16 rows (queries in the first kernel, keys in the second).  Those of its two operands stay in registers, beside 16 x D
 * sums of dq, or of dk and dv both; twice as many rows would not fit.  So a fragment out of shared memory serves two products of
 * 16 x 8 x 16: 64 bytes a cycle for each 1024 FLOPs, and it is shared memory that bounds both kernels.
 *
 * FLOPs: 18 D for each query, head and key seen, 8 D of them to make q k^T and dP again.  Bytes: q, k, v, dout in float32 once and rounded
 * once; k and v twice more for each 128 queries, q and dout for each 64 keys, mostly out of the L2 cache.
 *
 * NaN reaches what depends on it, and within a tile on the diagonal it may reach rows that do not (a weight of 0 times NaN): no other sequence.
 */
#include <float.h>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/attention/backward_statistics.cuh"
#include "kernels/cuda/attention/backward_tiles.cuh"

/* Blocks of the first kernel that share a multiprocessor where D is 64: two have 128 registers a thread, and on other kinds than these
 * some would spill. */
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000)
enum { MOST_BLOCKS = 2 };
#else
enum { MOST_BLOCKS = 1 };
#endif

struct Inputs { Global<const bf16> q, k, v, dout; };

/* ---- queries: statistics, dq ---- */

/* Keys behind the query.  row: of this lane's first number; key: the first. */
__device__ __forceinline__ void mask(float (&s)[QUERY_STEP / 8][4], float (&dp)[QUERY_STEP / 8][4], int row, int key)
{
    key += threadIdx.x % 4 * 2;
    UNROLL for (int n = 0; n < QUERY_STEP / 8; n++)
        UNROLL for (int i = 0; i < 4; i++)
            if (key + 8 * n + i % 2 > row + i / 2 * 8) s[n][i] = -INFINITY, dp[n][i] = 0;
}

/* dq of 16 keys, n and n + 1 of s and dp. */
template <int DIM>
__device__ __forceinline__ void add_query_gradient(float (&dq)[DIM / 8][4], const RowStatistics &x, const float (&s)[QUERY_STEP / 8][4],
                                                   const float (&dp)[QUERY_STEP / 8][4], int n, float scale, Shared<bf16> shared, int k)
{
    unsigned ds[4];
    UNROLL for (int j = 0; j < 4; j++) {
        float two[2];
        UNROLL for (int i = 0; i < 2; i++) {
            int at = 2 * (j % 2) + i;
            float weight = exp2f_approximate(s[n + j / 2][at] * scale - x.largest[j % 2]);
            two[i] = weight * (dp[n + j / 2][at] - x.mean[j % 2]);
        }
        ds[j] = pack_bf16(two[0], two[1]);
    }
    add_product<DIM>(dq, ds, shared, k);
}

/* statistics: [sequence][H][padded][2] */
template <int DIM> __global__ void __launch_bounds__(QUERY_THREADS, DIM <= 64 ? MOST_BLOCKS : 1)
query_gradient_bf16_kernel(Global<float> dq, Global<float> statistics, Inputs in, Sequences sequences, int H, int G, int D, int padded, float scale, float score_scale)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, TILE = Layout<DIM>::QUERY_TILE;
    DYNAMIC_SHARED(memory);
    Shared<bf16> shared = shared_at<bf16>(memory, 0);
    const int length = sequences.length[blockIdx.z], head = blockIdx.x, warp = threadIdx.x / WARP;
    const int first = ((length + QUERY_ROWS - 1) / QUERY_ROWS - 1 - (int)blockIdx.y) * QUERY_ROWS;         /* what has the most keys first */
    if (first < 0) return;
    const int64_t start = sequences.first[blockIdx.z], stride = (int64_t)H * D, kv_stride = (int64_t)G * D;
    const int warp_row = first + warp * WARP_ROWS, row = warp_row + threadIdx.x % WARP / 4, tiles = (min(first + QUERY_ROWS, length) - 1) / QUERY_KEYS + 1;
    const int64_t query = start * stride + head * D, key_value = start * kv_stride + head * G / H * D;

    unsigned q[DIM / 16][4], dout[DIM / 16][4];
    fetch<DIM, QUERY_ROWS, QUERY_THREADS>(shared, 0, in.q + query, stride, first, length, D);
    fetch<DIM, QUERY_ROWS, QUERY_THREADS>(shared, 2 * TILE, in.dout + query, stride, first, length, D);
    commit_copies();
    wait_copies<0>();
    __syncthreads();
    hold<DIM>(q, shared, warp * WARP_ROWS * STRIDE);
    hold<DIM>(dout, shared, 2 * TILE + warp * WARP_ROWS * STRIDE);
    __syncthreads();

    RowStatistics x = { { -FLT_MAX, -FLT_MAX }, { 0, 0 }, { 0, 0 } };
    float sum[DIM / 8][4], s[QUERY_STEP / 8][4], dp[QUERY_STEP / 8][4];
    UNROLL for (int n = 0; n < DIM / 8; n++)
        UNROLL for (int i = 0; i < 4; i++) sum[n][i] = 0;

    /* Up for the statistics, down again for dq, so that what was read last is still in the cache. */
    auto key_of = [&](int step) { return (step < tiles ? step : 2 * tiles - 1 - step) * QUERY_KEYS; };
    auto bring = [&](int step) {
        fetch<DIM, QUERY_KEYS, QUERY_THREADS>(shared, step % 2 * 2 * TILE, in.k + key_value, kv_stride, key_of(step), length, D);
        fetch<DIM, QUERY_KEYS, QUERY_THREADS>(shared, step % 2 * 2 * TILE + TILE, in.v + key_value, kv_stride, key_of(step), length, D);
        commit_copies();
    };
    auto meet = [&](int step) {
        wait_copies<0>();
        __syncthreads();                    /* this tile has come, the one before it has been read */
        if (step + 1 < 2 * tiles) bring(step + 1);
    };
    auto make_products = [&](int key, int k) {
        product<DIM, QUERY_STEP>(s, q, shared, k);
        product<DIM, QUERY_STEP>(dp, dout, shared, k + TILE);
        if (key + QUERY_STEP > warp_row) mask(s, dp, row, key);
    };
    const int seen = warp_row < length ? warp_row + WARP_ROWS : 0;
    bring(0);
    for (int step = 0; step < tiles; step++) {
        meet(step);
        for (int i = 0; i < QUERY_KEYS; i += QUERY_STEP) {
            if (key_of(step) + i >= seen) break;
            make_products(key_of(step) + i, step % 2 * 2 * TILE + i * STRIDE);
            add_statistics(x, s, dp, score_scale);
        }
    }
    complete(x);
    store_statistics(statistics + ((int64_t)(blockIdx.z * H + head) * padded * 2), x, row, length);
    for (int step = tiles; step < 2 * tiles; step++) {
        meet(step);
        for (int i = 0; i < QUERY_KEYS; i += QUERY_STEP) {
            int k = step % 2 * 2 * TILE + i * STRIDE;
            if (key_of(step) + i >= seen) break;
            make_products(key_of(step) + i, k);
            UNROLL for (int n = 0; n < QUERY_STEP / 8; n += 2) add_query_gradient<DIM>(sum, x, s, dp, n, score_scale, shared, k + 8 * n * STRIDE);
        }
    }
    store<DIM>(dq + (query + warp_row * stride), stride, sum, scale, length - warp_row, D);
}

/* ---- keys: dk, dv ---- */

/* s and dp, rows keys and columns 16 queries, to left operands P^T and dS^T.  row: of this lane's first number; query: the first. */
__device__ __forceinline__ void to_gradients(unsigned (&p)[4], unsigned (&ds)[4], const float (&s)[KEY_STEP / 8][4], const float (&dp)[KEY_STEP / 8][4],
                                             Shared<float> statistics, int row, int query, bool diagonal, float scale)
{
    int column = threadIdx.x % 4 * 2;
    UNROLL for (int n = 0; n < KEY_STEP / 8; n++) {
        float4 of_two = load4(statistics, 2 * (8 * n + column));
        UNROLL for (int half = 0; half < 2; half++) {
            float weight[2], gradient[2];
            UNROLL for (int i = 0; i < 2; i++) {
                weight[i] = exp2f_approximate(s[n][2 * half + i] * scale - (i ? of_two.z : of_two.x));
                gradient[i] = weight[i] * (dp[n][2 * half + i] - (i ? of_two.w : of_two.y));
                if (diagonal && row + 8 * half > query + 8 * n + column + i) weight[i] = gradient[i] = 0;
            }
            p[2 * n + half] = pack_bf16(weight[0], weight[1]);
            ds[2 * n + half] = pack_bf16(gradient[0], gradient[1]);
        }
    }
}

/* statistics: as above, by twos of bf16 as copies take them. */
template <int DIM> __global__ void __launch_bounds__(KEY_THREADS, DIM <= 64 ? 3 : 2)
key_gradient_bf16_kernel(Global<float> dk, Global<float> dv, Global<const bf16> statistics, Inputs in, Sequences sequences, int H, int G, int D, int padded,
                         float scale, float score_scale)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, TILE = Layout<DIM>::KEY_TILE, STATISTICS = Layout<DIM>::STATISTICS, EACH = Layout<DIM>::EACH;
    DYNAMIC_SHARED(memory);
    Shared<bf16> shared = shared_at<bf16>(memory, 0);
    const int length = sequences.length[blockIdx.z], warp = threadIdx.x / WARP, first = blockIdx.y * KEY_ROWS;
    if (first >= length) return;
    const int64_t start = sequences.first[blockIdx.z], stride = (int64_t)H * D, kv_stride = (int64_t)G * D, key_value = start * kv_stride + blockIdx.x * D;
    const int warp_row = first + warp * WARP_ROWS, row = warp_row + threadIdx.x % WARP / 4;
    const int first_head = blockIdx.x * (H / G), end_head = first_head + H / G;

    unsigned k[DIM / 16][4], v[DIM / 16][4];
    fetch<DIM, KEY_ROWS, KEY_THREADS>(shared, 0, in.k + key_value, kv_stride, first, length, D);
    fetch<DIM, KEY_ROWS, KEY_THREADS>(shared, 2 * TILE, in.v + key_value, kv_stride, first, length, D);
    commit_copies();
    wait_copies<0>();
    __syncthreads();
    hold<DIM>(k, shared, warp * WARP_ROWS * STRIDE);
    hold<DIM>(v, shared, 2 * TILE + warp * WARP_ROWS * STRIDE);
    __syncthreads();

    float key_sum[DIM / 8][4], value_sum[DIM / 8][4];
    UNROLL for (int n = 0; n < DIM / 8; n++)
        UNROLL for (int i = 0; i < 4; i++) key_sum[n][i] = value_sum[n][i] = 0;

    auto bring = [&](int head, int query, int buffer) {
        const int64_t at = start * stride + head * D;
        fetch<DIM, KEY_QUERIES, KEY_THREADS>(shared, buffer * 2 * TILE, in.q + at, stride, query, length, D);
        fetch<DIM, KEY_QUERIES, KEY_THREADS>(shared, buffer * 2 * TILE + TILE, in.dout + at, stride, query, length, D);
        if (threadIdx.x < EACH / 8)
            copy_later(shared, STATISTICS + buffer * EACH + threadIdx.x * 8,
                       statistics + (((int64_t)(blockIdx.z * H + head) * padded + query) * 4 + threadIdx.x * 8), true);
        commit_copies();
    };
    int buffer = 0, head = first_head, query = first;
    bring(head, query, buffer);
    while (head < end_head) {
        const bool last = query + KEY_QUERIES >= length;
        const int next_head = head + last, next_query = last ? first : query + KEY_QUERIES, q = buffer * 2 * TILE;
        Shared<float> own = shared_at<float>(memory, (STATISTICS + buffer * EACH) * (int)sizeof(bf16));
        wait_copies<0>();
        __syncthreads();                    /* these queries have come, those before them have been read */
        buffer ^= 1;
        if (next_head < end_head) bring(next_head, next_query, buffer);
        for (int i = 0; i < KEY_QUERIES; i += KEY_STEP) {
            float s[KEY_STEP / 8][4], dp[KEY_STEP / 8][4];
            unsigned p[4], ds[4];
            if (query + i + KEY_STEP <= warp_row) continue;
            product<DIM, KEY_STEP>(s, k, shared, q + i * STRIDE);
            product<DIM, KEY_STEP>(dp, v, shared, q + TILE + i * STRIDE);
            to_gradients(p, ds, s, dp, own + 2 * i, row, query + i, query + i < warp_row + WARP_ROWS, score_scale);
            add_product<DIM>(value_sum, p, shared, q + TILE + i * STRIDE);
            add_product<DIM>(key_sum, ds, shared, q + i * STRIDE);
        }
        head = next_head, query = next_query;
    }
    const int64_t to = key_value + warp_row * kv_stride;
    store<DIM>(dk + to, kv_stride, key_sum, scale, length - warp_row, D);
    store<DIM>(dv + to, kv_stride, value_sum, 1, length - warp_row, D);
}

struct Gradients { float *dq, *dk, *dv; };

template <int DIM> static void attend_backward(Gradients to, float *statistics, int padded, Inputs in, const Sequences &s, int H, int G, int D)
{
    const double scale = 1 / sqrt((double)D);
    const float score_scale = (float)(1.4426950408889634 * scale);             /* log2(e): weights are powers of two */
    double floats = 0, pairs = 0;
    for (int i = 0; i < s.n; i++) floats += (double)s.length[i] * D, pairs += 0.5 * s.length[i] * (s.length[i] + 1.0) * H * D;
    ALLOW_SHARED(query_gradient_bf16_kernel<DIM>, Layout<DIM>::QUERY_BYTES);
    ALLOW_SHARED(key_gradient_bf16_kernel<DIM>, Layout<DIM>::KEY_BYTES);
    operation_work(6 * pairs, floats * (8 * H + 4 * G));
    LAUNCH(query_gradient_bf16_kernel<DIM>, dim3((unsigned)H, blocks_of(s.longest, QUERY_ROWS), (unsigned)s.n), QUERY_THREADS, Layout<DIM>::QUERY_BYTES,
           to.dq, statistics, in, s, H, G, D, padded, (float)scale, score_scale);
    operation_work(4 * pairs, floats * (4 * H + 12 * G));
    LAUNCH(key_gradient_bf16_kernel<DIM>, dim3((unsigned)G, blocks_of(s.longest, KEY_ROWS), (unsigned)s.n), KEY_THREADS, Layout<DIM>::KEY_BYTES,
           to.dk, to.dv, reinterpret_cast<const bf16 *>(statistics), in, s, H, G, D, padded, (float)scale, score_scale);
}

static bf16 *rounded(const float *x, int64_t n)
{
    bf16 *made = scratch<bf16>(n);
    to_bf16_cuda(made, x, n);
    return made;
}

void attention_backward_bf16(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                             const Ragged *batch, int H, int G, int D)
{
    if (D % 16 || D > 128) return attention_backward_cuda(dq, dk, dv, dout, q, k, v, batch, H, G, D);
    int64_t rows = 0;
    int longest = 0;
    for (int b = 0; b < batch->n; b++) {
        if (batch->length[b] > 0 && batch->offset[b] + batch->length[b] > rows) rows = batch->offset[b] + batch->length[b];
        if (batch->length[b] > longest) longest = batch->length[b];
    }
    if (rows == 0 || device_failed()) return;
    scratch_reset();
    const int padded = (int)blocks_of(longest, QUERY_ROWS) * QUERY_ROWS, most = batch->n < MOST_SEQUENCES ? batch->n : MOST_SEQUENCES;
    float *statistics = scratch<float>((int64_t)most * H * padded * 2);
    const Inputs in = { rounded(q, rows * H * D), rounded(k, rows * G * D), rounded(v, rows * G * D), rounded(dout, rows * H * D) };
    for_sequences(batch, [&](const Sequences &s, int) {
        (D <= 64 ? attend_backward<64> : D <= 96 ? attend_backward<96> : attend_backward<128>)({ dq, dk, dv }, statistics, padded, in, s, H, G, D);
    });
}
