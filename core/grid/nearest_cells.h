/*
 * nearest_cells.h - what nearest_build.c makes and nearest.c searches
 */
#ifndef CORE_GRID_NEAREST_CELLS_H
#define CORE_GRID_NEAREST_CELLS_H

#include "core/grid/nearest.h"

/* Candidates in blocks of NEAREST_WIDTH: coordinate 0 of all, coordinate 1 of all, ..., then their indices as integers.  The last
 * block of a list is filled up with its last candidate. */
enum { NEAREST_WIDTH = 8 };

typedef struct { uint32_t first, count; } NearestList;      /* blocks */

struct Nearest {
    int n, p, side;                 /* side^p cells */
    float low, per_width;           /* coordinate x lies in cell (x - low) per_width */
    NearestList all;                /* every point, for what lies in no cell */
    NearestList *cell;              /* [side^p], the last coordinate runs fastest */
    float *block;
};

#endif
