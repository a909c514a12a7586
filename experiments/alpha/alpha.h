/*
 * alpha.h - the coefficients of all layers by one estimator, on as much text as their use asks for
 *
 *     loss(t^2 in layer l alone) = alpha_l t^2 + O(t^4)
 *
 * The stop rule: windows of text are taken in rounds (8, 16, 32 ..) until an allocation by the coefficients is expected
 * to lose no more than the target to their errors (contrast.h), or the text or the memory is at its end.
 */
#ifndef EXPERIMENTS_ALPHA_H
#define EXPERIMENTS_ALPHA_H

#include "core/estimate/influence.h"
#include "experiments/command.h"
#include "experiments/estimators/estimator.h"


/* Text that may grow: that of a file is there at once, sampled text is sampled as it is needed. */
typedef struct {
    const char *path;               /* NULL: sampled                                    */
    Corpus corpus;                  /* all windows that are there                       */
    int most;                       /* as many windows as there can be                  */
    int length;                     /* of sampled windows                               */
    int32_t *ids;                   /* [most][length] of sampled ones                   */
    double seconds;                 /* spent on sampling                                */
} AlphaText;

typedef struct {
    const Layer *layer;
    Estimate alpha, sigma;          /* NaN where not estimated                          */
    double rho, rho_se, plain;      /* plain: mean of the windows as they are           */
    double robust, robust_se;       /* with every window capped                         */
    double contrast_se;
    int capped;                     /* windows that the cap changes                     */
    Influence top;                  /* of the windows as they are                       */
} AlphaLayer;

typedef struct {
    const char *name;               /* as on the command line: fisher, inject, paper    */
    const Options *asked;           /* the command line's                               */
    const Estimator *estimator;
    const Model *model;
    const Kernels *kernels;
    int64_t memory;                 /* to plan with                                     */
    Store *store;                   /* keeps what earlier rounds measured               */
    bool is_fisher, robust, quiet;
    double target;                  /* regret to stop at; 0: none                       */
    double start;                   /* of measuring                                     */
    AlphaText text;
    Options *options;               /* config.def's rows as the estimator reads them    */
    /* of the last round */
    Corpus windows;                 /* the first ones of the text                       */
    StudyPlan plan;
    Run run;
    Coefficients c;                 /* with every window capped where robust            */
    double *plain;                  /* [n_layers][n_windows] as measured                */
    double regret;
    bool short_of_memory;           /* the next round would not fit */
    AlphaLayer *layer;              /* [c.n_layers]                                     */
} Alpha;

/* alpha_text.c: at least `windows` windows of the text (or all there can be); the first n of them, which borrow. */
int  alpha_text_open(Alpha *alpha, const char *path);
int  alpha_text_reach(Alpha *alpha, int windows);
Corpus alpha_text_first(const AlphaText *text, int n);
void alpha_text_free(AlphaText *text);

/* alpha_measure.c: round after round, then the numbers of each layer; what several layers add up to (type < 0: all). */
int  alpha_measure(Alpha *alpha);
int  alpha_sum(Estimate *out, const Alpha *alpha, int type);
int64_t *alpha_weights(const Alpha *alpha);             /* [n_layers] of each; the caller frees */
void alpha_free(Alpha *alpha);

/* alpha_say.c, alpha_json.c */
int alpha_print_text(const Alpha *alpha);
int alpha_print_json(const Alpha *alpha);

#endif
