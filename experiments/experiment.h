/*
 * experiment.h - one question that `linearity run` can answer, and what it is given
 *
 * An experiment plans measurements, has them measured, and turns them into tables.  A new one is one
 * file that defines an Experiment and one row in EXPERIMENT_LIST.
 */
#ifndef EXPERIMENTS_EXPERIMENT_H
#define EXPERIMENTS_EXPERIMENT_H

#include "core/base/progress.h"
#include "core/config/config.h"
#include "core/measure/gradients.h"
#include "core/measure/study.h"

enum { FLOOR_FACTOR = 20 };         /* a KL below so many times that of the null run is not used: rounding is too much of it */

/* Measurements and backward passes to come.  The plan owns all that they point to. */
typedef struct {
    Study *study;                   /* on whose text what is added next will run */
    int n, capacity, n_gradients;
    LayerMap *map;                  /* [n], and the study of each */
    Study **map_study;
    GradientRequest *gradient;      /* [n_gradients] likewise     */
    Study **gradient_study;
    int later_windows;              /* of backward passes that follow from results, */
    double later_passes;            /* and their work in forward passes over the run's text */
} Plan;

/* Adds a copy of a map or request; whatever they point to may go afterwards. */
void plan_add(Plan *plan, const LayerMap *map);
void plan_add_gradients(Plan *plan, const GradientRequest *request);
void plan_add_null(Plan *plan);          /* nothing perturbed, other rounding: the noise floor */
void plan_free(Plan *plan);

/* One combination of the sweep (usually the only one). */
typedef struct {
    const Config *config;
    const Options *options;         /* config options at this combination    */
    const SweepPoint *point;
    Study *study;
    Study *coefficients;            /* on the text of coefficients.from; study where that is the same */
    int n_layers;                   /* layers under study                     */
    int *layer;                     /* [n_layers] model indices, ascending    */
    Progress *progress;
    int measured, found;            /* distinct measurements: run now; in the store already */
    void *seen;                     /* keys of those counted                  */
    double finest;                  /* least t2 of noise measured so far, 0: none */
    int64_t inputs;                 /* tokens of the run's own text, in passes over which work is counted; 0: the study's */
    bool quiet;
    struct Tables *tables;          /* of the whole run, all combinations     */
    char **summary;                 /* lines for the end of the run           */
    int n_summary;
} Run;

/* Measures (or finds) one map; steps the progress the first time that a map comes up. */
int run_measure(Measurement *out, Run *run, const LayerMap *map);

/* The same of a backward pass over all windows, a step each. */
int run_gradients(Measurement *out, Run *run, const GradientRequest *request);
int run_gradients_of(Measurement *out, Run *run, const GradientRequest *request, int n_windows);     /* the first n_windows */

/* A pass over the study's text in passes over the run's own. */
double run_passes(const Run *run, const Study *study);

/* Exchanges study and coefficients: what is measured in between is measured on the other text. */
void run_turn(Run *run);

/* ERR_ARGUMENT for a choice of the config that is noise, or that a layer's shape or the lack of a calibration text rules out. */
int run_check_choices(const Run *run);

/* ERR_BUDGET for a budget of the config below the smallest choices (codes: their codes alone), as a few rows of each layer tell. */
int run_check_budgets(const Run *run, bool codes);

/* A value and its standard error over windows, or over the items of a task: as the columns NAME and NAME_se, and as "1.23 +- 0.4" (the caller frees). */
typedef struct { double value, se; } Mean;
void add_estimate(Table *table, const char *name, const char *unit, const char *meaning);
void set_estimate(Table *table, int64_t row, const char *name, Mean mean);
char *with_error(double value, double se);

/* What is drawn independently of one another: items of a task, whose choices share a question; windows of other text. */
typedef struct { int n; double *x; int64_t *tokens; } Units;     /* x [rows][n] mean over a unit's tokens, tokens [n] */
Units units_of(const Corpus *corpus, const double *by_window, int rows);
void  units_free(Units *units);
int   units_count(const Corpus *corpus);

/* Mean of [n_windows] over the scored tokens of a text, and the ratio of two such means on the same windows.  Errors are over units. */
Mean corpus_mean(const Corpus *corpus, const double *by_window);
Mean corpus_ratio(const Corpus *corpus, const double *a, const double *b);

/* Models of other sizes: the share of `to` on the way between two sizes at a third one, negative where that is not between them; and the ratio of a mean to the
 * log-linear path from a to b at that share, to first order in the windows, of which all three [n_windows] are means. */
double share_between(double from, double to, double size);
Mean   corpus_ratio_to_path(const Corpus *corpus, const double *x, const double *a, const double *b, double share);

/* Losses of a model by window, [n_windows]; clean: NLL of the clean model. */
typedef struct { const Corpus *corpus; int n_windows; const int64_t *tokens; const double *kl, *nll, *clean; double floor_kl; } Losses;

/* Adds the estimates kl, delta_nll and ppl of a quantized model. */
void add_model_losses(Table *table);

/* Sets these, and near_floor; returns delta-NLL.  Where the corpus is a task, the table gets the columns of
 * accuracies too, and the standard errors are over items. */
Mean set_model_losses(Table *table, int64_t row, const Losses *losses);

/* Lines of the summary about the accuracies in a table, a row called by its text `name`, and of the clean model; none where the run's text
 * is no task. */
void run_say_accuracies(Run *run, const Table *table, const char *name);

/* Adds the rows of a table to the run's table of that name, with the swept keys as further columns;
 * takes the table. */
void run_emit(Run *run, Table *table);

/* Says so where windows begin with a special token, which is part of what a coefficient means. */
void run_say_first_token(Run *run);

/* And where the windows of its texts are choices that share a question, while errors are taken over windows. */
void run_say_shared_questions(Run *run);

/* One sentence where noise was measured in a precision whose own rounding of the weights is not small beside it, otherwise NULL.  The
 * caller frees. */
char *run_rounding(const Run *run);

/* A line of the summary printed at the end. */
void run_say(Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct {
    const char *name, *summary;
    bool other_text;                /* does it take its coefficients from coefficients.from? */
    bool by_item;                   /* are all its errors over the items of a task?  (run_say_shared_questions) */
    /* Adds what it will measure; *later = passes over the whole model that depend on results. */
    int (*plan)(Plan *plan, int *later, Run *run);
    int (*run)(Run *run);
} Experiment;

/* Every experiment, in the order of --help: X(name) stands for experiment_name. */
#define EXPERIMENT_LIST(X)\
    X(sensitivity)        \
    X(predict)            \
    X(estimators)         \
    X(additivity)         \
    X(quantizers)         \
    X(dynamic)            \
    X(lsaq)               \
    X(tacq)

#define X(name) extern const Experiment experiment_##name;
EXPERIMENT_LIST(X)
#undef X

#endif
