#include "core/importance/lim.h"

#include <math.h>
#include <stdint.h>

#include "core/importance/importance.h"

static double cosine(const float *x, const float *y, int n)
{
    double xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < n; i++) xy += (double)x[i] * y[i], xx += (double)x[i] * x[i], yy += (double)y[i] * y[i];
    if (xx == 0 || yy == 0) return 0;
    const double c = xy / (sqrt(xx) * sqrt(yy));
    return c > 1 ? 1 : c < -1 ? -1 : c;        /* not fmin, which would make 1 of a NaN */
}

double lim(const float *x, const float *y, int rows, int width)
{
    double sum = 0;
    for (int r = 0; r < rows; r++) sum += cosine(x + (int64_t)r * width, y + (int64_t)r * width, width);
    return -sum / rows;
}

static double of_states(const BlockStates *s, const Options *options)
{
    (void)options;
    return lim(s->input, s->output, s->rows, s->width);
}

static const Option lim_options[] = { { 0 } };

const ImportanceRule importance_lim = {
    .name = "lim", .summary = "minus the mean cosine of a block's input and output (arXiv 2406.17415)", .version = 1, .options = lim_options, .of_states = of_states,
};
