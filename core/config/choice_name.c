#include "core/config/choice_name.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

/* ---- from options to a name ---- */

/* The values of a list option joined with +, so that a name holds no comma. */
static char *value_text(const Options *options, const char *name)
{
    char *text = xstrdup("");
    for (int i = 0; i < options_count(options, name); i++) {
        char *longer = xformat("%s%s%s", text, i ? "+" : "", options_text_at(options, name, i));
        free(text);
        text = longer;
    }
    return text;
}

/* bits3, but clip_mse and t2_0.1. */
static bool reads_together(const Option *row)
{
    bool number = row->type == OPTION_INTEGER || row->type == OPTION_NUMBER || row->type == OPTION_SIZE;
    return number && !isdigit((unsigned char)row->name[strlen(row->name) - 1]);
}

char *choice_name(const Perturbation *perturbation, const Options *options)
{
    char *name = xstrdup(perturbation->name);
    for (const Option *row = perturbation->options; row->name; row++) {
        if (!options_is_given(options, row->name)) continue;
        char *value = value_text(options, row->name);
        char *longer = xformat("%s-%s%s%s", name, row->name, reads_together(row) ? "" : "_", value);
        free(value);
        free(name);
        name = longer;
    }
    return name;
}

/* ---- and back ---- */

static int set_value(Options *options, const Option *row, const char *text, size_t n)
{
    char *value = xformat("%.*s", (int)n, text);
    int status = OK;
    if (!row->list) status = options_set(options, row->name, value, "choice");
    else
        for (char *rest = NULL, *one = strtok_r(value, "+", &rest); one && status == OK; one = strtok_r(NULL, "+", &rest))
            status = options_append(options, row->name, one, "choice");
    free(value);
    return status;
}

/* Behind "-KEY" or "-KEY_", or NULL where text does not go on with this key. */
static const char *value_after_key(const char *text, const Option *row)
{
    const size_t n = strlen(row->name);
    if (*text != '-' || strncmp(text + 1, row->name, n) != 0) return NULL;
    text += 1 + n;
    if (reads_together(row)) return text;
    return *text == '_' ? text + 1 : NULL;
}

/* Sets what text says with the rows from `row` on.  A value may hold a dash itself (1e-06), and one key may begin another (p, percdamp):
 * every way to read it is tried, the shortest value first. */
static bool read_options(Options *options, const Option *row, const char *text)
{
    if (!*text) return true;
    for (; row->name; row++) {
        const char *value = value_after_key(text, row);
        for (const char *end = value; end && *end; ) {
            end += 1 + strcspn(end + 1, "-");
            if (set_value(options, row, value, (size_t)(end - value)) == OK && read_options(options, row + 1, end)) return true;
            options_unset(options, row->name);
        }
    }
    return false;
}

/* The longest one: "gptq-higgs-p2" is no gptq. */
static const Perturbation *method_of(const char *name)
{
    const Perturbation *longest = NULL;
    size_t most = 0;
    for (int i = 0; perturbations[i]; i++) {
        const size_t n = strlen(perturbations[i]->name);
        if (strncmp(name, perturbations[i]->name, n) || (name[n] && name[n] != '-') || n <= most) continue;
        longest = perturbations[i];
        most = n;
    }
    return longest;
}

static int refuse_method(const char *name)
{
    char *method = xformat("%.*s", (int)strcspn(name, "-"), name);
    perturbation_find(method);                          /* says which is near */
    free(method);
    return err_context(ERR_ARGUMENT, "choice '%.80s'", name);
}

int choice_parse(Choice *out, const char *name)
{
    const Perturbation *method = method_of(name);
    if (!method) return refuse_method(name);
    Options *options = options_new(method->options);
    if (!read_options(options, method->options, name + strlen(method->name))) {
        char *keys = options_keys(method->options, "");
        options_free(options);
        err_set(ERR_ARGUMENT, "choice '%.80s': what follows %s is no list of its keys, each with a value it can have; they are %s", name, method->name, keys);
        free(keys);
        return ERR_ARGUMENT;
    }
    *out = (Choice){ method, options, xstrdup(name) };
    return OK;
}

void choice_free(Choice *choice)
{
    options_free(choice->options);
    free(choice->name);
    *choice = (Choice){ 0 };
}
