/*
 * alpha_say.c - the coefficients on one screen, with what they rest on and what to do with them
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/contrast.h"
#include "core/estimate/fit.h"
#include "experiments/alpha/alpha.h"

enum { LARGEST = 10, HEAVY = 20, CELL = 24 };

/* ---- the two tables ---- */

/* "-" where there is no such number. */
static const char *cell(char out[CELL], const char *format, double value)
{
    if (!isfinite(value)) return "-";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, CELL, format, value);
#pragma GCC diagnostic pop
    return out;
}

static double median_relative_error(const Alpha *a, int type)
{
    double *relative = xmalloc(sizeof *relative * (size_t)a->c.n_layers);
    int n = 0;
    for (int i = 0; i < a->c.n_layers; i++) {
        const AlphaLayer *l = &a->layer[i];
        if ((type < 0 || (int)l->layer->type == type) && isfinite(l->alpha.se) && l->alpha.value > 0) relative[n++] = l->alpha.se / l->alpha.value;
    }
    double median = n ? quantile(relative, n, .5) : NAN;
    free(relative);
    return median;
}

static int print_type(const Alpha *a, int type, double all)
{
    Estimate sum;
    char s[4][CELL];
    TRY(alpha_sum(&sum, a, type));
    printf("%-6s %9s %-10s %5.1f %%  %8s  ", type < 0 ? "all" : layer_type_name[type], cell(s[0], "%.4g", sum.value), cell(s[1], "+- %.2g", sum.se),
           100 * sum.value / all, cell(s[2], "%.1f %%", 100 * median_relative_error(a, type)));
    return OK;
}

static void print_largest(const AlphaLayer *l, double all)
{
    char s[2][CELL];
    printf("| %-15s %9s %-10s %5.1f %%", l->layer->name, cell(s[0], "%.4g", l->alpha.value), cell(s[1], "+- %.2g", l->alpha.se), 100 * l->alpha.value / all);
}

static int by_alpha(const void *a, const void *b)
{
    const double x = (*(const AlphaLayer *const *)a)->alpha.value, y = (*(const AlphaLayer *const *)b)->alpha.value;
    return (y > x) - (y < x);
}

static int print_rows(const Alpha *a, const AlphaLayer *const *sorted, double all)
{
    const int layers = a->c.n_layers < LARGEST ? a->c.n_layers : LARGEST;
    for (int i = 0; i < LARGEST; i++) {
        const int blank = i == LAYER_TYPES || i > LAYER_TYPES + 1;
        if (blank) printf("%-49s", "");
        else TRY(print_type(a, i < LAYER_TYPES ? i : -1, all));
        if (i < layers) print_largest(sorted[i], all);
        putchar('\n');
    }
    return OK;
}

static int print_tables(const Alpha *a, double all)
{
    const AlphaLayer **sorted = xmalloc(sizeof(AlphaLayer *) * (size_t)a->c.n_layers);
    for (int i = 0; i < a->c.n_layers; i++) sorted[i] = &a->layer[i];
    qsort(sorted, (size_t)a->c.n_layers, sizeof *sorted, by_alpha);
    printf("%-6s %9s %-10s %7s  %8s  | %-15s %9s %-10s %7s\n", "layers", "sum", "", "share", "median+-", "largest", "alpha", "", "share");
    int status = print_rows(a, sorted, all);
    free(sorted);
    return status;
}

/* ---- the lines below ---- */

static void say_robust(const Alpha *a)
{
    double plain = 0, robust = 0;
    for (int i = 0; i < a->c.n_layers; i++) plain += a->layer[i].plain, robust += a->layer[i].robust;
    if (!isfinite(robust)) return;
    printf("sum        %.4g as measured, %.4g where a window counts at most %d times a layer's median window (%s)\n", plain, robust, ROBUST_CAP,
           a->robust ? "used here" : "--robust uses these");
}

static void say_heavy(const Alpha *a)
{
    const AlphaLayer *worst = &a->layer[0];
    int heavy = 0;
    for (int i = 0; i < a->c.n_layers; i++) {
        heavy += a->layer[i].top.size > HEAVY;
        if (a->layer[i].top.size > worst->top.size) worst = &a->layer[i];
    }
    if (heavy && !a->c.draws)
        printf("heavy      in %d layers one window is over %d times the median one; the worst: window %d in %s, %.0f times\n", heavy, HEAVY, worst->top.window,
               worst->layer->name, worst->top.size);
}

static void say_more(const Alpha *a, double needed)
{
    if (a->short_of_memory) printf("about %.0f windows would do it, and memory is short: --memory, or shorter windows\n", needed);
    else if (a->text.path && !options_is_given(a->asked, "windows")) printf("about %.0f windows would do it: a longer text\n", needed);
    else printf("about %.0f windows would do it: --windows %.0f%s\n", needed, needed, a->text.path ? " on a text that has them" : "");
}

static void say_precision(const Alpha *a)
{
    const int n = a->windows.n_windows;
    printf("precision  ");
    if (a->c.draws) puts("errors are over windows and draws of the noise");
    else if (isnan(a->regret)) puts("one window has no error: give more of them");
    else if (isinf(a->regret)) puts("a layer without response has no precision: its coefficient is not above 0");
    else {
        printf("an allocation by these is expected to lose %.2g %% to their errors", 100 * a->regret);
        if (!(a->target > 0)) puts("");
        else if (a->regret <= a->target) printf(" (asked: %g %%): enough after %d of at most %d windows\n", 100 * a->target, n, a->text.most);
        else {
            printf(" (asked: %g %%);\n           ", 100 * a->target);
            say_more(a, contrast_windows(a->regret, n, a->target));
        }
    }
}

static void say_text(const Alpha *a)
{
    const Corpus *c = &a->windows;
    const char *name = a->text.path ? strrchr(a->text.path, '/') : NULL;
    if (!a->text.path)
        printf("text       %d windows of %d tokens that the model wrote itself, each going on from an ordinary word (seed %lld)\n", c->n_windows, a->text.length,
               (long long)options_integer(a->asked, "seed"));
    else
        printf("text       %s, %d windows, %lld tokens scored; protocol %s, context %d, %s\n", name ? name + 1 : a->text.path, c->n_windows, (long long)c->n_scored,
               c->protocol, c->context, c->bos ? "with BOS" : "no BOS");
    if (strcmp(c->first_token, "ordinary"))
        printf("WARNING    %s windows begin with a special token: attention sinks into it, and the coefficients of block 0 may be hundreds of\n"
               "           times larger than on other text. They hold for text that begins so; --bos no, or sampled text, is without.\n",
               strcmp(c->first_token, "bos") ? "some" : "the");
    else printf("           windows begin with an ordinary token: the coefficients are not those of text that begins with a special one\n");
}

static void say_rounding(const Alpha *a)
{
    char *rounding = run_rounding(&a->run);
    if (rounding) printf("WARNING    %s\n", rounding);
    free(rounding);
}

static void say_cost(const Alpha *a)
{
    printf("cost       %.1f forward passes of this text, %.3g s", a->c.passes, a->c.seconds);
    if (!a->text.path) printf("; %.3g s to sample it", a->text.seconds);
    printf("; back end %s, %s, %d threads\n", options_text(a->asked, "backend"), options_text(a->asked, "precision"), kernels_threads());
}

static void say_use(const Alpha *a)
{
    printf("use        loss of a quantized model = sum of alpha t^2 over its layers (t^2: linearity kl MODEL OTHER TEXT); --json has all layers;\n"
           "           linearity run CONFIG.yaml allocates bits by them, checks them, and keeps tables and intervals%s\n",
           strcmp(a->estimator->metric, "PPL") ? "" : " (in nats/token)");
}

int alpha_print_text(const Alpha *a)
{
    Estimate all;
    TRY(alpha_sum(&all, a, -1));
    const bool grouped = !strcmp(a->c.scale, "group");
    printf("relative squared error t^2 in one layer costs alpha t^2 [%s]; error scaled ", a->estimator->metric);
    if (grouped) printf("by groups of %lld weights", (long long)options_integer(a->asked, "group"));
    else printf("alike in a matrix");
    printf("; estimator %s%s\n\n", a->name, a->robust ? ", robust" : "");
    TRY(print_tables(a, all.value));
    putchar('\n');
    say_precision(a);
    say_robust(a);
    say_heavy(a);
    if (*a->estimator->caveat) printf("caveat     %s\n", a->estimator->caveat);
    say_text(a);
    say_rounding(a);
    say_cost(a);
    say_use(a);
    return OK;
}
