/* IQ4_NL: 32 weights a block on a grid of 16 unequal levels. */
#include <math.h>
#include <string.h>

#include "core/model/dequantize.h"
#include "core/quantize/ggml_blocks.h"
#include "kernels/cpu/simd.h"

/* The levels as dequantize_iq4_nl has them: the lowest, and half-way between neighbours with the step from one to the other. */
enum { LEVELS = 16, LOWEST = -127 };
static const float middle[LEVELS - 1] = { -115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f, 7, 19, 31.5f, 45.5f, 61, 79, 101 };
static const float step[LEVELS - 1] = { 23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24 };

/* Of two levels equally near, the upper. */
static inline float nearest_level(float x)
{
    float level = LOWEST;
    for (int k = 0; k < LEVELS - 1; k++) level += x < middle[k] ? 0 : step[k];
    return level;
}

static int nearest_code(float x)
{
    int code = 0;
    for (int k = 0; k < LEVELS - 1; k++) code += !(x < middle[k]);
    return code;
}

/* Trial scales: max / 127, then max / l for l = -134 .. -120, which put the extreme weight near the lowest level.  (The
 * first puts it on the positive side.) */
enum { TRIALS = 16, FURTHEST = 7 };

static float extreme_weight(const float *x)
{
    float magnitude = 0, found = 0;
    for (int i = 0; i < BLOCK_SMALL; i++)
        if (fabsf(x[i]) > magnitude) magnitude = fabsf(x[i]), found = x[i];
    return found;
}

/* sum w q x and sum w q^2 with w = x^2, all trials side by side. */
SIMD static void sums_of_trials(float *qx, float *q2, const float *inverse, const float *x)
{
    for (int t = 0; t < TRIALS; t++) qx[t] = q2[t] = 0;
    for (int i = 0; i < BLOCK_SMALL; i++)
        for (int t = 0; t < TRIALS; t++) {
            float q = nearest_level(inverse[t] * x[i]), wq = x[i] * x[i] * q;
            qx[t] += wq * x[i];
            q2[t] += wq * q;
        }
}

/* The first trial that none later beats gives d = qx / q2, the least-squares scale. */
static float best_scale(const float *x)
{
    float extreme = extreme_weight(x), inverse[TRIALS], qx[TRIALS], q2[TRIALS];
    if (fabsf(extreme) < 1e-15f) return 0;
    inverse[0] = 1 / (-extreme / LOWEST);
    for (int t = 1; t < TRIALS; t++) inverse[t] = (float)(LOWEST + t - 1 - FURTHEST) / extreme;
    sums_of_trials(qx, q2, inverse, x);
    float d = q2[0] > 0 ? qx[0] / q2[0] : 0, best = d * qx[0];
    for (int t = 1; t < TRIALS; t++)
        if (q2[t] > 0 && qx[t] * qx[t] > best * q2[t]) {
            d = qx[t] / q2[t];
            best = d * qx[t];
        }
    return d;
}

void quantize_iq4_nl(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    for (BlockIQ4_NL b; n_blocks-- > 0; memcpy(blocks, &b, sizeof b), blocks += sizeof b, x += BLOCK_SMALL) {
        float d = best_scale(x), inverse = d != 0 ? 1 / d : 0;
        b.d = float_to_half(d);
        for (int j = 0; j < BLOCK_SMALL / 2; j++)
            b.qs[j] = (uint8_t)(nearest_code(inverse * x[j]) | nearest_code(inverse * x[j + BLOCK_SMALL / 2]) << 4);
    }
}
