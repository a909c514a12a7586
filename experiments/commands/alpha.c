/*
 * alpha.c - the coefficients of all layers, without a config: one command, one screen or one JSON object
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/config/config.h"
#include "experiments/alpha/alpha.h"
#include "experiments/run/run.h"

static const Option own[] = {
    { "estimator", OPTION_ONE_OF, false, "fisher", 0, 0, "fisher|inject|paper", "", "fisher: one backward pass for all layers; inject: noise in one layer at a time; paper: the paper's recipe, in PPL" },
    { "group", OPTION_INTEGER, false, "64", 1, 1e6, NULL, "weights", "size of a scale group along the inputs" },
    { "windows", OPTION_INTEGER, false, NULL, 1, 1e6, NULL, "windows", "use at most N windows (default: all of TEXT; 128 sampled ones, 16 for inject and paper)" },
    { "regret", OPTION_NUMBER, false, "0.002", 0, 1, NULL, "", "fisher: enough when an allocation is expected to lose no more than this share; 0: all windows" },
    { "robust", OPTION_FLAG, false, "no", 0, 0, NULL, "", "fisher: a window counts at most 5 times a layer's median window" },
    { "t2", OPTION_NUMBER, false, "0.01", 1e-12, 10, NULL, "", "inject: relative squared error of the noise" },
    { "draws", OPTION_INTEGER, false, NULL, 1, 4000, NULL, "", "inject: draws of the noise (default 1); paper: sweeps over its levels (default 1)" },
    { "length", OPTION_INTEGER, false, "256", 2, 1e6, NULL, "tokens", "without TEXT: length of each sampled window" },
    { "seed", OPTION_INTEGER, false, "1", 0, 9e15, NULL, "", "seed of probes, noise, sampled text and the draws of protocol gptq" },
    { "out", OPTION_TEXT, false, NULL, 0, 0, NULL, "", "keep what is measured in this .h5 file: the same command goes on where it stopped" },
    { 0 },
};

static const char *const settings[] = { "text.protocol", "text.context", "text.skip", "text.bos", "text.separator", NULL };

/* ---- options ---- */

/* An option that the estimator does not look at would be a surprise. */
static int refuse_ignored(const Options *options, const char *estimator)
{
    static const struct { const char *option, *of; } row[] = { { "regret", "fisher" }, { "robust", "fisher" }, { "t2", "inject" }, { "draws", "inject or paper" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (options_is_given(options, row[i].option) && !strstr(row[i].of, estimator))
            FAIL(ERR_ARGUMENT, "--%s is of --estimator %s; %s does without", row[i].option, row[i].of, estimator);
    return OK;
}

/* The settings of a config that estimators read. */
static int config_of(Options **out, const Options *asked)
{
    static const char *const row[][2] = { { "group", "noise.group" }, { "t2", "noise.t2" }, { "draws", "noise.draws" }, { "draws", "paper.draws" }, { "seed", "seed" },
                                          { "backend", "backend" }, { "precision", "precision" } };
    Options *options = options_new(config_options);
    int status = OK;
    for (size_t i = 0; i < sizeof row / sizeof *row && status == OK; i++)
        if (options_is_set(asked, row[i][0])) status = options_set(options, row[i][1], options_text(asked, row[i][0]), row[i][0]);
    if (status == OK) *out = options;
    else options_free(options);
    return status;
}

static int alpha_init(Alpha *a, const Arguments *arguments)
{
    const Options *asked = arguments->options;
    *a = (Alpha){ .name = options_text(asked, "estimator"), .asked = asked, .robust = options_flag(asked, "robust"), .quiet = options_flag(asked, "quiet") };
    TRY(refuse_ignored(asked, a->name));
    a->is_fisher = !strcmp(a->name, "fisher");
    a->estimator = a->is_fisher ? &estimator_fisher : !strcmp(a->name, "inject") ? &estimator_kl : &estimator_paper;
    a->target = a->is_fisher ? options_number(asked, "regret") : 0;
    TRY(chosen_kernels(&a->kernels, asked));
    a->memory = chosen_memory(asked, a->kernels);
    return config_of(&a->options, asked);
}

/* ---- what is kept ---- */

static int open_store(Alpha *a)
{
    if (!options_is_set(a->asked, "out")) {
        a->store = store_in_memory();
        return OK;
    }
    const char *path = options_text(a->asked, "out");
    TRY(store_open(&a->store, path, false));
    return run_check_backend(a->store, path, options_text(a->asked, "backend"));
}

/* Merges what was measured into the file, whatever came of it; a file that was made for nothing goes again. */
static int close_store(Alpha *a, int status, bool existed)
{
    const char *path = options_is_set(a->asked, "out") ? options_text(a->asked, "out") : NULL;
    char *failure = xstrdup(err_last());
    const bool empty = a->store && store_count(a->store) == 0, made = path && a->store && !existed;
    int closed = store_close(&a->store);
    if (made && empty) unlink(path);
    if (status == ERR_INTERRUPTED && path && !empty) err_set(status, "interrupted; what is measured is kept in %s, run the same command again to go on", path);
    else if (status == ERR_INTERRUPTED) err_set(status, "interrupted%s", path ? " before anything was measured" : "; nothing is kept (--out RUN.h5 keeps what is measured)");
    else if (status != OK) err_set(status, "%s", failure);
    free(failure);
    return status != OK ? status : closed;
}

static int run(const Arguments *arguments)
{
    Alpha a;
    Model *model = NULL;
    int status = alpha_init(&a, arguments);
    const char *text = arguments->n_positional > 1 ? arguments->positional[1] : NULL, *out = options_is_set(a.asked, "out") ? options_text(a.asked, "out") : NULL;
    const bool existed = out && access(out, F_OK) == 0;
    if (status == OK) status = model_open(&model, arguments->positional[0]);
    a.model = model;
    if (status == OK) status = alpha_text_open(&a, text);
    if (status == OK) status = open_store(&a);
    if (status == OK) status = alpha_measure(&a);
    if (status == OK) status = options_flag(a.asked, "json") ? alpha_print_json(&a) : alpha_print_text(&a);
    status = close_store(&a, status, existed);
    alpha_free(&a);
    model_close(&model);
    return status;
}

const Command command_alpha = {
    .name = "alpha", .arguments = "MODEL [TEXT]", .summary = "coefficients of all layers: what relative error in each costs",
    .details = "Without TEXT the model writes its own, each window from an ordinary word.  Estimator fisher adds windows until the\n"
               "coefficients are good enough to allocate bits by.  linearity run does the same from a config, and keeps tables.\n",
    .own = own, .settings = settings, .least = 1, .most = 2, .json = true, .run = run,
};
