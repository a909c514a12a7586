/*
 * shrink.h - noisy values of many layers drawn toward the mean of their kind, as far as the noise demands
 *
 *     x_i = m_g(i) + u_i + noise_i,   u_i ~ N(0, tau2),         noise_i ~ N(0, s_i^2)
 *     m_g = M_p(g) + v_g,             v_g ~ N(0, tau2_parent),  M_p flat
 *
 * with groups g (type x depth, say) and their parents p (type).  One tau2 for all groups and one tau2_parent for all
 * parents by moments (between.h); the rest is the normal posterior (empirical Bayes, Efron and Morris 1975): with
 * b_i = tau2 / (s_i^2 + tau2),
 *
 *     mean_i = b_i x_i + (1 - b_i) mean of m_g,      se_i^2 = b_i s_i^2 + (1 - b_i)^2 variance of m_g
 *
 * and the same rule gives m_g from the precision-weighted mean of its group and M_p.  x in any one unit; values that
 * vary by factors are shrunk as logarithms.  se takes both tau2 as known: with few groups it is too small.
 */
#ifndef CORE_ESTIMATE_SHRINK_H
#define CORE_ESTIMATE_SHRINK_H

typedef struct {
    int n, n_groups, n_parents;
    const double *x, *s;            /* [n] values and standard errors; s = 0: known exactly; either not finite, or s < 0: nothing known */
    const int *group;               /* [n] in [0, n_groups)                                       */
    const int *parent;              /* [n_groups] in [0, n_parents); NULL: groups stand for themselves */
} ShrinkProblem;

typedef struct { double tau2, tau2_parent; } ShrinkVariances;   /* NaN where nothing is there to tell from */

/*
 * mean, se: [n] posterior means and standard errors.  An exact x_i is returned as it is, with se 0; one of which
 * nothing is known gets its group's mean, and a group of which nothing is known its parent's; where these have
 * nothing either, NaN and infinity.  Without two values in any group tau2 counts as 0 (a group is its value);
 * without two groups under any parent groups are not shrunk.
 */
ShrinkVariances shrink(double *mean, double *se, const ShrinkProblem *problem);

#endif
