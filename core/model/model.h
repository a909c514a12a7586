/*
 * model.h - a language model in a file or directory: its shape and its weights, memory-mapped
 *
 * A model is a Hugging Face directory (config.json + safetensors, perhaps sharded) or a GGUF file; random:NAME stands for random weights
 * in the shape of a known model (random_model.h).
 * Whatever the file's conventions, what is read here is the Hugging Face form: W[out][in], rotary
 * halves split (index i is rotated with i + head_dim/2).  GGUF's adjacent-pair files (architecture
 * "llama") have the rows of q and k put back into this order as they are read.
 *
 * A layer is one of the seven linear matrices of a block (q k v o gate up down), named
 * "blocks.B.TYPE".  Embedding, norms, biases and head are not layers.
 */
#ifndef CORE_MODEL_MODEL_H
#define CORE_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/model/tensor.h"

typedef enum {
    WEIGHT_Q, WEIGHT_K, WEIGHT_V, WEIGHT_O, WEIGHT_GATE, WEIGHT_UP, WEIGHT_DOWN,    /* the layers, in the order of use */
    WEIGHT_Q_BIAS, WEIGHT_K_BIAS, WEIGHT_V_BIAS, WEIGHT_O_BIAS,
    WEIGHT_ATTENTION_NORM, WEIGHT_FEED_FORWARD_NORM, WEIGHT_Q_NORM, WEIGHT_K_NORM,
    WEIGHT_EMBEDDING, WEIGHT_FINAL_NORM, WEIGHT_HEAD,                                /* these have no block: pass 0 */
    WEIGHT_COUNT
} WeightKind;

enum { LAYER_TYPES = WEIGHT_DOWN + 1 };
extern const char *const layer_type_name[LAYER_TYPES];      /* "q" "k" "v" "o" "gate" "up" "down" */

/* d_model etc. in the words of config.json, spelled out. */
typedef struct {
    char architecture[32];          /* "llama", "mistral", "qwen2", "qwen3"                         */
    int n_blocks;
    int width;                      /* d_model, hidden_size                                          */
    int n_heads, n_kv_heads, head_dim;
    int feed_forward;               /* intermediate_size                                             */
    int vocabulary;                 /* rows of the embedding                                         */
    int context;                    /* longest position the model was made for                       */
    float norm_epsilon;
    bool tied;                      /* the head is the embedding                                     */
    double *rotary;                 /* [head_dim/2] radians per position, rope scaling applied; owned by the model */
    int64_t n_parameters;           /* all of them; a tied head counts once                          */
} ModelShape;

typedef struct {
    char name[32];                  /* "blocks.3.down"                     */
    int block;
    WeightKind type;                /* WEIGHT_Q .. WEIGHT_DOWN             */
    int64_t rows, cols;             /* outputs, inputs                     */
} Layer;

typedef struct Model Model;

/* Maps the files and checks everything that can be checked without reading weights: architecture,
 * names, shapes, dtypes, sizes.  Anything that we would compute wrongly is refused by name
 * (ERR_UNSUPPORTED: sliding windows, other activations, unknown rope scaling, extra tensors that
 * change the function ...). */
int  model_open(Model **out, const char *path);
void model_close(Model **model);

const ModelShape *model_shape(const Model *model);
const char *model_path(const Model *model);

int model_layer_count(const Model *model);                      /* n_blocks x LAYER_TYPES, block-major */
const Layer *model_layer(const Model *model, int index);
int model_layer_index(int block, WeightKind type);              /* block * LAYER_TYPES + type          */

/* The tensor behind a weight, or NULL where this model has none (biases, q/k norms, tied head).  For
 * its dtype, shape and size; its bytes keep the file's own order of rows, so values come from model_read. */
const Tensor *model_tensor(const Model *model, WeightKind kind, int block);

/* out = rows [first, first + n) of a weight as float32 (a vector has shape[0] rows of one column).
 * ERR_FORMAT naming the tensor where a value is not finite.  WEIGHT_HEAD of a tied model reads the
 * embedding.  Any number of threads may read at once. */
int model_read(float *out, const Model *model, WeightKind kind, int block, int64_t first, int64_t n);

/* The bits of a weight from row `first` on as the file has them, where they are 16-bit numbers and the rows lie as model_read gives them: bf16,
 * or IEEE half where *bf16 is false.  Borrowed, of any alignment.  NULL where the file has another form. */
const unsigned char *model_half(bool *bf16, const Model *model, WeightKind kind, int block, int64_t first);

/* ERR_FORMAT as model_read, for rows of what model_half gives. */
int model_check(const Model *model, WeightKind kind, int block, int64_t first, int64_t n);

/* SHA-256 over the shape and every tensor's name, dtype and bytes: renaming or moving the file does
 * not change it.  Computed at the first call, which must be one thread's, and kept; 1-2 seconds per GB. */
int model_hash(char out[HASH_TEXT], const Model *model);

#endif
