#include "core/estimate/ppl_law.h"

#include <math.h>

/* Mean over all windows but one (-1: all). */
static double mean_without(const double *x, const PplLaw *law, int left_out)
{
    double sum = 0, tokens = 0;
    for (int w = 0; w < law->n_windows; w++) {
        if (w == left_out) continue;
        sum += (double)law->tokens[w] * x[w];
        tokens += (double)law->tokens[w];
    }
    return sum / tokens;
}

static double ppl_without(const PplLaw *law, PplScale scale, int left_out)
{
    const double c = mean_without(law->small_delta, law, left_out) / mean_without(law->small_kl, law, left_out);
    const double growth = c * mean_without(law->kl, law, left_out), clean = mean_without(law->clean, law, left_out);
    return scale == PPL_LINEAR ? exp(clean) * (1 + growth) : exp(clean + growth);
}

double ppl_law(double *se, const PplLaw *law, PplScale scale)
{
    const int n = law->n_windows;
    double sum = 0, squares = 0;
    for (int w = 0; n > 1 && w < n; w++) sum += ppl_without(law, scale, w);
    for (int w = 0; n > 1 && w < n; w++) squares += pow(ppl_without(law, scale, w) - sum / n, 2);
    *se = n > 1 ? sqrt(squares * (n - 1) / n) : NAN;
    return ppl_without(law, scale, -1);
}
