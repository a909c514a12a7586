/*
 * run.c - the main job: a config's experiments, one after another, on one store
 *
 * Re-running finds what is measured already.  Ctrl-C, a full disk or kill -9 lose at most the
 * measurement at work.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/measure/study.h"
#include "experiments/command.h"
#include "experiments/estimators/estimator.h"
#include "experiments/run/run.h"

static const Option own[] = {
    { "set",     OPTION_TEXT, true,  NULL, 0, 0, NULL, "", "override a key of the config: --set noise.t2=0.01,0.03" },
    { "dry-run", OPTION_FLAG, false, "no", 0, 0, NULL, "", "say what would be measured and what it costs, and stop" },
    { 0 },
};

static const char *const settings[] = { "device", NULL };

/* Everything that lives as long as the run. */
typedef struct {
    const Arguments *arguments;
    Config config;
    char *output, *folder;          /* results/NAME.h5, results/NAME */
    Store *store;
    Tables tables;
    int n_summary;
    char **summary;
    int measured, found;            /* measurements run now, and found in the store */
    bool quiet, dry_run;
} Job;

static int dry_run_point(Point *p, Job *s)
{
    TRY(point_studies(p, s->store, s->folder, true));
    Price price = { 0 };
    TRY(price_point(&price, p));
    for (int i = 0; i < p->run.point->n; i++) printf("%s%s = %s%s", i ? ", " : "", p->run.point->name[i], p->run.point->value[i], i + 1 == p->run.point->n ? "\n" : "");
    price_say(p, &price);
    return OK;
}

/* ---- running ---- */

static void keep_line(Job *s, char *line)
{
    s->summary = xrealloc(s->summary, sizeof *s->summary * (size_t)(s->n_summary + 1));
    s->summary[s->n_summary++] = line;
}

/* The lines of this combination, under a line that says which one it is. */
static void keep_summary(Job *s, Run *run)
{
    s->measured += run->measured;
    s->found += run->found;
    for (int i = 0; i < run->point->n; i++) keep_line(s, xformat("[%s = %s]", run->point->name[i], run->point->value[i]));
    for (int i = 0; i < run->n_summary; i++) keep_line(s, run->summary[i]);
    free(run->summary);
}

/* Before the first measurement, so that a killed run has its row too, and again with its wall time. */
static void set_provenance(const Point *p, Job *s, double seconds)
{
    Provenance provenance = { 0 };
    run_provenance(&provenance, &s->config, p->options, &p->plan, seconds);
    store_set_provenance(s->store, &provenance);
    provenance_free(&provenance);
}

static int run_point(Point *p, Job *s)
{
    TRY(run_check_backend(s->store, s->output, options_text(p->options, "backend")));
    TRY(point_studies(p, s->store, s->folder, false));
    double start = clock_seconds();
    set_provenance(p, s, 0);
    Price price = { 0 };
    TRY(price_point(&price, p));
    p->run.progress = progress_begin(price.n, price.work, "measurements", s->quiet);
    int status = OK;
    bool over_windows = false;
    for (int i = 0; i < options_count(p->options, "experiment") && status == OK; i++) {
        const Experiment *e = NULL;
        status = experiment_find(&e, options_text_at(p->options, "experiment", i));
        if (status == OK) status = e->run(&p->run);
        over_windows |= status == OK && !e->by_item;
    }
    if (over_windows) run_say_shared_questions(&p->run);
    progress_end(p->run.progress);
    char *rounding = run_rounding(&p->run);
    if (rounding) run_say(&p->run, "%s", rounding);
    free(rounding);
    set_provenance(p, s, clock_seconds() - start);
    keep_summary(s, &p->run);
    return status;
}

static int each_point(Job *s)
{
    SweepPoint *points;
    int n = config_sweep_points(&s->config, &points), status = OK;
    for (int i = 0; i < n && status == OK; i++) {
        Point p;
        status = point_open(&p, &s->config, &points[i], &s->tables, s->quiet, s->dry_run);
        if (status == OK) status = s->dry_run ? dry_run_point(&p, s) : run_point(&p, s);
        point_close(&p);
    }
    sweep_points_free(points, n);
    return status;
}

/* results/NAME for results/NAME.h5: sampled text and pictures. */
static char *folder_of(const char *output)
{
    size_t n = strlen(output);
    if (n > 3 && !strcmp(output + n - 3, ".h5")) n -= 3;
    char *folder = xformat("%.*s", (int)n, output);
    if (!strcmp(folder, output)) {
        free(folder);
        folder = xformat("%s.d", output);
    }
    return folder;
}

static void print_summary(const Job *s)
{
    putchar('\n');
    for (int i = 0; i < s->n_summary; i++) printf("%s\n", s->summary[i]);
    printf("%d measurements were run, %d were in the store.\n", s->measured, s->found);
    printf("Everything is in %s; pictures: linearity plot %s; tables: linearity export %s\n", s->output, s->output, s->output);
}

/* Closes the store after a failure, whose sentence stays.  A file that this run made and that holds
 * nothing goes again. */
static void close_after_failure(Job *s, int status, bool existed)
{
    bool empty = !existed && store_count(s->store) == 0;
    char *failure = xstrdup(err_last());
    store_close(&s->store);
    if (empty) {
        unlink(s->output);
        rmdir(s->folder);                       /* stays if sampled text is in it */
    }
    if (status != ERR_INTERRUPTED) err_set(status, "%s", failure);
    else if (empty) err_set(status, "interrupted before anything was measured");
    else err_set(status, "interrupted; what is measured is kept in %s, run the same command again to go on", s->output);
    free(failure);
}

static int measure_all(Job *s)
{
    struct stat info;
    if (mkdir(s->folder, 0777) != 0 && (stat(s->folder, &info) != 0 || !S_ISDIR(info.st_mode)))
        FAIL(ERR_FILE, "%s: this folder, for sampled text and pictures, cannot be made", s->folder);
    int status = each_point(s);
    char *failure = xstrdup(err_last());
    int kept = tables_store(&s->tables, &s->config, s->store);      /* what is finished stays, whatever came after it */
    if (status != OK) err_set(status, "%s", failure);
    free(failure);
    return status != OK ? status : kept;
}

static int run_job(Job *s)
{
    bool existed = access(s->output, F_OK) == 0;
    if (!s->dry_run || existed) TRY(store_open(&s->store, s->output, s->dry_run));
    if (s->dry_run) return each_point(s);
    int status = measure_all(s);
    if (status != OK) {
        close_after_failure(s, status, existed);
        return status;
    }
    TRY(store_close(&s->store));
    print_summary(s);
    return OK;
}

/* The numbers of a data sheet measure nothing. */
static int check(const Arguments *a)
{
    if (!options_is_set(a->options, "device") || options_flag(a->options, "dry-run")) return OK;
    FAIL(ERR_ARGUMENT, "--device prices a run on a GPU that is not here, so it goes with --dry-run; --backend cuda runs on the one that is");
}

static int run(const Arguments *a)
{
    Job s = { .arguments = a, .quiet = options_flag(a->options, "quiet"), .dry_run = options_flag(a->options, "dry-run") };
    const char *set[MOST_REPEATS + 8];
    char *extra[8];
    int n = 0, n_extra = 0;
    for (int i = 0; i < a->n_set; i++) set[n++] = a->set[i];
    static const char *const global[] = { "backend", "precision", "threads", "memory", "device" };
    for (int i = 0; i < 5; i++)
        if (options_is_given(a->options, global[i])) set[n++] = extra[n_extra++] = xformat("%s=%s", global[i], options_text(a->options, global[i]));
    int status = config_read(&s.config, a->positional[0], n, set);
    for (int i = 0; i < n_extra; i++) free(extra[i]);
    if (status != OK) return status;
    s.output = config_output(&s.config);
    s.folder = folder_of(s.output);
    status = run_job(&s);
    if (s.store) store_close(&s.store);
    tables_free(&s.tables);
    for (int i = 0; i < s.n_summary; i++) free(s.summary[i]);
    free(s.summary);
    free(s.output);
    free(s.folder);
    config_free(&s.config);
    return status;
}

static void add_line(char **text, int width, const char *name, const char *summary)
{
    char *longer = xformat("%s  %-*s %s\n", *text, width, name, summary);
    free(*text);
    *text = longer;
}

/* The experiments, the estimators and the keys of a config, for --help. */
static char *manual(void)
{
    char *keys = options_help(config_keys, "  "), *text = xstrdup("Experiments (the key experiment, in this order):\n");
    for (int i = 0; experiments[i]; i++) add_line(&text, 12, experiments[i]->name, experiments[i]->summary);
    char *both = xformat("%s\nEstimators (the key estimators, for the experiment of that name):\n", text);
    free(text);
    text = both;
    for (int i = 0; estimators[i]; i++) add_line(&text, 14, estimators[i]->name, estimators[i]->summary);
    both = xformat("%s\nQuantizers (choices: [{rtn: {bits: [3, 4]}}, ..]; linearity quantize --help lists their keys):\n", text);
    free(text);
    text = both;
    for (int i = 0; perturbations[i]; i++)
        if (perturbations[i]->encode) add_line(&text, 12, perturbations[i]->name, perturbations[i]->summary);
    char *all = xformat("%s\nKeys of CONFIG.yaml (a.b is b below a; --set a.b=value overrides it):\n%s", text, keys);
    free(keys);
    free(text);
    return all;
}

const Command command_run = {
    .name = "run", .arguments = "CONFIG.yaml [--set a.b=value].. [--dry-run]", .summary = "the main job; running it again resumes",
    .own = own, .settings = settings, .check = check, .manual = manual, .least = 1, .most = 1, .run = run,
};
