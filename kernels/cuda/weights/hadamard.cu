/*
 * hadamard.cu - the Walsh-Hadamard transform of groups of a row, with signs: y = H D x / sqrt(g), and back x = D H y / sqrt(g)
 *
 * (core/quantize/hadamard.h; Sylvester's order.)  A group is a power of two, so the padded rows of a matrix are one row of equal groups: a
 * block takes one group, or the small ones that make 1024 numbers, into shared memory as doubles, rotates it there (quantize.cuh) and
 * rounds once.  Groups above 8192, more than the shared memory of every GPU holds, are rotated in parts of 8192, whose doubles go to
 * scratch memory; the one to three stages that are left combine 2, 4 or 8 numbers in registers.
 *
 * Bytes: x once, out once (8 a number; 24 where groups are larger than 8192).  FLOPs: log2 g additions a number, in double so that the
 * result is the host's to the last bit: 10 of them at g = 1024 take less time than 8 bytes do on an H100.
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/weights/quantize.cuh"

enum { THREADS = 256, PART = 8192, SCRATCH_NUMBERS = 1 << 24 };

/* Rows of all_groups / row_groups; in_cols numbers in a row of x and out_cols in one of out. */
struct Shape {
    unsigned all_groups, row_groups;
    int group, shift;               /* group = 2^shift */
    int64_t in_cols, out_cols;
    double unit;
    bool inverse;
};

/* y of a chunk = D x, or x. */
static __device__ __forceinline__ void load_chunk(Shared<double> y, int count, unsigned first, Global<const float> x, Global<const float> sign, const Shape &s)
{
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const unsigned g = first + (i >> s.shift), row = g / s.row_groups;
        const int64_t col = (int64_t)(g - row * s.row_groups) * s.group + (i & (s.group - 1));
        double v = 0;
        if (col < s.in_cols) v = (float)x[row * s.in_cols + col];
        if (sign && !s.inverse) v *= (float)sign[col];
        y[i] = v;
    }
}

static __device__ __forceinline__ void store_number(Global<float> out, double v, unsigned row, int64_t col, Global<const float> sign, const Shape &s)
{
    if (col >= s.out_cols) return;
    v *= s.unit;
    if (sign && s.inverse) v *= (float)sign[col];
    out[row * s.out_cols + col] = (float)v;
}

/* Whole groups to out; parts of groups, as they are, to `part`. */
template <bool WHOLE> __global__ void rotate_kernel(Global<float> out, Global<double> part, Global<const float> x, Global<const float> sign, Shape s)
{
    DYNAMIC_SHARED(memory);
    Shared<double> y = shared_at<double>(memory, 0);
    const int chunk_groups = s.group > CHUNK ? 1 : CHUNK / s.group;
    const unsigned first = blockIdx.x * chunk_groups, left = s.all_groups - first;
    const int count = (left < (unsigned)chunk_groups ? (int)left : chunk_groups) * s.group;
    load_chunk(y, count, first, x, sign, s);
    hadamard_groups<THREADS>(y, count, s.group);
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const double v = y[i];
        const unsigned g = first + (i >> s.shift), row = g / s.row_groups;
        if (WHOLE) store_number(out, v, row, (int64_t)(g - row * s.row_groups) * s.group + (i & (s.group - 1)), sign, s);
        else part[(int64_t)first * s.group + i] = v;
    }
}

/* The last stages: numbers at distance PART, `PARTS` of them in a group. */
template <int PARTS> __global__ void combine_kernel(Global<float> out, Global<const double> part, Global<const float> sign, Shape s, unsigned groups)
{
    const int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const unsigned g = (unsigned)(t / PART), row_groups = s.row_groups / PARTS;
    if (g >= groups) return;
    double v[PARTS];
    const int64_t at = (int64_t)g * PARTS * PART + t % PART;
    UNROLL
    for (int k = 0; k < PARTS; k++) v[k] = part[at + k * PART];
    UNROLL
    for (int h = 1; h < PARTS; h *= 2)
        UNROLL
        for (int k = 0; k < PARTS; k++)
            if (!(k & h)) {
                const double a = v[k], b = v[k + h];
                v[k] = a + b;
                v[k + h] = a - b;
            }
    const unsigned row = g / row_groups;
    const int64_t col = (int64_t)(g - row * row_groups) * PARTS * PART + t % PART;
    UNROLL
    for (int k = 0; k < PARTS; k++) store_number(out, v[k], row, col + k * PART, sign, s);
}

static Shape shape_of(int64_t rows, int64_t cols, int group, int part, bool inverse)
{
    const int64_t padded = (cols + group - 1) / group * group;
    Shape s = {};
    s.all_groups = (unsigned)(rows * (padded / part));
    s.row_groups = (unsigned)(padded / part);
    s.group = part;
    s.shift = log2_of(part);
    s.in_cols = inverse ? padded : cols;
    s.out_cols = inverse ? cols : padded;
    s.unit = 1 / sqrt((double)group);
    s.inverse = inverse;
    return s;
}

static void rotate_small(float *out, const float *x, const float *sign, Shape s)
{
    const int chunk = chunk_of(s.group), bytes = chunk * (int)sizeof(double);
    const double numbers = (double)s.all_groups * s.group;
    ALLOW_SHARED(rotate_kernel<true>, bytes);
    operation_work(numbers * s.shift, 8 * numbers);
    LAUNCH(rotate_kernel<true>, blocks_of((int64_t)s.all_groups * s.group, chunk), THREADS, bytes, out, NULL, x, sign, s);
}

static void rotate_large(float *out, double *part, const float *x, const float *sign, Shape s, int parts)
{
    const int bytes = PART * (int)sizeof(double);
    const unsigned groups = s.all_groups / parts, blocks = blocks_of((int64_t)groups * PART, THREADS);
    const double numbers = (double)s.all_groups * (int)PART;
    ALLOW_SHARED(rotate_kernel<false>, bytes);
    operation_work(numbers * s.shift, 12 * numbers);
    LAUNCH(rotate_kernel<false>, s.all_groups, THREADS, bytes, NULL, part, x, sign, s);
    operation_work(numbers * log2_of(parts), 12 * numbers);
    if (parts == 2) LAUNCH(combine_kernel<2>, blocks, THREADS, 0, out, part, sign, s, groups);
    if (parts == 4) LAUNCH(combine_kernel<4>, blocks, THREADS, 0, out, part, sign, s, groups);
    if (parts == 8) LAUNCH(combine_kernel<8>, blocks, THREADS, 0, out, part, sign, s, groups);
}

void hadamard_cuda(float *out, const float *x, const float *sign, int64_t rows, int64_t cols, int group, int inverse)
{
    if (rows <= 0 || cols <= 0) return;
    if (group <= PART) return rotate_small(out, x, sign, shape_of(rows, cols, group, group, inverse));
    const int64_t padded = (cols + group - 1) / group * group, at_once = SCRATCH_NUMBERS / padded > 1 ? SCRATCH_NUMBERS / padded : 1;
    scratch_reset();
    double *part = scratch<double>((at_once < rows ? at_once : rows) * padded);
    for (int64_t r = 0; r < rows; r += at_once) {
        const Shape s = shape_of(at_once < rows - r ? at_once : rows - r, cols, group, PART, inverse);
        rotate_large(out + r * s.out_cols, part, x + r * s.in_cols, sign, s, group / PART);
    }
}
