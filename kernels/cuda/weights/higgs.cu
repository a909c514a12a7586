/*
 * higgs.cu - W^ of the perturbation higgs: rotation, nearest points of a grid, a scale for each group, and back (core/quantize/higgs.h)
 *
 *     y = H D w / sqrt g,   r = ||y|| / sqrt g,   z = y / r,   code = nearest c to p numbers of z,   w^ = D H (s c[code]) / sqrt g
 *     s = r as stored, or, unbiased, ||y||^2 / <c[code], y> as stored
 *
 * A block keeps a group, or the small groups that make 1024 numbers, in shared memory as doubles from w to w^, so that nothing but the
 * rounding of z to float32 happens outside of double and the result is the host's to the last bit; compiled without contraction for the
 * same reason.  Blocks stay and take group after group: the points of a small grid are loaded once.
 *
 * Bytes: w once, w^ once (8 a weight).  The time is the search's: 3p + 2 instructions for a point and p weights (grid_encode.cu), at p = 2,
 * n = 256 0.35 to 0.4 s for an 8B model on an H100.  In double some 2 log2 g + 20 instructions a weight: 40 x 8e9 = 3.2e11, 0.02 s where
 * doubles run at half the rate of floats (A100, H100), 0.4 s where it is 1/64.
 * Shared memory: 8 bytes a number, 2 a code, 8 a scale, and at most 16 KiB of the grid: 13 KiB at g = 1024, p = 2, n = 256, 96 KiB at most.
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/weights/quantize.cuh"

enum { THREADS = 256, VECTORS = 4, PARTIAL_SUMS = 16, MOST_BLOCKS = 4096 };

struct Shape {
    unsigned all_groups, row_groups;
    int group, shift, chunk_groups; /* group = 2^shift */
    int vectors;                    /* of a group */
    int n, tile, scale_bits;
    int64_t cols;
    double unit;
    bool unbiased;
    int scale_at, plane_at, code_at;        /* bytes in shared memory, where y stands at 0 */
};

struct Room {
    Shared<double> y, scale;
    Shared<float> plane;
    Shared<uint16_t> code;
};

/* The weight of number i of a chunk, or one of the zeros behind the row. */
struct Place { unsigned row; int64_t col; };
static __device__ __forceinline__ Place place_of(unsigned first, int i, const Shape &s)
{
    const unsigned g = first + (i >> s.shift), row = g / s.row_groups;
    return { row, (int64_t)(g - row * s.row_groups) * s.group + (i & (s.group - 1)) };
}

static __device__ __forceinline__ void rotate(const Room &room, int count, unsigned first, Global<const float> w, Global<const float> sign, const Shape &s)
{
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const Place at = place_of(first, i, s);
        double v = 0;
        if (at.col < s.cols) v = (float)w[at.row * s.cols + at.col];
        if (sign) v *= (float)sign[at.col];
        room.y[i] = v;
    }
    hadamard_groups<THREADS>(room.y, count, s.group);
    for (int i = threadIdx.x; i < count; i += THREADS) room.y[i] *= s.unit;
    __syncthreads();
}

static __device__ __forceinline__ void rotate_back(Global<float> out, const Room &room, int count, unsigned first, Global<const float> sign, const Shape &s)
{
    hadamard_groups<THREADS>(room.y, count, s.group);
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const Place at = place_of(first, i, s);
        if (at.col >= s.cols) continue;
        double v = room.y[i];
        v *= s.unit;
        if (sign) v *= (float)sign[at.col];
        out[at.row * s.cols + at.col] = (float)v;
    }
    __syncthreads();
}

/* The host's order: number i goes to partial sum i % 16, and these are added in their order.  Of a half warp, to all of it. */
static __device__ __forceinline__ double in_order(double partial)
{
    double sum = 0;
    for (int k = 0; k < PARTIAL_SUMS; k++) sum += __shfl_sync(ALL_LANES, partial, k, PARTIAL_SUMS);
    return sum;
}

static __device__ __forceinline__ void find_scales(const Room &room, int groups, const Shape &s)
{
    const int lane = threadIdx.x % PARTIAL_SUMS;
    for (int base = 0; base < groups; base += THREADS / PARTIAL_SUMS) {
        const int g = base + threadIdx.x / PARTIAL_SUMS;
        double partial = 0;
        for (int i = lane; i < s.group && g < groups; i += PARTIAL_SUMS) {
            const double y = room.y[(g << s.shift) + i];
            partial += y * y;
        }
        const double norm2 = in_order(partial);
        if (lane == 0 && g < groups) room.scale[g] = sqrt(norm2 / s.group);
    }
    __syncthreads();
}

template <int P> static __device__ __forceinline__ void find_codes(const Room &room, int groups, Global<const float> point, const Shape &s)
{
    const int all = groups * s.vectors;
    for (int base = 0; base < all; base += THREADS * VECTORS) {
        float z[VECTORS][P], best[VECTORS];
        int index[VECTORS];
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
            const int q = base + v * THREADS + threadIdx.x, g = q / s.vectors, within = (q - g * s.vectors) * P;
            double r = 1;
            if (q < all) r = room.scale[g];
            best[v] = INFINITY;
            index[v] = 0;
            UNROLL
            for (int j = 0; j < P; j++) {
                z[v][j] = 0;
                if (q < all && within + j < s.group) z[v][j] = (float)((double)room.y[(g << s.shift) + within + j] / r);
            }
        }
        for (int k = 0; k < s.n; k += s.tile) {
            if (s.n > s.tile) {
                __syncthreads();
                load_points<P, THREADS>(room.plane, s.tile, point, k, s.n);
                __syncthreads();
            }
            try_points<P, VECTORS>(best, index, z, room.plane, s.tile, k);
        }
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
            const int q = base + v * THREADS + threadIdx.x;
            if (q < all) room.code[q] = (uint16_t)index[v];
        }
    }
    __syncthreads();
}

template <int P> static __device__ __forceinline__ double value_of(const Room &room, int g, int i, Global<const float> point, const Shape &s)
{
    const unsigned code = (uint16_t)room.code[g * s.vectors + i / P];
    return (float)point[code * P + i % P];
}

/* r becomes s: the scale as stored. */
template <int P> static __device__ __forceinline__ void store_scales(const Room &room, int groups, Global<const float> point, const Shape &s)
{
    const int lane = threadIdx.x % PARTIAL_SUMS;
    for (int base = 0; base < groups; base += THREADS / PARTIAL_SUMS) {
        const int g = base + threadIdx.x / PARTIAL_SUMS;
        double r = 0, square = 0, product = 0;
        if (g < groups) r = room.scale[g];
        for (int i = lane; s.unbiased && i < s.group && g < groups; i += PARTIAL_SUMS) {
            const double y = room.y[(g << s.shift) + i], value = value_of<P>(room, g, i, point, s);
            square += y * y;
            product += value * y;
        }
        const double norm2 = in_order(square), along = in_order(product);
        const double scale = along > 0 && r <= DBL_MAX ? norm2 / along : r;
        __syncwarp();
        if (lane == 0 && g < groups) room.scale[g] = stored_scale(scale, s.scale_bits);
    }
    __syncthreads();
}

template <int P> __global__ void __launch_bounds__(THREADS, 2) higgs_kernel(Global<float> out, Global<const float> w, Global<const float> point, Global<const float> sign, Shape s)
{
    DYNAMIC_SHARED(memory);
    const Room room = { shared_at<double>(memory, 0), shared_at<double>(memory, s.scale_at), shared_at<float>(memory, s.plane_at), shared_at<uint16_t>(memory, s.code_at) };
    if (s.n <= s.tile) load_points<P, THREADS>(room.plane, s.tile, point, 0, s.n);
    for (unsigned first = blockIdx.x * s.chunk_groups; first < s.all_groups; first += gridDim.x * s.chunk_groups) {
        const unsigned left = s.all_groups - first;
        const int groups = left < (unsigned)s.chunk_groups ? (int)left : s.chunk_groups, count = groups << s.shift;
        rotate(room, count, first, w, sign, s);
        find_scales(room, groups, s);
        find_codes<P>(room, groups, point, s);
        store_scales<P>(room, groups, point, s);
        for (int i = threadIdx.x; i < count; i += THREADS) {
            const int g = i >> s.shift;
            room.y[i] = (double)room.scale[g] * value_of<P>(room, g, i & (s.group - 1), point, s);
        }
        __syncthreads();
        rotate_back(out, room, count, first, sign, s);
    }
}

static int rounded_up(int bytes) { return (bytes + 15) / 16 * 16; }

static Shape shape_of(int64_t rows, int64_t cols, const HiggsRounding *how)
{
    Shape s = {};
    const int64_t row_groups = (cols + how->group - 1) / how->group;
    s.all_groups = (unsigned)(rows * row_groups);
    s.row_groups = (unsigned)row_groups;
    s.group = how->group;
    s.shift = log2_of(how->group);
    s.chunk_groups = how->group > CHUNK ? 1 : CHUNK / how->group;
    s.vectors = (how->group + how->p - 1) / how->p;
    s.n = how->n;
    s.tile = tile_points(how->n, how->p);
    s.scale_bits = how->scale_bits;
    s.cols = cols;
    s.unit = 1 / sqrt((double)how->group);
    s.unbiased = how->unbiased != 0;
    s.scale_at = chunk_of(how->group) * (int)sizeof(double);
    s.plane_at = rounded_up(s.scale_at + s.chunk_groups * (int)sizeof(double));
    s.code_at = s.plane_at + s.tile * how->p * (int)sizeof(float);
    return s;
}

void higgs_cuda(float *out, const float *w, int64_t rows, int64_t cols, const HiggsRounding *how)
{
    if (rows <= 0 || cols <= 0) return;
    const Shape s = shape_of(rows, cols, how);
    const int bytes = rounded_up(s.code_at + s.chunk_groups * s.vectors * (int)sizeof(uint16_t));
    const unsigned chunks = blocks_of(s.all_groups, s.chunk_groups);
    const unsigned blocks = chunks < (unsigned)MOST_BLOCKS ? chunks : (unsigned)MOST_BLOCKS;
    const double vectors = (double)s.all_groups * s.vectors;
    auto higgs = DIMENSION(how->p, higgs_kernel);
    ALLOW_SHARED(higgs, bytes);
    operation_work(vectors * s.n * (3 * how->p - 1) + 2.0 * s.shift * s.all_groups * s.group, 8.0 * (double)(rows * cols));
    LAUNCH(higgs, blocks, THREADS, bytes, out, w, how->point, how->sign, s);
}
