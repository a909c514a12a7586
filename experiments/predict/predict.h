/*
 * predict.h - what the files of the experiment `predict` share
 */
#ifndef EXPERIMENTS_PREDICT_H
#define EXPERIMENTS_PREDICT_H

#include "core/estimate/predict.h"
#include "experiments/sensitivity/sensitivity.h"

/* Of one loss, KL or delta-NLL: coefficients by window, by draw, and the variance of one draw. */
typedef struct { double *a, *by_draw, *v; } LossCoefficients;       /* [n_layers][n_windows], [n_layers][n_draws], [n_layers] */

/* Everything the tables are made from. */
typedef struct {
    Run *run;
    Responses responses;
    int n_layers, n_choices, n_draws;
    bool shared;                    /* one draw of the noise for all windows          */
    int64_t *weights;               /* [n_layers]                                     */
    LossCoefficients kl, nll;
    double *alpha, *t2_noise;       /* [n_layers] mean of kl.a; the level it comes from */
    bool *bound;                    /* [n_layers] alpha is an upper bound: the layer never rose above the floor */
    double *t2, *bits, *kappa;      /* [n_layers][n_choices]                          */
    Table *predictions, *allocations;
} Prediction;

static inline int64_t prediction_at(const Prediction *p, int layer, int choice) { return (int64_t)layer * p->n_choices + choice; }
static inline const Choice *choice_of(const Prediction *p, int choice) { return &p->run->config->choice[choice]; }
static inline const Layer *layer_of(const Prediction *p, int i) { return model_layer(study_model(p->run->study), p->run->layer[i]); }
static inline double cost_of(const Prediction *p, int layer, int choice) { return p->alpha[layer] * p->t2[prediction_at(p, layer, choice)]; }

/* predict_coefficients.c: fills kl, nll, alpha, t2_noise, bound, weights. */
void prediction_coefficients(Prediction *p);
WindowCoefficients kl_coefficients(const Prediction *p);
WindowCoefficients nll_coefficients(const Prediction *p);

/* Is the noise scaled as this choice scales its error: by group, and groups of the same size? */
bool noise_stands_for(const Run *run, const Choice *choice);

/* predict_allocate.c: t2, bits and kappa of every choice in layer i. */
int apply_choices(Prediction *p, int i);

/* The best choice[n_layers] within the budget, added to the table of allocations. */
int allocate_budget(Prediction *p, int *choice, double budget);

/* Those of the config; without any, the sizes of the uniform models, so that each has its match, but
 * for the smallest and the largest, which leave nothing to choose.  The caller frees. */
double *all_budgets(const Prediction *p, int *n);

/* predict_tables.c: tables with their columns and no rows; and the one of the choices, which is complete. */
Table *prediction_table(void);
Table *allocation_table(void);
Table *choice_table(const Prediction *p);

/* A whole model: the error of each layer, and whether the noise stood for all of its choices. */
typedef struct { const char *kind, *choice; double budget, bits; const double *t2; bool stands; } WholeModel;

/* Adds the row of a model and what was measured of it. */
void add_prediction(Prediction *p, const WholeModel *model, const Measurement *m);

/* predict_say.c: the lines of the summary. */
void say_noise(const Prediction *p);
void say_predictions(const Prediction *p);

#endif
