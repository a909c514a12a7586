/*
 * nearest.c - cells with lists of candidates, searched eight candidates at a time
 *
 * Point i cannot be nearest anywhere in a box with centre m and half widths h if some point k has
 *
 *     d_i(z) - d_k(z) = |c_i - m|^2 - |c_k - m|^2 - 2 (z - m).(c_i - c_k)
 *                    >= |c_i - m|^2 - |c_k - m|^2 - 2 sum_j h_j |c_ij - c_kj|  >  margin  >= 0 .
 *
 * The box around all cells is halved again and again; each half inherits the points that are left, so
 * that a cell starts from few.
 */
#include "core/grid/nearest.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "kernels/cpu/simd.h"

enum { WIDTH = 8, P = NEAREST_DIMENSIONS };         /* candidates of a block; the most dimensions */

#define INLINE static inline __attribute__((always_inline))
typedef int32_t Integers __attribute__((vector_size(32), aligned(4), may_alias));

/* Candidates in blocks of WIDTH: coordinate 0 of all, coordinate 1 of all, ..., then their indices as integers.  The last
 * block of a list is filled up with its last candidate. */
typedef struct { uint32_t first, count; } List;     /* blocks */

struct Nearest {
    int n, p, side;                 /* side^p cells */
    float low, per_width;           /* coordinate x lies in cell (x - low) per_width */
    List *cell;                     /* [side^p], the last coordinate runs fastest */
    float *block;
};

/* ---- building ---- */

typedef struct { int from[P], to[P]; } Region;      /* cells */

/* What one thread makes: the cells of a slab, some values of the first coordinate. */
typedef struct {
    const float *point;
    int n, p, side;
    double low, width, reach;       /* of a cell: width; beyond reach from the centre of the box nobody looks */
    Region slab;
    List *cell;                     /* all cells; lists are candidates as long as this lasts, not yet blocks */
    int *candidate;
    size_t n_candidates, capacity, n_blocks;
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
INLINE int look(const Builder *b, const int *list, int n, const float *centre, int p)
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

/* Marks those of the first n that are farther than point k of them from everything in the box.  Distances of the search and what is
 * computed here err by less than 2^-20 of the square of the farthest that k can be. */
SIMD static void beat(int *restrict beaten, const float *offset, const float *distance, int64_t stride, int n, int p, int k, const Box *box)
{
    enum { STRIP = 64 };
    const double farthest = sqrt((double)distance[k]) + box->longest;
    const float limit = (float)((double)distance[k] + 0x1p-17 * farthest * farthest);
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

static uint32_t blocks_for(uint32_t n) { return (n + WIDTH - 1) / WIDTH; }

static void enter_cell(Builder *b, const Region *r, const int *list, int n)
{
    size_t cell = 0;
    for (int j = 0; j < b->p; j++) cell = cell * (size_t)b->side + (size_t)r->from[j];
    if (b->n_candidates + (size_t)n > b->capacity) {
        b->capacity = 2 * b->capacity + (size_t)n;
        b->candidate = xrealloc(b->candidate, b->capacity * sizeof *b->candidate);
    }
    b->cell[cell] = (List){ (uint32_t)b->n_candidates, (uint32_t)n };
    memcpy(b->candidate + b->n_candidates, list, (size_t)n * sizeof *list);
    b->n_candidates += (size_t)n;
    b->n_blocks += blocks_for((uint32_t)n);
}

static void divide(Builder *b, const Region *r, const int *list, int n, int depth)
{
    const Box box = region_box(b, r);
    if (out_of_reach(b, &box)) return;
    int *kept = b->spare + (size_t)depth * (size_t)b->n, longest = 0;
    int n_kept = keep_possible(b, kept, list, n, &box, false);
    for (int j = 1; j < b->p; j++)
        if (r->to[j] - r->from[j] > r->to[longest] - r->from[longest]) longest = j;
    if (r->to[longest] - r->from[longest] == 1) {
        enter_cell(b, r, kept, keep_possible(b, kept, kept, n_kept, &box, true));
        return;
    }
    Region half = *r;
    half.to[longest] = (r->from[longest] + r->to[longest]) / 2;
    divide(b, &half, kept, n_kept, depth + 1);
    half.from[longest] = half.to[longest];
    half.to[longest] = r->to[longest];
    divide(b, &half, kept, n_kept, depth + 1);
}

static void pack_list(const Builder *b, float *block, const int *list, int n)
{
    for (int a = 0; a < (n + WIDTH - 1) / WIDTH * WIDTH; a++) {
        int i = a < n ? a : n - 1;
        if (list) i = list[i];
        float *lane = block + (a / WIDTH) * (b->p + 1) * WIDTH + a % WIDTH;
        for (int j = 0; j < b->p; j++) lane[j * WIDTH] = b->point[i * b->p + j];
        memcpy(lane + b->p * WIDTH, &(int32_t){ i }, sizeof(int32_t));
    }
}

static size_t power(size_t base, int exponent) { return exponent ? base * power(base, exponent - 1) : 1; }

/* The lists of a slab become blocks from number `next` on; a cell without candidates, out of reach, is searched through all points,
 * which are the first blocks. */
static void pack(float *block, const Builder *b, size_t next)
{
    const size_t block_floats = (size_t)(b->p + 1) * WIDTH, in_layer = power((size_t)b->side, b->p - 1);
    for (size_t c = (size_t)b->slab.from[0] * in_layer; c < (size_t)b->slab.to[0] * in_layer; c++) {
        const List list = b->cell[c];
        if (list.count) pack_list(b, block + next * block_floats, b->candidate + list.first, (int)list.count);
        b->cell[c] = list.count ? (List){ (uint32_t)next, blocks_for(list.count) } : (List){ 0, blocks_for((uint32_t)b->n) };
        next += blocks_for(list.count);
    }
}

static void list_candidates(Builder *b)
{
    enum { DEPTHS = 64 };
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

static void build(Nearest *out, const float *point, double reach)
{
    enum { SLABS = 16, PARALLEL_CELLS = 1 << 14 };
    const size_t n_cells = power((size_t)out->side, out->p);
    const Builder common = { .point = point, .n = out->n, .p = out->p, .side = out->side, .low = out->low, .width = -2.0 * out->low / out->side,
                             .reach = reach, .cell = out->cell };
    Builder slab[SLABS];
    size_t first[SLABS + 1] = { blocks_for((uint32_t)out->n) };
    #pragma omp parallel for schedule(dynamic) if (n_cells >= PARALLEL_CELLS)
    for (int s = 0; s < SLABS; s++) {
        slab[s] = common;
        for (int j = 0; j < out->p; j++) slab[s].slab.to[j] = out->side;
        slab[s].slab.from[0] = s * out->side / SLABS;
        slab[s].slab.to[0] = (s + 1) * out->side / SLABS;
        if (reach > 0 && slab[s].slab.from[0] < slab[s].slab.to[0]) list_candidates(&slab[s]);
    }
    for (int s = 0; s < SLABS; s++) first[s + 1] = first[s] + slab[s].n_blocks;
    size_t bytes = first[SLABS] * (size_t)(out->p + 1) * WIDTH * sizeof(float);
    out->block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!out->block) abort();
    pack_list(&common, out->block, NULL, out->n);
    #pragma omp parallel for schedule(dynamic) if (n_cells >= PARALLEL_CELLS)
    for (int s = 0; s < SLABS; s++) {
        pack(out->block, &slab[s], first[s]);
        free(slab[s].candidate);
    }
}

/* Some 3^p cells for each point, in a number that the caches hold. */
static int cells_per_side(int n, int p)
{
    static const double per_point[P + 1] = { 0, 3, 4, 3, 2.2, 2, 1.7, 1.5, 1.4 };
    double most = pow(1 << 18, 1.0 / p), wish = per_point[p] * pow(n, 1.0 / p);
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

/* ---- searching ---- */

INLINE List cell_of(const Nearest *s, const float *z, int p)
{
    size_t cell = 0;
    for (int j = 0; j < p; j++) {
        float at = (z[j] - s->low) * s->per_width;
        if (!(at >= 0 && at < (float)s->side)) return (List){ 0, blocks_for((uint32_t)s->n) };
        cell = cell * (size_t)s->side + (size_t)(int)at;
    }
    return s->cell[cell];
}

#define SELECT(mask, a, b) (((mask) & (a)) | (~(mask) & (b)))
#define MINIMUM(a, b) SELECT((a) < (b), (a), (b))

/* Distances are at least 0, so that their bits as integers are in their order.  NaN is never below. */
INLINE int search(const Nearest *s, const float *z, int p)
{
    const List list = cell_of(s, z, p);
    const float *block = s->block + (size_t)list.first * (size_t)(p + 1) * WIDTH;
    Integers best = { 0 }, index = { 0 };
    best += 0x7f800000;                                                     /* infinity */
    for (uint32_t b = 0; b < list.count; b++, block += (p + 1) * WIDTH) {
        Vector d = *(const Vector *)block - z[0];
        d *= d;
        for (int j = 1; j < p; j++) {
            Vector x = *(const Vector *)(block + j * WIDTH) - z[j];
            d += x * x;
        }
        Integers nearer = d < (Vector)best;
        best = SELECT(nearer, (Integers)d, best);
        index = SELECT(nearer, *(const Integers *)(block + p * WIDTH), index);
    }
    const Integers by4 = { 4, 5, 6, 7, 0, 1, 2, 3 }, by2 = { 2, 3, 0, 1, 6, 7, 4, 5 }, by1 = { 1, 0, 3, 2, 5, 4, 7, 6 };
    Integers least = MINIMUM(best, __builtin_shuffle(best, by4));
    least = MINIMUM(least, __builtin_shuffle(least, by2));
    least = MINIMUM(least, __builtin_shuffle(least, by1));
    index |= best != least;                                                 /* -1 where not: the largest as unsigned */
    index &= 0x7fffffff;
    index = MINIMUM(index, __builtin_shuffle(index, by4));
    index = MINIMUM(index, __builtin_shuffle(index, by2));
    index = MINIMUM(index, __builtin_shuffle(index, by1));
    return index[0];
}

#define SEARCH(p)                                                                                                   \
    SIMD static void search_##p(uint16_t *code, const Nearest *s, const float *z, int64_t count)                   \
    {                                                                                                               \
        for (int64_t i = 0; i < count; i++) code[i] = (uint16_t)search(s, z + i * p, p);                            \
    }
SEARCH(1)
SEARCH(2)
SEARCH(3)
SEARCH(4)
SEARCH(5)
SEARCH(6)
SEARCH(7)
SEARCH(8)

void nearest_codes(uint16_t *code, const Nearest *nearest, const float *z, int64_t count)
{
    static void (*const of_dimension[])(uint16_t *, const Nearest *, const float *, int64_t) = {
        NULL, search_1, search_2, search_3, search_4, search_5, search_6, search_7, search_8,
    };
    of_dimension[nearest->p](code, nearest, z, count);
}

void nearest_brute(uint16_t *code, const float *point, int n, int p, const float *z, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        float best = INFINITY;
        code[k] = 0;
        for (int i = 0; i < n; i++) {
            float d = (z[k * p] - point[i * p]) * (z[k * p] - point[i * p]);
            for (int j = 1; j < p; j++) d += (z[k * p + j] - point[i * p + j]) * (z[k * p + j] - point[i * p + j]);
            if (!(d < best)) continue;
            best = d;
            code[k] = (uint16_t)i;
        }
    }
}
