/*
 * dynamic.h - what the files of the experiment `dynamic` share
 */
#ifndef EXPERIMENTS_DYNAMIC_H
#define EXPERIMENTS_DYNAMIC_H

#include "core/allocate/rules.h"
#include "core/estimate/predict.h"
#include "experiments/estimators/predictor.h"

/* What an allocation minimises: one of dynamic.costs.  by_window[n_layers][n_choices][n_windows], nats/token. */
typedef struct { char *name; Predictor predictor; bool measured, scaled; double *by_window; } CostKind;

/* Noise in all layers with the squared error of an allocation, on the first n_slopes windows of the coefficients' text; means over both
 * signs. */
typedef struct {
    bool first;                     /* of the first round of a budget                    */
    double *slope, *kl, *delta;     /* [n_layers][n_slopes] d KL / d t2; [n_slopes]      */
} OperatingPoint;

/* One choice per layer, how it came about, and what became of it. */
typedef struct {
    const char *kind;               /* "uniform", "allocated", or a rule's name                     */
    char *label;                    /* uniform: its choice; allocated: the cost that it minimises   */
    double budget;                  /* asked for; NaN for a uniform model                           */
    int *choice;                    /* [n_layers]                                                   */
    double bits, code_bits;         /* averages                                                     */
    const CostKind *by;             /* its kind of cost; of uniform models and rules the first       */
    double *predicted;              /* [n_windows] on the coefficients' text: sum of that cost      */
    bool curved;                    /* were slopes taken at its operating point?                     */
    Mean bend;                      /* of them: trapezoid / predicted                               */
    double *kl, *nll;               /* [n_measured] */
    double seconds;                 /* that measuring it took */
    double cost, lower_bound;       /* of an allocation, as solved; NaN otherwise                   */
    int optimal, clamped;
    double expected_regret;         /* of the errors of the coefficients (contrast.h)               */
    double *keep, kept, regret, regret_high;    /* over resamples of the windows (stability.h); keep [n_layers] or NULL */
} Whole;

typedef struct {
    Run *run;
    int n_layers, n_choices, n_rows, n_windows, n_slopes, n_measured;       /* rows = layers x choices; windows of both texts */
    const Corpus *text, *measured_text;                         /* of the coefficients; that is measured on         */
    const int64_t *tokens, *measured_tokens;                    /* [n_windows], [n_measured]                      */
    bool same_text;
    int64_t *weights;               /* [n_layers]                                              */
    double *t2, *kappa, *bits, *code_bits, *size;               /* [n_rows], layer by layer; size: what a budget counts */
    Coefficients fisher;
    double *calm;                   /* [n_layers][n_windows] what each window counts; below 1 where `robust` bounds a wild one (influence.h) */
    double *v;                      /* [n_layers] variance of a between draws (predict.h)      */
    int n_costs;
    CostKind *cost;
    ChoiceTable table;              /* of the first cost; the names that it points to are ours */
    double *clean, *other_clean;    /* NLL: [n_measured], [n_windows]                          */
    double floor_kl;
    int n_points;
    OperatingPoint *point;          /* all that were taken: what delta-NLL is made from        */
    int n_models;
    Whole *model;
} Dynamic;

static inline int row_of(const Dynamic *d, int layer, int choice) { return layer * d->n_choices + choice; }
static inline const Choice *dynamic_choice(const Dynamic *d, int c) { return &d->run->config->choice[c]; }
static inline const Layer *dynamic_layer(const Dynamic *d, int i) { return model_layer(study_model(d->run->study), d->run->layer[i]); }
static inline const double *cost_windows(const Dynamic *d, const CostKind *cost, int row) { return cost->by_window + (int64_t)row * d->n_windows; }

Mean measured_mean(const Dynamic *d, const double *by_window);      /* of the text that is measured on */
Mean coefficient_mean(const Dynamic *d, const double *by_window);   /* of the coefficients' text       */

/* dynamic.c: what an experiment that allocates begins with (name: its own, for refusals), the losses of the clean model, and its end. */
int  dynamic_open(Dynamic *d, Run *run, const char *name);
int  dynamic_clean(Dynamic *d);
void dynamic_close(Dynamic *d);

/* dynamic_costs.c: kinds of cost, their names checked; errors of all choices; costs of all rows.  The last two on the coefficients' text. */
int  costs_init(Dynamic *d);
void costs_plan(Plan *out, Dynamic *d);
int  costs_measure(Dynamic *d);
int  costs_singles(const Dynamic *d);           /* how many pairs of layer and choice may be measured alone: their t2 decides */

/* dynamic_allocate.c: adds the uniform models, before all others: model c is choice c; allocations and rules at one budget. */
void add_uniform(Dynamic *d);
int  add_at_budget(Dynamic *d, double budget);
int  find_rule(const AllocationRule **out, const char *name);       /* *out = NULL for "no" */
Whole *add_model(Dynamic *d, const char *kind, char *label, double budget, const int *choice, const CostKind *cost);

/* dynamic_point.c: slopes at a model's noise: its curved prediction, and [n_layers] factors for its costs. */
int operating_point(double *factor, Dynamic *d, Whole *model, bool first);
double passes_of_point(const Dynamic *d);

/* dynamic_measure.c: measures all models. */
void uniform_plan(Plan *out, Dynamic *d);
int  models_measure(Dynamic *d);

/* Where the measured KL should fall: on the same text, or on other text of the kind, 95 %.  curved: by the trapezoid. */
Interval predicted_interval(const Dynamic *d, const Whole *model, bool curved);

/* What uniform models of the same size cost, measured and predicted by the model's own kind of cost: the lower of log-linear paths between
 * two of them.  NaN outside. */
typedef struct { double kl, predicted; Mean ratio; } EqualSize;     /* ratio: KL of the model / that of the uniform one */
EqualSize equal_size(const Dynamic *d, const Whole *model);

/* The perplexity that a predicted KL stands for (conversion.h), interval for other text of the kind. */
Interval predicted_ppl(const Dynamic *d, const Whole *model);

/* dynamic_tables.c, dynamic_say.c */
void dynamic_tables(Dynamic *d);
Table *dynamic_choices(const Dynamic *d);          /* `choices` */
void dynamic_say(Dynamic *d);

#endif
