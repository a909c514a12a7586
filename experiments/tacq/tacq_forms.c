/*
 * tacq_forms.c - what forms of the errors say of every model, from two backward passes over each text
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/tacq/tacq.h"

GradientRequest error_request(ErrorForm *error, const Run *run, Probe probe, int draw, int first)
{
    const Config *config = run->config;
    const int n = config->n_choices - first < MOST_ERRORS ? config->n_choices - first : MOST_ERRORS;
    for (int j = 0; j < n; j++) {
        const Choice *choice = &config->choice[first + j];
        error[j] = (ErrorForm){ choice->name, choice->perturbation, choice->options, 0 };
    }
    return (GradientRequest){ .probe = probe, .draw = draw, .group = (int)options_integer(run->options, "noise.group"), .n_layers = run->n_layers,
                              .layer = run->layer, .n_errors = n, .error = error, .label = probe == PROBE_LABELS ? "errors, labels" : "errors" };
}

void forms_plan(Plan *out, const Run *run)
{
    ErrorForm error[MOST_ERRORS];
    const int probes = (int)options_integer(run->options, "probes");
    for (int first = 0; first < run->config->n_choices; first += MOST_ERRORS)
        for (int draw = 0; draw <= probes; draw++) {
            const GradientRequest request = error_request(error, run, draw < probes ? PROBE_SIGNS : PROBE_LABELS, draw < probes ? draw : 0, first);
            plan_add_gradients(out, &request);
        }
}

/* Of one probe: [n_layers][n_windows], and [n_choices][n_layers][n_windows]. */
typedef struct { double *group, *square, *dot; } Pass;

static void copy_form(double *out, const Measurement *m, const char *choice, const char *form, int64_t n)
{
    char *name = xformat("%s.%s", choice, form);
    memcpy(out, measurement_form(m, name), sizeof *out * (size_t)n);
    free(name);
}

static int measure_pass(Pass *pass, Tacq *t, const Side *side, Probe probe, int draw)
{
    const int64_t n = (int64_t)t->n_layers * side->n_windows;
    for (int first = 0; first < t->n_choices; first += MOST_ERRORS) {
        ErrorForm error[MOST_ERRORS];
        const GradientRequest request = error_request(error, t->run, probe, draw, first);
        Measurement m;
        TRY(run_gradients(&m, t->run, &request));
        memcpy(pass->group, measurement_form(&m, "group"), sizeof *pass->group * (size_t)n);
        for (int j = 0; j < request.n_errors; j++) {
            copy_form(pass->square + (first + j) * n, &m, error[j].name, "square", n);
            copy_form(pass->dot + (first + j) * n, &m, error[j].name, "dot", n);
        }
        measurement_free(&m);
    }
    return OK;
}

/* share: of this probe among all. */
static void add_model(MaskModel *model, const Tacq *t, int s, const Pass *pass, Probe probe, double share)
{
    const Side *side = &t->side[s];
    Forms *forms = &model->on[s].forms;
    for (int w = 0; w < side->n_windows; w++) {
        double linear = 0, square = 0, dot = 0;
        for (int i = 0; i < t->n_layers; i++) {
            const int64_t at = (int64_t)i * side->n_windows + w, of_choice = (int64_t)model->choice[i] * t->n_layers * side->n_windows + at;
            linear += pass->group[at] * t->t2[tacq_at(t, i, model->choice[i])];
            square += pass->square[of_choice];
            dot += pass->dot[of_choice];
        }
        if (probe == PROBE_LABELS) {
            forms->first[w] += dot;
            continue;
        }
        forms->linear[w] += share * linear;
        forms->square[w] += share * square;
        forms->joint[w] += share * dot * dot * (double)side->tokens[w] / 2;
    }
}

static int measure_probe(Tacq *t, int s, Probe probe, int draw, double share)
{
    const size_t n = (size_t)t->n_layers * (size_t)t->side[s].n_windows, all = n * (size_t)t->n_choices;
    Pass pass = { xmalloc(sizeof(double) * n), xmalloc(sizeof(double) * all), xmalloc(sizeof(double) * all) };
    int status = measure_pass(&pass, t, &t->side[s], probe, draw);
    for (int m = 0; m < t->n_models && status == OK; m++) add_model(&t->model[m], t, s, &pass, probe, share);
    free(pass.group), free(pass.square), free(pass.dot);
    return status;
}

static int measure_side(Tacq *t, int s)
{
    const int probes = (int)options_integer(t->run->options, "probes");
    for (int draw = 0; draw < probes; draw++) TRY(measure_probe(t, s, PROBE_SIGNS, draw, 1.0 / probes));
    return measure_probe(t, s, PROBE_LABELS, 0, 1);
}

int forms_measure(Tacq *t)
{
    TRY(measure_side(t, 0));
    if (t->n_sides == 1) return OK;
    run_turn(t->run);
    int status = measure_side(t, 1);
    run_turn(t->run);
    return status;
}
