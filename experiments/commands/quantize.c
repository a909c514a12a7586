/*
 * quantize.c - a model with its layers quantized and back in floating point, as a Hugging Face directory
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/base/size.h"
#include "core/base/stage.h"
#include "core/measure/evidence.h"
#include "core/model/hugging_face_write.h"
#include "core/store/table.h"
#include "experiments/command.h"
#include "experiments/quantize/method.h"
#include "experiments/run/run.h"

static const Option own[] = {
    { "method",      OPTION_TEXT,    false, NULL,   0, 0,      NULL, "", "the quantizer, one of those below" },
    { "set",         OPTION_TEXT,    true,  NULL,   0, 0,      NULL, "", "a key of the method: --set bits=3" },
    { "out",         OPTION_TEXT,    false, NULL,   0, 0,      NULL, "", "the directory to write: config.json, safetensors and the tokenizer's files; it appears when it is complete" },
    { "force",       OPTION_FLAG,    false, "no",   0, 0,      NULL, "", "write it anew where it holds such files already, and nothing else" },
    { "layers",      OPTION_TEXT,    true,  "*",    0, 0,      NULL, "", "layers to quantize: globs over names such as blocks.3.down; the others stay as they are" },
    { "dtype",       OPTION_ONE_OF,  false, "f32",  0, 0,      "f32|bf16|f16", "", "of all tensors written; f32 holds them exactly, the others add an error of their own (in t^2, where it is a layer's)" },
    { "shard-size",  OPTION_SIZE,    false, "5GiB", 1e3, 1e15, NULL, "bytes", "a larger model is written as several files" },
    { "calibration", OPTION_TEXT,    false, NULL,   0, 0,      NULL, "", "a text, for methods that look at the inputs of the layers or at gradients" },
    { "context",     OPTION_INTEGER, false, "256",  2, 1e7,    NULL, "tokens", "length of a window of that text" },
    { "windows",     OPTION_INTEGER, false, "32",   1, 1e9,    NULL, "windows", "the first N windows of it" },
    { "seed",        OPTION_INTEGER, false, "0",    0, 9e15,   NULL, "", "of what a method draws, and of protocol gptq" },
    { 0 },
};

static const char *const settings[] = { "text.protocol", "text.skip", "text.bos", "text.separator", NULL };

typedef struct { bool chosen; double t2, bits, code_bits, seconds; } LayerResult;

typedef struct {
    const Options *options;
    Method method;
    Model *model;
    const Kernels *kernels;
    Corpus text;                    /* of the calibration */
    EvidenceSource *evidence;       /* NULL where the method does without */
    Calibration *sequential;        /* the inputs of the model quantized so far; NULL: those of the clean one are asked for */
    Dtype dtype;
    LayerResult *layer;             /* [layers of the model] */
    int n_layers;                   /* that are chosen */
    int64_t n_weights;              /* in them */
    float *out;                     /* [weights of the largest one] */
    int64_t n_bytes;                /* written */
    StageCost whole;
    Progress *progress;
} Job;

/* ---- the options ---- */

static int check_calibration(const Options *options, const Method *method)
{
    static const char *const of_text[] = { "protocol", "skip", "bos", "separator", "context", "windows" };
    if (options_is_set(options, "calibration")) return OK;
    const unsigned needs = perturbation_needs(method->perturbation, method->options);
    if (needs)
        FAIL(ERR_ARGUMENT, "--method %s looks at %s: say with --calibration TEXT which text they come from", method->perturbation->name, needs_text(needs));
    for (size_t i = 0; i < sizeof of_text / sizeof *of_text; i++)
        if (options_is_given(options, of_text[i])) FAIL(ERR_ARGUMENT, "--%s is of --calibration TEXT, which is not given", of_text[i]);
    return OK;
}

static int check(const Arguments *a)
{
    Method method;
    TRY(method_read(&method, options_text(a->options, "method"), a->n_set, a->set));
    int status = check_calibration(a->options, &method);
    method_free(&method);
    return status;
}

static Dtype dtype_of(const char *word) { return !strcmp(word, "f32") ? DTYPE_F32 : !strcmp(word, "f16") ? DTYPE_F16 : DTYPE_BF16; }

/* The layers come in the order of the model, so a single block's evidence is kept. */
static int open_calibration(Job *job, const Options *options)
{
    const Perturbation *method = job->method.perturbation;
    if (!options_is_set(options, "calibration")) return OK;
    if (!method->needs) {
        if (!options_flag(options, "quiet")) fprintf(stderr, "%s does not look at inputs: --calibration is not used\n", method->name);
        return OK;
    }
    TRY(open_corpus(&job->text, options_text(options, "calibration"), job->model, options, ""));
    TRY(evidence_open(&job->evidence, job->model, &job->text, job->kernels, &(EvidencePlan){ .expected = perturbation_needs(method, job->method.options) }));
    return method->sequential && method->sequential(job->method.options) ? evidence_sequential(&job->sequential, job->evidence) : OK;
}

/* ---- the layers ---- */

/* Which layers, and whether the method can do each: known before the first is quantized. */
static int choose_layers(Job *job)
{
    const Perturbation *p = job->method.perturbation;
    int *chosen, status = OK;
    int64_t most = 0;
    TRY(run_layers(&chosen, &job->n_layers, job->model, job->options));
    for (int i = 0; i < job->n_layers && status == OK; i++) {
        const Layer *layer = model_layer(job->model, chosen[i]);
        const int64_t n = layer->rows * layer->cols;
        if (p->check && (status = p->check(layer->rows, layer->cols, job->method.options)) != OK) err_context(status, "%s", layer->name);
        job->layer[chosen[i]].chosen = true;
        job->n_weights += n;
        most = n > most ? n : most;
    }
    free(chosen);
    job->out = xmalloc(sizeof *job->out * (size_t)most);
    return status;
}

/* What reading the file will give. */
static void round_as_written(float *w, int64_t n, Dtype dtype)
{
    enum { CHUNK = 4096 };
    unsigned char image[CHUNK * sizeof *w];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t k = n - i < CHUNK ? n - i : CHUNK;
        dtype_from_float(image, w + i, k, dtype);
        dtype_to_float(w + i, image, k, dtype);
    }
}

static int quantize_layer(float *w, const Model *model, int index, void *context)
{
    Job *job = context;
    LayerResult *result = &job->layer[index];
    if (!job->progress) job->progress = progress_begin(job->n_layers, (double)job->n_weights, "layers", options_flag(job->options, "quiet"));
    if (!result->chosen) return OK;
    const Layer *layer = model_layer(model, index);
    const int64_t n = layer->rows * layer->cols;
    const Draw draw = { .seed = (uint64_t)options_integer(job->options, "seed") };
    PerturbationError error;
    double start = clock_seconds();
    const MapEntry entry = { index, job->method.perturbation, job->method.options };
    int status = evidence_apply(job->out, &error, job->evidence, &entry, &(LayerWeights){ w, layer->rows, layer->cols, index }, draw, job->sequential);
    if (status != OK) return err_context(status, "%s", layer->name);
    result->seconds = clock_seconds() - start;
    if (job->dtype != DTYPE_F32) {
        round_as_written(job->out, n, job->dtype);
        perturbation_measure(&error, job->out, w, n);
    }
    result->t2 = error.t2;
    result->bits = error.bits;
    result->code_bits = error.code_bits;
    memcpy(w, job->out, sizeof *w * (size_t)n);
    if (job->sequential) TRY(calibration_replace(job->sequential, index, w));
    progress_step(job->progress, (double)n, layer->name);
    return OK;
}

static int write_model(Job *job)
{
    const HuggingFaceOutput output = {
        .dtype = job->dtype, .file_bytes = options_integer(job->options, "shard-size"), .force = options_flag(job->options, "force"),
        .replace = quantize_layer, .context = job,
    };
    int status = hugging_face_write(&job->n_bytes, options_text(job->options, "out"), job->model, &output);
    progress_end(job->progress);
    return status;
}

/* ---- what is told ---- */

/* Bits per weight, the geometric mean of t^2 over the layers, and the time of all. */
static LayerResult totals(const Job *job)
{
    LayerResult sum = { 0 };
    for (int l = 0; l < model_layer_count(job->model); l++) {
        const LayerResult *r = &job->layer[l];
        const Layer *layer = model_layer(job->model, l);
        if (!r->chosen) continue;
        const double n = (double)(layer->rows * layer->cols);
        sum.bits += n * r->bits;
        sum.code_bits += n * r->code_bits;
        sum.t2 += log(r->t2);
        sum.seconds += r->seconds;
    }
    sum.bits /= (double)job->n_weights;
    sum.code_bits /= (double)job->n_weights;
    sum.t2 = exp(sum.t2 / job->n_layers);
    return sum;
}

/* What came before the first layer could be quantized, and all of it. */
typedef struct { const char *name; StageCost cost; } NamedStage;
enum { STAGES = 4 };

static void stages_of(NamedStage out[STAGES], const Job *job)
{
    const EvidenceCosts costs = job->evidence ? evidence_costs(job->evidence) : (EvidenceCosts){ 0 };
    const NamedStage stage[STAGES] = {
        { "gradients", costs.gradients }, { "models that scores look at", costs.quantized }, { "scores and their largest", costs.scores }, { "in all", job->whole },
    };
    memcpy(out, stage, sizeof stage);
}

static void print_stages(const Job *job)
{
    char size[SIZE_TEXT];
    NamedStage stage[STAGES];
    stages_of(stage, job);
    printf("\n%-28s %8s  %s\n", "stage", "seconds", "largest resident memory");
    for (int s = 0; s < STAGES; s++)
        if (stage[s].cost.seconds > 0) printf("%-28s %8.2f  %s\n", stage[s].name, stage[s].cost.seconds, size_text(size, stage[s].cost.peak));
}

static void print_json_stages(const Job *job)
{
    NamedStage stage[STAGES];
    stages_of(stage, job);
    fputs(",\"stages\":[", stdout);
    for (int s = 0, n = 0; s < STAGES; s++) {
        if (!(stage[s].cost.seconds > 0)) continue;
        printf("%s{\"stage\":\"%s\",\"peak\":%lld,\"seconds\":", n++ ? "," : "", stage[s].name, (long long)stage[s].cost.peak);
        json_number(stdout, stage[s].cost.seconds);
        putchar('}');
    }
    putchar(']');
}

static void print_json(const Job *job)
{
    bool first = true;
    fputs("{\"bits\":", stdout);
    json_number(stdout, totals(job).bits);
    fputs(",\"layers\":[", stdout);
    for (int l = 0; l < model_layer_count(job->model); l++) {
        const LayerResult *r = &job->layer[l];
        if (!r->chosen) continue;
        const struct { const char *name; double value; } pair[] = { { "t2", r->t2 }, { "bits", r->bits }, { "code_bits", r->code_bits }, { "seconds", r->seconds } };
        printf("%s{\"name\":\"%s\"", first ? "" : ",", model_layer(job->model, l)->name);
        for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
            printf(",\"%s\":", pair[i].name);
            json_number(stdout, pair[i].value);
        }
        putchar('}');
        first = false;
    }
    putchar(']');
    print_json_stages(job);
    puts("}");
}

static void print_text(const Job *job)
{
    char size[SIZE_TEXT];
    const LayerResult sum = totals(job);
    printf("%-16s %11s %9s %9s %8s\n", "layer", "t^2", "bits", "code bits", "seconds");
    for (int l = 0; l < model_layer_count(job->model); l++) {
        const LayerResult *r = &job->layer[l];
        if (r->chosen) printf("%-16s %11.5g %9.4f %9.4f %8.3f\n", model_layer(job->model, l)->name, r->t2, r->bits, r->code_bits, r->seconds);
    }
    printf("\n%d layers, %lld weights: %.6g bits per weight, %.6g of them codes; t^2 %.5g (geometric mean of the layers); %.2f seconds\n", job->n_layers,
           (long long)job->n_weights, sum.bits, sum.code_bits, sum.t2, sum.seconds);
    print_stages(job);
    printf("%s: %s of %s\n", options_text(job->options, "out"), size_text(size, job->n_bytes), dtype_name(job->dtype));
}

static void say_tokenizer(const Job *job)
{
    struct stat info;
    if (options_flag(job->options, "quiet") || (stat(model_path(job->model), &info) == 0 && S_ISDIR(info.st_mode))) return;
    fprintf(stderr, "%s has no tokenizer, since the model is a GGUF file: those of the original model, tokenizer.json and tokenizer_config.json, fit\n",
            options_text(job->options, "out"));
}

/* ---- the command ---- */

static int quantize(Job *job, const Arguments *a)
{
    const StageBegun whole = stage_begin();
    TRY(method_read(&job->method, options_text(a->options, "method"), a->n_set, a->set));
    TRY(model_open(&job->model, a->positional[0]));
    TRY(chosen_kernels(&job->kernels, a->options));
    job->layer = xcalloc((size_t)model_layer_count(job->model), sizeof *job->layer);
    TRY(choose_layers(job));
    TRY(open_calibration(job, a->options));
    TRY(write_model(job));
    stage_end(&job->whole, &whole);
    say_tokenizer(job);
    (options_flag(a->options, "json") ? print_json : print_text)(job);
    return OK;
}

static int run(const Arguments *a)
{
    Job job = { .options = a->options, .dtype = dtype_of(options_text(a->options, "dtype")) };
    int status = quantize(&job, a);
    calibration_close(&job.sequential);
    evidence_close(&job.evidence);
    corpus_free(&job.text);
    method_free(&job.method);
    model_close(&job.model);
    free(job.layer);
    free(job.out);
    return status;
}

const Command command_quantize = {
    .name = "quantize", .arguments = "MODEL --method M --out DIR", .summary = "the model with its layers quantized, as a Hugging Face directory",
    .details = "Each layer is encoded into the stored form of the method and decoded again; what is written is the decoded model, in\n"
               "floating point, so that any program computes with it.  The table has t^2 and bits per weight of every layer.\n",
    .own = own, .settings = settings, .manual = method_manual, .required = (const char *const[]){ "method", "out", NULL }, .check = check,
    .least = 1, .most = 1, .json = true, .run = run,
};
