#include "core/quantize/sparse.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/scale.h"

void kept_free(KeptWeights *kept)
{
    free(kept->first);
    free(kept->column);
    *kept = (KeptWeights){ 0 };
}

KeptWeights kept_of_marks(const unsigned char *mark, int64_t rows, int64_t cols)
{
    int64_t n = 0;
    for (int64_t i = 0; i < rows * cols; i++) n += mark[i] != 0;
    KeptWeights kept = { 0, xcalloc((size_t)rows + 1, sizeof *kept.first), xmalloc(sizeof *kept.column * (size_t)(n + 1)) };
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++)
            if (mark[r * cols + c]) kept.column[kept.n++] = (uint32_t)c;
        kept.first[r + 1] = kept.n;
    }
    return kept;
}

KeptWeights kept_of_places(const int64_t *place, int64_t n, int64_t rows, int64_t cols)
{
    KeptWeights kept = { n, xcalloc((size_t)rows + 1, sizeof *kept.first), xmalloc(sizeof *kept.column * (size_t)(n + 1)) };
    for (int64_t k = 0; k < n; k++) {
        kept.first[place[k] / cols + 1]++;
        kept.column[k] = (uint32_t)(place[k] % cols);
    }
    for (int64_t r = 0; r < rows; r++) kept.first[r + 1] += kept.first[r];
    return kept;
}

static int width_of(int64_t most)
{
    int width = 1;
    while (most >> width) width++;
    return width;
}

static int count_width(const KeptWeights *kept, int64_t rows)
{
    int64_t most = 0;
    for (int64_t r = 0; r < rows; r++) most = kept->first[r + 1] - kept->first[r] > most ? kept->first[r + 1] - kept->first[r] : most;
    return width_of(most);
}

static int column_width(int64_t cols) { return cols <= 1 << 16 ? 16 : 32; }

int64_t sparse_bits(const KeptWeights *kept, int64_t rows, int64_t cols, int value_bits)
{
    return kept->n == 0 ? 0 : rows * count_width(kept, rows) + kept->n * (column_width(cols) + value_bits);
}

bool sparse_pack(Packed *out, const KeptWeights *kept, const double *value, int64_t rows, int64_t cols, int value_bits)
{
    if (kept->n == 0) return true;
    int64_t *integer = xmalloc(sizeof *integer * (size_t)(kept->n > rows ? kept->n : rows));
    double *stored = xmalloc(sizeof *stored * (size_t)kept->n);
    bool finite = true;
    for (int64_t r = 0; r < rows; r++) integer[r] = kept->first[r + 1] - kept->first[r];
    packed_add_integers(out, integer, rows, count_width(kept, rows));
    for (int64_t k = 0; k < kept->n; k++) {
        integer[k] = kept->column[k];
        stored[k] = scale_stored(value[k], value_bits);
        finite &= isfinite(stored[k]) != 0;
    }
    packed_add_integers(out, integer, kept->n, column_width(cols));
    packed_add_reals(out, stored, kept->n, value_bits);
    free(integer);
    free(stored);
    return finite;
}

void sparse_unpack(float *w, const Packed *packed, int plane, int64_t rows, int64_t cols)
{
    if (packed->n <= plane) return;
    const int64_t n = packed->plane[plane + 1].n;
    int64_t *count = xmalloc(sizeof *count * (size_t)rows), *column = xmalloc(sizeof *column * (size_t)n);
    double *value = xmalloc(sizeof *value * (size_t)n);
    packed_integers(count, packed, plane, false);
    packed_integers(column, packed, plane + 1, false);
    packed_reals(value, packed, plane + 2);
    for (int64_t r = 0, k = 0; r < rows; r++)
        for (const int64_t end = k + count[r]; k < end; k++) w[r * cols + column[k]] = (float)value[k];
    free(count);
    free(column);
    free(value);
}
