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
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/size.h"
#include "core/measure/study.h"
#include "experiments/command.h"
#include "experiments/run.h"

static const Experiment *const experiments[] = { &experiment_sensitivity, &experiment_predict };
enum { N_EXPERIMENTS = sizeof experiments / sizeof *experiments };

static const Option own[] = {
    { "set",     OPTION_TEXT, true,  NULL, 0, 0, NULL, "", "override a key of the config: --set noise.t2=0.01,0.03" },
    { "dry-run", OPTION_FLAG, false, "no", 0, 0, NULL, "", "say what would be measured and what it costs, and stop" },
    { 0 },
};

static int find_experiment(const Experiment **out, const char *name)
{
    const char *names[N_EXPERIMENTS];
    for (int i = 0; i < N_EXPERIMENTS; i++) {
        names[i] = experiments[i]->name;
        if (strcmp(names[i], name)) continue;
        *out = experiments[i];
        return OK;
    }
    const char *near = err_nearest(name, names, N_EXPERIMENTS);
    if (near) FAIL(ERR_ARGUMENT, "there is no experiment '%s'; did you mean '%s'?", name, near);
    FAIL(ERR_ARGUMENT, "there is no experiment '%s'; there are sensitivity and predict", name);
}

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
} Session;

/* One combination of the sweep: its model, text and study. */
typedef struct { Model *model; Corpus corpus; Study *study; StudyPlan plan; Options *options; const Kernels *kernels; Run run; } Point;

static void point_close(Point *p)
{
    study_close(&p->study);
    corpus_free(&p->corpus);
    model_close(&p->model);
    keys_free(&p->run.seen);
    free(p->run.layer);
    options_free(p->options);
}

static int point_open(Point *p, Session *s, const SweepPoint *point)
{
    *p = (Point){ 0 };
    TRY(config_options_at(&p->options, &s->config, point));
    kernels_set_threads(options_is_set(p->options, "threads") ? (int)options_integer(p->options, "threads") : 0);
    p->kernels = kernels_find(options_text(p->options, "backend"));
    TRY(model_open(&p->model, options_text(p->options, "model")));
    p->run = (Run){ .config = &s->config, .options = p->options, .point = point, .tables = &s->tables, .quiet = s->quiet };
    return run_layers(&p->run.layer, &p->run.n_layers, p->model, p->options);
}

static int point_study(Point *p, Session *s)
{
    TRY(run_corpus(&p->corpus, p->model, p->options, p->kernels, s->folder, s->quiet));
    TRY(study_plan(&p->plan, model_shape(p->model), &p->corpus, options_integer(p->options, "memory")));
    TRY(study_open(&p->study, p->model, &p->corpus, p->kernels, &p->plan, (uint64_t)options_integer(p->options, "seed"), s->store));
    p->run.study = p->study;
    return OK;
}

/* ---- planning: how many measurements, how much work ---- */

typedef struct { int n, known; double work, left; } Price;

/* Two experiments may ask for the same measurement; it is priced once. */
static int price_map(Price *price, void **seen, Point *p, const LayerMap *map)
{
    char key[HASH_TEXT];
    TRY(measure_key(key, NULL, p->study, map));
    if (!key_is_new(seen, key)) return OK;
    double work = measure_cost(p->study, map);
    bool known = measure_known(p->study, map);
    price->n++, price->known += known;
    price->work += work, price->left += known ? 0 : work;
    return OK;
}

static int price_experiment(Price *price, void **seen, Point *p, const char *name)
{
    const Experiment *e = NULL;
    TRY(find_experiment(&e, name));
    Plan plan = { 0 };
    int later = 0, status = e->plan(&plan, &later, &p->run);
    for (int m = 0; m < plan.n && status == OK; m++) status = price_map(price, seen, p, &plan.map[m]);
    price->n += later, price->work += later, price->left += later;
    plan_free(&plan);
    return status;
}

static int price_point(Price *price, Point *p)
{
    void *seen = NULL;
    int status = OK;
    for (int i = 0; i < options_count(p->options, "experiment") && status == OK; i++)
        status = price_experiment(price, &seen, p, options_text_at(p->options, "experiment", i));
    keys_free(&seen);
    return status;
}

/* Seconds of one pass, from a timed product of the shapes at hand: enough for an estimate. */
static double seconds_per_pass(const Point *p)
{
    const ModelShape *s = model_shape(p->model);
    int rows = 256, C = s->width, N = s->feed_forward;
    int64_t zero[2] = { 0, 256 };
    int length[2] = { rows, rows };
    Ragged batch = { 2, length, zero };
    float *x = xcalloc(2 * (size_t)rows * (size_t)C, sizeof *x), *w = xcalloc((size_t)C * (size_t)N, sizeof *w), *out = xcalloc(2 * (size_t)rows * (size_t)N, sizeof *out);
    struct timespec a, b;
    double seconds = 0;
    int repeats = 0;
    for (; seconds < .2; repeats++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        p->kernels->matmul(out, N, x, w, 0, NULL, &batch, C, N);
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds += (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    }
    free(x);
    free(w);
    free(out);
    double rate = 2.0 * 2 * rows * C * N * repeats / seconds;
    const double overhead = 1.35;               /* everything that is not a matrix product, measured on the default model */
    return overhead * network_flops(s, p->corpus.n_inputs, (double)p->corpus.n_inputs / p->corpus.n_segments, 0, p->corpus.n_scored) / rate;
}

static void say_price(const Point *p, const Price *price)
{
    const ModelShape *s = model_shape(p->model);
    double flops = network_flops(s, p->corpus.n_inputs, (double)p->corpus.n_inputs / p->corpus.n_segments, 0, p->corpus.n_scored);
    double seconds = price->left * seconds_per_pass(p);
    printf("measurements   %d, of which %d are in the store\n", price->n, price->known);
    printf("text           %s, %d windows, %lld tokens scored\n", p->corpus.protocol, p->corpus.n_windows, (long long)p->corpus.n_scored);
    printf("work left      %.1f passes of the model, %.3g token-forwards, %.3g FLOP\n", price->left, price->left * (double)p->corpus.n_inputs, price->left * flops);
    char used[SIZE_TEXT], least[SIZE_TEXT];
    printf("memory         %s beside the mapped file (%s, %s, %s); the least is %s\n", size_text(used, p->plan.bytes),
           p->plan.network.resident ? "weights kept as float32" : "weights converted block by block",
           p->plan.keep_logits ? "clean logits kept" : "clean logits computed again",
           p->plan.boundary_stride == 1 ? "every block boundary kept" : p->plan.boundary_stride ? "some block boundaries kept" : "no block boundary kept",
           size_text(least, p->plan.least));
    printf("time           about %.0f min %.0f s with %d threads of this machine (a guess from one matrix product)\n", seconds / 60 - .5 < 0 ? 0 : (double)(int)(seconds / 60), seconds - 60 * (int)(seconds / 60), kernels_threads());
}

static int dry_run_point(Point *p, Session *s)
{
    bool sampled = corpus_to_sample(p->model, p->options, s->folder);
    int windows = sampled ? (int)options_integer(p->options, "text.sample.windows") : 0;
    int length = sampled ? (int)options_integer(p->options, "text.sample.length") : 0;
    if (sampled) {                              /* the price does not depend on the words: any ids will do */
        TRY(corpus_random(&p->corpus, windows, length, model_shape(p->model)->vocabulary, 1));
        strcpy(p->corpus.protocol, "sampled");
    } else {
        TRY(run_corpus(&p->corpus, p->model, p->options, p->kernels, s->folder, true));
    }
    TRY(study_plan(&p->plan, model_shape(p->model), &p->corpus, options_integer(p->options, "memory")));
    TRY(study_open(&p->study, p->model, &p->corpus, p->kernels, &p->plan, (uint64_t)options_integer(p->options, "seed"), s->store));
    p->run.study = p->study;
    Price price = { 0 };
    TRY(price_point(&price, p));
    for (int i = 0; i < p->run.point->n; i++) printf("%s%s = %s%s", i ? ", " : "", p->run.point->name[i], p->run.point->value[i], i + 1 == p->run.point->n ? "\n" : "");
    say_price(p, &price);
    return OK;
}

/* ---- running ---- */

static void keep_summary(Session *s, Run *run)
{
    s->measured += run->measured;
    s->found += run->found;
    for (int i = 0; i < s->n_summary; i++) free(s->summary[i]);
    free(s->summary);
    s->summary = run->summary;                  /* of a sweep, the last combination speaks */
    s->n_summary = run->n_summary;
}

static int run_point(Point *p, Session *s)
{
    TRY(point_study(p, s));
    Provenance provenance = { 0 };
    run_provenance(&provenance, &s->config, p->options, &p->plan);
    store_set_provenance(s->store, &provenance);
    provenance_free(&provenance);
    Price price = { 0 };
    TRY(price_point(&price, p));
    p->run.progress = progress_begin(price.n, price.work, "measurements", s->quiet);
    int status = OK;
    for (int i = 0; i < options_count(p->options, "experiment") && status == OK; i++) {
        const Experiment *e = NULL;
        status = find_experiment(&e, options_text_at(p->options, "experiment", i));
        if (status == OK) status = e->run(&p->run);
    }
    progress_end(p->run.progress);
    keep_summary(s, &p->run);
    return status;
}

static int each_point(Session *s)
{
    SweepPoint *points;
    int n = config_sweep_points(&s->config, &points), status = OK;
    for (int i = 0; i < n && status == OK; i++) {
        Point p;
        status = point_open(&p, s, &points[i]);
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

static void print_summary(const Session *s)
{
    putchar('\n');
    for (int i = 0; i < s->n_summary; i++) printf("%s\n", s->summary[i]);
    printf("%d measurements were run, %d were in the store.\n", s->measured, s->found);
    printf("Everything is in %s; pictures: linearity plot %s; tables: linearity export %s\n", s->output, s->output, s->output);
}

/* Closes the store after a failure, whose sentence stays.  A file that this run made and that holds
 * nothing goes again. */
static void close_after_failure(Session *s, int status, bool existed)
{
    char *failure = status == ERR_INTERRUPTED ? xformat("interrupted; what is measured is kept in %s, run the same command again to go on", s->output)
                                              : xstrdup(err_last());
    bool empty = !existed && store_count(s->store) == 0;
    store_close(&s->store);
    if (empty) {
        unlink(s->output);
        rmdir(s->folder);                       /* stays if sampled text is in it */
    }
    err_set(status, "%s", failure);
    free(failure);
}

static int measure_all(Session *s)
{
    struct stat info;
    if (mkdir(s->folder, 0777) != 0 && (stat(s->folder, &info) != 0 || !S_ISDIR(info.st_mode)))
        FAIL(ERR_FILE, "%s: this folder, for sampled text and pictures, cannot be made", s->folder);
    TRY(each_point(s));
    return tables_store(&s->tables, s->store);
}

static int run_session(Session *s)
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

static int run(const Arguments *a)
{
    Session s = { .arguments = a, .quiet = options_flag(a->options, "quiet"), .dry_run = options_flag(a->options, "dry-run") };
    const char *set[MOST_REPEATS + 8];
    char *extra[8];
    int n = 0, n_extra = 0;
    for (int i = 0; i < a->n_set; i++) set[n++] = a->set[i];
    static const char *const global[] = { "backend", "threads", "memory" };
    for (int i = 0; i < 3; i++)
        if (options_is_given(a->options, global[i])) set[n++] = extra[n_extra++] = xformat("%s=%s", global[i], options_text(a->options, global[i]));
    int status = config_read(&s.config, a->positional[0], n, set);
    for (int i = 0; i < n_extra; i++) free(extra[i]);
    if (status != OK) return status;
    s.output = config_output(&s.config);
    s.folder = folder_of(s.output);
    status = run_session(&s);
    if (s.store) store_close(&s.store);
    tables_free(&s.tables);
    for (int i = 0; i < s.n_summary; i++) free(s.summary[i]);
    free(s.summary);
    free(s.output);
    free(s.folder);
    config_free(&s.config);
    return status;
}

/* The experiments and the keys of a config, for --help. */
static char *manual(void)
{
    char *keys = options_help(config_keys, "  "), *text = xstrdup("Experiments (the key experiment, in this order):\n");
    for (int i = 0; i < N_EXPERIMENTS; i++) {
        char *longer = xformat("%s  %-12s %s\n", text, experiments[i]->name, experiments[i]->summary);
        free(text);
        text = longer;
    }
    char *all = xformat("%s\nKeys of CONFIG.yaml (a.b is b below a; --set a.b=value overrides it):\n%s", text, keys);
    free(keys);
    free(text);
    return all;
}

const Command command_run = {
    .name = "run", .arguments = "CONFIG.yaml [--set a.b=value].. [--dry-run]", .summary = "the main job; running it again resumes",
    .own = own, .manual = manual, .least = 1, .most = 1, .run = run,
};
