/*
 * arguments.c - the command line: `linearity COMMAND ARGUMENT.. [--name value]..`
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/config/config.h"
#include "experiments/command.h"

static const char *const global_settings[] = { "backend", "precision", "threads", "memory", NULL };
static const Option json[] = {
    { "json",  OPTION_FLAG, false, "no", 0, 0, NULL, "", "one JSON object on stdout, 17 digits, null for what is undefined" },
    { 0 },
};
static const Option global_own[] = {
    { "quiet", OPTION_FLAG, false, "no", 0, 0, NULL, "", "no progress" },
    { "help",  OPTION_FLAG, false, "no", 0, 0, NULL, "", "this text" },
    { 0 },
};

/* "text.context" -> "context": what stands on the command line. */
static const char *short_name(const char *name)
{
    return strncmp(name, "text.", 5) == 0 ? name + 5 : name;
}

static bool is_there(const Option *table, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(table[i].name, name)) return true;
    return false;
}

/* A command's own row stands in the place of a setting of that name. */
static int add_settings(Option *table, int n, const char *const *names)
{
    for (int i = 0; names && names[i]; i++)
        for (const Option *row = config_options; row->name; row++)
            if (!strcmp(row->name, names[i]) && !is_there(table, n, short_name(row->name))) {
                table[n] = *row;
                table[n++].name = short_name(row->name);
            }
    return n;
}

static int add_own(Option *table, int n, const Option *own)
{
    for (; own && own->name; own++) table[n++] = *own;
    return n;
}

/* The rows of a command, in the order of --help; kept for the life of the program. */
static const Option *command_table(const Command *command)
{
    enum { MOST_ROWS = 64 };
    static Option table[MOST_ROWS];
    int n = add_own(table, 0, command->own);
    n = add_settings(table, n, command->settings);
    n = add_settings(table, n, global_settings);
    if (command->json) n = add_own(table, n, json);
    n = add_own(table, n, global_own);
    table[n] = (Option){ 0 };
    return table;
}

char *command_help(const Command *command)
{
    char *options = options_help(command_table(command), "  --"), *manual = command->manual ? command->manual() : xstrdup("");
    const char *details = command->details ? command->details : "";
    char *text = xformat("usage: linearity %s %s\n\n%s.\n%s%s\n%s%s%s", command->name, command->arguments, command->summary,
                         *details ? "\n" : "", details, options, *manual ? "\n" : "", manual);
    free(manual);
    free(options);
    return text;
}

static const Option *find_row(const Option *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name)) return table;
    return NULL;
}

static int unknown_option(const Command *command, const Option *table, const char *name)
{
    const char *names[64];
    int n = 0;
    for (; table->name; table++) names[n++] = table->name;
    const char *near = err_nearest(name, names, n);
    if (near) FAIL(ERR_ARGUMENT, "%s has no option --%s; did you mean --%s?", command->name, name, near);
    FAIL(ERR_ARGUMENT, "%s has no option --%s; see linearity %s --help", command->name, name, command->name);
}

static int set_value(Arguments *out, const Option *row, const char *value)
{
    if (strcmp(row->name, "set") == 0) {
        if (out->n_set == MOST_REPEATS) FAIL(ERR_ARGUMENT, "more than %d --set", MOST_REPEATS);
        out->set[out->n_set++] = value;
        return OK;
    }
    char *place = xformat("--%s", row->name), *twice = xformat("--%s: '%s' ", row->name, row->name);
    int status = (row->list ? options_append : options_set)(out->options, row->name, value, place);
    if (status != OK && !strncmp(err_last(), twice, strlen(twice))) err_set(status, "%s %s", place, err_last() + strlen(twice));
    free(place);
    free(twice);
    return status;
}

/* Takes one --name, --name=value or --name value; *used = words taken. */
static int parse_option(Arguments *out, int *used, const Command *command, int argc, char **argv)
{
    char name[64];
    const char *word = argv[0] + 2, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    if (length >= sizeof name) FAIL(ERR_ARGUMENT, "%s has no option %.80s; see linearity %s --help", command->name, argv[0], command->name);
    memcpy(name, word, length);
    name[length] = '\0';
    const Option *row = find_row(options_table(out->options), name);
    if (!row) return unknown_option(command, options_table(out->options), name);
    *used = 1;
    const char *value = equals ? equals + 1 : NULL;
    if (!value && row->type == OPTION_FLAG) value = "yes";
    if (!value) {
        if (argc < 2) FAIL(ERR_ARGUMENT, "--%s needs a value: %s", name, row->meaning);
        value = argv[1];
        *used = 2;
    }
    return set_value(out, row, value);
}

static int parse_words(Arguments *out, const Command *command, int argc, char **argv)
{
    for (int i = 0; i < argc;) {
        int used = 1;
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2]) {
            TRY(parse_option(out, &used, command, argc - i, argv + i));
        } else if (argv[i][0] == '-' && argv[i][1]) {
            FAIL(ERR_ARGUMENT, "%s is not an option; options are written --name, see linearity %s --help", argv[i], command->name);
        } else {
            if (out->n_positional == command->most)
                FAIL(ERR_ARGUMENT, "'%s' is one argument too many; usage: linearity %s %s", argv[i], command->name, command->arguments);
            out->positional[out->n_positional++] = argv[i];
        }
        i += used;
    }
    return OK;
}

/* What needs no device to be known. */
static int check_precision(const Options *options)
{
    const char *why, *name = options_text(options, "backend");
    if (options_has(options, "device") && options_is_set(options, "device")) return OK;      /* a GPU that stands in for the back end */
    if (!strcmp(name, "cuda") || kernels_choose(name, options_text(options, "precision"), &why)) return OK;
    FAIL(ERR_ARGUMENT, "--precision: %s", why);
}

static int check_complete(const Arguments *a, const Command *command)
{
    if (a->n_positional < command->least) FAIL(ERR_ARGUMENT, "too few arguments; usage: linearity %s %s", command->name, command->arguments);
    for (const char *const *name = command->required; name && *name; name++)
        if (!options_is_given(a->options, *name))
            FAIL(ERR_ARGUMENT, "--%s is missing: %s", *name, find_row(options_table(a->options), *name)->meaning);
    TRY(check_precision(a->options));
    return command->check ? command->check(a) : OK;
}

int arguments_parse(Arguments *out, int *help, const Command *command, int argc, char **argv)
{
    Arguments a = { .command = command->name, .options = options_new(command_table(command)) };
    int status = parse_words(&a, command, argc, argv);
    *help = status == OK && options_flag(a.options, "help");
    if (status == OK && !*help) status = check_complete(&a, command);
    *out = a;
    if (status != OK) arguments_free(out);
    return status;
}

void arguments_free(Arguments *arguments)
{
    options_free(arguments->options);
    arguments->options = NULL;
}
