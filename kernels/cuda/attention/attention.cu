/*
 * attention.cu - out = softmax(q k^T / sqrt(D)) v, causal, in float32
 *
 * Flash attention (Dao et al. 2022, arXiv:2205.14135): a block has ROWS rows of queries (attention.cuh) and goes through the
 * keys they see in tiles of KEYS, keeping of every row the largest score m, the sum of exp(score - m) and the sum of exp(score - m) v;
 * where m rises, both sums are multiplied by exp(m_before - m_now).  No scores in memory.
 *
 * FLOPs: 4 D for every query, head and key seen.  Bytes: q and out once; k and v once for each block that sees them.  Keys and values
 * share one tile of shared memory, so that two blocks or more fit a multiprocessor and one computes while the other loads.
 */
#include "kernels/cuda/attention/attention.cuh"

/* The tile's scores become weights in shared memory; what was summed before it is brought to the new largest score. */
template <int D, int M, int N, int DOWN>
__device__ __forceinline__ void weigh(const float (&score)[M][N], Shared<float> weight, float4 (&sum)[M][D / 32], float (&largest)[M],
                                      float (&total)[M], float scale, int down, int across)
{
    UNROLL for (int i = 0; i < M; i++) {
        float top = score[i][0];
        UNROLL for (int j = 1; j < N; j++) top = fmaxf(top, score[i][j]);
        top = fmaxf(largest[i], row_max(top));
        float reference = reference_score(top), shrink = expf(scale * (largest[i] - reference));
        largest[i] = top;
        total[i] *= shrink;
        UNROLL for (int c = 0; c < D / 32; c++) {
            sum[i][c].x *= shrink;
            sum[i][c].y *= shrink;
            sum[i][c].z *= shrink;
            sum[i][c].w *= shrink;
        }
        UNROLL for (int j = 0; j < N; j++) {
            float e = expf(scale * (score[i][j] - reference));
            total[i] += e;
            weight[(down + DOWN * i) * (N * ACROSS + 8) + across + ACROSS * j] = e;
        }
    }
}

template <int D, int ROWS, int KEYS>
__global__ void __launch_bounds__(2 * ROWS)
attention_kernel(Global<float> out, Global<const float> q, Global<const float> k, Global<const float> v, Sequences queries, Sequences keys,
                 int H, int G, int width, bool vectors, bool out_vectors)
{
    constexpr int M = 4, N = KEYS / ACROSS, DOWN = ROWS / M, THREADS = 2 * ROWS;
    DYNAMIC_SHARED(memory);
    Shared<float> q_tile = shared_at<float>(memory, 0), kv_tile = q_tile + tile_floats(ROWS, D), weight = kv_tile + tile_floats(KEYS, D);
    const int sequence = blockIdx.z, g = blockIdx.y, group = H / G, down = threadIdx.x / ACROSS, across = threadIdx.x % ACROSS;
    const int length = queries.length[sequence], past = keys.length[sequence] - length;
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS;         /* the blocks that see most come first */
    const int rows = min(length * group - first, ROWS);
    if (rows <= 0) return;

    const RowPlace row_place = { first, group, (int64_t)H * width, width };
    const int64_t row_start = (queries.first[sequence] * H + g * group) * width, key_start = (keys.first[sequence] * G + g) * width;
    const int seen_by_first = past + first / group + 1, seen_by_last = past + (first + rows - 1) / group + 1;
    const float scale = (float)(1 / sqrt((double)width));
    float4 sum[M][D / 32];
    float largest[M], total[M];
    int seen[M];
    UNROLL for (int i = 0; i < M; i++) {
        seen[i] = past + (first + down + DOWN * i) / group + 1;
        largest[i] = -INFINITY;
        total[i] = 0;
        UNROLL for (int c = 0; c < D / 32; c++) sum[i][c] = make_float4(0, 0, 0, 0);
    }
    load_tile<D, ROWS, THREADS>(q_tile, q + row_start, row_place, rows, width, vectors);

    for (int s = 0; s < seen_by_last; s += KEYS) {
        const KeyPlace key_place = { s, (int64_t)G * width };
        const int n = min(seen_by_last - s, KEYS);
        const bool whole = s + KEYS <= seen_by_first;
        float score[M][N];
        __syncthreads();                    /* the values before have been read */
        load_tile<D, KEYS, THREADS>(kv_tile, k + key_start, key_place, n, width, vectors);
        __syncthreads();
        products<D, M, N, DOWN>(score, q_tile, kv_tile, down, across, width);
        if (!whole)
            UNROLL for (int i = 0; i < M; i++)
                UNROLL for (int j = 0; j < N; j++)
                    if (s + across + ACROSS * j >= seen[i]) score[i][j] = -INFINITY;
        weigh<D, M, N, DOWN>(score, weight, sum, largest, total, scale, down, across);
        __syncthreads();                    /* the keys have been read */
        load_tile<D, KEYS, THREADS>(kv_tile, v + key_start, key_place, n, width, vectors);
        __syncthreads();
        if (whole) add_rows<D, M, KEYS, DOWN>(sum, weight, kv_tile, down, across, KEYS, SeesAll());
        else add_rows<D, M, KEYS, DOWN>(sum, weight, kv_tile, down, across, n, [&](int i, int key) { return s + key < seen[i]; });
    }
    UNROLL for (int i = 0; i < M; i++) {
        float factor = 1 / row_sum(total[i]);
        int row = down + DOWN * i;
        if (row < rows) store_row<D>(out, row_start + row_place(row), sum[i], factor, across, width, out_vectors);
    }
}

template <int D, int ROWS, int KEYS>
static void attend(float *out, const float *q, const float *k, const float *v, const Sequences &queries, const Sequences &keys,
                   int H, int G, int width)
{
    const int bytes = (tile_floats(ROWS, D) + tile_floats(KEYS, D) + weight_floats(ROWS, KEYS)) * (int)sizeof(float);
    const bool vectors = width % 4 == 0 && aligned16(q) && aligned16(k) && aligned16(v), out_vectors = width % 4 == 0 && aligned16(out);
    const dim3 grid(blocks_of((int64_t)queries.longest * (H / G), ROWS), (unsigned)G, (unsigned)queries.n);
    double seen = 0, floats = 0;
    for (int b = 0; b < queries.n; b++) {
        seen += queries.length[b] * (keys.length[b] - 0.5 * (queries.length[b] - 1)) * H * width;
        floats += (2.0 * queries.length[b] * H + 2.0 * keys.length[b] * G) * width;
    }
    ALLOW_SHARED((attention_kernel<D, ROWS, KEYS>), bytes);
    operation_work(4 * seen, 4 * floats);
    LAUNCH((attention_kernel<D, ROWS, KEYS>), grid, 2 * ROWS, bytes, out, q, k, v, queries, keys, H, G, width, vectors, out_vectors);
}

void attention_cuda(float *out, const float *q, const float *k, const float *v, const Ragged *queries, const Ragged *keys, int H, int G, int D)
{
    for_sequences(queries, [&](const Sequences &s, int b) {
        Sequences past = {};
        past.n = s.n;
        for (int i = 0; i < s.n; i++) past.length[i] = keys->length[b + i], past.first[i] = keys->offset[b + i];
        if (D <= 32) attend<32, 64, 64>(out, q, k, v, s, past, H, G, D);
        else if (D <= 64) attend<64, 64, 64>(out, q, k, v, s, past, H, G, D);
        else if (D <= 96) attend<96, 64, 64>(out, q, k, v, s, past, H, G, D);
        else if (D <= 128) attend<128, 64, 64>(out, q, k, v, s, past, H, G, D);
        else if (D <= 256) attend<256, 32, 32>(out, q, k, v, s, past, H, G, D);
        else device_fail("attention: heads of %d numbers, and 256 are the most", D);
    });
}
