#include "core/estimate/bootstrap.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"

void bootstrap_counts(int *count, int n, int resample, uint64_t seed)
{
    const uint64_t stream = rng_stream(RNG_BOOTSTRAP, 0, 0, 0), first = (uint64_t)resample * (uint64_t)n;
    memset(count, 0, (size_t)n * sizeof *count);
    for (uint64_t i = 0; i < (uint64_t)n; i++) count[rng_integer(seed, stream, first + i) * (uint64_t)n >> 32]++;
}

static double mean_of(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

double bootstrap_se(const double *replicate, int n_replicates, int n_windows)
{
    if (n_replicates < 2 || n_windows < 2) return NAN;
    const double mean = mean_of(replicate, n_replicates);
    double squares = 0;
    for (int i = 0; i < n_replicates; i++) squares += (replicate[i] - mean) * (replicate[i] - mean);
    return sqrt(squares / (n_replicates - 1) * n_windows / (n_windows - 1));
}

double bootstrap_expanded_level(double level, int n_windows)
{
    if (n_windows < 2) return level;
    return erf(student_quantile(level, n_windows - 1) * sqrt(n_windows / (n_windows - 1.0)) * M_SQRT1_2);
}

/* z0: where the estimate stands among its replicates, ties by half; kept finite. */
static double bias_correction(const double *replicate, int n, double estimate)
{
    double below = 0;
    for (int i = 0; i < n; i++) below += replicate[i] < estimate ? 1 : replicate[i] == estimate ? 0.5 : 0;
    return normal_quantile(fmin(fmax(below, 0.5), n - 0.5) / n);
}

static double acceleration(const double *jackknife, int n)
{
    const double mean = mean_of(jackknife, n);
    double squares = 0, cubes = 0;
    for (int i = 0; i < n; i++) {
        double d = mean - jackknife[i];
        squares += d * d;
        cubes += d * d * d;
    }
    return squares > 0 ? cubes / (6 * squares * sqrt(squares)) : 0;
}

void bootstrap_interval(double *low, double *high, double *replicate, int n_replicates, double estimate,
                        const double *jackknife, int n_windows, double level)
{
    *low = *high = NAN;
    if (n_replicates < 2 || n_windows < 2) return;
    const double z0 = bias_correction(replicate, n_replicates, estimate), a = acceleration(jackknife, n_windows);
    const double z = normal_quantile((1 + level) / 2);
    const double z_low = z0 - z, z_high = z0 + z;
    *low = quantile(replicate, n_replicates, normal_below(z0 + z_low / (1 - a * z_low)));
    *high = quantile(replicate, n_replicates, normal_below(z0 + z_high / (1 - a * z_high)));
}
