#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/config/config_parts.h"
#include "core/config/yaml_options.h"

/* Why a key cannot be swept; NULL where it can. */
static const char *unsweepable(const char *name)
{
    static const struct { const char *name, *reason; } reasons[] = {
        { "output",     "all points of a sweep go to one file" },
        { "experiment", "list the experiments under 'experiment' instead" },
        { "choices",    "list all of them under 'choices' instead" },
        { "sweep",      "a sweep holds no sweeps" },
        { "backend",    "one results file holds one back end" },
        { "threads",    "results do not depend on it" },
        { "memory",     "results do not depend on it" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!strcmp(name, reasons[i].name)) return reasons[i].reason;
    return NULL;
}

static void axis_clear(struct SweepAxis *axis)
{
    for (int i = 0; i < axis->n; i++) free(axis->value[i]);
    free(axis->value);
    free(axis->name);
}

/* The values are kept as the options spell them, so that 64 and 64.0 are one value. */
static int axis_add(struct SweepAxis *axis, const Config *config, YamlFile *file, const yaml_node_t *node)
{
    Options *scratch = options_copy(config->options);
    int status = yaml_file_set(scratch, axis->name, file, node);
    char *text = status == OK ? options_value(scratch, axis->name) : NULL;
    options_free(scratch);
    for (int i = 0; i < axis->n && status == OK; i++)
        if (!strcmp(axis->value[i], text)) status = yaml_file_refuse(file, node, "'%s' is swept over %s twice", axis->name, text);
    if (status != OK) {
        free(text);
        return status;
    }
    axis->value = xrealloc(axis->value, (size_t)(axis->n + 1) * sizeof *axis->value);
    axis->value[axis->n++] = text;
    return OK;
}

static int axis_read(struct SweepAxis *axis, const Config *config, YamlFile *file, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE) return axis_add(axis, config, file, node);
    TRY(yaml_file_check_tag(file, node, axis->name));
    const yaml_node_item_t *start = node->data.sequence.items.start, *end = node->data.sequence.items.top;
    if (start == end) return yaml_file_refuse(file, node, "'%s' is swept over an empty list", axis->name);
    if (end - start > MAX_COMBINATIONS) return yaml_file_refuse(file, node, "more than %d values", MAX_COMBINATIONS);
    for (const yaml_node_item_t *item = start; item < end; item++)
        TRY(axis_add(axis, config, file, yaml_file_node(file, *item)));
    return OK;
}

static int n_points(const Config *config)
{
    int n = 1;
    for (int i = 0; i < config->n_sweep; i++) n *= config->sweep[i].n;
    return n;
}

typedef struct { Config *config; YamlFile *file; } Sweep;

static int read_axis(void *context, const char *name, yaml_node_t *key, yaml_node_t *value)
{
    Config *config = ((Sweep *)context)->config;
    YamlFile *file = ((Sweep *)context)->file;
    const char *reason = unsweepable(name);
    if (reason) return yaml_file_refuse(file, key, "'%s' cannot be swept: %s", name, reason);
    for (int i = 0; i < config->n_sweep; i++)
        if (!strcmp(config->sweep[i].name, name)) return yaml_file_refuse(file, key, "'%s' is swept twice", name);

    struct SweepAxis axis = { .name = xstrdup(name) };
    int status = axis_read(&axis, config, file, value);
    if (status == OK && axis.n > MAX_COMBINATIONS / n_points(config))
        status = yaml_file_refuse(file, value, "the sweep has more than %d points", MAX_COMBINATIONS);
    if (status != OK) {
        axis_clear(&axis);
        return status;
    }
    config->sweep = xrealloc(config->sweep, (size_t)(config->n_sweep + 1) * sizeof *config->sweep);
    config->sweep[config->n_sweep++] = axis;
    return OK;
}

int config_read_sweep(Config *config, YamlFile *file, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE)
        return yaml_file_refuse(file, node, "'sweep' must be a mapping such as {noise.group: [32, 64]}, not %s", yaml_kind(node));
    return yaml_file_walk(file, node, config_keys, read_axis, &(Sweep){ config, file });
}

void config_unsweep(Config *config, const char *name)
{
    for (int i = 0; i < config->n_sweep; i++) {
        if (strcmp(config->sweep[i].name, name)) continue;
        axis_clear(&config->sweep[i]);
        memmove(&config->sweep[i], &config->sweep[i + 1], (size_t)(config->n_sweep - i - 1) * sizeof *config->sweep);
        config->n_sweep--;
        return;
    }
}

static SweepPoint make_point(const Config *config, int index)
{
    size_t n = (size_t)config->n_sweep;
    SweepPoint point = { config->n_sweep, xcalloc(n, sizeof *point.name), xcalloc(n, sizeof *point.value) };
    for (int i = config->n_sweep - 1; i >= 0; i--) {        /* the last axis is the fastest digit of index */
        const struct SweepAxis *axis = &config->sweep[i];
        point.name[i] = xstrdup(axis->name);
        point.value[i] = xstrdup(axis->value[index % axis->n]);
        index /= axis->n;
    }
    return point;
}

int config_sweep_points(const Config *config, SweepPoint **out)
{
    int n = n_points(config);
    SweepPoint *points = xcalloc((size_t)n, sizeof *points);
    for (int i = 0; i < n; i++) points[i] = make_point(config, i);
    *out = points;
    return n;
}

int config_options_at(Options **out, const Config *config, const SweepPoint *point)
{
    Options *options = options_copy(config->options);
    for (int i = 0; i < point->n; i++) {
        int status = options_set(options, point->name[i], point->value[i], "sweep");
        if (status != OK) {
            options_free(options);
            return status;
        }
    }
    *out = options;
    return OK;
}

void sweep_points_free(SweepPoint *points, int n)
{
    if (!points) return;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < points[i].n; k++) {
            free(points[i].name[k]);
            free(points[i].value[k]);
        }
        free(points[i].name);
        free(points[i].value);
    }
    free(points);
}
