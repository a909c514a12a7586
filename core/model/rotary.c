#include "core/model/rotary.h"

#include <math.h>

void rotary_frequencies(double *out, int head_dim, double theta)
{
    for (int i = 0; i < head_dim / 2; i++) out[i] = pow(theta, -2.0 * i / head_dim);
}

void rotary_scale_llama3(double *frequencies, int n, const Llama3Scaling *scaling)
{
    for (int i = 0; i < n; i++) {
        double f = frequencies[i], turns = scaling->original_context * f / (2 * M_PI);
        double kept = (turns - scaling->low) / (scaling->high - scaling->low);
        kept = fmin(fmax(kept, 0), 1);
        frequencies[i] = kept * f + (1 - kept) * f / scaling->factor;
    }
}
