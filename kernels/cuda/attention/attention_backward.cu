/*
 * attention_backward.cu - gradients of causal attention, in float32:
 *
 *     P = softmax(q k^T / sqrt(D)),  dP = dout v^T,  mean = rowsum(P * dP),  dS = P * (dP - mean),
 *     dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D),  dv = P^T dout
 *
 * Flash attention's scheme (Dao et al. 2022, arXiv:2205.14135, algorithm 4) in two kernels, each of which makes the tiles of P and
 * dP anew and holds its sums in registers.  The first has a block for ROWS rows of queries and goes through their keys twice: for
 * the statistics of each row (largest score, sum of weights, mean), then for dq.  The second has a block for KEYS keys and goes
 * through all rows of queries that see them, in order and for all heads that share the keys: so dk and dv are sums in a fixed
 * order with no atomics.  P is exp(score - largest) / sum rather than exp(score - log_sum_exp): large scores lose nothing.
 *
 * FLOPs: 18 D for every query, head and key seen, 8 D of them to make P and dP again.  Bytes: each input and output about once, and
 * keys and values (queries and dout) once more for every block that goes through them, mostly from the cache.
 */
#include "kernels/cuda/attention/attention.cuh"

/* Of each row of queries, [rows of the batch][H]: the largest score (as scores are taken relative to it), 1 / sum, the mean of dP. */
struct RowStatistics { Global<float> reference, inverse, mean; };

/* dP, then the scores, of KEYS keys; afterwards the keys, not the values, are in the tile. */
template <int D, int M, int KEYS, int DOWN>
__device__ __forceinline__ void key_products(float (&score)[M][KEYS / ACROSS], float (&dp)[M][KEYS / ACROSS], Shared<float> q_tile,
                                             Shared<float> dout_tile, Shared<float> kv_tile, Global<const float> k, Global<const float> v,
                                             KeyPlace place, int n, int width, bool vectors, int down, int across)
{
    constexpr int THREADS = DOWN * ACROSS;
    __syncthreads();                        /* the keys before have been read */
    load_tile<D, KEYS, THREADS>(kv_tile, v, place, n, width, vectors);
    __syncthreads();
    products<D, M, KEYS / ACROSS, DOWN>(dp, dout_tile, kv_tile, down, across, width);
    __syncthreads();
    load_tile<D, KEYS, THREADS>(kv_tile, k, place, n, width, vectors);
    __syncthreads();
    products<D, M, KEYS / ACROSS, DOWN>(score, q_tile, kv_tile, down, across, width);
}

/* A row's part of a tile, of which it sees the first `seen` keys: their share of the sum of weights and of weights times dP. */
template <int N>
__device__ __forceinline__ void add_statistics(float (&score)[N], const float (&dp)[N], float &largest, float &total, float &mean, float scale,
                                               int across, int seen)
{
    UNROLL for (int j = 0; j < N; j++)
        if (across + ACROSS * j >= seen) score[j] = -INFINITY;
    float top = score[0];
    UNROLL for (int j = 1; j < N; j++) top = fmaxf(top, score[j]);
    top = fmaxf(largest, row_max(top));
    float reference = reference_score(top), shrink = expf(scale * (largest - reference));
    largest = top;
    total *= shrink;
    mean *= shrink;
    UNROLL for (int j = 0; j < N; j++) {
        float e = expf(scale * (score[j] - reference));
        total += e;
        if (across + ACROSS * j < seen) mean += e * dp[j];
    }
}

template <int M, int N, int DOWN>
__device__ __forceinline__ void put_weights(Shared<float> weight, const float (&value)[M][N], int down, int across)
{
    UNROLL for (int i = 0; i < M; i++)
        UNROLL for (int j = 0; j < N; j++) weight[(down + DOWN * i) * (N * ACROSS + 8) + across + ACROSS * j] = value[i][j];
}

/* One long function: statistics and sums stay in its registers. */
template <int D, int ROWS, int KEYS>
__global__ void __launch_bounds__(2 * ROWS, 2)
query_gradient_kernel(Global<float> dq, RowStatistics statistics, Global<const float> dout, Global<const float> q, Global<const float> k,
                      Global<const float> v, Sequences batch, int H, int G, int width, bool vectors, bool out_vectors)
{
    constexpr int M = 4, N = KEYS / ACROSS, DOWN = ROWS / M, THREADS = 2 * ROWS;
    DYNAMIC_SHARED(memory);
    Shared<float> q_tile = shared_at<float>(memory, 0), dout_tile = q_tile + tile_floats(ROWS, D), kv_tile = dout_tile + tile_floats(ROWS, D);
    Shared<float> weight = kv_tile + tile_floats(KEYS, D);
    const int sequence = blockIdx.z, g = blockIdx.y, group = H / G, down = threadIdx.x / ACROSS, across = threadIdx.x % ACROSS;
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS;         /* the blocks that see most come first */
    const int rows = min(batch.length[sequence] * group - first, ROWS);
    if (rows <= 0) return;

    const RowPlace row_place = { first, group, (int64_t)H * width, width };
    const int64_t row_start = (batch.first[sequence] * H + g * group) * width, key_start = (batch.first[sequence] * G + g) * width;
    const int seen_by_first = first / group + 1, seen_by_last = (first + rows - 1) / group + 1;
    const float scale = (float)(1 / sqrt((double)width));
    float score[M][N], dp[M][N], largest[M], total[M], mean[M];
    float4 sum[M][D / 32];
    int seen[M];
    UNROLL for (int i = 0; i < M; i++) {
        seen[i] = (first + down + DOWN * i) / group + 1;
        largest[i] = -INFINITY;
        total[i] = mean[i] = 0;
        UNROLL for (int c = 0; c < D / 32; c++) sum[i][c] = make_float4(0, 0, 0, 0);
    }
    load_tile<D, ROWS, THREADS>(q_tile, q + row_start, row_place, rows, width, vectors);
    load_tile<D, ROWS, THREADS>(dout_tile, dout + row_start, row_place, rows, width, vectors);

    for (int s = 0; s < seen_by_last; s += KEYS) {
        const KeyPlace key_place = { s, (int64_t)G * width };
        key_products<D, M, KEYS, DOWN>(score, dp, q_tile, dout_tile, kv_tile, k + key_start, v + key_start, key_place,
                                       min(seen_by_last - s, KEYS), width, vectors, down, across);
        UNROLL for (int i = 0; i < M; i++)
            add_statistics<N>(score[i], dp[i], largest[i], total[i], mean[i], scale, across, seen[i] - s);
    }
    UNROLL for (int i = 0; i < M; i++) {
        const int row = down + DOWN * i;
        largest[i] = reference_score(largest[i]);
        total[i] = 1 / row_sum(total[i]);
        mean[i] = row_sum(mean[i]) * total[i];
        if (row >= rows || across != 0) continue;
        int64_t at = batch.first[sequence] * H + g * group + RowPlace{ first, group, H, 1 }(row);
        statistics.reference[at] = largest[i];
        statistics.inverse[at] = total[i];
        statistics.mean[at] = mean[i];
    }
    for (int s = 0; s < seen_by_last; s += KEYS) {
        const KeyPlace key_place = { s, (int64_t)G * width };
        const int n = min(seen_by_last - s, KEYS);
        key_products<D, M, KEYS, DOWN>(score, dp, q_tile, dout_tile, kv_tile, k + key_start, v + key_start, key_place, n, width, vectors,
                                       down, across);
        UNROLL for (int i = 0; i < M; i++)
            UNROLL for (int j = 0; j < N; j++) dp[i][j] = expf(scale * (score[i][j] - largest[i])) * total[i] * (dp[i][j] - mean[i]);
        put_weights<M, N, DOWN>(weight, dp, down, across);
        __syncwarp();
        if (s + KEYS <= seen_by_first) add_rows<D, M, KEYS, DOWN>(sum, weight, kv_tile, down, across, KEYS, SeesAll());
        else add_rows<D, M, KEYS, DOWN>(sum, weight, kv_tile, down, across, n, [&](int i, int key) { return s + key < seen[i]; });
    }
    UNROLL for (int i = 0; i < M; i++) {
        const int row = down + DOWN * i;
        if (row < rows) store_row<D>(dq, row_start + row_place(row), sum[i], scale, across, width, out_vectors);
    }
}

/* The statistics of a tile's rows to shared memory: references, then inverses, then means. */
template <int ROWS, int THREADS>
__device__ __forceinline__ void load_statistics(Shared<float> row, RowStatistics statistics, int64_t start, RowPlace place, int rows)
{
    for (int i = threadIdx.x; i < ROWS; i += THREADS) {
        int64_t at = start + place(i < rows ? i : 0);
        row[i] = (float)statistics.reference[at];
        row[ROWS + i] = (float)statistics.inverse[at];
        row[2 * ROWS + i] = (float)statistics.mean[at];
    }
}

/* Scores become P, and dP becomes dS; a column is a row of queries. */
template <int M, int N>
__device__ __forceinline__ void columns_to_gradients(float (&score)[M][N], float (&dp)[M][N], Shared<float> row, float scale, int across)
{
    UNROLL for (int j = 0; j < N; j++) {
        const int column = across + ACROSS * j;
        float reference = row[column], inverse = row[N * ACROSS + column], mean = row[2 * N * ACROSS + column];
        UNROLL for (int i = 0; i < M; i++) {
            score[i][j] = expf(scale * (score[i][j] - reference)) * inverse;
            dp[i][j] = score[i][j] * (dp[i][j] - mean);
        }
    }
}

/* Blocks of M * DOWN = KEYS keys; here the rows of a tile are keys and its columns rows of queries. */
template <int D, int KEYS, int ROWS, int M>
__global__ void __launch_bounds__(KEYS / M * ACROSS, 2)
key_gradient_kernel(Global<float> dk, Global<float> dv, RowStatistics statistics, Global<const float> dout, Global<const float> q,
                    Global<const float> k, Global<const float> v, Sequences batch, int H, int G, int width, bool vectors, bool out_vectors)
{
    constexpr int N = ROWS / ACROSS, DOWN = KEYS / M, THREADS = DOWN * ACROSS;
    DYNAMIC_SHARED(memory);
    Shared<float> k_tile = shared_at<float>(memory, 0), v_tile = k_tile + tile_floats(KEYS, D), q_tile = v_tile + tile_floats(KEYS, D);
    Shared<float> dout_tile = q_tile + tile_floats(ROWS, D), weight = dout_tile + tile_floats(ROWS, D);
    Shared<float> row_statistics = weight + weight_floats(KEYS, ROWS);
    const int sequence = blockIdx.z, g = blockIdx.y, group = H / G, down = threadIdx.x / ACROSS, across = threadIdx.x % ACROSS;
    const int first = blockIdx.x * KEYS, keys = min(batch.length[sequence] - first, KEYS), all_rows = batch.length[sequence] * group;
    if (keys <= 0) return;

    const KeyPlace key_place = { first, (int64_t)G * width };
    const int64_t row_start = (batch.first[sequence] * H + g * group) * width, key_start = (batch.first[sequence] * G + g) * width;
    const float scale = (float)(1 / sqrt((double)width));
    float4 key_sum[M][D / 32], value_sum[M][D / 32];
    int seen_from[M];                       /* the first row that sees a key */
    UNROLL for (int i = 0; i < M; i++) {
        seen_from[i] = (first + down + DOWN * i) * group;
        UNROLL for (int c = 0; c < D / 32; c++) key_sum[i][c] = value_sum[i][c] = make_float4(0, 0, 0, 0);
    }
    load_tile<D, KEYS, THREADS>(k_tile, k + key_start, key_place, keys, width, vectors);
    load_tile<D, KEYS, THREADS>(v_tile, v + key_start, key_place, keys, width, vectors);

    for (int r = first * group; r < all_rows; r += ROWS) {
        const RowPlace row_place = { r, group, (int64_t)H * width, width };
        const int rows = min(all_rows - r, ROWS);
        const bool whole = rows == ROWS && r >= (first + KEYS - 1) * group;
        float score[M][N], dp[M][N];
        __syncthreads();                    /* the tiles before have been read */
        load_tile<D, ROWS, THREADS>(q_tile, q + row_start, row_place, rows, width, vectors);
        load_tile<D, ROWS, THREADS>(dout_tile, dout + row_start, row_place, rows, width, vectors);
        load_statistics<ROWS, THREADS>(row_statistics, statistics, batch.first[sequence] * H + g * group, { r, group, H, 1 }, rows);
        __syncthreads();
        products<D, M, N, DOWN>(score, k_tile, q_tile, down, across, width);
        products<D, M, N, DOWN>(dp, v_tile, dout_tile, down, across, width);
        columns_to_gradients<M, N>(score, dp, row_statistics, scale, across);
        put_weights<M, N, DOWN>(weight, score, down, across);
        auto sees = [&](int i, int row) { return row < rows && r + row >= seen_from[i]; };
        __syncwarp();
        if (whole) add_rows<D, M, ROWS, DOWN>(value_sum, weight, dout_tile, down, across, ROWS, SeesAll());
        else add_rows<D, M, ROWS, DOWN>(value_sum, weight, dout_tile, down, across, rows, sees);
        __syncwarp();
        put_weights<M, N, DOWN>(weight, dp, down, across);
        __syncwarp();
        if (whole) add_rows<D, M, ROWS, DOWN>(key_sum, weight, q_tile, down, across, ROWS, SeesAll());
        else add_rows<D, M, ROWS, DOWN>(key_sum, weight, q_tile, down, across, rows, sees);
    }
    UNROLL for (int i = 0; i < M; i++) {
        const int key = down + DOWN * i;
        if (key >= keys) continue;
        store_row<D>(dk, key_start + key_place(key), key_sum[i], scale, across, width, out_vectors);
        store_row<D>(dv, key_start + key_place(key), value_sum[i], 1, across, width, out_vectors);
    }
}

struct Gradients { float *dq, *dk, *dv; const float *dout, *q, *k, *v; };

/* ROWS rows of queries against QUERY_KEYS keys for dq; KEYS keys, M a thread, against KEY_ROWS rows for dk and dv: at most 99 KiB of
 * shared memory, which is what a block may have on the smallest of the GPUs. */
template <int D, int ROWS, int QUERY_KEYS, int KEYS, int KEY_ROWS, int M>
static void attend_backward(const Gradients &a, RowStatistics statistics, const Sequences &batch, int H, int G, int width)
{
    const int query_bytes = (2 * tile_floats(ROWS, D) + tile_floats(QUERY_KEYS, D) + weight_floats(ROWS, QUERY_KEYS)) * (int)sizeof(float);
    const int key_floats = 2 * tile_floats(KEYS, D) + 2 * tile_floats(KEY_ROWS, D) + weight_floats(KEYS, KEY_ROWS) + 3 * KEY_ROWS;
    const int key_bytes = key_floats * (int)sizeof(float);
    const bool vectors = width % 4 == 0 && aligned16(a.q) && aligned16(a.k) && aligned16(a.v) && aligned16(a.dout);
    const bool out_vectors = width % 4 == 0 && aligned16(a.dq) && aligned16(a.dk) && aligned16(a.dv);
    const dim3 query_grid(blocks_of((int64_t)batch.longest * (H / G), ROWS), (unsigned)G, (unsigned)batch.n);
    const dim3 key_grid(blocks_of(batch.longest, KEYS), (unsigned)G, (unsigned)batch.n);
    double seen = 0, floats = 0;
    for (int b = 0; b < batch.n; b++) {
        seen += 0.5 * batch.length[b] * (batch.length[b] + 1.0) * H * width;
        floats += (double)batch.length[b] * width;
    }
    ALLOW_SHARED((query_gradient_kernel<D, ROWS, QUERY_KEYS>), query_bytes);
    ALLOW_SHARED((key_gradient_kernel<D, KEYS, KEY_ROWS, M>), key_bytes);
    operation_work(10 * seen, 4 * floats * (3 * H + 2 * G));
    LAUNCH((query_gradient_kernel<D, ROWS, QUERY_KEYS>), query_grid, 2 * ROWS, query_bytes, a.dq, statistics, a.dout, a.q, a.k, a.v, batch,
           H, G, width, vectors, out_vectors);
    operation_work(8 * seen, 4 * floats * (2 * H + 4 * G));
    LAUNCH((key_gradient_kernel<D, KEYS, KEY_ROWS, M>), key_grid, KEYS / M * ACROSS, key_bytes, a.dk, a.dv, statistics, a.dout, a.q, a.k, a.v, batch,
           H, G, width, vectors, out_vectors);
}

void attention_backward_cuda(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                             const Ragged *batch, int H, int G, int D)
{
    int64_t rows = 0;
    for (int b = 0; b < batch->n; b++)
        if (batch->offset[b] + batch->length[b] > rows) rows = batch->offset[b] + batch->length[b];
    if (rows == 0) return;
    const Gradients a = { dq, dk, dv, dout, q, k, v };
    scratch_reset();
    const RowStatistics statistics = { scratch<float>(rows * H), scratch<float>(rows * H), scratch<float>(rows * H) };
    for_sequences(batch, [&](const Sequences &s, int) {
        if (D <= 32) attend_backward<32, 64, 32, 64, 32, 4>(a, statistics, s, H, G, D);
        else if (D <= 64) attend_backward<64, 64, 32, 64, 32, 4>(a, statistics, s, H, G, D);
        else if (D <= 96) attend_backward<96, 64, 32, 32, 32, 4>(a, statistics, s, H, G, D);
        else if (D <= 128) attend_backward<128, 64, 32, 32, 32, 4>(a, statistics, s, H, G, D);
        else if (D <= 256) attend_backward<256, 32, 16, 16, 16, 2>(a, statistics, s, H, G, D);
        else device_fail("attention_backward: heads of %d numbers, and 256 are the most", D);
    });
}
