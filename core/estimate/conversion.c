#include "core/estimate/conversion.h"

#include <math.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"

static const double LEVEL = 0.95;           /* of the interval */
enum { NONE = -1 };                         /* of the windows is left out */

static double mean_without(const double *x, const Conversion *c, int level, int left_out)
{
    double sum = 0, tokens = 0;
    for (int w = 0; w < c->n_windows; w++) {
        if (w == left_out) continue;
        sum += (double)c->tokens[w] * x[(int64_t)level * c->n_windows + w];
        tokens += (double)c->tokens[w];
    }
    return sum / tokens;
}

static double ratio_without(const Conversion *c, int level, int left_out)
{
    return mean_without(c->delta, c, level, left_out) / mean_without(c->kl, c, level, left_out);
}

static int check_windows(const Conversion *c)
{
    if (c->n_levels < 1) FAIL(ERR_ARGUMENT, "a conversion needs at least one level, not %d", c->n_levels);
    if (c->n_windows < 2) FAIL(ERR_ARGUMENT, "a conversion needs at least two windows, not %d", c->n_windows);
    for (int w = 0; w < c->n_windows; w++)
        if (c->tokens[w] < 1) FAIL(ERR_ARGUMENT, "window %d of the conversion has %lld tokens", w, (long long)c->tokens[w]);
    return OK;
}

static int check_level(const Conversion *c, int level)
{
    for (int w = 0; w < c->n_windows; w++) {
        const int64_t at = (int64_t)level * c->n_windows + w;
        if (!isfinite(c->kl[at]) || !isfinite(c->delta[at]))
            FAIL(ERR_ARGUMENT, "level %d of the conversion, window %d: KL %g, delta-NLL %g", level, w, c->kl[at], c->delta[at]);
    }
    for (int w = NONE; w < c->n_windows; w++)
        if (!(mean_without(c->kl, c, level, w) > 0))
            FAIL(ERR_ARGUMENT, "level %d of the conversion: the mean KL is %g, which is not positive", level, mean_without(c->kl, c, level, w));
    if (level > 0 && !(log(mean_without(c->kl, c, level, NONE)) > log(mean_without(c->kl, c, level - 1, NONE))))
        FAIL(ERR_ARGUMENT, "level %d of the conversion has a mean KL of %g, not above the %g of the level before", level,
             mean_without(c->kl, c, level, NONE), mean_without(c->kl, c, level - 1, NONE));
    return OK;
}

/* (1 - part) of level `from` and part of level `to`; part outside [0, 1] goes on along the line through both. */
typedef struct { int from, to; double part; } Blend;

static double blend_without(const Conversion *c, Blend b, int left_out)
{
    return (1 - b.part) * ratio_without(c, b.from, left_out) + b.part * ratio_without(c, b.to, left_out);
}

/* By the jackknife; the K_j, and with them b.part, stay. */
static double blend_variance(const Conversion *c, Blend b)
{
    const int n = c->n_windows;
    double sum = 0, squares = 0;
    for (int w = 0; w < n; w++) sum += blend_without(c, b, w);
    for (int w = 0; w < n; w++) squares += pow(blend_without(c, b, w) - sum / n, 2);
    return squares * (n - 1) / n;
}

/* Of one text with a KL between the levels: it scatters as they do, the blend, which averages them, less. */
static double level_variance(const Conversion *c, Blend b)
{
    return (1 - b.part) * blend_variance(c, (Blend){ b.from, b.from, 0 }) + b.part * blend_variance(c, (Blend){ b.to, b.to, 0 });
}

/* Along the line through two neighbouring levels: those around kl, or the two nearest to it. */
static Blend along_line(const Conversion *c, double kl)
{
    int to = 1;
    while (to + 1 < c->n_levels && mean_without(c->kl, c, to, NONE) < kl) to++;
    const double low = log(mean_without(c->kl, c, to - 1, NONE)), high = log(mean_without(c->kl, c, to, NONE));
    return (Blend){ to - 1, to, (log(kl) - low) / (high - low) };
}

int conversion_ratio(ConversionRatio *out, const Conversion *c, double kl, int n_new)
{
    TRY(check_windows(c));
    for (int level = 0; level < c->n_levels; level++) TRY(check_level(c, level));
    if (!(kl > 0 && isfinite(kl))) FAIL(ERR_ARGUMENT, "the KL to convert is %g, not a positive number", kl);
    if (n_new < 0) FAIL(ERR_ARGUMENT, "a text cannot have %d windows", n_new);

    const Blend only = { 0, 0, 0 }, line = c->n_levels > 1 ? along_line(c, kl) : only;
    const Blend held = { line.from, line.to, fmin(fmax(line.part, 0), 1) };
    const double ratio = blend_without(c, held, NONE), strayed = fabs(blend_without(c, line, NONE) - ratio);
    const double v = fmax(blend_variance(c, held), blend_variance(c, line)), u = n_new > 0 ? level_variance(c, held) / n_new : 0;
    const double half = strayed + student_quantile(LEVEL, c->n_windows - 1) * sqrt(v + u * c->n_windows);
    const bool known = c->n_levels > 1 || kl == mean_without(c->kl, c, 0, NONE);
    *out = (ConversionRatio){ ratio, known ? ratio - half : NAN, known ? ratio + half : NAN };
    return OK;
}

ConversionRatio conversion_of_draw(ConversionRatio mean, double kl, double draw)
{
    const double half = hypot((mean.high - mean.low) / 2, normal_quantile((1 + LEVEL) / 2) * draw / sqrt(kl));
    return (ConversionRatio){ mean.ratio, mean.ratio - half, mean.ratio + half };
}
