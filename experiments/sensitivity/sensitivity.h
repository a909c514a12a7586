/*
 * sensitivity.h - the responses of single layers to noise, and the coefficients fitted to them
 */
#ifndef EXPERIMENTS_SENSITIVITY_H
#define EXPERIMENTS_SENSITIVITY_H

#include "core/estimate/response.h"
#include "experiments/estimators/estimator.h"
#include "experiments/experiment.h"


/* What was measured: coefficients of all layers under study from a backward pass (estimator: fisher), and the responses of
 * layers disturbed one by one: those of check.layers, or all (estimator: inject), in the order of run->layer. */
typedef struct {
    Coefficients fisher;            /* n_layers 0 under estimator: inject */
    int n_layers, n_windows;
    LayerResponse *layer;
    Measurement clean, null_run;
    double floor_kl;                /* KL of the null run [nats/token] */
} Responses;

bool uses_fisher(const Run *run);

/* Adds to the plan what responses_measure will ask for: the backward pass, the null run, then layer by layer. */
int  responses_plan(Plan *plan, Run *run);

/* Measures all that the config asks for, or finds it in the store. */
int  responses_measure(Responses *out, Run *run);
void responses_free(Responses *responses);

/* The experiment's tables; the coefficients are fitted here. */
Table *floor_table(const Responses *responses);
Table *response_table(const Run *run, const Responses *responses);
int coefficient_table(Table **out, const Run *run, const Responses *responses);

/* sensitivity_fisher.c: rows of the table of coefficients, all that windows tell beyond it, and how the layers that were
 * disturbed one by one agree (NULL where there are none). */
int fisher_rows(Table *coefficients, const Run *run, const Coefficients *fisher);
Table *window_table(const Run *run, const Coefficients *fisher);
Table *covariance_table(const Run *run, const Coefficients *fisher);
Table *check_table(const Run *run, const Responses *responses);

/* One more row of the table of coefficients, with what the layer is. */
int64_t add_coefficient_row(Table *t, const Run *run, const Layer *layer, const char *estimator, const char *metric, const char *scale, int levels);

/* The lines of the summary. */
void say_coefficients(Run *run, const Table *coefficients);
void say_fisher(Run *run, const Coefficients *fisher);
void say_checks(Run *run, const Table *checks);

#endif
