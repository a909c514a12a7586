#include "experiments/quantize/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum { MOST_METHODS = 64 };

static bool is_quantizer(const Perturbation *p) { return p->encode != NULL; }

static int quantizer_names(const char *names[MOST_METHODS])
{
    int n = 0;
    for (int i = 0; perturbations[i] && n < MOST_METHODS; i++)
        if (is_quantizer(perturbations[i])) names[n++] = perturbations[i]->name;
    return n;
}

static const Perturbation *find_row(const char *name)
{
    for (int i = 0; perturbations[i]; i++)
        if (!strcmp(perturbations[i]->name, name)) return perturbations[i];
    return NULL;
}

/* "rtn, nf4"; the caller frees. */
static char *list_names(const char *const *names, int n)
{
    char *text = xstrdup("");
    for (int i = 0; i < n; i++) {
        char *longer = xformat("%s%s%s", text, i ? ", " : "", names[i]);
        free(text);
        text = longer;
    }
    return text;
}

static int refuse_name(const char *name)
{
    const char *names[MOST_METHODS], *nearest;
    const int n = quantizer_names(names);
    char *all = list_names(names, n);
    if (find_row(name)) err_set(ERR_ARGUMENT, "--method %s: noise is not a quantizer; methods are: %s", name, all);
    else if ((nearest = err_nearest(name, names, n)) != NULL) err_set(ERR_ARGUMENT, "--method: unknown method '%.80s'; did you mean '%s'?", name, nearest);
    else err_set(ERR_ARGUMENT, "--method: unknown method '%.80s'; methods are: %s", name, all);
    free(all);
    return ERR_ARGUMENT;
}

static int set_key(Options *options, const char *setting)
{
    const char *equals = strchr(setting, '=');
    if (!equals || equals == setting) FAIL(ERR_ARGUMENT, "--set '%.80s': write it as key=value, for example --set bits=3", setting);
    char *key = xformat("%.*s", (int)(equals - setting), setting);
    int status = options_set(options, key, equals + 1, "--set");
    free(key);
    return status;
}

int method_read(Method *out, const char *name, int n_set, const char *const *set)
{
    const Perturbation *perturbation = find_row(name);
    if (!perturbation || !is_quantizer(perturbation)) return refuse_name(name);
    Method method = { perturbation, options_new(perturbation->options) };
    int status = OK;
    for (int i = 0; i < n_set && status == OK; i++) status = set_key(method.options, set[i]);
    if (status == OK) *out = method;
    else method_free(&method);
    return status;
}

void method_free(Method *method)
{
    options_free(method->options);
    *method = (Method){ 0 };
}

char *method_manual(void)
{
    char *text = xstrdup("Methods (--method), each with its keys (--set key=value):\n");
    for (int i = 0; perturbations[i]; i++) {
        const Perturbation *p = perturbations[i];
        if (!is_quantizer(p)) continue;
        char *keys = options_help(p->options, "      ");
        char *longer = xformat("%s  %-12s %s%s\n%s", text, p->name, p->summary, p->needs ? " (needs --calibration)" : "", keys);
        free(keys);
        free(text);
        text = longer;
    }
    return text;
}
