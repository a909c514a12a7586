/*
 * predict.h - what the files of the experiment `predict` share
 */
#ifndef EXPERIMENTS_PREDICT_H
#define EXPERIMENTS_PREDICT_H

#include "experiments/sensitivity.h"

/* Everything the tables are made from. */
typedef struct {
    Run *run;
    Responses responses;
    int n_layers, n_choices;
    int64_t *weights;               /* [n_layers]                                    */
    double *a_kl, *a_nll;           /* [n_layers][n_windows]                         */
    double *v_kl, *v_nll;           /* [n_layers] variance of one draw               */
    double *alpha;                  /* [n_layers] mean of a_kl                       */
    double *t2, *bits, *kappa;      /* [n_layers][n_choices]                         */
    Table *predictions, *allocations;
    int inside, compared, better, budgets;
} Prediction;

static inline int64_t prediction_at(const Prediction *p, int layer, int choice) { return (int64_t)layer * p->n_choices + choice; }
static inline const Choice *choice_of(const Prediction *p, int choice) { return &p->run->config->choice[choice]; }
static inline const Layer *layer_of(const Prediction *p, int i) { return model_layer(study_model(p->run->study), p->run->layer[i]); }

/* Tables with their columns and no rows; and the one of the choices, which is complete. */
Table *prediction_table(void);
Table *allocation_table(void);
Table *choice_table(const Prediction *p);

/* A row: the model whose layers have error t2[n_layers], and what was measured of it. */
void add_prediction(Prediction *p, const char *model, const char *choice, double budget, double bits, const double *t2, const Measurement *m);

/* The lines of the summary. */
void say_predictions(Prediction *p);

#endif
