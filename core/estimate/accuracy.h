/*
 * accuracy.h - how often the right choice is the most likely one, and whether a change of that is more than chance
 *
 *     L_c = log p(choice c | context) = - NLL x tokens of its window
 *     acc      : share of items whose right choice has the largest L_c
 *     acc_norm : share whose right choice has the largest L_c / (characters of the choice)
 *     se       : sqrt(p (1 - p) / (n - 1)) over the n items
 *
 * both as lm-evaluation-harness has them (the first of equals counts as the largest; NaN is never the largest).  Two models on the
 * same items: d_i = right_i - right of the other, in {-1, 0, 1};
 *
 *     change = mean d_i = (gained - lost) / n,     se = sd(d_i) / sqrt(n)
 *
 * which is smaller than the two models' own errors suggest, because most items are answered alike.  The change is called below its
 * error where |change| <= se, that is where (gained - lost)^2 <= gained + lost, whatever n is.  p: exact two-sided sign test
 * (McNemar 1947) on the items that changed.
 */
#ifndef CORE_ESTIMATE_ACCURACY_H
#define CORE_ESTIMATE_ACCURACY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/text/corpus.h"

typedef struct { double value, se; } Share;         /* se NaN for one item */

typedef struct {
    int n_items;
    bool *right, *right_norm;       /* [n_items] */
} Answers;

/* nll, tokens: [windows of the task], mean NLL and scored tokens of each.  The caller frees. */
void answers_init(Answers *out, const CorpusTask *task, const double *nll, const int64_t *tokens);
void answers_free(Answers *answers);

/* The share of true ones among right[n]; the standard error of a share p of n. */
Share accuracy(const bool *right, int n);
double accuracy_se(double p, int n);

/* What guessing would reach: the mean of 1 / choices. */
double accuracy_of_chance(const CorpusTask *task);

typedef struct {
    double value, se;               /* se NaN for one item */
    int gained, lost;               /* items answered right now and wrong before; and the reverse */
    bool below_error;
    double p;                       /* 1 where nothing changed */
} AccuracyChange;

AccuracyChange accuracy_change(const bool *right, const bool *before, int n);

/* Windows taken together by items, for standard errors over independent things: out, weight [n_items] = mean of x over the tokens of
 * the item's windows, and those tokens. */
void item_means(double *out, int64_t *weight, const CorpusTask *task, const double *x, const int64_t *tokens);

#endif
