/*
 * forms.cu - what is kept of the gradient G_b = sum_r dy_r x_r' of each sequence, over its rows alone
 *
 *     energy = sum G^2     group_energy = sum scale[j][c/group] G^2     dot[i] = sum G E_i
 *
 * G is made for as many rows j at a time as stay in the second-level cache (SLICE_BYTES), then read once together with the same
 * elements of every E_i and with the scales: 4 (1 + n) bytes an element against 2 (2 + n) FLOPs, so memory bounds it.  Four neighbours
 * are multiplied and added in float32, all further sums are double: conversions and double arithmetic are slow on some GPUs.
 *
 * A thread has four neighbours where rows and groups are whole fours, otherwise one; that is up to the shape, and whether they are
 * loaded by 16 bytes at once changes no bit (products are explicit fused multiply-adds), since the E of a sequence may lie anywhere.
 * Blocks leave partial sums; total_cuda adds them.  Nothing waits for the device before the last sequence.
 */
#include <stdlib.h>

#include "kernels/cuda/cuda.cuh"

static const int THREADS = 256, MOST_BLOCKS = 1024, EACH = 4, MOST_MATRICES = 17, BATCH = 4;
static const int64_t SLICE_BYTES = (int64_t)32 << 20, SLICE_STEP = 128;

/* Rows of G and the same rows of what it is reduced against. */
struct Slice {
    const float *g, *scale, *matrix[MOST_MATRICES];
    int n, group, groups;
    unsigned items, row_items;              /* items of `wide` neighbours: all, those of a row */
    int64_t parts, place;                   /* partial sums of a form; the first of this slice */
};

template <int wide> struct Item { float v[wide]; };

template <int wide, bool aligned> static __device__ __forceinline__ Item<wide> load_item(Global<const float> p, int64_t at)
{
    Item<wide> x;
    if constexpr (wide == 4 && aligned) {
        float4 v = load4(p, at);
        x = {{ v.x, v.y, v.z, v.w }};
    } else {
        UNROLL
        for (int i = 0; i < wide; i++) x.v[i] = p[at + i];
    }
    return x;
}

template <int wide> static __device__ __forceinline__ float product(const Item<wide> &a, const Item<wide> &b)
{
    float sum = 0;
    UNROLL
    for (int i = 0; i < wide; i++) sum = fmaf(a.v[i], b.v[i], sum);
    return sum;
}

/* The products of an item with all matrices, BATCH of them on their way at a time. */
template <int wide, bool aligned, int most>
static __device__ __forceinline__ void add_products(double dot[most], const Slice &s, const Item<wide> &g, int64_t at)
{
    UNROLL
    for (int first = 0; first < most; first += BATCH) {
        Item<wide> e[BATCH] = {};
        UNROLL
        for (int i = 0; i < BATCH; i++)
            if (first + i < most && first + i < s.n) e[i] = load_item<wide, aligned>(s.matrix[first + i < most ? first + i : 0], at);
        UNROLL
        for (int i = 0; i < BATCH; i++)
            if (first + i < most) dot[first + i < most ? first + i : 0] += (double)product<wide>(g, e[i]);
    }
}

template <int wide, bool aligned, int most> __global__ void __launch_bounds__(THREADS) forms_kernel(Global<double> part, const Slice s)
{
    double energy = 0, group_energy = 0, dot[most] = {};
    Global<const float> scale = s.scale;
    for (unsigned q = blockIdx.x * THREADS + threadIdx.x; q < s.items; q += gridDim.x * THREADS) {
        unsigned row = q / s.row_items, c = (q - row * s.row_items) * wide;
        Item<wide> g = load_item<wide, true>(s.g, (int64_t)q * wide);
        float square = product<wide>(g, g), each = scale[(int64_t)row * s.groups + c / (unsigned)s.group];
        energy += (double)square;
        group_energy += (double)(each * square);
        add_products<wide, aligned, most>(dot, s, g, (int64_t)q * wide);
    }
    energy = block_sum<THREADS>(energy);
    group_energy = block_sum<THREADS>(group_energy);
    if (threadIdx.x == 0) {
        part[s.place + blockIdx.x] = energy;
        part[s.parts + s.place + blockIdx.x] = group_energy;
    }
    UNROLL
    for (int i = 0; i < most; i++) {
        if (i >= s.n) break;
        double sum = block_sum<THREADS>(dot[i]);
        if (threadIdx.x == 0) part[(2 + i) * s.parts + s.place + blockIdx.x] = sum;
    }
}

template <int wide, bool aligned> static void reduce(double *part, const Slice &s, unsigned blocks)
{
    if (s.n <= 2) LAUNCH((forms_kernel<wide, aligned, 2>), blocks, THREADS, 0, part, s);
    else LAUNCH((forms_kernel<wide, aligned, MOST_MATRICES>), blocks, THREADS, 0, part, s);
}

/* How N x C is cut, the same for all sequences. */
struct Cut {
    int C, N, group, groups, wide, rows, slices, chunks, forms;
    unsigned blocks;
};

static Cut cut_of(int C, int N, const FormInput *input)
{
    Cut cut = {};
    cut.C = C, cut.N = N;
    cut.group = input->group < C ? input->group : C;
    cut.groups = (C + cut.group - 1) / cut.group;
    cut.wide = C % 4 == 0 && cut.group % 4 == 0 ? 4 : 1;
    int64_t rows = SLICE_BYTES / ((int64_t)C * (int64_t)sizeof(float));
    rows = rows >= N ? N : rows > SLICE_STEP ? rows / SLICE_STEP * SLICE_STEP : rows > 1 ? rows : 1;
    cut.rows = (int)rows;
    cut.slices = (int)((N + rows - 1) / rows);
    unsigned blocks = blocks_of(rows * C, THREADS * EACH * cut.wide);
    cut.blocks = blocks < (unsigned)MOST_BLOCKS ? blocks : (unsigned)MOST_BLOCKS;
    cut.chunks = input->n > MOST_MATRICES ? (input->n + MOST_MATRICES - 1) / MOST_MATRICES : 1;
    cut.forms = input->n + 2 * cut.chunks;          /* every chunk of matrices has both energies once more */
    return cut;
}

/* Rows [first, first + rows) of G with one chunk of the matrices. */
static void reduce_slice(double *part, const float *g, const Cut *cut, const FormInput *input, int b, int slice, int rows, int chunk)
{
    const int64_t first = (int64_t)slice * cut->rows, left = input->n - chunk * MOST_MATRICES;
    Slice s = {};
    bool aligned = true;
    s.g = g;
    s.scale = input->scale + first * cut->groups;
    s.n = (int)(left < MOST_MATRICES ? left : MOST_MATRICES);
    for (int i = 0; i < s.n; i++) {
        const int matrix = chunk * MOST_MATRICES + i;
        s.matrix[i] = input->matrix[matrix] + b * input->stride[matrix] + first * cut->C;
        aligned = aligned && aligned16(s.matrix[i]);
    }
    s.group = cut->group, s.groups = cut->groups;
    s.items = (unsigned)((int64_t)rows * cut->C / cut->wide), s.row_items = (unsigned)(cut->C / cut->wide);
    s.parts = (int64_t)cut->slices * cut->blocks, s.place = (int64_t)slice * cut->blocks;
    part += chunk * (2 + MOST_MATRICES) * s.parts;
    if (cut->wide == 1) reduce<1, false>(part, s, cut->blocks);
    else if (aligned) reduce<4, true>(part, s, cut->blocks);
    else reduce<4, false>(part, s, cut->blocks);
}

/* dy and x: float32, or rounded. */
static void forms(double *energy, double *group_energy, double *dot, const void *dy, const void *x, bool rounded,
                  const Ragged *batch, int C, int N, const FormInput *input)
{
    const Cut cut = cut_of(C, N, input);
    const int64_t parts = (int64_t)cut.slices * cut.blocks, results = (int64_t)batch->n * cut.forms;
    float *g = scratch<float>((int64_t)cut.rows * C);
    double *part = scratch<double>(parts * results), *total = scratch<double>(results);
    double *host = (double *)malloc((size_t)results * sizeof *host);
    for (int64_t i = 0; i < results; i++) host[i] = NAN;        /* what a device that failed leaves */
    for (int b = 0; b < batch->n; b++) {
        for (int slice = 0; slice < cut.slices && batch->length[b] > 0; slice++) {
            const int first = slice * cut.rows, rows = N - first < cut.rows ? N - first : cut.rows;
            sequence_gradient(g, (const char *)dy + (int64_t)first * (rounded ? 2 : 4), N, x, batch->offset[b], batch->length[b], C, rows, rounded, false);
            for (int chunk = 0; chunk < cut.chunks; chunk++) reduce_slice(part + b * cut.forms * parts, g, &cut, input, b, slice, rows, chunk);
        }
    }
    total_cuda(total, part, (int)results, parts);               /* what an empty sequence would have is not looked at */
    device_get(host, total, results * (int64_t)sizeof *host);
    for (int b = 0; b < batch->n; b++) {
        const double *form = host + (int64_t)b * cut.forms;
        const bool empty = batch->length[b] == 0;
        energy[b] = empty ? 0 : form[0];
        group_energy[b] = empty ? 0 : form[1];
        for (int i = 0; i < input->n; i++) dot[(int64_t)b * input->n + i] = empty ? 0 : form[i + 2 * (i / MOST_MATRICES + 1)];
    }
    free(host);
}

void gradient_forms_cuda(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                         const Ragged *batch, int C, int N, const FormInput *input)
{
    scratch_reset();
    if (batch->n > 0) forms(energy, group_energy, dot, dy, x, false, batch, C, N, input);
}

void gradient_forms_bf16(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                         const Ragged *batch, int C, int N, const FormInput *input)
{
    scratch_reset();
    const int64_t rows = end_of(batch);
    if (batch->n > 0) forms(energy, group_energy, dot, rounded_of(dy, rows * N), rounded_of(x, rows * C), true, batch, C, N, input);
}
