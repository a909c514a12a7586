#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/model/model_build.h"

int model_check_shape(const ModelShape *shape, const char *place)
{
    if (shape->n_heads % shape->n_kv_heads)
        FAIL(ERR_FORMAT, "%s: %d attention heads cannot share %d key-value heads", place, shape->n_heads, shape->n_kv_heads);
    if (shape->head_dim % 2) FAIL(ERR_FORMAT, "%s: head dimension %d is odd, so it cannot be rotated", place, shape->head_dim);
    if (!(shape->norm_epsilon >= 0 && shape->norm_epsilon < 1))
        FAIL(ERR_FORMAT, "%s: norm epsilon %g is not in [0, 1)", place, (double)shape->norm_epsilon);
    return OK;
}

void weight_plan_expect(WeightPlan *plan, const Architecture *architecture, Presence bias, bool tied)
{
    Presence *presence = plan->presence;
    for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++) presence[kind] = WEIGHT_REQUIRED;
    presence[WEIGHT_O_BIAS] = bias;
    presence[WEIGHT_Q_BIAS] = presence[WEIGHT_K_BIAS] = presence[WEIGHT_V_BIAS] = architecture->qkv_bias ? WEIGHT_REQUIRED : bias;
    if (!architecture->qk_norm) presence[WEIGHT_Q_NORM] = presence[WEIGHT_K_NORM] = WEIGHT_ABSENT;
    if (tied) presence[WEIGHT_HEAD] = WEIGHT_ABSENT;
}

typedef struct { int64_t rows, cols; } Size;        /* cols 0: a vector */

static Size size_of(WeightKind kind, const ModelShape *s)
{
    int64_t q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    switch (kind) {
    case WEIGHT_Q: return (Size){ q, s->width };
    case WEIGHT_K: case WEIGHT_V: return (Size){ kv, s->width };
    case WEIGHT_O: return (Size){ s->width, q };
    case WEIGHT_GATE: case WEIGHT_UP: return (Size){ s->feed_forward, s->width };
    case WEIGHT_DOWN: return (Size){ s->width, s->feed_forward };
    case WEIGHT_Q_BIAS: return (Size){ q, 0 };
    case WEIGHT_K_BIAS: case WEIGHT_V_BIAS: return (Size){ kv, 0 };
    case WEIGHT_Q_NORM: case WEIGHT_K_NORM: return (Size){ s->head_dim, 0 };
    case WEIGHT_EMBEDDING: case WEIGHT_HEAD: return (Size){ s->vocabulary, s->width };
    default: return (Size){ s->width, 0 };          /* o's bias and the norms of the residual stream */
    }
}

static int check_size(const Model *model, const Tensor *tensor, WeightKind kind)
{
    enum { SHOWN = 96 };
    Size size = size_of(kind, &model->shape);
    int rank = size.cols ? 2 : 1;
    if (tensor->rank == rank && tensor->shape[0] == size.rows && (rank == 1 || tensor->shape[1] == size.cols)) {
        if (rank == 1 && dtype_block_weights(tensor->dtype) > 1)
            FAIL(ERR_UNSUPPORTED, "%s: the vector '%s' is quantized (%s)", model->path, tensor->name, dtype_name(tensor->dtype));
        return OK;
    }
    char found[SHOWN] = "", wanted[SHOWN];
    for (int i = 0, used = 0; i < tensor->rank; i++)
        used += snprintf(found + used, (size_t)(SHOWN - used), i ? " x %lld" : "%lld", (long long)tensor->shape[i]);
    snprintf(wanted, SHOWN, rank == 2 ? "%lld x %lld" : "%lld", (long long)size.rows, (long long)size.cols);
    FAIL(ERR_FORMAT, "%s: tensor '%s' is %s, the model's settings need %s", model->path, tensor->name, found, wanted);
}

bool weight_has_block(WeightKind kind) { return kind < WEIGHT_EMBEDDING; }

static int bind_weight(Model *model, const WeightPlan *plan, bool *claimed, WeightKind kind, int block)
{
    char name[128];
    if (weight_has_block(kind)) snprintf(name, sizeof name, "%s%d.%s", plan->block_prefix, block, plan->names[kind]);
    else snprintf(name, sizeof name, "%s", plan->names[kind]);
    const Tensor *tensor = tensor_set_find(plan->tensors, name);
    if (!tensor) {
        if (plan->presence[kind] == WEIGHT_OPTIONAL) return OK;
        FAIL(ERR_FORMAT, "%s: tensor '%s' is missing", model->path, name);
    }
    TRY(check_size(model, tensor, kind));
    claimed[tensor - plan->tensors->tensors] = true;
    model->weights[block * WEIGHT_COUNT + (int)kind] = tensor;
    Size size = size_of(kind, &model->shape);
    model->shape.n_parameters += size.rows * (size.cols ? size.cols : 1);
    return OK;
}

static int bind_all(Model *model, const WeightPlan *plan, bool *claimed)
{
    for (int block = 0; block < model->shape.n_blocks; block++)
        for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++)
            if (plan->presence[kind] != WEIGHT_ABSENT && (block == 0 || weight_has_block(kind)))
                TRY(bind_weight(model, plan, claimed, kind, block));
    for (int i = 0; i < plan->tensors->n; i++)
        if (!claimed[i]) TRY(plan->check_extra(model, &plan->tensors->tensors[i]));
    return OK;
}

static void name_layers(Model *model)
{
    for (int block = 0; block < model->shape.n_blocks; block++)
        for (WeightKind type = WEIGHT_Q; type <= WEIGHT_DOWN; type++) {
            Layer *layer = &model->layers[model_layer_index(block, type)];
            Size size = size_of(type, &model->shape);
            *layer = (Layer){ .block = block, .type = type, .rows = size.rows, .cols = size.cols };
            snprintf(layer->name, sizeof layer->name, "blocks.%d.%s", block, layer_type_name[type]);
        }
}

void model_weight_size(int64_t *rows, int64_t *cols, WeightKind kind, const ModelShape *shape)
{
    Size size = size_of(kind, shape);
    *rows = size.rows;
    *cols = size.cols;
}

void model_lists(Model *model)
{
    size_t n_blocks = (size_t)model->shape.n_blocks;
    model->weights = xcalloc(n_blocks * WEIGHT_COUNT, sizeof *model->weights);
    model->layers = xcalloc(n_blocks * LAYER_TYPES, sizeof *model->layers);
    name_layers(model);
}

int model_bind(Model *model, const WeightPlan *plan)
{
    model_lists(model);
    bool *claimed = xcalloc((size_t)plan->tensors->n, sizeof *claimed);
    int status = bind_all(model, plan, claimed);
    free(claimed);
    return status;
}
