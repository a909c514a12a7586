/*
 * quantizers.h - what the files of the experiment `quantizers` share
 */
#ifndef EXPERIMENTS_QUANTIZERS_H
#define EXPERIMENTS_QUANTIZERS_H

#include "core/estimate/predict.h"
#include "experiments/estimators/predictor.h"
#include "experiments/experiment.h"

/* One layer alone with one choice; [n_windows] each. */
typedef struct {
    PerturbationError error;
    double kronecker;               /* K of kronecker.h                             */
    const double *square;           /* <G, E>^2 / 2T, mean over probes              */
    double *kl, *kl_mirrored;       /* measured; mirrored: NULL where not asked for */
} Single;

typedef struct {
    Run *run;
    int n_layers, n_windows, n_choices;
    const int64_t *tokens;          /* [n_windows]                                         */
    bool mirrored;                  /* measure every error with the other sign too        */
    Coefficients fisher;            /* a (groups), sigma, rho of all layers under study    */
    double *v;                      /* [n_layers] variance of a between draws (predict.h)  */
    double *clean;                  /* [n_windows] NLL                                     */
    double floor_kl;
    int n_singles, *single;         /* layers looked at one by one: places among run->layer */
    Single *of;                     /* [n_choices][n_singles]                              */
    double *square;                 /* [n_choices][n_singles][n_windows]                   */
    Table *whole, *rivals, *layers, *predictors;
} Quantizers;

Mean mean_of(const Quantizers *q, const double *by_window);
Mean ratio_of(const Quantizers *q, const double *a, const double *b);       /* mean a / mean b, paired by window */

static inline const Choice *quantizers_choice(const Quantizers *q, int c) { return &q->run->config->choice[c]; }
static inline const Layer *quantizers_layer(const Quantizers *q, int i) { return model_layer(study_model(q->run->study), q->run->layer[i]); }
static inline Single *single_of(const Quantizers *q, int c, int s) { return &q->of[c * q->n_singles + s]; }

/* quantizers_whole.c: each choice in all layers; choices of nearly equal size against one another. */
void whole_plan(Plan *out, Quantizers *q);
int  whole_measure(Quantizers *q);

/* quantizers_alone.c: each choice in one layer after the other, and all that its predictions are made from. */
int  alone_init(Quantizers *q);
void alone_free(Quantizers *q);
void alone_plan(Plan *out, Quantizers *q);
int  alone_measure(Quantizers *q);

/* quantizers_predict.c: [n_windows] of one predictor; the tables of layers and of predictors. */
void predict_single(double *out, const Quantizers *q, Predictor predictor, int choice, int single);
void predictors_tables(Quantizers *q);

/* quantizers_say.c: the lines of the summary. */
void quantizers_say(Quantizers *q);

#endif
