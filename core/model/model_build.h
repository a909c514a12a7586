/*
 * model_build.h - the inside of a Model and what the readers of its two formats share
 *
 * hugging_face.c and gguf_model.c fill shape and files, then say with a WeightPlan which tensor is
 * which weight; model_bind finds them, checks every shape and refuses what nobody claimed.
 */
#ifndef CORE_MODEL_MODEL_BUILD_H
#define CORE_MODEL_MODEL_BUILD_H

#include "core/model/architecture.h"
#include "core/model/gguf.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"

struct Model {
    char *path;
    ModelShape shape;
    bool adjacent_pairs;                /* rows of q and k stand in GGUF's order of rotation      */
    Safetensors files;                  /* one of these two holds the tensors                     */
    Gguf *gguf;
    struct RandomWeights *random;       /* or a model that has no file                            */
    const Tensor **weights;             /* [n_blocks][WEIGHT_COUNT], NULL where there is none     */
    Layer *layers;                      /* [n_blocks * LAYER_TYPES]                               */
    char *hash;                         /* [HASH_TEXT], "" until it is asked for                  */
};

typedef enum { WEIGHT_ABSENT, WEIGHT_OPTIONAL, WEIGHT_REQUIRED } Presence;

typedef struct {
    const TensorSet *tensors;
    const char *block_prefix;                       /* "model.layers." or "blk."                              */
    const char *const *names;                       /* [WEIGHT_COUNT], after the block's number and a dot     */
    Presence presence[WEIGHT_COUNT];
    /* OK where a tensor that is no weight changes nothing; otherwise it records why it is refused. */
    int (*check_extra)(const Model *model, const Tensor *tensor);
} WeightPlan;

/* Fills plan->presence: bias is that of the biases which the architecture leaves to a setting. */
void weight_plan_expect(WeightPlan *plan, const Architecture *architecture, Presence bias, bool tied);

/* The largest dimensions we accept: products of any two stay far inside int64_t. */
enum { LARGEST_DIMENSION = 1 << 24, MOST_BLOCKS = 4096, MOST_HEADS = 1 << 16 };

/* What must hold between the dimensions of a shape; place opens the message. */
int model_check_shape(const ModelShape *shape, const char *place);

int model_bind(Model *model, const WeightPlan *plan);

/* Size of a weight of this kind, cols 0 for a vector; room for a model's lists, with the layers' names. */
void model_weight_size(int64_t *rows, int64_t *cols, WeightKind kind, const ModelShape *shape);
void model_lists(Model *model);
bool weight_has_block(WeightKind kind);

void random_weights_free(struct RandomWeights *random);

/* Each fills an empty Model whose path is set; on failure model_close frees what is there. */
int hugging_face_read(Model *model);
int gguf_model_read(Model *model);

#endif
