/*
 * tacq.h - what the files of the experiment `tacq` share
 */
#ifndef EXPERIMENTS_TACQ_H
#define EXPERIMENTS_TACQ_H

#include "experiments/estimators/predictor.h"
#include "experiments/experiment.h"

enum { SIDES = 2 };                 /* the run's text, and that of coefficients.from */

/* What forms of the errors tell of a model, by window, nats/token: sums over layers of a^G t^2 and of <G, E>^2 / 2T; the same
 * with all layers in one square; sum of <g, E> / T with g of the text's own labels. */
typedef struct { double *linear, *square, *joint, *first; } Forms;

/* A text, and on it a model. */
typedef struct { char *name; const Corpus *corpus; int n_windows; const int64_t *tokens; double floor_kl, *clean; } Side;
typedef struct { double *kl, *nll, *same_top; Forms forms; } OnSide;

typedef struct {
    const char *kind;               /* "uniform": one choice in all layers; "allocated" */
    char *label;
    int *choice;                    /* [n_layers] */
    double bits, code_bits, t2;     /* means over weights */
    int spends;                     /* of an allocation: the model whose size it has; -1 */
    OnSide on[SIDES];
} MaskModel;

typedef struct {
    Run *run;
    int n_layers, n_choices, n_sides;
    int64_t *weights;               /* [n_layers]                                             */
    bool *plain;                    /* [n_choices] of a method that tacq.allocate names       */
    double *t2, *bits;              /* [n_layers][n_choices], as in uniform models             */
    Side side[SIDES];
    int n_models;                   /* the first n_choices are uniform                        */
    MaskModel *model;
    StageCost allocating;           /* of the forms that allocations go by                    */
} Tacq;

static inline const Choice *tacq_choice(const Tacq *t, int c) { return &t->run->config->choice[c]; }
static inline const Layer *tacq_layer(const Tacq *t, int i) { return model_layer(study_model(t->run->study), t->run->layer[i]); }
static inline int tacq_at(const Tacq *t, int layer, int choice) { return layer * t->n_choices + choice; }

Mean side_mean(const Side *side, const double *by_window);

/* tacq_measure.c: adds a model (takes label) and measures it on all sides; what its layers are. */
MaskModel *add_mask_model(Tacq *t, const char *kind, char *label, const int *choice, int spends);
int  measure_mask_model(Tacq *t, int model);
void mask_map(MapEntry *entry, const Tacq *t, const int *choice);

/* tacq_allocate.c: for each model that is not plain, the best choices of plain ones at its size, by what the calibration text tells of their errors. */
int allocate_sizes(Tacq *t);
double allocation_passes(const Run *run);
int allocation_windows(const Run *run);

/* tacq_forms.c: of all models, on all sides. */
int  forms_measure(Tacq *t);
void forms_plan(Plan *out, const Run *run);

/* The request of errors [first, first + n) of the config's choices; error holds MOST_ERRORS. */
GradientRequest error_request(ErrorForm *error, const Run *run, Probe probe, int draw, int first);

/* tacq_tables.c, tacq_say.c */
void tacq_tables(Tacq *t);
void tacq_say(Tacq *t);

/* What plain models of one choice cost at this size: the lowest log-linear path between two of them, and the model's KL over it. */
typedef struct { double kl; Mean ratio; } PlainPath;
PlainPath plain_path(const Tacq *t, const MaskModel *model, int side);
Mean kl_ratio(const Side *side, const double *kl, const double *other);

#endif
