/*
 * nearest.c - the candidates of a cell, eight at a time
 */
#include "core/grid/nearest.h"

#include <math.h>

#include "core/grid/nearest_cells.h"
#include "kernels/cpu/simd.h"

enum { WIDTH = NEAREST_WIDTH };

#define INLINE static inline __attribute__((always_inline))
typedef int32_t Integers __attribute__((vector_size(32), aligned(4), may_alias));

INLINE NearestList list_of(const Nearest *s, const float *z, int p)
{
    size_t cell = 0;
    for (int j = 0; j < p; j++) {
        float at = (z[j] - s->low) * s->per_width;
        if (!(at >= 0 && at < (float)s->side)) return s->all;
        cell = cell * (size_t)s->side + (size_t)(int)at;
    }
    return s->cell[cell];
}

#define SELECT(mask, a, b) (((mask) & (a)) | (~(mask) & (b)))
#define MINIMUM(a, b) SELECT((a) < (b), (a), (b))

/* Distances are at least 0, so that their bits as integers are in their order.  NaN is never below. */
INLINE int search(const Nearest *s, const float *z, int p)
{
    const NearestList list = list_of(s, z, p);
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
