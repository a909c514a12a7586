/*
 * config.h - the YAML file of a run: one table of options (config.def), the list of choices, sweeps
 *
 * Nested mappings are dotted names: {noise: {group: 64}} is noise.group.  Every error is
 * "file:line:column: sentence", names the wrong key and the nearest right one.
 */
#ifndef CORE_CONFIG_CONFIG_H
#define CORE_CONFIG_CONFIG_H

#include "core/base/options.h"
#include "core/perturb/perturbation.h"

/* One way to store a layer: a perturbation with fixed options. */
typedef struct {
    const Perturbation *perturbation;
    Options *options;
    char *name;                     /* short and unique: "rtn-bits3-group64", the options the file gives */
} Choice;

/* One combination of swept keys. */
typedef struct { int n; char **name, **value; } SweepPoint;

typedef struct {
    char *path;
    char *text;                     /* the file as read, for provenance          */
    Options *options;               /* rows of config_options                    */
    int n_choices;
    Choice *choice;                 /* {rtn: {bits: [2, 3], group: 64}} gives two */
    int n_sweep;
    struct SweepAxis { char *name; int n; char **value; } *sweep;
} Config;

extern const Option config_options[];

/* config_options and the keys `choices` and `sweep`: what a file may hold, for --help. */
extern const Option config_keys[];

/* overrides: "a.b=value" strings of --set, applied over the file; one on a swept key ends its sweep.
 * A sweep's values are checked as if they had been set, and replace the key's own value.  What the
 * config alone can tell is checked too: an experiment, a model and exactly one text are there, and no
 * key is given that the chosen form of text would ignore.  *out is untouched on failure. */
int  config_read(Config *out, const char *path, int n_overrides, const char *const *overrides);
void config_free(Config *config);

/* The results file: `output`, or results/NAME.h5 for NAME.yaml.  The caller frees. */
char *config_output(const Config *config);

/* The combinations of the sweep (one empty point where there is none), first axis slowest; returns
 * how many.  And the options at one of them. */
int  config_sweep_points(const Config *config, SweepPoint **out);
int  config_options_at(Options **out, const Config *config, const SweepPoint *point);
void sweep_points_free(SweepPoint *points, int n);

#endif
