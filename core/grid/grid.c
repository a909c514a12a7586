#include "core/grid/grid.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/grid/data.h"
#include "core/grid/lloyd_max.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- p = 1 ---- */

typedef enum { OPTIMAL, UNIFORM, KINDS } Kind;

static Grid *levels_new(Kind kind, int n)
{
    double *level = xmalloc((size_t)n * sizeof *level);
    if (kind == OPTIMAL) {
        lloyd_max(level, n);
    } else {
        const double step = n > 1 ? uniform_step(n) : 0;
        for (int i = 0; i < n; i++) level[i] = (i - (n - 1) / 2.0) * step;
    }
    float *point = xmalloc((size_t)n * sizeof *point);
    for (int i = 0; i < n; i++) level[i] = point[i] = (float)level[i];
    Grid *grid = xmalloc(sizeof *grid);
    *grid = (Grid){ .p = 1, .n = n, .mse = levels_mse(level, n), .mse_se = 0, .point = point };
    free(level);
    return grid;
}

/* Made once and kept: whoever asked before holds a pointer to it. */
static int levels_find(const Grid **out, Kind kind, int n)
{
    static Grid *known[KINDS][GRID_LEVELS + 1];
    if (n < 1 || n > GRID_LEVELS) FAIL(ERR_ARGUMENT, "there is no grid p=1 n=%d; n may be 1 to %d", n, GRID_LEVELS);
    pthread_mutex_lock(&lock);
    if (!known[kind][n]) known[kind][n] = levels_new(kind, n);
    *out = known[kind][n];
    pthread_mutex_unlock(&lock);
    return OK;
}

int grid_uniform(const Grid **out, int n) { return levels_find(out, UNIFORM, n); }

/* ---- p >= 2 ---- */

enum { MOST_TRAINED = 64 };
static Grid trained[MOST_TRAINED];
static int n_trained;

/* The measured errors of one grid, from the table that was made with it. */
static void read_row(Grid *grid)
{
    int p, n;
    double mse, se;
    for (const char *line = grid_data_csv; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (sscanf(line, "%d,%d,%lf,%lf,", &p, &n, &mse, &se) != 4 || p != grid->p || n != grid->n) continue;
        grid->mse = mse;
        grid->mse_se = se;
        return;
    }
    abort();                        /* data.c and core/grid/data disagree: a test sees to it that they do not */
}

static void read_trained(void)
{
    for (const GridData *data = grid_data; data->n && n_trained < MOST_TRAINED; data++) {
        trained[n_trained] = (Grid){ .p = data->p, .n = data->n, .point = data->point };
        read_row(&trained[n_trained++]);
    }
}

static int fail_without(int p, int n)
{
    char sizes[512] = "";
    size_t length = 0;
    bool any = false;
    for (int i = 0; i < n_trained && length < sizeof sizes; i++) {
        if (trained[i].p != p) continue;
        length += (size_t)snprintf(sizes + length, sizeof sizes - length, "%s%d", any ? ", " : "", trained[i].n);
        any = true;
    }
    if (any) FAIL(ERR_ARGUMENT, "there is no grid p=%d n=%d; there are n = %s (linearity grid makes others)", p, n, sizes);
    FAIL(ERR_ARGUMENT, "there is no grid p=%d n=%d; there are p = 1 to %d", p, n, trained[n_trained - 1].p);
}

int grid_find(const Grid **out, int p, int n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (p == 1) return levels_find(out, OPTIMAL, n);
    pthread_once(&once, read_trained);
    for (int i = 0; i < n_trained; i++)
        if (trained[i].p == p && trained[i].n == n) {
            *out = &trained[i];
            return OK;
        }
    return fail_without(p, n);
}
