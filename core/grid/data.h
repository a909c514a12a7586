/*
 * data.h - the grids of p >= 2 that are built into the program, byte for byte the files in core/grid/data
 *
 * pPnN.f32 holds [n][p] float32, little-endian; grids.csv what was measured on each: a header line, then
 * p,n,mse,mse_se,seconds.  `make grids` makes them again.  Points that change change what
 * higgs and gptq-higgs give: raise their versions, so that no store returns what the old ones gave.
 */
#ifndef CORE_GRID_DATA_H
#define CORE_GRID_DATA_H

typedef struct { int p, n; const float *point; } GridData;

extern const GridData grid_data[];          /* by p, then n; the last has n = 0 */
extern const char grid_data_csv[];          /* ends with a zero */

#endif
