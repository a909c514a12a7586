#include "core/estimate/shrink.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/between.h"

/* Values under their groups: layers under groups, or groups under parents. */
typedef struct {
    int n, n_groups;
    const double *x, *s;
    const int *group;
} Level;

static bool known(const Level *l, int i) { return isfinite(l->x[i]) && between_weight(l->s[i], 0) > 0; }

/* mean and se: [n_groups] precision-weighted, NaN and infinity for a group without a known value. */
static void pool(double *mean, double *se, const Level *l, double variance)
{
    for (int g = 0; g < l->n_groups; g++) mean[g] = se[g] = 0;
    for (int i = 0; i < l->n; i++) {
        if (!known(l, i)) continue;
        double weight = between_weight(l->s[i], variance);
        mean[l->group[i]] += weight * l->x[i];
        se[l->group[i]] += weight;
    }
    for (int g = 0; g < l->n_groups; g++) {
        mean[g] /= se[g];
        se[g] = 1 / sqrt(se[g]);
    }
}

static double squares(double variance, const void *level)
{
    const Level *l = level;
    double *mean = xmalloc(sizeof *mean * (size_t)l->n_groups), *se = xmalloc(sizeof *se * (size_t)l->n_groups), sum = 0;
    pool(mean, se, l, variance);
    for (int i = 0; i < l->n; i++)
        if (known(l, i)) sum += between_weight(l->s[i], variance) * pow(l->x[i] - mean[l->group[i]], 2);
    free(mean), free(se);
    return sum;
}

/* Known values less groups that have one. */
static int freedom(const Level *l)
{
    bool *seen = xcalloc((size_t)l->n_groups, sizeof *seen);
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        if (!known(l, i)) continue;
        n += seen[l->group[i]];
        seen[l->group[i]] = true;
    }
    free(seen);
    return n;
}

/* mean and se: [n] posterior of each value, given that of its group. */
static void posterior(double *mean, double *se, const Level *l, const double *group_mean, const double *group_se, double variance)
{
    for (int i = 0; i < l->n; i++) {
        const double prior = group_mean[l->group[i]], prior_se = group_se[l->group[i]], s = l->s[i];
        const double own = !known(l, i) ? 0 : s == 0 || isinf(variance) ? 1 : variance / (s * s + variance);
        mean[i] = own == 1 ? l->x[i] : own == 0 ? prior : own * l->x[i] + (1 - own) * prior;
        se[i] = own == 1 ? s : own == 0 ? hypot(known(l, i) ? 0 : sqrt(variance), prior_se) : sqrt(own * s * s + pow((1 - own) * prior_se, 2));
    }
}

/* Turns the means of groups into their posterior; returns the variance between groups of one parent. */
static double shrink_groups(double *mean, double *se, const ShrinkProblem *p)
{
    const Level level = { p->n_groups, p->n_parents, mean, se, p->parent };
    const double variance = between_variance(squares, &level, freedom(&level));
    double *parent_mean = xmalloc(sizeof *mean * (size_t)p->n_parents), *parent_se = xmalloc(sizeof *se * (size_t)p->n_parents);
    pool(parent_mean, parent_se, &level, isnan(variance) ? 0 : variance);
    posterior(mean, se, &level, parent_mean, parent_se, isnan(variance) ? INFINITY : variance);
    free(parent_mean), free(parent_se);
    return variance;
}

ShrinkVariances shrink(double *mean, double *se, const ShrinkProblem *p)
{
    const Level level = { p->n, p->n_groups, p->x, p->s, p->group };
    ShrinkVariances out = { between_variance(squares, &level, freedom(&level)), NAN };
    const double variance = isnan(out.tau2) ? 0 : out.tau2;
    double *group_mean = xmalloc(sizeof *mean * (size_t)p->n_groups), *group_se = xmalloc(sizeof *se * (size_t)p->n_groups);
    pool(group_mean, group_se, &level, variance);
    if (p->parent) out.tau2_parent = shrink_groups(group_mean, group_se, p);
    posterior(mean, se, &level, group_mean, group_se, variance);
    free(group_mean), free(group_se);
    return out;
}
