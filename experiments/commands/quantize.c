/*
 * quantize.c - a model with its layers quantized and back in floating point, as a Hugging Face directory
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/model/hugging_face_write.h"
#include "experiments/command.h"
#include "experiments/quantize/job.h"
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

/* What the passes over the calibration text take, where the system tells what is free; of a device's memory it tells itself. */
static int check_memory(const QuantizeJob *job, bool sequential)
{
    const ModelShape *shape = model_shape(job->model);
    EvidenceNeeds needs = { 0 };
    FreeMemory host;
    if (free_memory_of_host(&host, "") != OK) return OK;
    evidence_needs_add(&needs, job->method.perturbation, job->method.options);
    const int64_t work = job->kernels->free_memory ? 0 : evidence_bytes(shape, &job->text, job->kernels, needs.kinds, sequential);
    return evidence_check_host(shape, &needs, work, &host);
}

/* The layers come in the order of the model, so a single block's evidence is kept. */
static int open_calibration(QuantizeJob *job, const Options *options)
{
    const Perturbation *method = job->method.perturbation;
    if (!options_is_set(options, "calibration")) return OK;
    if (!method->needs) {
        if (!options_flag(options, "quiet")) fprintf(stderr, "%s does not look at inputs: --calibration is not used\n", method->name);
        return OK;
    }
    TRY(open_corpus(&job->text, options_text(options, "calibration"), job->model, options, ""));
    if (job->text.task) FAIL(ERR_ARGUMENT, "--protocol choices would calibrate on the wrong answers too; answers takes each question with its right one");
    if (job->text.shortened && !options_flag(options, "quiet"))
        fprintf(stderr, "%d of %d windows of the calibration text lost their beginning: they are longer than %d tokens (--context)\n", job->text.shortened,
                job->text.n_windows, job->text.context);
    const bool sequential = method->sequential && method->sequential(job->method.options);
    TRY(check_memory(job, sequential));
    const EvidencePlan plan = { .expected = perturbation_needs(method, job->method.options) };
    TRY(evidence_open(&job->evidence, job->model, &job->text, job->kernels, &plan));
    return sequential ? evidence_sequential(&job->sequential, job->evidence) : OK;
}

/* ---- the layers ---- */

/* Which layers, and whether the method can do each: known before the first is quantized. */
static int choose_layers(QuantizeJob *job)
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
    QuantizeJob *job = context;
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

static int write_model(QuantizeJob *job)
{
    const HuggingFaceOutput output = {
        .dtype = job->dtype, .file_bytes = options_integer(job->options, "shard-size"), .force = options_flag(job->options, "force"),
        .replace = quantize_layer, .context = job,
    };
    int status = hugging_face_write(&job->n_bytes, options_text(job->options, "out"), job->model, &output);
    progress_end(job->progress);
    return status;
}

/* ---- the command ---- */

static void say_tokenizer(const QuantizeJob *job)
{
    struct stat info;
    if (options_flag(job->options, "quiet") || (stat(model_path(job->model), &info) == 0 && S_ISDIR(info.st_mode))) return;
    fprintf(stderr, "%s has no tokenizer, since the model is a GGUF file: those of the original model, tokenizer.json and tokenizer_config.json, fit\n",
            options_text(job->options, "out"));
}

static int quantize(QuantizeJob *job, const Arguments *a)
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
    (options_flag(a->options, "json") ? quantize_print_json : quantize_print_text)(job);
    return OK;
}

static int run(const Arguments *a)
{
    QuantizeJob job = { .options = a->options, .dtype = dtype_of(options_text(a->options, "dtype")) };
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
               "floating point, so that any program computes with it.  A table has t^2 and bits per weight of every layer; another\n"
               "the time and the largest resident memory of what the calibration text is asked for, and of the whole.\n",
    .own = own, .settings = settings, .manual = method_manual, .required = (const char *const[]){ "method", "out", NULL }, .check = check,
    .least = 1, .most = 1, .json = true, .run = run,
};
