/*
 * noise.cu - W^ = float32(W + sigma z), t^2 = ||W^ - W||^2 / ||W||^2 and kappa = -<W^ - W, W> / ||W||^2
 *
 *     sigma = t rms of the group's weights, or of the matrix;  z the normals or signs of core/base/rng.c, the same bits (random.cuh)
 *
 * sigma and W^ take the host's steps in double, so W^ differs from the host's only where the sum of a group's squares, taken in another
 * order, rounds sigma to its neighbour.  Bytes: W once, W^ once (8 a weight); some 60 integer and float operations a weight for z.
 *
 * A thread has `wide` consecutive weights at a time: four, with one counter's four numbers, where rows and groups are whole fours; otherwise
 * one.  Whether they go by 16 bytes at once is up to the pointers and changes no bit.  A group is what some lanes of a warp hold in registers (up to 128 such items), or a block (up to 1024; of
 * longer groups the rest is read twice, the second time from the cache).  The matrix as one group takes two kernels.  The number of
 * blocks depends on the shape alone, so the sums of t^2 and kappa are one tree on every device.
 */
#include "kernels/cuda/weights/random.cuh"
#include "kernels/cuda/cuda.cuh"

static const int THREADS = 256, WARPS = THREADS / WARP, MOST_BLOCKS = 2048, BLOCK_ITEMS = 4;

/* The weights as rows of groups; where groups never end early, one long row, which spares a division. */
struct Layout {
    int64_t rows, cols, group, groups;          /* groups of a row */
};

struct Noise {
    Stream stream;
    bool signs, aligned;                        /* aligned: W and W^ to 16 bytes */
    double t;
};

template <int wide> struct Item { float v[wide]; };

static __device__ __forceinline__ Item<4> item_of(float4 v) { return {{ v.x, v.y, v.z, v.w }}; }

template <int wide> static __device__ __forceinline__ Item<wide> load_item(Global<const float> w, int64_t at, bool aligned)
{
    Item<wide> x;
    if constexpr (wide == 4) {
        if (aligned) return item_of(load4(w, at));
    }
    UNROLL
    for (int i = 0; i < wide; i++) x.v[i] = w[at + i];
    return x;
}

template <int wide> static __device__ __forceinline__ void store_item(Global<float> out, int64_t at, Item<wide> x, bool aligned)
{
    if constexpr (wide == 4) {
        if (aligned) return store4(out, at, make_float4(x.v[0], x.v[1], x.v[2], x.v[3]));
    }
    UNROLL
    for (int i = 0; i < wide; i++) out[at + i] = x.v[i];
}

template <int wide> static __device__ __forceinline__ Item<wide> random_item(const Noise &noise, int64_t at)
{
    uint64_t quad = (uint64_t)at / 4;
    float4 z = noise.signs ? signs_of(noise.stream, quad) : normals_of(noise.stream, quad);
    if constexpr (wide == 4) return item_of(z);
    int lane = (int)(at & 3);
    return {{ lane < 2 ? lane == 0 ? z.x : z.y : lane == 2 ? z.z : z.w }};
}

template <int wide> static __device__ __forceinline__ double squares(Item<wide> w)
{
    double sum = 0;
    UNROLL
    for (int i = 0; i < wide; i++) sum += (double)w.v[i] * w.v[i];
    return sum;
}

/* What a thread adds up for t^2 and kappa: ||W||^2, ||W^ - W||^2, <W^ - W, W>. */
struct Sums { double norm2, error2, along; };

template <int wide>
static __device__ __forceinline__ void perturb(Global<float> out, int64_t at, Item<wide> w, double sigma, const Noise &noise, Sums &sums)
{
    Item<wide> z = random_item<wide>(noise, at), y;
    UNROLL
    for (int i = 0; i < wide; i++) {
        y.v[i] = (float)((double)w.v[i] + sigma * (double)z.v[i]);
        double e = (double)y.v[i] - w.v[i];
        sums.error2 += e * e;
        sums.along += e * w.v[i];
    }
    store_item<wide>(out, at, y, noise.aligned);
}

static __device__ __forceinline__ void put_sums(Global<double> part, Sums sums)
{
    double norm2 = block_sum<THREADS>(sums.norm2), error2 = block_sum<THREADS>(sums.error2), along = block_sum<THREADS>(sums.along);
    if (threadIdx.x > 0) return;
    part[blockIdx.x] = norm2;
    part[gridDim.x + blockIdx.x] = error2;
    part[2 * gridDim.x + blockIdx.x] = along;
}

/* The first weight and the width of group q. */
static __device__ __forceinline__ int64_t group_at(const Layout &shape, int64_t q, int64_t *width)
{
    int64_t row = shape.rows == 1 ? 0 : q / shape.groups, c = (q - row * shape.groups) * shape.group;
    *width = min(shape.group, shape.cols - c);
    return row * shape.cols + c;
}

/* A group for `lanes` lanes of a warp, a power of two, with up to `items` items each. */
template <int wide, int items>
__global__ void __launch_bounds__(THREADS) warp_noise_kernel(Global<float> out, Global<double> part, Global<const float> w, Layout shape, int lanes, Noise noise)
{
    const int lane = threadIdx.x & (lanes - 1), teams = WARP / lanes, team = threadIdx.x % WARP / lanes;
    const int64_t all = shape.rows * shape.groups, step = (int64_t)gridDim.x * WARPS * teams;
    Sums sums = { 0, 0, 0 };
    for (int64_t first = ((int64_t)blockIdx.x * WARPS + threadIdx.x / WARP) * teams; first < all; first += step) {     /* the same for all lanes */
        int64_t width = 0, at = 0;
        if (first + team < all) at = group_at(shape, first + team, &width);
        Item<wide> held[items] = {};
        double own = 0;
        UNROLL
        for (int k = 0; k < items; k++) {
            int64_t c = (int64_t)(lane + k * lanes) * wide;
            if (c >= width) continue;
            held[k] = load_item<wide>(w, at + c, noise.aligned);
            own += squares<wide>(held[k]);
        }
        sums.norm2 += own;
        for (int across = lanes / 2; across > 0; across /= 2) own += __shfl_xor_sync(ALL_LANES, own, across);
        double sigma = noise.t * sqrt(own / (double)width);
        UNROLL
        for (int k = 0; k < items; k++) {
            int64_t c = (int64_t)(lane + k * lanes) * wide;
            if (c < width) perturb<wide>(out, at + c, held[k], sigma, noise, sums);
        }
    }
    put_sums(part, sums);
}

template <int wide>
__global__ void __launch_bounds__(THREADS, 2) block_noise_kernel(Global<float> out, Global<double> part, Global<const float> w, Layout shape, Noise noise)
{
    const int HELD = THREADS * BLOCK_ITEMS * wide;
    const int64_t all = shape.rows * shape.groups;
    Sums sums = { 0, 0, 0 };
    for (int64_t q = blockIdx.x; q < all; q += gridDim.x) {
        int64_t width, at = group_at(shape, q, &width), mine = (int64_t)threadIdx.x * wide;
        Item<wide> held[BLOCK_ITEMS] = {};
        double own = 0;
        UNROLL
        for (int k = 0; k < BLOCK_ITEMS; k++) {
            int64_t c = mine + k * THREADS * wide;
            if (c >= width) continue;
            held[k] = load_item<wide>(w, at + c, noise.aligned);
            own += squares<wide>(held[k]);
        }
        for (int64_t c = mine + HELD; c < width; c += THREADS * wide) own += squares<wide>(load_item<wide>(w, at + c, noise.aligned));
        sums.norm2 += own;
        double sigma = noise.t * sqrt(block_sum<THREADS>(own) / (double)width);
        UNROLL
        for (int k = 0; k < BLOCK_ITEMS; k++) {
            int64_t c = mine + k * THREADS * wide;
            if (c < width) perturb<wide>(out, at + c, held[k], sigma, noise, sums);
        }
        for (int64_t c = mine + HELD; c < width; c += THREADS * wide) perturb<wide>(out, at + c, load_item<wide>(w, at + c, noise.aligned), sigma, noise, sums);
    }
    put_sums(part, sums);
}

/* ---- the matrix as one group ---- */

template <int wide> __global__ void __launch_bounds__(THREADS) squares_kernel(Global<double> part, Global<const float> w, int64_t n, bool aligned)
{
    double own = 0;
    for (int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * wide; at < n; at += (int64_t)gridDim.x * THREADS * wide)
        own += squares<wide>(load_item<wide>(w, at, aligned));
    own = block_sum<THREADS>(own);
    if (threadIdx.x == 0) part[blockIdx.x] = own;
}

template <int wide>
__global__ void __launch_bounds__(THREADS) matrix_noise_kernel(Global<float> out, Global<double> part, Global<const float> w, Global<const double> norm2, int64_t n, Noise noise)
{
    double all = norm2[0], sigma = noise.t * sqrt(all / (double)n);
    Sums sums = { 0, 0, 0 };
    for (int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * wide; at < n; at += (int64_t)gridDim.x * THREADS * wide) {
        Item<wide> x = load_item<wide>(w, at, noise.aligned);
        sums.norm2 += squares<wide>(x);
        perturb<wide>(out, at, x, sigma, noise, sums);
    }
    put_sums(part, sums);
}

/* ---- launches ---- */

static unsigned blocks_for(int64_t work, int64_t each)
{
    int64_t blocks = (work + each - 1) / each;
    return (unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS);
}

template <int wide> static unsigned matrix_noise(float *out, double *total, double *part, const float *w, int64_t n, const Noise &noise)
{
    unsigned blocks = blocks_for(n, THREADS * wide);
    LAUNCH(squares_kernel<wide>, blocks, THREADS, 0, part, w, n, noise.aligned);
    total_cuda(total, part, 1, blocks);
    LAUNCH(matrix_noise_kernel<wide>, blocks, THREADS, 0, out, part, w, total, n, noise);
    return blocks;
}

template <int wide> static unsigned group_noise(float *out, double *part, const float *w, const Layout &shape, const Noise &noise)
{
    int64_t all = shape.rows * shape.groups, items = (shape.group + wide - 1) / wide;
    if (items > 4 * WARP) {
        unsigned blocks = blocks_for(all, 1);
        LAUNCH(block_noise_kernel<wide>, blocks, THREADS, 0, out, part, w, shape, noise);
        return blocks;
    }
    int lanes = 1;
    while (lanes < items && lanes < WARP) lanes *= 2;
    unsigned blocks = blocks_for(all, WARPS * WARP / lanes);
    if (items > WARP) LAUNCH((warp_noise_kernel<wide, 4>), blocks, THREADS, 0, out, part, w, shape, lanes, noise);
    else LAUNCH((warp_noise_kernel<wide, 1>), blocks, THREADS, 0, out, part, w, shape, lanes, noise);
    return blocks;
}

void noise_cuda(float *out, double *t2, double *kappa, const float *w, int64_t rows, int64_t cols, int64_t group, double t,
                int signs, uint64_t seed, uint64_t stream)
{
    const int64_t n = rows * cols;
    const Noise noise = { { seed, stream }, signs != 0, aligned16(out) && aligned16(w), t };
    *t2 = *kappa = 0;
    if (n <= 0) return;
    scratch_reset();
    double *total = scratch<double>(4 + 3 * MOST_BLOCKS), *part = total + 4, sum[3] = { NAN, NAN, NAN };
    unsigned blocks;
    if (group <= 0) {
        blocks = n % 4 == 0 ? matrix_noise<4>(out, total, part, w, n, noise) : matrix_noise<1>(out, total, part, w, n, noise);
    } else {
        if (group > cols) group = cols;
        Layout shape = { rows, cols, group, (cols + group - 1) / group };
        if (cols % group == 0) shape = { 1, n, group, n / group };
        blocks = cols % 4 == 0 && group % 4 == 0 ? group_noise<4>(out, part, w, shape, noise) : group_noise<1>(out, part, w, shape, noise);
    }
    total_cuda(total, part, 3, blocks);
    device_get(sum, total, sizeof sum);
    *t2 = sum[1] == 0 ? 0 : sum[1] / sum[0];
    *kappa = sum[0] == 0 ? 0 : 0 - sum[2] / sum[0];
}
