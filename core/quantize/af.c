/*
 * af.c - AbnormalFloat: levels of least expected |error| for a Gaussian group of B weights (arXiv 2306.06965; codebook.h)
 *
 * w / a of such a group is +-1 with probability 1/B and otherwise z / m, z a normal variable on [-m, m] and m distributed as the
 * largest of B half-normal ones, P(m < x) = u(x)^B with u(x) = erf(x / sqrt 2).  On [0, 1] it has the mass
 *
 *     G(x) = E_m[ erf(m x / sqrt 2) / (2 u(m)) ],  G(1) = 1/2
 *
 * from 0 to x, and the same on the other side.  -1, 0 and 1 are levels; of the others, 2^(b-1) - 1 positive and 2^(b-1) - 2
 * negative, each is the median of its bin.  Bins meet half way between levels, the outermost begins half way to +-1, and the
 * innermost ends at 0 itself: 0 is put in afterwards.  B is the group that was asked for (the row's length where that is
 * smaller), also in a shorter last group.
 *
 * For Gaussian weights and 4 bits its E |w^ - w| / a is below NF's in groups of 1024 (0.0249 against 0.0252) but not of 64 (0.0293
 * against 0.0284), because the innermost bins end at 0 and not half way to it (which would give 0.0241 and 0.0283); its t^2 is above
 * NF's from groups of 32 on.
 *
 * Cost: a tenth of a second for the levels of each B and b, then kept; two passes over the weights.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/quantize/codebook.h"

static const Option af_options[] = { CODEBOOK_OPTIONS, { 0 } };

/* ---- G: the expectation over m by the trapezoidal rule in log m, which converges like a Gaussian's ---- */

enum { MOST_NODES = 1150 };       /* log m from -20 to 3 */
typedef struct { int n; double root[MOST_NODES], weight[MOST_NODES]; } Mass;     /* m / sqrt 2;  probability / (2 u) */

static void mass_init(Mass *mass, int64_t block)
{
    const double step = 0.02, lowest = -20;
    double sum = 0;
    mass->n = 0;
    for (int i = 0; i < MOST_NODES; i++) {
        const double m = exp(lowest + step * i), root = m * M_SQRT1_2, above = erfc(root), u = erf(root);
        const double log_u = above < 0.5 ? log1p(-above) : log(u);
        const double density = (double)block * m * exp((double)(block - 1) * log_u - m * m / 2);
        sum += density;
        if (!(density > 1e-20)) continue;
        mass->root[mass->n] = root;
        mass->weight[mass->n++] = density / (2 * u);
    }
    for (int k = 0; k < mass->n; k++) mass->weight[k] /= sum;
}

static double mass_below(const Mass *mass, double x)
{
    double sum = 0;
    for (int k = 0; k < mass->n; k++) sum += mass->weight[k] * erf(mass->root[k] * x);
    return sum;
}

/* ---- levels between 0 and 1 ---- */

enum { HALVINGS = 52 };

static double point_of_mass(const Mass *mass, double value)
{
    double low = 0, high = 1;
    for (int i = 0; i < HALVINGS; i++) {
        const double middle = (low + high) / 2;
        if (mass_below(mass, middle) < value) low = middle; else high = middle;
    }
    return (low + high) / 2;
}

/* Starting from the first level, each next one follows from the bin whose median the one before is.  Returns the one after the
 * last of n, or 2 where a bin would not end before 1. */
static double follow(double *level, int n, double first, const Mass *mass)
{
    double below = 0, next = first;
    for (int k = 0; k < n; k++) {
        level[k] = next;
        below = 2 * mass_below(mass, next) - below;
        if (!(below < 0.5)) return 2;
        next = 2 * point_of_mass(mass, below) - level[k];
    }
    return next;
}

/* The n levels after which 1 comes next. */
static void medians(double *level, int n, const Mass *mass)
{
    double low = 0, high = 1;
    for (int i = 0; i < HALVINGS; i++) {
        const double first = (low + high) / 2;
        if (follow(level, n, first, mass) < 1) low = first; else high = first;
    }
}

static Codebook levels_of(int bits, int64_t block)
{
    const int zero = (1 << (bits - 1)) - 1, positive = zero, negative = zero - 1;
    Codebook book = { .bits = bits };
    double level[MOST_LEVELS];
    Mass mass;
    mass_init(&mass, block);
    medians(level, positive, &mass);
    for (int k = 0; k < positive; k++) book.level[zero + 1 + k] = codebook_round(level[k]);
    medians(level, negative, &mass);
    for (int k = 0; k < negative; k++) book.level[zero - 1 - k] = -codebook_round(level[k]);
    book.level[0] = -1, book.level[2 * zero + 1] = 1;
    return book;
}

/* ---- the quantizer ---- */

static Codebook af_levels(const Options *options, int64_t cols)
{
    enum { KEPT = 64 };
    static struct { int64_t block; Codebook book; } kept[KEPT];
    static int n_kept;
    const int bits = (int)options_integer(options, "bits");
    const int64_t block = codebook_group(options, cols);
    Codebook book;
#pragma omp critical(af_levels)
    {
        bool found = false;
        for (int i = 0; i < KEPT && !found; i++)
            if (kept[i].block == block && kept[i].book.bits == bits) book = kept[i].book, found = true;
        if (!found) {
            book = levels_of(bits, block);
            kept[n_kept].block = block, kept[n_kept].book = book;
            n_kept = (n_kept + 1) % KEPT;
        }
    }
    return book;
}

static int af_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const Codebook book = af_levels(options, layer->cols);
    return codebook_encode(out, layer, options, &book, "af");
}

static void af_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const Codebook book = af_levels(options, shape->cols);
    codebook_decode(out, packed, shape, options, &book);
}

const Perturbation perturbation_af = {
    .name = "af", .summary = "AbnormalFloat: least absolute error for Gaussian groups, one scale per group", .version = 1,
    .options = af_options, .encode = af_encode, .decode = af_decode,
};
