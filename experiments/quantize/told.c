/*
 * told.c - what `quantize` tells of its layers and stages, as text and as JSON
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/size.h"
#include "core/store/table.h"
#include "experiments/quantize/job.h"

/* Bits per weight, the geometric mean of t^2 over the layers, and the time of all. */
static LayerResult totals(const QuantizeJob *job)
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

static void stages_of(NamedStage out[STAGES], const QuantizeJob *job)
{
    const EvidenceCosts costs = job->evidence ? evidence_costs(job->evidence) : (EvidenceCosts){ 0 };
    const NamedStage stage[STAGES] = {
        { "gradients", costs.gradients }, { "quantized for scores", costs.quantized }, { "scores", costs.scores }, { "in all", job->whole },
    };
    memcpy(out, stage, sizeof stage);
}

static void print_stages(const QuantizeJob *job)
{
    char size[SIZE_TEXT];
    NamedStage stage[STAGES];
    stages_of(stage, job);
    printf("\n%-28s %8s  %s\n", "stage", "seconds", "largest resident memory");
    for (int s = 0; s < STAGES; s++)
        if (stage[s].cost.seconds > 0) printf("%-28s %8.2f  %s\n", stage[s].name, stage[s].cost.seconds, size_text(size, stage[s].cost.peak));
}

static void print_json_stages(const QuantizeJob *job)
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

void quantize_print_json(const QuantizeJob *job)
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

void quantize_print_text(const QuantizeJob *job)
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
