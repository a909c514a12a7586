/*
 * alpha_json.c - the coefficients as one JSON object
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/estimate/contrast.h"
#include "core/store/table.h"
#include "experiments/alpha/alpha.h"

static void put_number(const char *name, double value)
{
    printf("\"%s\":", name);
    json_number(stdout, value);
}

static void put_text(const char *name, const char *text)
{
    printf("\"%s\":", name);
    json_text(stdout, text);
}

static void print_head(const Alpha *a, const Estimate *sum)
{
    const Corpus *c = &a->windows;
    char metric[32];
    snprintf(metric, sizeof metric, "%.*s", (int)strcspn(a->estimator->metric, " "), a->estimator->metric);
    putchar('{');
    put_text("estimator", a->name);
    putchar(',');
    put_text("metric", metric);
    putchar(',');
    put_text("scale", a->c.scale);
    printf(",\"group\":%lld,\"windows\":%d,\"windows_most\":%d,\"tokens\":%lld,", (long long)options_integer(a->asked, "group"), c->n_windows, a->text.most,
           (long long)c->n_scored);
    put_text("protocol", c->protocol);
    printf(",\"context\":%d,", c->context);
    put_text("first_token", c->first_token);
    putchar(',');
    put_number("regret", a->regret);
    putchar(',');
    put_number("regret_target", a->is_fisher ? a->target : NAN);
    printf(",\"regret_met\":%s,", !(a->target > 0) || isnan(a->regret) ? "null" : a->regret <= a->target ? "true" : "false");
    put_number("windows_needed", contrast_windows(a->regret, c->n_windows, a->target > 0 ? a->target : NAN));
    putchar(',');
    put_number("robust_cap", a->robust ? ROBUST_CAP : NAN);
    putchar(',');
    put_number("alpha_sum", sum->value);
    putchar(',');
    put_number("alpha_sum_se", sum->se);
}

/* The sum over layers in each window. */
static void print_windows(const Coefficients *c)
{
    fputs(",\"window_alpha\":[", stdout);
    for (int w = 0; w < c->n_windows; w++) {
        double sum = 0;
        for (int i = 0; i < c->n_layers; i++) sum += c->a[(int64_t)i * c->n_windows + w];
        if (w) putchar(',');
        json_number(stdout, sum);
    }
    putchar(']');
}

static void print_layer(const AlphaLayer *l)
{
    const struct { const char *name; double value; } number[] = {
        { "alpha", l->alpha.value }, { "alpha_se", l->alpha.se }, { "alpha_sigma", l->sigma.value }, { "alpha_sigma_se", l->sigma.se },
        { "rho", l->rho }, { "rho_se", l->rho_se }, { "contrast_se", l->contrast_se }, { "alpha_plain", l->plain }, { "alpha_robust", l->robust },
        { "alpha_robust_se", l->robust_se }, { "top_size", l->top.size },
    };
    putchar('{');
    put_text("name", l->layer->name);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        putchar(',');
        put_number(number[i].name, number[i].value);
    }
    printf(",\"top_window\":%d,\"windows_capped\":%d}", l->top.window, l->capped);
}

int alpha_print_json(const Alpha *a)
{
    Estimate sum;
    int status = alpha_sum(&sum, a, -1);
    if (status != 0) return status;
    print_head(a, &sum);
    print_windows(&a->c);
    fputs(",\"layers\":[", stdout);
    for (int i = 0; i < a->c.n_layers; i++) {
        if (i) putchar(',');
        print_layer(&a->layer[i]);
    }
    fputs("],", stdout);
    put_number("forward_equivalents", a->c.passes);
    putchar(',');
    put_number("seconds", a->c.seconds);
    putchar(',');
    put_number("sampling_seconds", a->text.path ? NAN : a->text.seconds);
    puts("}");
    return 0;
}
