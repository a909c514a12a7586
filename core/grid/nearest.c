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

typedef struct {
    const float *point;
    int n, p, side;
    double low, width, reach;       /* of a cell: width; beyond reach from the centre of the box nobody looks */
    List *cell;                     /* candidates, not yet blocks */
    int *candidate;
    size_t n_candidates, capacity;
    int *spare;                     /* a list of up to n for every depth */
    double *distance;               /* [n] of the candidates at work from the centre of their region */
} Builder;

typedef struct { double centre[P], half[P], longest; } Box;

/* Half widths 1 % too large: (x - low) per_width, in float, errs by less than that of a cell. */
static Box region_box(const Builder *b, const Region *r)
{
    Box box = { .longest = 0 };
    double sum = 0;
    for (int j = 0; j < b->p; j++) {
        box.half[j] = 0.5 * (r->to[j] - r->from[j] + 0.02) * b->width;
        box.centre[j] = b->low + 0.5 * (r->to[j] + r->from[j]) * b->width;
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

/* A point whose float32 distance can be the least differs from the nearest by no more: d errs by less than 2^-20 of itself. */
static double rounding_margin(double distance, const Box *box)
{
    double farthest = sqrt(distance) + box->longest;
    return 0x1p-18 * farthest * farthest;
}

/* Is point i farther than point k from everything in the box? */
static inline bool is_beaten(const Builder *b, const Box *box, int i, double d_i, int k, double d_k)
{
    double lead = 0;
    for (int j = 0; j < b->p; j++) lead += box->half[j] * fabs((double)b->point[i * b->p + j] - (double)b->point[k * b->p + j]);
    return d_i - d_k - 2 * lead > rounding_margin(d_k, box);
}

/* kept = those of list that the one nearest to the centre does not beat; order stays.  list NULL: all points. */
static int keep_possible(const Builder *b, int *kept, const int *list, int n, const Box *box)
{
    int pivot = 0;
    for (int a = 0; a < n; a++) {
        int i = list ? list[a] : a;
        double d = 0;
        for (int j = 0; j < b->p; j++) {
            double x = (double)b->point[i * b->p + j] - box->centre[j];
            d += x * x;
        }
        b->distance[a] = d;
        if (d < b->distance[pivot]) pivot = a;
    }
    int n_kept = 0, k = list ? list[pivot] : pivot;
    const double d_k = b->distance[pivot];
    for (int a = 0; a < n; a++) {
        int i = list ? list[a] : a;
        if (is_beaten(b, box, i, b->distance[a], k, d_k)) continue;
        b->distance[n_kept] = b->distance[a];
        kept[n_kept++] = i;
    }
    return n_kept;
}

/* Sorts the first n candidates, and their distances, by distance. */
static void sort_by_distance(const Builder *b, int *list, int n)
{
    for (int a = 1; a < n; a++) {
        int i = list[a], at = a;
        double d = b->distance[a];
        for (; at > 0 && b->distance[at - 1] > d; at--) {
            b->distance[at] = b->distance[at - 1];
            list[at] = list[at - 1];
        }
        b->distance[at] = d;
        list[at] = i;
    }
}

static int compare_integers(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* Only a nearer point can beat one, and what was beaten need not be asked: its better beats all that it would. */
static int keep_unbeaten(const Builder *b, int *list, int n, const Box *box)
{
    int kept = 0;
    sort_by_distance(b, list, n);
    for (int a = 0; a < n; a++) {
        bool beaten = false;
        for (int k = 0; k < kept && !beaten; k++) beaten = is_beaten(b, box, list[a], b->distance[a], list[k], b->distance[k]);
        if (beaten) continue;
        b->distance[kept] = b->distance[a];
        list[kept++] = list[a];
    }
    qsort(list, (size_t)kept, sizeof *list, compare_integers);
    return kept;
}

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
}

static void divide(Builder *b, const Region *r, const int *list, int n, int depth)
{
    const Box box = region_box(b, r);
    if (out_of_reach(b, &box)) return;
    int *kept = b->spare + (size_t)depth * (size_t)b->n, longest = 0;
    int n_kept = keep_possible(b, kept, list, n, &box);
    for (int j = 1; j < b->p; j++)
        if (r->to[j] - r->from[j] > r->to[longest] - r->from[longest]) longest = j;
    if (r->to[longest] - r->from[longest] == 1) {
        enter_cell(b, r, kept, keep_unbeaten(b, kept, n_kept, &box));
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

static uint32_t blocks_for(uint32_t n) { return (n + WIDTH - 1) / WIDTH; }

/* The blocks of all points come first; a cell without candidates (out of reach) is searched through them. */
static void pack(Nearest *out, const Builder *b, size_t n_cells)
{
    const size_t block_floats = (size_t)(b->p + 1) * WIDTH;
    size_t n_blocks = blocks_for((uint32_t)b->n);
    const List all = { 0, (uint32_t)n_blocks };
    for (size_t c = 0; c < n_cells; c++) n_blocks += blocks_for(b->cell[c].count);
    out->block = aligned_alloc(64, (n_blocks * block_floats * sizeof(float) + 63) / 64 * 64);
    if (!out->block) abort();
    pack_list(b, out->block, NULL, b->n);
    uint32_t next = all.count;
    for (size_t c = 0; c < n_cells; c++) {
        const List list = b->cell[c];
        if (list.count) pack_list(b, out->block + next * block_floats, b->candidate + list.first, (int)list.count);
        b->cell[c] = list.count ? (List){ next, blocks_for(list.count) } : all;
        next += blocks_for(list.count);
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
    const int side = ordinary ? cells_per_side(n, p) : 1;
    const float low = ordinary ? (float)(-1.25 * norm) : 0, per_width = ordinary ? (float)(side / (-2.0 * low)) : 1;
    Nearest *out = xcalloc(1, sizeof *out);
    size_t n_cells = 1;
    Region all = { .from = { 0 } };
    for (int j = 0; j < p; j++) {
        n_cells *= (size_t)side;
        all.to[j] = side;
    }
    *out = (Nearest){ .n = n, .p = p, .side = side, .low = low, .per_width = per_width, .cell = xcalloc(n_cells, sizeof(List)) };
    enum { DEPTHS = 32 };
    Builder b = { .point = point, .n = n, .p = p, .side = side, .low = low, .width = -2.0 * low / side, .reach = 1.25 * norm, .cell = out->cell,
                  .spare = xmalloc(DEPTHS * (size_t)n * sizeof(int)), .distance = xmalloc((size_t)n * sizeof(double)) };
    if (ordinary) divide(&b, &all, NULL, n, 0);
    pack(out, &b, n_cells);
    free(b.candidate);
    free(b.spare);
    free(b.distance);
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

#define INLINE static inline __attribute__((always_inline))

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
