/*
 * attention_bf16.cu - out = softmax(q k^T / sqrt(D)) v, causal, on tensor cores: inputs and output bf16, scores and sums float32
 *
 * The scheme is FlashAttention-2's (Dao 2023): a block holds 128 queries of one head and walks over tiles of 64 keys from the diagonal
 * down, with the largest score and the sum of weights of each row as they are so far.  Scores never leave registers: the
 * accumulators of q k^T are, once rounded, laid out as the left operand of P v.
 *
 * A warp has 32 queries, so that a fragment of k or v out of shared memory serves two products: 256 bytes of it for 8192 FLOPs, which
 * asks for 5/8 of what shared memory gives at the rate of the tensor cores.  16 queries would ask for all of it.  q is read again for
 * every tile (a quarter as many bytes as k and v), since its fragments would not fit into the registers beside 32 x D sums and 32 x 64
 * scores.  Two blocks share a multiprocessor: the one's exponentials run beside the other's products.
 *
 * The sums are rescaled only where the largest score has grown by more than 2^LAG: up to there the weights are merely above 1,
 * and floating point, bf16 included, holds them as well as those below.  Row by row, so that no row depends on another.
 *
 * FLOPs: 2 H D L^2 of a sequence of L (half of 4 H D L^2).  Bytes: q and out once, k and v once for each 128 queries, mostly out of the L2 cache.
 * Heads run fastest over the grid (those that share k and v side by side), then query tiles with the most keys first:
 * what runs last is short.
 */
#include <float.h>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/attention/tensor.cuh"

enum { ROWS = 128, KEYS = 64, WARPS = 4, THREADS = WARPS * WARP, WARP_ROWS = ROWS / WARPS };
static const float LAG = 8;
static_assert(WARP_ROWS == 32 && KEYS % WARP_ROWS == 0, "a warp is two fragments of rows, and its diagonal lies in one tile of keys");

/* Blocks that share a multiprocessor where D is 64: three have 168 registers a thread, which suffices on the kinds below; on others
 * registers would spill, or shared memory is too small for three. */
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000)
enum { MOST_BLOCKS = 3 };
#else
enum { MOST_BLOCKS = 2 };
#endif

/* Shared memory, in numbers: q [ROWS][STRIDE], then k and v [2][KEYS][STRIDE] each.  DIM: D, or the next width there is a kernel for. */
template <int DIM> struct Layout {
    static constexpr int STRIDE = DIM <= 64 ? 64 : 128, TILE = KEYS * STRIDE;
    static constexpr int K = ROWS * STRIDE, V = K + 2 * TILE, BYTES = (V + 2 * TILE) * (int)sizeof(bf16);
    static constexpr int BLOCKS = DIM <= 64 ? MOST_BLOCKS : 2;
};

/* What a lane holds of its warp's 32 rows: fragment m has row 16 m + lane / 4 (half 0) and eight more (half 1). */
template <int DIM> struct Rows {
    float o[2][DIM / 8][4], s[2][KEYS / 8][4];          /* sums of weights times v;  scores, then nothing once they are weights */
    float base[2][2], sum[2][2];                        /* what scaled scores are taken relative to;  this lane's part of the sum of weights */
};

/* Tile [first, first + N) of a sequence, zeros beyond its length and from column D on. */
template <int DIM, int N> __device__ __forceinline__ void fetch(Shared<bf16> to, int at, Global<const bf16> x, int64_t stride, int first, int length, int D)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, CHUNKS = STRIDE / 8, STEP = THREADS / CHUNKS;
    static_assert(STEP % 8 == 0, "rows of a thread are swizzled alike");
    int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    if (chunk * 8 >= DIM) return;
    bool inside = chunk * 8 < D;
    int own = at + swizzled<STRIDE>(row, chunk);
    Global<const bf16> from = x + ((first + row) * stride + chunk * 8);
    UNROLL for (int r = 0; r < N; r += STEP) copy_later(to, own + r * STRIDE, from + r * stride, inside && first + row + r < length);
}

/* Puts 0 in place of infinities and NaN among what this thread has fetched of a tile of v.  A row that does not see them has weight 0
 * for them, and 0 times infinity would reach it; add_unbounded gives them to the rows that do. */
template <int DIM> __device__ __forceinline__ bool clear_unbounded(Shared<bf16> v, int at)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, CHUNKS = STRIDE / 8, STEP = THREADS / CHUNKS;
    int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    bool found = false;
    if (chunk * 8 >= DIM) return false;
    for (int r = row; r < KEYS; r += STEP) {
        int i = at + swizzled<STRIDE>(r, chunk);
        uint4 x = load16(v, i);
        unsigned word[4] = { x.x, x.y, x.z, x.w }, cleared = 0;
        UNROLL for (int j = 0; j < 4; j++) {
            unsigned unbounded = ((word[j] & 0x7f80) == 0x7f80 ? 0xffffu : 0) | ((word[j] & 0x7f800000) == 0x7f800000 ? 0xffff0000u : 0);
            word[j] &= ~unbounded;
            cleared |= unbounded;
        }
        if (!cleared) continue;
        found = true;
        store16(v, i, make_uint4(word[0], word[1], word[2], word[3]));
    }
    return found;
}

/* What clear_unbounded took from keys [first, end), to the rows that see it: weights are above 0, so it outweighs all else. */
template <int DIM> __device__ __forceinline__ void add_unbounded(Rows<DIM> &x, Global<const bf16> v, int64_t stride, int first, int end, int row, int D)
{
    int column = threadIdx.x % 4 * 2;
    for (int key = first; key < end; key++)
        UNROLL for (int n = 0; n < DIM / 8; n++)
            UNROLL for (int i = 0; i < 2; i++) {
                if (8 * n + column >= D) continue;
                float each = to_float(v[key * stride + 8 * n + column + i]);
                if (each - each == 0) continue;
                UNROLL for (int m = 0; m < 2; m++)
                    UNROLL for (int half = 0; half < 2; half++)
                        if (key <= row + 16 * m + 8 * half) x.o[m][n][2 * half + i] += each;
            }
}

/* s = q k^T of the warp's rows and a tile of keys.  A place in a tile, of chunk 0 or 1, turned over in the bits of an even c is the place of
 * chunk c or c + 1, swizzled. */
template <int DIM> __device__ __forceinline__ void score(Rows<DIM> &x, Shared<bf16> shared, int q, int k)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE;
    int lane = threadIdx.x % WARP;
    q += swizzled<STRIDE>(lane % 16, lane / 16);
    k += swizzled<STRIDE>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int n = 0; n < KEYS / 8; n++)
            UNROLL for (int i = 0; i < 4; i++) x.s[m][n][i] = 0;
    UNROLL for (int c = 0; c < DIM / 8; c += 2) {
        unsigned a[2][4], b[4];
        UNROLL for (int m = 0; m < 2; m++) load_matrices(a[m], shared, (q ^ 8 * c) + 16 * m * STRIDE);
        UNROLL for (int n = 0; n < KEYS / 8; n += 2) {
            load_matrices(b, shared, (k ^ 8 * c) + 8 * n * STRIDE);
            UNROLL for (int m = 0; m < 2; m++) {
                multiply_add(x.s[m][n], a[m], b[0], b[1]);
                multiply_add(x.s[m][n + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* Keys behind the query.  row: of this lane's first number; key: the tile's first. */
template <int DIM> __device__ __forceinline__ void mask(Rows<DIM> &x, int row, int key)
{
    key += threadIdx.x % 4 * 2;
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int n = 0; n < KEYS / 8; n++)
            UNROLL for (int i = 0; i < 4; i++)
                if (key + 8 * n + i % 2 > row + 16 * m + i / 2 * 8) x.s[m][n][i] = -INFINITY;
}

/* Takes the tile's largest scores into account.  NaN is passed over here; it reaches the weights.  base starts at the least number,
 * not at -infinity: a row whose scores all were -infinity so far has weights of 0, not of NaN. */
template <int DIM> __device__ __forceinline__ void follow_largest(Rows<DIM> &x, float scale)
{
    float shrink[2][2];
    bool grown = false;
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int half = 0; half < 2; half++) {
            float top = -INFINITY;
            UNROLL for (int n = 0; n < KEYS / 8; n++) top = fmaxf(top, fmaxf(x.s[m][n][2 * half], x.s[m][n][2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2)) * scale;
            bool above = top - x.base[m][half] > LAG;
            grown |= above;
            shrink[m][half] = above ? exp2f_approximate(x.base[m][half] - top) : 1;
            if (above) x.base[m][half] = top;
        }
    if (!__any_sync(ALL_LANES, grown)) return;
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int half = 0; half < 2; half++) {
            x.sum[m][half] *= shrink[m][half];
            UNROLL for (int n = 0; n < DIM / 8; n++)
                UNROLL for (int i = 0; i < 2; i++) x.o[m][n][2 * half + i] *= shrink[m][half];
        }
}

/* Two scores of 16 keys turned into weights: register j of the left operand that has rows 16 m. */
template <int DIM> __device__ __forceinline__ unsigned two_weights(Rows<DIM> &x, int keys, int m, int j, float scale)
{
    int n = 2 * keys + j / 2, half = j % 2;
    float low = exp2f_approximate(x.s[m][n][2 * half] * scale - x.base[m][half]);
    float high = exp2f_approximate(x.s[m][n][2 * half + 1] * scale - x.base[m][half]);
    x.sum[m][half] += low + high;
    return pack_bf16(low, high);
}

/* o += weights v, 16 keys at a time.  All is unrolled, and no product of 16 keys needs a weight of the next: the compiler is free to
 * put those between. */
template <int DIM> __device__ __forceinline__ void weigh(Rows<DIM> &x, Shared<bf16> shared, int v, float scale)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE;
    int lane = threadIdx.x % WARP;
    v += swizzled<STRIDE>(lane % 16, lane / 16);
    UNROLL for (int keys = 0; keys < KEYS / 16; keys++) {
        unsigned p[2][4], b[4];
        UNROLL for (int m = 0; m < 2; m++)
            UNROLL for (int j = 0; j < 4; j++) p[m][j] = two_weights(x, keys, m, j, scale);
        UNROLL for (int c = 0; c < DIM / 8; c += 2) {
            load_transposed(b, shared, (v ^ 8 * c) + 16 * keys * STRIDE);
            UNROLL for (int m = 0; m < 2; m++) {
                multiply_add(x.o[m][c], p[m], b[0], b[1]);
                multiply_add(x.o[m][c + 1], p[m], b[2], b[3]);
            }
        }
    }
}

/* Sums by weights, to out by way of the warp's rows of q in shared memory: 16 bytes at a time, rows side by side. */
template <int DIM> __device__ __forceinline__ void finish(Rows<DIM> &x, Shared<unsigned> pairs, Shared<bf16> shared, int at, Global<bf16> out, int64_t stride, int rows, int D)
{
    constexpr int STRIDE = Layout<DIM>::STRIDE, CHUNKS = STRIDE / 8;
    int lane = threadIdx.x % WARP;
    __syncwarp();                                       /* q has been read */
    UNROLL for (int m = 0; m < 2; m++)
        UNROLL for (int half = 0; half < 2; half++) {
            float sum = x.sum[m][half];
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            int row = 16 * m + 8 * half + lane / 4;
            UNROLL for (int n = 0; n < DIM / 8; n++)
                pairs[(at + swizzled<STRIDE>(row, n)) / 2 + lane % 4] = pack_bf16(x.o[m][n][2 * half] / sum, x.o[m][n][2 * half + 1] / sum);
        }
    __syncwarp();
    int chunk = lane % CHUNKS;
    if (chunk * 8 >= D) return;
    for (int row = lane / CHUNKS; row < rows && row < WARP_ROWS; row += WARP / CHUNKS)
        store16(out, row * stride + chunk * 8, load16(shared, at + swizzled<STRIDE>(row, chunk)));
}

template <int DIM> __global__ void __launch_bounds__(THREADS, Layout<DIM>::BLOCKS)
attention_bf16_kernel(Global<bf16> out, Global<const bf16> q, int64_t q_stride, Global<const bf16> k, Global<const bf16> v, int64_t kv_stride,
                 Sequences sequences, int H, int G, int D, float scale)
{
    constexpr int TILE = Layout<DIM>::TILE, K = Layout<DIM>::K, V = Layout<DIM>::V;
    DYNAMIC_SHARED(memory);
    Shared<bf16> shared = shared_at<bf16>(memory, 0);
    const int length = sequences.length[blockIdx.z], head = blockIdx.x, warp = threadIdx.x / WARP;
    const int first = ((length + ROWS - 1) / ROWS - 1 - (int)blockIdx.y) * ROWS;
    if (first < 0) return;
    const int64_t start = sequences.first[blockIdx.z];
    const int warp_row = first + warp * WARP_ROWS, row = warp_row + threadIdx.x % WARP / 4, end = min(first + ROWS, length);
    k = k + (start * kv_stride + head * G / H * D);
    v = v + (start * kv_stride + head * G / H * D);

    Rows<DIM> x;
    UNROLL for (int m = 0; m < 2; m++) {
        UNROLL for (int half = 0; half < 2; half++) x.base[m][half] = -FLT_MAX, x.sum[m][half] = 0;
        UNROLL for (int n = 0; n < DIM / 8; n++)
            UNROLL for (int i = 0; i < 4; i++) x.o[m][n][i] = 0;
    }
    int tile = (end - 1) / KEYS, unbounded = 0;
    fetch<DIM, ROWS>(shared, 0, q + (start * q_stride + head * D), q_stride, first, length, D);
    fetch<DIM, KEYS>(shared, K + tile % 2 * TILE, k, kv_stride, tile * KEYS, length, D);
    fetch<DIM, KEYS>(shared, V + tile % 2 * TILE, v, kv_stride, tile * KEYS, length, D);
    commit_copies();
    for (; tile >= 0; tile--) {
        const int buffer = tile % 2 * TILE, key = tile * KEYS;
        wait_copies<0>();
        if (key >= first) unbounded |= __syncthreads_or(clear_unbounded<DIM>(shared, V + buffer));
        else __syncthreads();                           /* this tile has come, the one before it has been read */
        if (tile > 0) {
            fetch<DIM, KEYS>(shared, K + TILE - buffer, k, kv_stride, key - KEYS, length, D);
            fetch<DIM, KEYS>(shared, V + TILE - buffer, v, kv_stride, key - KEYS, length, D);
            commit_copies();
        }
        if (key >= warp_row + WARP_ROWS || warp_row >= length) continue;
        score(x, shared, warp * WARP_ROWS * Layout<DIM>::STRIDE, K + buffer);
        if (key + KEYS > warp_row) mask(x, row, key);
        follow_largest(x, scale);
        weigh(x, shared, V + buffer, scale);
    }
    if (warp_row >= length) return;
    if (unbounded) add_unbounded(x, v, kv_stride, first, end, row, D);
    finish(x, shared_at<unsigned>(memory, 0), shared, warp * WARP_ROWS * Layout<DIM>::STRIDE,
           out + ((start + warp_row) * H * D + head * D), (int64_t)H * D, length - warp_row, D);
}

template <int DIM> static void attend(bf16 *out, const bf16 *q, int64_t q_stride, const bf16 *k, const bf16 *v, int64_t kv_stride,
                                      const Ragged *batch, int H, int G, int D)
{
    const float scale = (float)(1.4426950408889634 / sqrt((double)D));          /* log2(e): weights are powers of two */
    ALLOW_SHARED(attention_bf16_kernel<DIM>, Layout<DIM>::BYTES);
    for_sequences(batch, [=](const Sequences &s, int) {
        double rows = 0, pairs = 0;
        for (int i = 0; i < s.n; i++) rows += s.length[i], pairs += 0.5 * s.length[i] * (s.length[i] + 1.0);
        operation_work(4 * pairs * H * D, 4 * rows * (H + G) * D);
        LAUNCH(attention_bf16_kernel<DIM>, dim3((unsigned)H, blocks_of(s.longest, ROWS), (unsigned)s.n), THREADS, Layout<DIM>::BYTES,
               out, q, q_stride, k, v, kv_stride, s, H, G, D, scale);
    });
}

void attention_bf16(bf16 *out, const bf16 *q, int64_t q_stride, const bf16 *k, const bf16 *v, int64_t kv_stride, const Ragged *batch, int H, int G, int D)
{
    if (D % 16 || D < 16 || D > 128 || H % G || q_stride % 8 || kv_stride % 8 || !aligned16(out) || !aligned16(q) || !aligned16(k) || !aligned16(v))
        return device_fail("attention_bf16 is not for heads of %d, %d over %d, rows of %lld and %lld numbers, or memory that is not aligned to 16 bytes",
                           D, H, G, (long long)q_stride, (long long)kv_stride);
    (D <= 64 ? attend<64> : D <= 80 ? attend<80> : D <= 96 ? attend<96> : attend<128>)(out, q, q_stride, k, v, kv_stride, batch, H, G, D);
}
