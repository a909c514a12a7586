/*
 * estimators.h - what the files of the experiment `estimators` share
 */
#ifndef EXPERIMENTS_ESTIMATORS_H
#define EXPERIMENTS_ESTIMATORS_H

#include "experiments/estimators/estimator.h"

/* A layer as one estimator sees it, beside the reference on the same windows. */
typedef struct { double alpha, se, low, high, ratio, ratio_se; } LayerEstimate;

/* One estimator beside the reference. */
typedef struct {
    Coefficients coefficients;
    LayerEstimate *layer;           /* [coefficients.n_layers] */
    double relative_median, relative_worst;             /* standard errors of its layers */
    double five_median, five_worst;                     /* token-forwards until these are 5 %, for all layers under study */
    double ratio, ratio_se, spread, agree;              /* geometric mean, sd of logs beyond the errors, share of layers within their intervals */
    int n_ratios;                                       /* layers that have a ratio: positive, with an error */
    double sum_ratio, sum_ratio_se;                     /* of the sums over its layers */
} Compared;

typedef struct {
    Run *run;
    int n;
    Compared *compared;             /* [n] in the order of the config                     */
    const Coefficients *reference;  /* that of fisher, or else the first                  */
    double clean_ppl;
} Comparisons;

/* estimators_compare.c: everything of one estimator but its coefficients. */
int compare_estimator(Compared *out, const Comparisons *all);

/* How many times the work of `other` an estimator takes for the same standard error: geometric mean over the layers
 * that both have, and its 95 % interval (Student's t over layers).  Returns their number. */
int compare_costs(double *ratio, double *low, double *high, const Compared *estimator, const Compared *other);

/* estimators_tables.c */
Table *comparison_table(const Comparisons *all);
Table *estimate_table(const Comparisons *all);
void say_comparisons(const Comparisons *all);

#endif
