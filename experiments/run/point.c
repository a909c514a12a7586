/*
 * point.c - one combination of a sweep: its model, its texts and the studies on them
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/size.h"
#include "core/measure/study.h"
#include "core/network/device.h"
#include "core/saliency/mask.h"
#include "experiments/command.h"
#include "experiments/run/run.h"

void point_close(Point *p)
{
    study_close(&p->coefficients);          /* which may use the network of the other one */
    study_close(&p->study);
    evidence_close(&p->evidence);
    corpus_free(&p->corpus);
    corpus_free(&p->others);
    corpus_free(&p->calibration);
    model_close(&p->model);
    keys_free(&p->run.seen);
    free(p->run.layer);
    options_free(p->options);
}

/* The back end that is here, or in a dry run what stands for it on another device. */
static int point_kernels(Point *p, bool dry)
{
    const Options *o = p->options;
    if (!options_is_set(o, "device")) {
        const int status = chosen_kernels(&p->kernels, o);
        if (status == ERR_UNSUPPORTED && dry && !strcmp(options_text(o, "backend"), "cuda"))
            return err_set(status, "%s (a dry run takes --device h100, or another, for a GPU that is not here)", err_last());
        return status;
    }
    if (!dry) FAIL(ERR_ARGUMENT, "%s: 'device' prices a run on a GPU that is not here, so it goes with --dry-run", p->run.config->path);
    p->device = device_sheet(options_text(o, "device"));
    p->kernels = device_stand_in(p->device, options_text(o, "precision"));
    return OK;
}

int point_open(Point *p, const Config *config, const SweepPoint *point, struct Tables *tables, bool quiet, bool dry)
{
    *p = (Point){ .run = { .config = config } };
    TRY(config_options_at(&p->options, config, point));
    TRY(point_kernels(p, dry));
    p->memory = chosen_memory(p->options, p->kernels);
    TRY(model_open(&p->model, options_text(p->options, "model")));
    p->run = (Run){ .config = config, .options = p->options, .point = point, .tables = tables, .quiet = quiet };
    return run_layers(&p->run.layer, &p->run.n_layers, p->model, p->options);
}

static bool any_sequential(const Config *config)
{
    for (int c = 0; c < config->n_choices; c++) {
        const Choice *choice = &config->choice[c];
        if (choice->perturbation->sequential && choice->perturbation->sequential(choice->options)) return true;
    }
    return false;
}

/* What the choices will ask for; where there are none yet that ask, the inputs: a text is given for something. */
static EvidenceNeeds expected_needs(const Config *config)
{
    EvidenceNeeds needs = { 0 };
    for (int c = 0; c < config->n_choices; c++) evidence_needs_add(&needs, config->choice[c].perturbation, config->choice[c].options);
    if (!needs.kinds) needs.kinds = NEEDS_INPUTS;
    return needs;
}

/* Where a device computes, what is kept on the host is not part of the memory that is set: the system is asked, where it tells. */
static int check_host(const Point *p)
{
    FreeMemory host;
    if (!p->kernels->free_memory || p->device || free_memory_of_host(&host, "") != OK) return OK;
    return evidence_check_host(model_shape(p->model), &p->needs, 0, &host);
}

/* Of the memory, what the calibration works with (another one where inputs are to be those of the model quantized so far) and what it
 * keeps: up to a fourth of the rest, or, where the rest is a device's, of what the host may use. */
static int calibration_memory(EvidencePlan *keep, int64_t *left, Point *p)
{
    const int64_t memory = p->memory, all = calibration_evidence_bytes(model_shape(p->model));
    p->needs = expected_needs(p->run.config);
    *left = memory, *keep = (EvidencePlan){ .expected = p->needs.kinds };
    if (!options_is_set(p->options, "calibration.file")) return OK;
    TRY(open_corpus(&p->calibration, options_text(p->options, "calibration.file"), p->model, p->options, "calibration."));
    if (p->calibration.task)
        FAIL(ERR_ARGUMENT, "%s: calibration.protocol: choices would calibrate on the wrong answers too; answers takes each question with its right one", p->run.config->path);
    const bool beside = p->kernels->free_memory != NULL;       /* what is kept is the host's, the rest a device's */
    const int64_t sums = evidence_host_bytes(model_shape(p->model), &p->needs);
    const int64_t work = evidence_bytes(model_shape(p->model), &p->calibration, p->kernels, keep->expected, any_sequential(p->run.config)) + (beside ? 0 : sums);
    char given[SIZE_TEXT], needed[SIZE_TEXT];
    TRY(check_host(p));
    if (work >= memory)
        FAIL(ERR_MEMORY, "memory is set to %s, and the calibration text alone takes %s; raise memory, or use fewer or shorter calibration.windows",
             size_text(given, memory), size_text(needed, work));
    const int64_t room = (beside ? options_integer(p->options, "memory") : memory - work) / 4;
    keep->inputs = all < room ? all : room;
    const int64_t stored = p->run.config->n_choices * mask_weights(p->model);       /* a byte a weight is more than choices take */
    keep->quantized = stored < room ? stored : room;
    *left = memory - work - (beside ? 0 : keep->inputs + keep->quantized);
    p->calibrating = memory - *left;
    return OK;
}

static int plan_failed(const Point *p, int status)
{
    if (status == ERR_MEMORY && p->calibration.n_segments) err_context(status, "beside the calibration text");
    if (status == ERR_MEMORY && p->others.n_windows) err_context(status, "two texts, that of the coefficients and the one that is measured on, share the memory");
    return status;
}

/* Two texts share the memory: on a device, where weights take most of it, with one network for both. */
static int plan_studies(Point *p, int64_t memory)
{
    const ModelShape *shape = model_shape(p->model);
    if (!p->others.n_windows) return plan_failed(p, study_plan(&p->plan, shape, &p->corpus, p->kernels, memory));
    if (p->kernels->free_memory) {
        StudyPlan plan[2];
        TRY(plan_failed(p, study_plan_two(plan, shape, (const Corpus *[]){ &p->corpus, &p->others }, p->kernels, memory)));
        p->plan = plan[0], p->coefficient_plan = plan[1];
        return OK;
    }
    TRY(plan_failed(p, study_plan(&p->plan, shape, &p->corpus, p->kernels, memory / 2)));
    return plan_failed(p, study_plan(&p->coefficient_plan, shape, &p->others, p->kernels, memory / 2));
}

/* Studies share it: nothing is collected twice. */
static int open_evidence(Point *p, const EvidencePlan *keep)
{
    if (!p->calibration.n_segments) return OK;
    TRY(evidence_open(&p->evidence, p->model, &p->calibration, p->kernels, keep));
    study_calibrate(p->study, p->evidence);
    if (p->coefficients) study_calibrate(p->coefficients, p->evidence);
    return OK;
}

static int open_studies(Point *p, Store *store)
{
    const uint64_t seed = (uint64_t)options_integer(p->options, "seed");
    TRY(study_open(&p->study, p->model, &p->corpus, p->kernels, &p->plan, seed, store));
    if (!p->others.n_windows) return OK;
    TRY(study_open(&p->coefficients, p->model, &p->others, p->kernels, &p->coefficient_plan, seed, store));
    if (p->kernels->free_memory) study_share(p->coefficients, p->study);
    return OK;
}

/* As far as the shorter one goes. */
static bool same_inputs(const Segment *a, const Segment *b)
{
    const int n = a->length < b->length ? a->length : b->length;
    return !memcmp(a->inputs, b->inputs, sizeof(int32_t) * (size_t)n);
}

/* Losses on windows that the coefficients have seen are no test of them. */
static int check_texts(const Corpus *measured, const Corpus *other)
{
    for (int i = 0; i < other->n_segments; i++)
        for (int j = 0; j < measured->n_segments; j++) {
            if (!same_inputs(&other->segment[i], &measured->segment[j])) continue;
            FAIL(ERR_ARGUMENT, "window %d of the coefficients' text is window %d of the text that is measured on; give another text or seed, or coefficients.from: text", i, j);
        }
    return OK;
}

/* Nor of what was fitted to them; but a text may be calibrated on to see just that. */
static void say_calibrated(Point *p, const Corpus *measured, const char *name)
{
    const Corpus *seen = &p->calibration;
    int windows = 0;
    for (int i = 0, last = -1; i < measured->n_segments; i++)
        for (int j = 0; j < seen->n_segments && measured->segment[i].window != last; j++)
            if (same_inputs(&measured->segment[i], &seen->segment[j])) windows++, last = measured->segment[i].window;
    if (windows)
        run_say(&p->run, "%d of %d windows of %s begin as windows of the calibration text do: what was fitted to these is measured on them.", windows, measured->n_windows, name);
}

static void say_shortened(Point *p, const Corpus *text, const char *name)
{
    if (text->shortened) run_say(&p->run, "%d of %d windows of %s lost their beginning: they are longer than %d tokens.", text->shortened, text->n_windows, name, text->context);
}

static int point_texts(Point *p, const char *folder, bool dry)
{
    const TextSource source = { p->model, p->options, p->kernels, p->memory, folder, p->run.quiet || dry, dry };
    TRY(run_corpus(&p->corpus, &source));
    TRY(run_coefficient_corpus(&p->others, &source));
    return dry ? OK : check_texts(&p->corpus, &p->others);
}

int point_studies(Point *p, Store *store, const char *folder, bool dry)
{
    EvidencePlan keep;
    int64_t left;
    TRY(point_texts(p, folder, dry));
    TRY(calibration_memory(&keep, &left, p));
    TRY(plan_studies(p, left));
    TRY(open_studies(p, store));
    TRY(open_evidence(p, &keep));
    p->run.study = p->study;
    p->run.inputs = p->corpus.n_inputs;
    p->run.coefficients = p->coefficients ? p->coefficients : p->study;
    static const char measured[] = "the text that is measured on", coefficients[] = "the coefficients' text";
    say_calibrated(p, &p->corpus, measured);
    say_calibrated(p, &p->others, coefficients);
    say_shortened(p, &p->corpus, measured);
    say_shortened(p, &p->others, coefficients);
    say_shortened(p, &p->calibration, "the calibration text");
    return OK;
}
