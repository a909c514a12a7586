#include "experiments/estimators/predictor.h"

#include <stdlib.h>

#include "core/base/err.h"

const PredictorRow predictor_row[PREDICTORS] = {
    [PREDICTOR_SIGMA] = { "sigma", "a t2, a for one sigma per matrix (the paper's)" },
    [PREDICTOR_GROUP] = { "group", "a^G t2, a^G for error that follows the groups' rms" },
    [PREDICTOR_KRONECKER] = { "kronecker", "a K, K the error's size by the layer's Kronecker factors" },
    [PREDICTOR_SHRINKAGE] = { "shrinkage", "a^G (t2 - kappa^2) + rho kappa^2" },
    [PREDICTOR_SQUARE] = { "square", "E <G, E>^2 / 2T, the Fisher form of the error itself" },
};

void predictor_loss(double *out, Predictor predictor, const Coefficients *coefficients, int place, const ErrorSize *error)
{
    const int64_t at = (int64_t)place * coefficients->n_windows;
    const double *group = coefficients->a + at, *sigma = coefficients->sigma + at, *rho = coefficients->rho + at;
    const double t2 = error->t2, kappa2 = error->kappa * error->kappa;
    for (int w = 0; w < coefficients->n_windows; w++)
        out[w] = predictor == PREDICTOR_SIGMA     ? sigma[w] * t2
               : predictor == PREDICTOR_GROUP     ? group[w] * t2
               : predictor == PREDICTOR_KRONECKER ? sigma[w] * error->kronecker
               : predictor == PREDICTOR_SHRINKAGE ? group[w] * (t2 - kappa2) + rho[w] * kappa2
                                                  : error->square[w];
}

int each_error_pass(const Run *run, const int *place, int n, ErrorPassVisitor visit, void *context)
{
    const Config *config = run->config;
    const int probes = (int)options_integer(run->options, "probes");
    int *layer = xmalloc(sizeof *layer * (size_t)(n + 1)), status = OK;
    for (int i = 0; i < n; i++) layer[i] = run->layer[place[i]];
    for (int first = 0; first < config->n_choices && n && status == OK; first += MOST_ERRORS)
        for (int draw = 0; draw < probes && status == OK; draw++) {
            ErrorForm error[MOST_ERRORS];
            const int errors = config->n_choices - first < MOST_ERRORS ? config->n_choices - first : MOST_ERRORS;
            for (int j = 0; j < errors; j++) {
                const Choice *choice = &config->choice[first + j];
                error[j] = (ErrorForm){ choice->name, choice->perturbation, choice->options, 0 };
            }
            const GradientRequest request = { .probe = PROBE_SIGNS, .draw = draw, .group = (int)options_integer(run->options, "noise.group"), .n_layers = n,
                                              .layer = layer, .n_errors = errors, .error = error, .label = "errors" };
            status = visit(context, &request, first);
        }
    free(layer);
    return status;
}

int add_error_pass(double *square, Run *run, const GradientRequest *request, int first)
{
    const double share = 1.0 / (double)options_integer(run->options, "probes");
    Measurement m;
    TRY(run_gradients(&m, run, request));
    const int64_t n = (int64_t)request->n_layers * m.n_windows;
    for (int j = 0; j < request->n_errors; j++) {
        char *name = xformat("%s.square", request->error[j].name);
        const double *form = measurement_form(&m, name);
        for (int64_t i = 0; i < n; i++) square[(first + j) * n + i] += share * form[i];
        free(name);
    }
    measurement_free(&m);
    return OK;
}
