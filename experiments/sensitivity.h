/*
 * sensitivity.h - the responses of single layers to noise, and the coefficients fitted to them
 */
#ifndef EXPERIMENTS_SENSITIVITY_H
#define EXPERIMENTS_SENSITIVITY_H

#include "core/estimate/response.h"
#include "experiments/experiment.h"

enum { FLOOR_FACTOR = 20 };         /* a KL below so many times the floor is not used: rounding is too much of it */

/* What the noise experiments measured: one response per layer under study, in the order of run->layer. */
typedef struct {
    int n_layers, n_windows;
    LayerResponse *layer;
    Measurement clean, null_run;
    double floor_kl;                /* KL of the null run [nats/token] */
} Responses;

/* Adds to the plan what responses_measure will ask for: the null run, then layer by layer. */
int  responses_plan(Plan *plan, Run *run);

/* Measures all that the config asks for, or finds it in the store. */
int  responses_measure(Responses *out, Run *run);
void responses_free(Responses *responses);

/* The experiment's tables; the coefficients are fitted here. */
Table *floor_table(const Responses *responses);
Table *response_table(const Run *run, const Responses *responses);
int coefficient_table(Table **out, const Run *run, const Responses *responses);

/* The lines of the summary. */
void say_coefficients(Run *run, const Table *coefficients);

#endif
