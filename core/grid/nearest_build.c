/*
 * nearest_build.c - which points can be nearest to something in a cell
 *
 * Point i cannot be nearest anywhere in a box with centre m and half widths h if some point k has
 *
 *     d_i(z) - d_k(z) = |c_i - m|^2 - |c_k - m|^2 - 2 (z - m).(c_i - c_k)
 *                    >= |c_i - m|^2 - |c_k - m|^2 - 2 sum_j h_j |c_ij - c_kj|  >  margin  >= 0 .
 *
 * The box around all cells is halved again and again, and each half inherits the points that are left, until
 * they fit into one block or the box is one cell.
 */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/grid/nearest_cells.h"
#include "kernels/cpu/simd.h"

enum { WIDTH = NEAREST_WIDTH, P = NEAREST_DIMENSIONS };
enum { FEW = 4 * WIDTH };           /* points that are worth comparing with one another */

typedef struct { int from[P], to[P]; } Region;      /* cells */

/* What one thread makes: the cells of a slab, some values of the first coordinate. */
typedef struct {
    const float *point;
    int n, p, side;
    double low, width, reach;       /* of a cell: width; beyond reach from the centre of the box nobody looks */
    Region slab;
    NearestList *cell;              /* all cells; lists count from the first block of the slab */
    int *candidate;                 /* [n_blocks][WIDTH] */
    size_t n_blocks, capacity;
    int *spare;                     /* a list of up to n for every depth */
    float *offset;                  /* [p][n] of the points at work from the centre of their region */
    float *distance;                /* [n] squared, from the same centre */
    int *beaten;                    /* [n] */
} Builder;

typedef struct { float centre[P]; double half[P], longest; } Box;

/* Half widths 1 % too large: (x - low) per_width, in float, errs by less than that of a cell. */
static Box region_box(const Builder *b, const Region *r)
{
    Box box = { .longest = 0 };
    double sum = 0;
    for (int j = 0; j < b->p; j++) {
        box.half[j] = 0.5 * (r->to[j] - r->from[j] + 0.02) * b->width;
        box.centre[j] = (float)(b->low + 0.5 * (r->to[j] + r->from[j]) * b->width);
        sum += box.half[j] * box.half[j];
    }
    box.longest = sqrt(sum);
    return box;
}

static bool out_of_reach(const Builder *b, const Box *box)
{
    double sum = 0, middle = b->low + 0.5 * b->side * b->width;
    for (int j = 0; j < b->p; j++) {
        double gap = fmax(fabs(box->centre[j] - middle) - box->half[j], 0);
        sum += gap * gap;
    }
    return sum > b->reach * b->reach;
}

/* Sets offset, distance and beaten = 0 for the points of list (NULL: all); returns the place of the nearest to the centre. */
static inline __attribute__((always_inline)) int look(const Builder *b, const int *list, int n, const float *centre, int p)
{
    int pivot = 0;
    float least = INFINITY;
    for (int a = 0; a < n; a++) {
        const float *point = b->point + (size_t)(list ? list[a] : a) * (size_t)p;
        float d = 0;
        for (int j = 0; j < p; j++) {
            float x = point[j] - centre[j];
            b->offset[j * b->n + a] = x;
            d += x * x;
        }
        b->distance[a] = d;
        b->beaten[a] = 0;
        if (d >= least) continue;
        least = d;
        pivot = a;
    }
    return pivot;
}

static int look_from_centre(const Builder *b, const int *list, int n, const Box *box)
{
    switch (b->p) {                     /* a known number of coordinates is twice as fast */
    case 2: return look(b, list, n, box->centre, 2);
    case 3: return look(b, list, n, box->centre, 3);
    case 4: return look(b, list, n, box->centre, 4);
    case 5: return look(b, list, n, box->centre, 5);
    default: return look(b, list, n, box->centre, b->p);
    }
}

/* Marks those of the first n that are farther than point k of them from everything in the box.  What is rounded here and in the
 * distances of the search comes to less than half of the margin, where it matters: for points at most twice as far as k can be. */
SIMD static void beat(int *restrict beaten, const float *offset, const float *distance, int64_t stride, int n, int p, int k, const Box *box)
{
    enum { STRIP = 64 };
    const double farthest = sqrt((double)distance[k]) + box->longest;
    const float limit = (float)((double)distance[k] + 0x1p-16 * farthest * farthest);
    for (int from = 0; from < n; from += STRIP) {
        const int m = n - from < STRIP ? n - from : STRIP;
        float lead[STRIP] = { 0 };
        for (int j = 0; j < p; j++) {
            const float *x = offset + j * stride + from, x_k = offset[j * stride + k], twice_half = (float)(2 * box->half[j]);
            for (int a = 0; a < m; a++) lead[a] += twice_half * fabsf(x[a] - x_k);
        }
        for (int a = 0; a < m; a++) beaten[from + a] |= distance[from + a] - lead[a] > limit;
    }
}

/* kept = those of list that are not beaten: by the nearest to the centre, or, where all are asked, by any; order stays.  What was
 * beaten need not be asked: its better beats all that it would. */
static int keep_possible(const Builder *b, int *kept, const int *list, int n, const Box *box, bool ask_all)
{
    const int pivot = look_from_centre(b, list, n, box);
    beat(b->beaten, b->offset, b->distance, b->n, n, b->p, pivot, box);
    for (int k = 0; k < n && ask_all; k++)
        if (!b->beaten[k] && k != pivot) beat(b->beaten, b->offset, b->distance, b->n, n, b->p, k, box);
    int n_kept = 0;
    for (int a = 0; a < n; a++) {       /* without a branch that nobody could predict */
        kept[n_kept] = list ? list[a] : a;
        n_kept += !b->beaten[a];
    }
    return n_kept;
}

static size_t blocks_for(int n) { return ((size_t)n + WIDTH - 1) / WIDTH; }

/* A list of one point or more becomes the next blocks. */
static NearestList append(Builder *b, const int *list, int n)
{
    const NearestList blocks = { (uint32_t)b->n_blocks, (uint32_t)blocks_for(n) };
    b->n_blocks += blocks.count;
    if (b->n_blocks > b->capacity) {
        b->capacity = 2 * b->n_blocks;
        b->candidate = xrealloc(b->candidate, b->capacity * WIDTH * sizeof *b->candidate);
    }
    for (int a = 0; a < (int)blocks.count * WIDTH; a++) b->candidate[(size_t)blocks.first * WIDTH + (size_t)a] = list[a < n ? a : n - 1];
    return blocks;
}

static void fill_cells(const Builder *b, const Region *r, int j, size_t outer, NearestList list)
{
    for (int k = r->from[j]; k < r->to[j]; k++) {
        const size_t cell = outer * (size_t)b->side + (size_t)k;
        if (j + 1 < b->p) fill_cells(b, r, j + 1, cell, list);
        else b->cell[cell] = list;
    }
}

/* A cell that keeps no list, out of reach or with most of the points, is searched through all of them. */
static void divide(Builder *b, const Region *r, const int *list, int n, int depth)
{
    const Box box = region_box(b, r);
    if (out_of_reach(b, &box)) return;
    int *kept = b->spare + (size_t)depth * (size_t)b->n, longest = 0;
    int n_kept = keep_possible(b, kept, list, n, &box, false);
    for (int j = 1; j < b->p; j++)
        if (r->to[j] - r->from[j] > r->to[longest] - r->from[longest]) longest = j;
    const bool one_cell = r->to[longest] - r->from[longest] == 1;
    if (one_cell || n_kept <= FEW) n_kept = keep_possible(b, kept, kept, n_kept, &box, true);
    if (one_cell || n_kept <= WIDTH) {
        if (n_kept <= b->n / 2) fill_cells(b, r, 0, 0, append(b, kept, n_kept));
        return;
    }
    Region half = *r;
    half.to[longest] = (r->from[longest] + r->to[longest]) / 2;
    divide(b, &half, kept, n_kept, depth + 1);
    half.from[longest] = half.to[longest];
    half.to[longest] = r->to[longest];
    divide(b, &half, kept, n_kept, depth + 1);
}

static void divide_slab(Builder *b)
{
    enum { DEPTHS = 48 };
    const size_t n = (size_t)b->n;
    b->spare = xmalloc(DEPTHS * n * sizeof *b->spare);
    b->offset = xmalloc(n * (size_t)b->p * sizeof *b->offset);
    b->distance = xmalloc(n * sizeof *b->distance);
    b->beaten = xmalloc(n * sizeof *b->beaten);
    divide(b, &b->slab, NULL, b->n, 0);
    free(b->spare);
    free(b->offset);
    free(b->distance);
    free(b->beaten);
}

static size_t power(size_t base, int exponent) { return exponent ? base * power(base, exponent - 1) : 1; }

/* The blocks of a slab, and the lists of its cells, which count from `first` on now. */
static void pack(Nearest *out, const Builder *b, size_t first)
{
    float *lane = out->block + first * (size_t)(b->p + 1) * WIDTH;
    for (size_t a = 0; a < b->n_blocks * WIDTH; a++) {
        const int32_t i = b->candidate[a];
        for (int j = 0; j < b->p; j++) lane[j * WIDTH] = b->point[i * b->p + j];
        memcpy(lane + b->p * WIDTH, &i, sizeof i);
        lane += (a + 1) % WIDTH ? 1 : b->p * WIDTH + 1;
    }
    const size_t in_layer = power((size_t)b->side, b->p - 1);
    for (size_t c = (size_t)b->slab.from[0] * in_layer; c < (size_t)b->slab.to[0] * in_layer; c++) {
        if (out->cell[c].count) out->cell[c].first += (uint32_t)first;
        else out->cell[c] = out->all;
    }
}

/* Slabs of cells and, as one more of them without cells, the list of all points. */
static void build(Nearest *out, const float *point, double reach)
{
    enum { SLABS = 16, PARALLEL_CELLS = 1 << 14 };
    const bool parallel = power((size_t)out->side, out->p) >= PARALLEL_CELLS;
    Builder slab[SLABS + 1];
    size_t first[SLABS + 2] = { 0 };
    #pragma omp parallel for schedule(dynamic) if (parallel)
    for (int s = 0; s < SLABS; s++) {
        Builder *b = &slab[s];
        *b = (Builder){ .point = point, .n = out->n, .p = out->p, .side = out->side, .low = out->low, .width = -2.0 * out->low / out->side, .reach = reach,
                        .cell = out->cell };
        for (int j = 0; j < out->p; j++) b->slab.to[j] = out->side;
        b->slab.from[0] = s * out->side / SLABS;
        b->slab.to[0] = (s + 1) * out->side / SLABS;
        if (reach > 0 && b->slab.from[0] < b->slab.to[0]) divide_slab(b);
    }
    slab[SLABS] = (Builder){ .point = point, .n = out->n, .p = out->p };
    int *every = xmalloc((size_t)out->n * sizeof *every);
    for (int i = 0; i < out->n; i++) every[i] = i;
    out->all = append(&slab[SLABS], every, out->n);
    free(every);
    for (int s = 0; s <= SLABS; s++) first[s + 1] = first[s] + slab[s].n_blocks;
    out->all.first = (uint32_t)first[SLABS];
    const size_t block_bytes = (size_t)(out->p + 1) * WIDTH * sizeof(float);
    out->block = aligned_alloc(WIDTH * sizeof(float), first[SLABS + 1] * block_bytes);
    if (!out->block) abort();
    #pragma omp parallel for schedule(dynamic) if (parallel)
    for (int s = 0; s <= SLABS; s++) {
        pack(out, &slab[s], first[s]);
        free(slab[s].candidate);
    }
}

/* Some 3^p cells for each point, in a number that the caches hold; and coordinates that know their cell to 1 %. */
static int cells_per_side(int n, int p)
{
    static const double per_point[P + 1] = { 0, 3, 4, 3, 2.2, 2, 1.7, 1.5, 1.4 };
    double most = p == 1 ? 1 << 15 : pow(1 << 18, 1.0 / p), wish = per_point[p] * pow(n, 1.0 / p);
    return (int)fmax(fmin(ceil(wish), floor(most)), 1);
}

Nearest *nearest_new(const float *point, int n, int p)
{
    assert(n >= 1 && n <= NEAREST_POINTS && p >= 1 && p <= P);
    double norm = 0;
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < p; j++) sum += (double)point[i * p + j] * (double)point[i * p + j];
        norm = fmax(norm, sum);
    }
    norm = sqrt(norm);
    assert(isfinite(norm));
    bool ordinary = norm > 1e-12 && norm < 1e12;            /* else squares leave float32, and the margins do not hold */
    Nearest *out = xmalloc(sizeof *out);
    *out = (Nearest){ .n = n, .p = p, .side = ordinary ? cells_per_side(n, p) : 1, .low = ordinary ? (float)(-1.25 * norm) : -1 };
    out->per_width = (float)(out->side / (-2.0 * out->low));
    out->cell = xcalloc(power((size_t)out->side, p), sizeof *out->cell);
    build(out, point, ordinary ? 1.25 * norm : 0);
    return out;
}

void nearest_free(Nearest *nearest)
{
    if (!nearest) return;
    free(nearest->cell);
    free(nearest->block);
    free(nearest);
}
