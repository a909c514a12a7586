#include "core/config/config.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/config/config_parts.h"
#include "core/config/yaml_file.h"
#include "core/config/yaml_options.h"
#include "kernels/kernels.h"

#define X(...) { __VA_ARGS__ },
const Option config_options[] = {
#include "core/config/config.def"
    { .name = NULL },
};
const Option config_keys[] = {
#include "core/config/config.def"
    { "choices", OPTION_TEXT, true, NULL, 0, 0, NULL, "", "ways to store a layer: [{rtn: {bits: [2, 3], group: 64}}]" },
    { "sweep",   OPTION_TEXT, true, NULL, 0, 0, NULL, "", "keys and the values to try, every combination: {noise.group: [32, 64]}" },
    { .name = NULL },
};
#undef X

enum { N_OPTIONS = sizeof config_options / sizeof *config_options - 1 };

typedef struct {
    Config *config;
    YamlFile *file;
    const yaml_node_t *choices, *sweep;     /* read after the options, which a sweep refers to       */
    const yaml_node_t *key[N_OPTIONS];      /* where the file gives each option; NULL: nowhere       */
    bool overridden[N_OPTIONS];             /* by --set                                              */
} Reader;

static int option_index(const char *name)
{
    int i = 0;
    while (strcmp(config_options[i].name, name)) i++;
    return i;
}

static int read_key(void *context, const char *name, yaml_node_t *key, yaml_node_t *value)
{
    Reader *reader = context;
    const yaml_node_t **part = !strcmp(name, "choices") ? &reader->choices : !strcmp(name, "sweep") ? &reader->sweep : NULL;
    if (part) {
        *part = value;
        return OK;
    }
    const yaml_node_t **first = &reader->key[option_index(name)];
    if (*first)                                     /* nested and dotted: each mapping alone is sound */
        return yaml_file_refuse(reader->file, key, "'%s' is given twice (first in line %zu)", name, (*first)->start_mark.line + 1);
    *first = key;
    return yaml_file_set(reader->config->options, name, reader->file, value);
}

static int apply_override(Reader *reader, const char *override)
{
    const char *equals = strchr(override, '=');
    if (!equals) FAIL(ERR_ARGUMENT, "--set %.80s: must be KEY=VALUE, such as noise.group=64", override);
    char *name = strndup(override, (size_t)(equals - override));
    if (!name) FAIL(ERR_MEMORY, "--set: no memory");
    int status;
    if (!strcmp(name, "choices") || !strcmp(name, "sweep"))
        status = err_set(ERR_ARGUMENT, "--set: '%s' can be given in the file only", name);
    else status = options_set(reader->config->options, name, equals + 1, "--set");
    if (status == OK) {
        reader->overridden[option_index(name)] = true;
        config_unsweep(reader->config, name);
    }
    free(name);
    return status;
}

/* Puts the place where an option was given before the recorded sentence: a line of the file, --set, or
 * the file where the sweep gives it. */
static int at_place_of(const Reader *reader, const char *name)
{
    int i = option_index(name);
    if (reader->overridden[i]) return err_context(ERR_ARGUMENT, "--set");
    if (!reader->key[i]) return err_context(ERR_ARGUMENT, "%s", reader->config->path);
    char *place = yaml_file_place(reader->file, reader->key[i]);
    err_context(ERR_ARGUMENT, "%s", place);
    free(place);
    return ERR_ARGUMENT;
}

static const char *const text_forms[] = { "text.file", "text.sample.windows", "text.random.windows" };
enum { N_FORMS = sizeof text_forms / sizeof *text_forms };

/* Which form a key below text belongs to: text.sample.*, text.random.*, otherwise text.file. */
static const char *form_of(const char *name)
{
    if (!strncmp(name, "text.sample.", 12)) return "text.sample.windows";
    if (!strncmp(name, "text.random.", 12)) return "text.random.windows";
    return "text.file";
}

static int find_text_form(const char **out, const Reader *reader, const Options *options)
{
    const char *form = NULL;
    for (int i = 0; i < N_FORMS; i++) {
        if (!options_is_given(options, text_forms[i])) continue;
        if (form) {
            err_set(ERR_ARGUMENT, "'%s' and '%s' are both given; a run reads one text", form, text_forms[i]);
            return at_place_of(reader, text_forms[i]);
        }
        form = text_forms[i];
    }
    if (!form) FAIL(ERR_ARGUMENT, "%s: no text: give 'text.file', 'text.sample.windows' or 'text.random.windows'", reader->config->path);
    *out = form;
    return OK;
}

static int check_text(const Reader *reader, const Options *options)
{
    const char *form = NULL;
    TRY(find_text_form(&form, reader, options));
    for (const Option *row = config_options; row->name; row++) {
        bool fits = strncmp(row->name, "text.", 5) || !strcmp(form_of(row->name), form);
        if (fits || !options_is_given(options, row->name)) continue;
        err_set(ERR_ARGUMENT, "'%s' goes with '%s', but the text comes from '%s'", row->name, form_of(row->name), form);
        return at_place_of(reader, row->name);
    }
    return OK;
}

static int check_pair(const Reader *reader, const Options *options, const char *name, const char *needed)
{
    if (!options_is_given(options, name) || options_is_set(options, needed)) return OK;
    err_set(ERR_ARGUMENT, "'%s' does nothing without '%s'", name, needed);
    return at_place_of(reader, name);
}

static int check_required(const Reader *reader, const Options *options, const char *name)
{
    if (options_is_set(options, name)) return OK;
    const char *meaning = config_options[option_index(name)].meaning;
    FAIL(ERR_ARGUMENT, "%s: '%s' is missing: %s", reader->config->path, name, meaning);
}

/* What needs no device to be known; other points of a sweep are refused when they are opened. */
static int check_precision(const Reader *reader, const Options *options)
{
    const char *why, *name = options_text(options, "backend");
    if (!strcmp(name, "cuda") || options_is_set(options, "device") || kernels_choose(name, options_text(options, "precision"), &why)) return OK;
    err_set(ERR_ARGUMENT, "%s", why);
    return at_place_of(reader, "precision");
}

/* All points of a sweep give the same keys, so what one of them lacks, all lack. */
static int check_together(const Reader *reader)
{
    SweepPoint *points;
    Options *options = NULL;
    int n = config_sweep_points(reader->config, &points);
    int status = config_options_at(&options, reader->config, &points[0]);
    sweep_points_free(points, n);
    TRY(status);
    status = check_required(reader, options, "experiment");
    if (status == OK) status = check_required(reader, options, "model");
    if (status == OK) status = check_text(reader, options);
    if (status == OK && !strcmp(options_text(options, "estimator"), "inject")) status = check_pair(reader, options, "check.layers", "check.t2");
    if (status == OK) status = check_pair(reader, options, "check.t2", "check.layers");
    if (status == OK) status = check_precision(reader, options);
    options_free(options);
    return status;
}

static int read_parts(Reader *reader, int n_overrides, const char *const *overrides)
{
    TRY(yaml_file_walk(reader->file, yaml_document_get_root_node(&reader->file->document), config_keys, read_key, reader));
    if (reader->choices) TRY(config_read_choices(reader->config, reader->file, reader->choices));
    if (reader->sweep) TRY(config_read_sweep(reader->config, reader->file, reader->sweep));
    for (int i = 0; i < n_overrides; i++) TRY(apply_override(reader, overrides[i]));
    return check_together(reader);
}

int config_read(Config *out, const char *path, int n_overrides, const char *const *overrides)
{
    YamlFile file;
    TRY(yaml_file_open(&file, path));
    Config config = { .path = xstrdup(path), .text = xstrdup(file.text), .options = options_new(config_options) };
    Reader reader = { .config = &config, .file = &file };
    int status = read_parts(&reader, n_overrides, overrides);
    yaml_file_close(&file);
    if (status != OK) config_free(&config);
    else *out = config;
    return status;
}

void config_free(Config *config)
{
    for (int i = 0; i < config->n_choices; i++) {
        options_free(config->choice[i].options);
        free(config->choice[i].name);
    }
    while (config->n_sweep > 0) config_unsweep(config, config->sweep[config->n_sweep - 1].name);
    free(config->choice);
    free(config->sweep);
    free(config->path);
    free(config->text);
    options_free(config->options);
    *config = (Config){ 0 };
}

char *config_output(const Config *config)
{
    if (options_is_set(config->options, "output")) return xstrdup(options_text(config->options, "output"));
    const char *slash = strrchr(config->path, '/'), *name = slash ? slash + 1 : config->path;
    const char *dot = strrchr(name, '.');
    bool yaml = dot && dot > name && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
    return xformat("results/%.*s.h5", yaml ? (int)(dot - name) : (int)strlen(name), name);
}
