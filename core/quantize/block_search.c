#include "core/quantize/block_search.h"

#include <stdbool.h>

#include "kernels/cpu/simd.h"

/* Lane g of x[i] is weight i of group g: eight groups at a time, which is a whole block with groups of 32 and half of one with 16.
 * INLINE, so that the code is made for the instruction set of each copy of its caller. */
enum { LANE_GROUPS = 8, MOST_WEIGHTS = 32 };
typedef int32_t Integers __attribute__((vector_size(32), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

/* mask ? a : b */
#define PICK(mask, a, b) ((Vector)(((mask) & (Integers)(a)) | (~(mask) & (Integers)(b))))
#define MAGNITUDE(x) ((Vector)((Integers)(x) & 0x7fffffff))

INLINE void load_lanes(Vector *x, const float *natural, int n)
{
    for (int i = 0; i < n; i++)
        for (int g = 0; g < LANE_GROUPS; g++) x[i][g] = natural[g * n + i];
}

/* clamp(round(x), low, high) by the steps of nearest_int, and back the same way.  Masks by shifts: a comparison or conversion of
 * vectors is done piece by piece where the registers are narrower. */
INLINE void round_codes(Vector *code, const Vector *x, int low, int high)
{
    Integers q = ((Integers)(*x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    const Integers below = (q - low) >> 31, above = (high - q) >> 31;
    q = (q & ~(below | above)) | (low & below) | (high & above);
    *code = (Vector)(q + 0x4b400000) - 0x1.8p23f;
}

SIMD void requantize_group(uint8_t *code, const float *x, int n, float scale, float minimum, int low, int high)
{
    for (int i = 0; i < n; i++) {
        const int q = nearest_int((x[i] + minimum) / scale);
        code[i] = (uint8_t)((q < low ? low : q > high ? high : q) - low);
    }
}

INLINE void store_codes(uint8_t *out, const Vector *code, int n, int offset)
{
    for (int i = 0; i < n; i++)
        for (int g = 0; g < LANE_GROUPS; g++) out[g * n + i] = (uint8_t)(code[i][g] + (float)offset);
}

/* ---- with a minimum ---- */

typedef struct {
    int n, top;                     /* weights in a group; codes 0..top */
    float first;                    /* trial k: (max - min) / (top + first + k / 10) */
    int last;                       /* k = 0..last */
    bool absolute;                  /* errors by magnitude instead of square */
} Ladder;

typedef struct { Vector x[MOST_WEIGHTS], weight[MOST_WEIGHTS], low, high, sum_w, sum_wx; } Groups;

/* w ~ scale code + low with code = round((w - origin) inverse) */
typedef struct { Vector scale, low, inverse, origin, error; } Candidate;

INLINE void weigh(Groups *groups, int n, bool absolute)
{
    Vector rms = { 0 };
    if (!absolute) {
        for (int i = 0; i < n; i++) rms += groups->x[i] * groups->x[i];
        rms /= (float)n;
        for (int g = 0; g < LANE_GROUPS; g++) rms[g] = sqrtf(rms[g]);
    }
    for (int i = 0; i < n; i++) groups->weight[i] = rms + MAGNITUDE(groups->x[i]);
}

/* The range reaches down to 0 at least: minima are never negative. */
INLINE void add_up(Groups *groups, int n)
{
    Vector low = { 0 }, high = low - INFINITY, sum_w = { 0 }, sum_wx = { 0 };
    for (int i = 0; i < n; i++) {
        const Vector x = groups->x[i], w = groups->weight[i];
        low = PICK(x < low, x, low);
        high = PICK(x > high, x, high);
        sum_w += w;
        sum_wx += w * x;
    }
    groups->low = low;
    groups->high = high;
    groups->sum_w = sum_w;
    groups->sum_wx = sum_wx;
}

INLINE void measure_error(Candidate *candidate, const Groups *groups, const Ladder *ladder)
{
    const Vector scale = candidate->scale, low = candidate->low, inverse = candidate->inverse, origin = candidate->origin;
    Vector error = { 0 };
    for (int i = 0; i < ladder->n; i++) {
        Vector code, scaled = inverse * (groups->x[i] - origin);
        round_codes(&code, &scaled, 0, ladder->top);
        Vector size = scale * code + low - groups->x[i];
        if (ladder->absolute) size = MAGNITUDE(size);
        else size *= size;
        error += groups->weight[i] * size;
    }
    candidate->error = error;
}

/* Least squares for the codes of a candidate: [sum w q^2, sum w q; sum w q, sum w] [scale; low] = [sum w q x; sum w x].  A low above 0
 * becomes 0.  Returns in *solved where the codes are not all alike. */
INLINE void fit_codes(Candidate *candidate, Integers *solved, const Groups *groups, const Ladder *ladder)
{
    const Vector inverse = candidate->inverse, origin = candidate->origin, sum_w = groups->sum_w, sum_wx = groups->sum_wx;
    Vector q = { 0 }, q2 = { 0 }, qx = { 0 };
    for (int i = 0; i < ladder->n; i++) {
        Vector code, scaled = inverse * (groups->x[i] - origin);
        round_codes(&code, &scaled, 0, ladder->top);
        const Vector wq = groups->weight[i] * code;
        q += wq;
        q2 += wq * code;
        qx += wq * groups->x[i];
    }
    const Vector determinant = sum_w * q2 - q * q;
    const Vector scale = (sum_w * qx - sum_wx * q) / determinant, low = (q2 * sum_wx - q * qx) / determinant;
    candidate->scale = PICK(low > 0, qx / q2, scale);
    candidate->low = (Vector)(~(low > 0) & (Integers)low);
    *solved = determinant > 0;
}

/* The leader's low is where the next trial counts its codes from. */
INLINE void climb(Candidate *lead, const Groups *groups, const Ladder *ladder)
{
    const Vector top = { 0 };
    *lead = (Candidate){ .low = groups->low, .origin = groups->low, .inverse = (top + (float)ladder->top) / (groups->high - groups->low) };
    lead->scale = 1 / lead->inverse;
    measure_error(lead, groups, ladder);
    for (int k = 0; k <= ladder->last; k++) {
        Candidate trial = { .origin = lead->low };
        Integers better;
        trial.inverse = (ladder->first + 0.1f * (float)k + (float)ladder->top) / (groups->high - trial.origin);
        fit_codes(&trial, &better, groups, ladder);
        measure_error(&trial, groups, ladder);
        better &= trial.error < lead->error;
        lead->scale = PICK(better, trial.scale, lead->scale);
        lead->low = PICK(better, trial.low, lead->low);
        lead->inverse = PICK(better, trial.inverse, lead->inverse);
        lead->origin = PICK(better, trial.origin, lead->origin);
        lead->error = PICK(better, trial.error, lead->error);
    }
}

/* Where all weights are 0, or the same negative number, inverse is infinite: scale = 1 / inverse is 0, so are the codes, and no trial is
 * solved. */
INLINE void search_groups(float *scale, float *minimum, uint8_t *code, const float *x, const Ladder *ladder)
{
    Groups groups;
    Candidate lead;
    load_lanes(groups.x, x, ladder->n);
    weigh(&groups, ladder->n, ladder->absolute);
    add_up(&groups, ladder->n);
    climb(&lead, &groups, ladder);
    for (int g = 0; g < LANE_GROUPS; g++) scale[g] = lead.scale[g], minimum[g] = -lead.low[g];
    for (int i = 0; i < ladder->n; i++) {
        const Vector scaled = lead.inverse * (groups.x[i] - lead.origin);
        round_codes(&groups.x[i], &scaled, 0, ladder->top);
    }
    store_codes(code, groups.x, ladder->n, 0);
}

SIMD static void search_with_minimum(BlockSearch *out, const float *x, const Ladder *ladder)
{
    for (int g = 0; g < BLOCK_LARGE / ladder->n; g += LANE_GROUPS)
        search_groups(out->scale + g, out->minimum + g, out->code + g * ladder->n, x + g * ladder->n, ladder);
}

void search_q2_k(BlockSearch *out, const float x[BLOCK_LARGE]) { search_with_minimum(out, x, &(Ladder){ 16, 3, -0.5f, 15, true }); }
void search_q4_k(BlockSearch *out, const float x[BLOCK_LARGE]) { search_with_minimum(out, x, &(Ladder){ 32, 15, -1, 20, false }); }
void search_q5_k(BlockSearch *out, const float x[BLOCK_LARGE]) { search_with_minimum(out, x, &(Ladder){ 32, 31, -0.5f, 15, false }); }

/* ---- symmetric ---- */

enum { N = 16 };                    /* weights in a group: 16 groups */

/* In every lane the first weight of largest magnitude, with its sign. */
INLINE void extremes(Vector *extreme, const Vector *x)
{
    *extreme = (Vector){ 0 };
    for (int i = 0; i < N; i++) *extreme = PICK(MAGNITUDE(x[i]) > MAGNITUDE(*extreme), x[i], *extreme);
}

/* sum w q x and sum w q^2 for the codes q = round(x inverse), w = x^2. */
INLINE void symmetric_sums(Vector *sum_qx, Vector *sum_q2, const Vector *x, const Vector *inverse, int middle)
{
    Vector qx = { 0 }, q2 = { 0 };
    for (int i = 0; i < N; i++) {
        Vector q, scaled = *inverse * x[i];
        round_codes(&q, &scaled, -middle, middle - 1);
        const Vector w = x[i] * x[i];
        qx += w * x[i] * q;
        q2 += w * q * q;
    }
    *sum_qx = qx;
    *sum_q2 = q2;
}

/* Scales and codes (counted from 0) of eight groups; both 0 where the weights are negligible. */
INLINE void store_symmetric(float *scale, uint8_t *code, const Vector *scales, Vector *codes, const Vector *extreme, int middle)
{
    const Integers negligible = MAGNITUDE(*extreme) < NEGLIGIBLE;
    const Vector kept = (Vector)(~negligible & (Integers)*scales);
    for (int g = 0; g < LANE_GROUPS; g++) scale[g] = kept[g];
    for (int i = 0; i < N; i++) codes[i] = PICK(negligible, codes[i] * 0 - (float)middle, codes[i]);
    store_codes(code, codes, N, middle);
}

/* Trials -(32 + k / 10) / extreme for k = 0, -9 .. -1, 1 .. 9.  At its best scale qx / q2 a trial lowers the error by qx^2 / q2. */
INLINE void search_trials(float *scale, uint8_t *code, const float *natural)
{
    enum { MIDDLE = 32, FURTHEST = 9 };
    Vector x[N], extreme, scales = { 0 }, best = { 0 }, best_inverse = { 0 };
    load_lanes(x, natural, N);
    extremes(&extreme, x);
    for (int trial = 0; trial <= 2 * FURTHEST; trial++) {
        const int k = trial == 0 ? 0 : trial <= FURTHEST ? trial - 1 - FURTHEST : trial - FURTHEST;
        const Vector inverse = -(MIDDLE + 0.1f * (float)k) / extreme;
        Vector qx, q2;
        symmetric_sums(&qx, &q2, x, &inverse, MIDDLE);
        const Vector s = (Vector)((q2 != 0) & (Integers)(qx / q2));
        const Integers better = trial == 0 ? extreme == extreme : (q2 > 0) & (qx * qx > best * q2);
        scales = PICK(better, s, scales);
        best = PICK(better, s * qx, best);
        best_inverse = PICK(better, inverse, best_inverse);
    }
    for (int i = 0; i < N; i++) {
        const Vector scaled = best_inverse * x[i];
        round_codes(&x[i], &scaled, -MIDDLE, MIDDLE - 1);
    }
    store_symmetric(scale, code, &scales, x, &extreme, MIDDLE);
}

SIMD void search_q6_k(BlockSearch *out, const float x[BLOCK_LARGE])
{
    for (int g = 0; g < 16; g += LANE_GROUPS) search_trials(out->scale + g, out->code + 16 * g, x + 16 * g);
}

/* One weight of each group takes the code that fits the scale which the others want, where the error falls by it. */
INLINE void improve_code(Vector *code, Vector *qx, Vector *q2, const Vector *x, int middle)
{
    const Vector w = *x * *x, rest_qx = *qx - w * *x * *code, rest_q2 = *q2 - w * *code * *code;
    Vector new, wanted = *x * rest_q2 / rest_qx;
    round_codes(&new, &wanted, -middle, middle - 1);
    const Vector new_qx = rest_qx + w * *x * new, new_q2 = rest_q2 + w * new * new;
    const Integers better = (rest_qx > 0) & (new != *code) & (new_q2 > 0) & (new_qx * new_qx * *q2 > *qx * *qx * new_q2);
    *code = PICK(better, new, *code);
    *qx = PICK(better, new_qx, *qx);
    *q2 = PICK(better, new_q2, *q2);
}

/* Five rounds; ggml stops earlier where a round changes nothing, and then further ones would not either. */
INLINE void search_descent(float *scale, uint8_t *code, const float *natural)
{
    enum { MIDDLE = 4, ROUNDS = 5 };
    Vector x[N], codes[N], extreme, qx, q2;
    load_lanes(x, natural, N);
    extremes(&extreme, x);
    const Vector inverse = -MIDDLE / extreme;
    symmetric_sums(&qx, &q2, x, &inverse, MIDDLE);
    for (int i = 0; i < N; i++) {
        const Vector scaled = inverse * x[i];
        round_codes(&codes[i], &scaled, -MIDDLE, MIDDLE - 1);
    }
    for (int i = 0; i < ROUNDS * N; i++) improve_code(&codes[i % N], &qx, &q2, &x[i % N], MIDDLE);
    const Vector scales = (Vector)((q2 > 0) & (Integers)(qx / q2));
    store_symmetric(scale, code, &scales, codes, &extreme, MIDDLE);
}

SIMD void search_q3_k(BlockSearch *out, const float x[BLOCK_LARGE])
{
    for (int g = 0; g < 16; g += LANE_GROUPS) search_descent(out->scale + g, out->code + 16 * g, x + 16 * g);
}
