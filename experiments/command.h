/*
 * command.h - one subcommand of the program: its line in --help, its settings, its work
 *
 * Settings are rows of config.def under a shorter name (text.context is --context), so that the
 * command line, the YAML file and the store share one definition.  A new command is one file that
 * defines a Command and one row in COMMAND_LIST.
 */
#ifndef EXPERIMENTS_COMMAND_H
#define EXPERIMENTS_COMMAND_H

#include "core/base/options.h"
#include "core/model/model.h"
#include "core/text/corpus.h"
#include "kernels/kernels.h"

enum { MOST_POSITIONALS = 8, MOST_REPEATS = 64 };

typedef struct {
    const char *command;
    Options *options;               /* the command's own and the global ones */
    int n_positional;
    const char *positional[MOST_POSITIONALS];
    int n_set;                      /* --set a.b=value, in order */
    const char *set[MOST_REPEATS];
} Arguments;

typedef struct {
    const char *name, *arguments, *summary;
    const char *details;            /* further lines of --help; NULL: none */
    char *(*manual)(void);          /* further sections after the options; the caller frees; NULL: none */
    const char *const *settings;    /* names of config.def rows, NULL-terminated; NULL: none */
    const Option *own;              /* settings of this command alone, ended by a row without a name; NULL: none */
    const char *const *required;    /* options that must be given, NULL-terminated; NULL: none */
    int (*check)(const Arguments *arguments);     /* what else is wrong usage; NULL: nothing */
    int least, most;                /* positional arguments */
    bool json;                      /* takes --json */
    int (*run)(const Arguments *arguments);
} Command;

/* Every command, in the order of --help: X(name) stands for command_name. */
#define COMMAND_LIST(X)\
    X(run)             \
    X(alpha)           \
    X(ppl)             \
    X(kl)              \
    X(tasks)           \
    X(info)            \
    X(tokenize)        \
    X(allocate)        \
    X(plan)            \
    X(recipe)          \
    X(quantize)        \
    X(grid)            \
    X(export)          \
    X(compare)         \
    X(plot)            \
    X(bench)

#define X(name) extern const Command command_##name;
COMMAND_LIST(X)
#undef X

/* Fills *out from argv (without the program's name and the command).  ERR_ARGUMENT with one sentence;
 * *help = 1 where --help was asked for. */
int  arguments_parse(Arguments *out, int *help, const Command *command, int argc, char **argv);
void arguments_free(Arguments *arguments);
char *command_help(const Command *command);

/* What every command that reads a model and a text does with the settings of `text_settings`; prefix is
 * "" where options are the command line's and "text." or "calibration." where they are a config's; open_corpus_as: by this protocol. */
extern const char *const text_settings[];
int open_corpus(Corpus *out, const char *path, const Model *model, const Options *options, const char *prefix);
int open_corpus_as(Corpus *out, const char *protocol, const char *path, const Model *model, const Options *options, const char *prefix);

/* The back end that the options choose, ERR_UNSUPPORTED where it is not to be had; sets the threads too.  And the memory to plan
 * with: what is given, or the default; on a device not more than most of what it has free. */
int     chosen_kernels(const Kernels **out, const Options *options);
int64_t chosen_memory(const Options *options, const Kernels *kernels);

/* A progress callback for compare_models; context is the Progress. */
void show_progress(void *context, double inputs);

#endif
