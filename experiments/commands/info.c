/*
 * info.c - what a model file holds: shape, and the layers with dtype and norm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/store/table.h"
#include "experiments/command.h"

static int layer_norm(double *norm, const Model *model, const Layer *layer)
{
    int64_t n = layer->rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n);
    int status = model_read(w, model, layer->type, layer->block, 0, layer->rows);
    double sum = 0;
    for (int64_t i = 0; i < n && status == OK; i++) sum += (double)w[i] * w[i];
    free(w);
    *norm = sqrt(sum);
    return status;
}

static void print_shape(const ModelShape *s, int json)
{
    if (json) {
        printf("{\"architecture\":");
        json_text(stdout, s->architecture);
        printf(",\"parameters\":%lld,\"vocabulary\":%d,\"context\":%d,\"layers\":[", (long long)s->n_parameters, s->vocabulary, s->context);
        return;
    }
    printf("%s, %.1f M parameters, vocabulary %d, context %d\n", s->architecture, (double)s->n_parameters / 1e6, s->vocabulary, s->context);
    printf("%d blocks of width %d, %d heads of %d on %d key-value heads, feed-forward %d, head %s\n\n", s->n_blocks, s->width,
           s->n_heads, s->head_dim, s->n_kv_heads, s->feed_forward, s->tied ? "tied to the embedding" : "of its own");
    printf("%-16s %7s %7s  %-6s %12s\n", "layer", "rows", "cols", "dtype", "||W||_F");
}

static void print_layer(const Model *model, int l, double norm, int json)
{
    const Layer *layer = model_layer(model, l);
    const char *dtype = dtype_name(model_tensor(model, layer->type, layer->block)->dtype);
    if (!json) {
        printf("%-16s %7lld %7lld  %-6s %12.5f\n", layer->name, (long long)layer->rows, (long long)layer->cols, dtype, norm);
        return;
    }
    printf("%s{\"name\":\"%s\",\"block\":%d,\"type\":\"%s\",\"rows\":%lld,\"cols\":%lld,\"dtype\":\"%s\",\"norm\":", l ? "," : "",
           layer->name, layer->block, layer_type_name[layer->type], (long long)layer->rows, (long long)layer->cols, dtype);
    json_number(stdout, norm);
    putchar('}');
}

/* All norms before the first line: a damaged weight must not leave half an answer on stdout. */
static int run(const Arguments *a)
{
    Model *model = NULL;
    TRY(model_open(&model, a->positional[0]));
    int json = options_flag(a->options, "json"), status = OK, n = model_layer_count(model);
    double *norm = xmalloc(sizeof *norm * (size_t)n);
    for (int l = 0; l < n && status == OK; l++) status = layer_norm(&norm[l], model, model_layer(model, l));
    if (status == OK) print_shape(model_shape(model), json);
    for (int l = 0; l < n && status == OK; l++) print_layer(model, l, norm[l], json);
    if (json && status == OK) puts("]}");
    free(norm);
    model_close(&model);
    return status;
}

const Command command_info = {
    .name = "info", .arguments = "MODEL", .summary = "shape and layers of a model file", .least = 1, .most = 1, .json = true, .run = run,
};
