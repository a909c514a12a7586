/*
 * run.h - what the files behind `linearity run` share
 */
#ifndef EXPERIMENTS_RUN_H
#define EXPERIMENTS_RUN_H

#include "core/measure/roofline.h"
#include "experiments/experiment.h"

/* One combination of the sweep: its model, text and study. */
typedef struct {
    Model *model;
    Corpus corpus, calibration, others;         /* others: of coefficients.from */
    EvidenceSource *evidence;                   /* of the calibration text; NULL: there is none */
    EvidenceNeeds needs;                        /* what the choices will ask it for */
    Study *study, *coefficients;                /* coefficients NULL: the same text */
    StudyPlan plan, coefficient_plan;
    Options *options;
    const Kernels *kernels;
    int64_t memory, calibrating;                /* to plan with; of it, at most, for what the calibration text tells */
    const DeviceSheet *device;                  /* that kernels stand for; NULL: those that are here */
    Run run;
} Point;

/* Model and layers; then texts and studies (two share the memory).  dry: nothing is sampled.  The caller closes, after a failure too. */
struct Tables;
int  point_open(Point *point, const Config *config, const SweepPoint *sweep_point, struct Tables *tables, bool quiet, bool dry);
int  point_studies(Point *point, Store *store, const char *folder, bool dry);
void point_close(Point *point);

/* All experiments, ended by NULL; by name, or ERR_ARGUMENT with the nearest. */
extern const Experiment *const experiments[];
int experiment_find(const Experiment **out, const char *name);

/* Measurements of all experiments, how many of them the store has; their work in passes of the model,
 * and how much of it is left.  later: models that follow from the results, counted as left; later_windows: windows of
 * backward passes that do.  backward: those that are windows of a backward pass.  evidence: NEEDS_* of what is left; gradients: passes that sums
 * of gradients take, counted as left. */
typedef struct {
    int n, known, later, later_windows, backward;
    unsigned evidence;
    double work, left, gradients;
    double bound, predicted;                    /* seconds of what is left, on the device of the point */
} Price;
int  price_point(Price *price, Point *point);
void price_say(const Point *point, const Price *price);

/* Seconds on the device of the point: of one map, of a backward pass over the whole text, and of passes that follow from results (as `later` and
 * Plan.later_passes have them).  Then what is printed of it. */
Seconds device_map(const Point *point, const Study *study, const LayerMap *map);
Seconds device_gradients(const Point *point, const Study *study, const GradientRequest *request);
Seconds device_later(const Point *point, double passes, double backward_passes);
void    device_say(const Point *point, const Price *price);

/* Sets the accuracies of a model on a task and their changes from the clean one, in columns that it adds where they are not there. */
void set_accuracies(Table *table, int64_t row, const Losses *losses);

typedef struct Tables { int n; Table **table; } Tables;

/* Keeps the tables and their settings; those of other settings go. */
int  tables_store(const Tables *tables, const Config *config, Store *store);
void tables_free(Tables *tables);

/* What a backward pass over a text is known by: the request's key does not name the text.  The caller frees. */
int gradients_pass_key(char **out, Study *study, const GradientRequest *request);

/* True the first time that it is asked about this key; *seen is NULL before the first, and freed by keys_free. */
bool key_is_new(void **seen, const char *key);
void keys_free(void **seen);

/* The text that the options ask for: a file, random ids, or sampled from the model (then kept as
 * FOLDER/sampled-*.ids, so that a resumed run reads it instead of sampling again). */
typedef struct { const Model *model; const Options *options; const Kernels *kernels; int64_t memory; const char *folder; bool quiet, dry; } TextSource;
int run_corpus(Corpus *out, const TextSource *source);

/* The text of coefficients.from; none (n_windows 0) where that is the text that is measured on.  dry: what would have to be
 * sampled is any ids of that size, whose price is the same. */
int run_coefficient_corpus(Corpus *out, const TextSource *source);

/* The layers that the globs of `layers` choose, ascending; ERR_ARGUMENT where a glob matches nothing. */
int run_layers(int **out, int *n, const Model *model, const Options *options);

/* Commit, host, versions ...: what /runs keeps; seconds: wall time so far. */
void run_provenance(Provenance *out, const Config *config, const Options *options, const StudyPlan *plan, double seconds);

/* Another back end rounds otherwise: its measurements are not those that the store would find.  ERR_ARGUMENT where the
 * store at `output` holds such. */
int run_check_backend(const Store *store, const char *output, const char *backend);

#endif
