/*
 * plot.c - the pictures of a run
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/report/plot.h"
#include "core/store/store.h"
#include "experiments/command.h"

static const Option own[] = {
    { "out", OPTION_TEXT, false, NULL, 0, 0, NULL, "", "folder for pictures and tables (default results/NAME for results/NAME.h5)" },
    { 0 },
};

static int run(const Arguments *a)
{
    const char *path = a->positional[0];
    size_t n = strlen(path);
    char *folder = options_is_set(a->options, "out") ? xstrdup(options_text(a->options, "out"))
                 : n > 3 && !strcmp(path + n - 3, ".h5") ? xformat("%.*s", (int)(n - 3), path) : xformat("%s.d", path);
    char *scripts = plot_scripts_dir(), **files = NULL;
    int n_files = 0;
    Store *store = NULL;
    int status = store_open(&store, path, true);
    if (status == OK) status = plot_run(store, scripts, folder, &files, &n_files);
    for (int i = 0; i < n_files; i++) {
        if (status == OK) puts(files[i]);
        free(files[i]);
    }
    free(files);
    char *left_out = status == OK ? plot_left_out(store) : NULL;
    if (left_out) fprintf(stderr, "%s\n", left_out);
    free(left_out);
    store_close(&store);
    free(scripts);
    free(folder);
    return status;
}

const Command command_plot = {
    .name = "plot", .arguments = "RUN.h5 [--out DIR]", .summary = "the pictures of a run, as SVG and PNG (gnuplot)",
    .own = own, .least = 1, .most = 1, .run = run,
};
