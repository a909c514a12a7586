#include "core/estimate/accuracy.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

/* The choice of item i with the largest log-likelihood, by length or not; of equal ones, and of those without length, the first. */
static int best_choice(const CorpusTask *task, int i, const double *nll, const int64_t *tokens, bool by_length)
{
    int best = -1;
    double most = -INFINITY;
    for (int w = task->first[i]; w < task->first[i + 1]; w++) {
        const double score = -nll[w] * (double)tokens[w] / (by_length ? task->length[w] : 1);
        if (score > most || (best < 0 && !isnan(score))) most = score, best = w - task->first[i];
    }
    return best;
}

void answers_init(Answers *out, const CorpusTask *task, const double *nll, const int64_t *tokens)
{
    const size_t n = (size_t)task->n_items;
    *out = (Answers){ task->n_items, xmalloc(n * sizeof(bool)), xmalloc(n * sizeof(bool)) };
    for (int i = 0; i < task->n_items; i++) {
        out->right[i] = best_choice(task, i, nll, tokens, false) == task->label[i];
        out->right_norm[i] = best_choice(task, i, nll, tokens, true) == task->label[i];
    }
}

void answers_free(Answers *answers)
{
    free(answers->right);
    free(answers->right_norm);
    *answers = (Answers){ 0 };
}

double accuracy_se(double p, int n) { return n > 1 ? sqrt(p * (1 - p) / (n - 1)) : NAN; }

Share accuracy(const bool *right, int n)
{
    int hits = 0;
    for (int i = 0; i < n; i++) hits += right[i];
    const double p = (double)hits / n;
    return (Share){ p, accuracy_se(p, n) };
}

double accuracy_of_chance(const CorpusTask *task)
{
    double sum = 0;
    for (int i = 0; i < task->n_items; i++) sum += 1.0 / (task->first[i + 1] - task->first[i]);
    return sum / task->n_items;
}

/* 2 P(X <= fewer), X ~ Binomial(n, 1/2), at most 1. */
static double sign_test(int fewer, int n)
{
    double sum = 0;
    for (int k = 0; k <= fewer; k++) sum += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) - n * log(2));
    return fmin(1, 2 * sum);
}

AccuracyChange accuracy_change(const bool *right, const bool *before, int n)
{
    AccuracyChange c = { 0 };
    for (int i = 0; i < n; i++) {
        c.gained += right[i] && !before[i];
        c.lost += !right[i] && before[i];
    }
    const int changed = c.gained + c.lost, net = c.gained - c.lost;
    c.value = (double)net / n;
    c.se = n > 1 ? sqrt((changed - (double)net * net / n) / ((double)n * (n - 1))) : NAN;
    c.below_error = (int64_t)net * net <= changed;
    c.p = sign_test(c.gained < c.lost ? c.gained : c.lost, changed);
    return c;
}

void item_means(double *out, int64_t *weight, const CorpusTask *task, const double *x, const int64_t *tokens)
{
    for (int i = 0; i < task->n_items; i++) {
        double sum = 0;
        weight[i] = 0;
        for (int w = task->first[i]; w < task->first[i + 1]; w++) {
            sum += x[w] * (double)tokens[w];
            weight[i] += tokens[w];
        }
        out[i] = sum / (double)weight[i];
    }
}
