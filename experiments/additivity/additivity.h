/*
 * additivity.h - what the files of the experiment `additivity` share
 */
#ifndef EXPERIMENTS_ADDITIVITY_H
#define EXPERIMENTS_ADDITIVITY_H

#include "core/estimate/ladder.h"
#include "core/estimate/predict.h"
#include "experiments/estimators/estimator.h"
#include "experiments/experiment.h"

/* An error in all layers at one size, as it is (+) and mirrored (-): what is put in, and what was measured. */
typedef struct {
    double u;                       /* squared error, in the unit of the ray                  */
    double scale;                   /* of the map's errors, sqrt(u) of its t^2; 1 for levels   */
    MapEntry *entry;                /* [n_layers] owns its options                             */
    char *label;
    double *dot, *t2;               /* [n_layers][n_windows] <G, delta> / T, mean over both signs and all draws; what came out */
    double *kl, *delta;             /* [n_windows] mean over both signs and all draws           */
    double *kl_plus, *delta_plus;   /* [n_windows] of + alone                                   */
} Node;

/* Errors of rising size in one direction: t_l^2 = u x something of each layer. */
typedef struct { int n_nodes, n_draws; Node *node; } Ray;

/* A choice's own error, and noise with the same t^2 in each layer. */
typedef enum { LAW_QUANTIZER, LAW_NOISE, LAWS } Law;
extern const char *const law_name[LAWS];

typedef struct {
    Run *run;
    int n_layers, n_windows, n_choices;
    const int64_t *tokens;          /* [n_windows]                                              */
    double *a;                      /* [n_layers][n_windows] Fisher coefficients, mean of draws */
    double *clean;                  /* [n_windows] NLL                                          */
    double floor_kl;
    double *t2, *bits;              /* [n_choices][n_layers]                                    */
    double *v;                      /* [n_layers] variance of a between draws (predict.h)       */
    Ray ladder;                     /* u = t^2                                                  */
    Ray (*choice)[LAWS];            /* [n_choices] u = 1 is the choice itself                   */
    Table *ladder_table, *whole_table, *halves_table, *slopes_table, *singles_table, *equivalence_table;
} Additivity;

static inline const Layer *additivity_layer(const Additivity *a, int i) { return model_layer(study_model(a->run->study), a->run->layer[i]); }
static inline const Choice *additivity_choice(const Additivity *a, int c) { return &a->run->config->choice[c]; }
static inline const Node *last_node(const Ray *ray) { return &ray->node[ray->n_nodes - 1]; }
static inline bool with_singles(const Additivity *a) { return options_flag(a->run->options, "additivity.singles"); }

/* additivity_choices.c: ERR_ARGUMENT for what cannot be measured; t2 and bits of every choice in every layer; average bits. */
int additivity_check(const Run *run);
int choices_apply(Additivity *a);
double choice_bits(const Additivity *a, int choice);
int middle_choice(const Additivity *a);             /* by bits; -1 where there is none */

/* additivity_rays.c: what is measured, planned and measured. */
int  rays_init(Additivity *a);
void rays_free(Additivity *a);
void rays_plan(Plan *out, Additivity *a);
int  rays_measure(Additivity *a);
int  fisher_measure(Additivity *a);                 /* a, clean, v */

/* additivity_predict.c: three rules for the loss at a node of a ray. */
enum { RULES = 3 };
extern const char *const rule_name[RULES];
typedef struct { double *window; Interval interval; Mean ratio; } RulePrediction;
typedef struct { RulePrediction rule[RULES]; Mean slope_ratio; } NodePrediction;

/* measured: [n_windows] KL that the prediction is for; one_draw: of one error that all windows share. */
int  node_predict(NodePrediction *out, const Additivity *a, const Ray *ray, int node, const double *measured, bool one_draw);
void node_prediction_free(NodePrediction *prediction);

Mean mean_over_windows(const Additivity *a, const double *x);
Mean ratio_over_windows(const Additivity *a, const double *x, const double *y);
bool near_floor(const Additivity *a, double kl);

/* additivity_tables.c: whole models. */
int whole_models(Additivity *a);

/* additivity_parts.c: halves of the layers, and single layers.  kl[n_windows], 0 before: adds the mean over draws. */
void parts_plan(Plan *out, const Additivity *a);
int  halves_measure(Additivity *a);
int  single_measure(double *kl, const Additivity *a, int choice, Law law, int layer);

/* additivity_singles.c: all layers of a choice alone, added to the table of singles; tests of that table. */
typedef struct { double *kl, *sum; } Singles;       /* [n_layers][n_windows]; their sum [n_windows] */
int  singles_measure(Singles *out, Additivity *a, int choice, Law law);
void singles_free(Singles *singles);
void singles_test(Additivity *a);

/* additivity_slopes.c: slopes of each layer at each choice's noise, raw and shrunken. */
void slopes_make(Additivity *a);

/* additivity_say.c */
void additivity_say(Additivity *a);

#endif
