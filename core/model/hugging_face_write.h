/*
 * hugging_face_write.h - a model, some layers replaced, as a Hugging Face directory
 *
 * config.json, model.safetensors (or numbered files of it with their index) and what lies beside the weights of a model that
 * is a directory itself (tokenizer, generation settings), in the form that transformers loads.  One weight is in memory at a
 * time, large ones that are no layers in pieces.  The directory appears when it is complete (core/store/whole_folder.h).
 */
#ifndef CORE_MODEL_HUGGING_FACE_WRITE_H
#define CORE_MODEL_HUGGING_FACE_WRITE_H

#include "core/model/model.h"

/* w [rows][cols] is the layer as the model has it, and what it becomes on return.  Layers come in the order of the model. */
typedef int (*ReplaceLayer)(float *w, const Model *model, int layer, void *context);

typedef struct {
    Dtype dtype;                    /* of all tensors: F32, F16 or BF16                                    */
    int64_t file_bytes;             /* of weights in a file, at most, unless it holds a single tensor      */
    bool force;                     /* replace a directory that holds files of such names and nothing else */
    ReplaceLayer replace;           /* NULL: all layers as they are                                        */
    void *context;
} HuggingFaceOutput;

/* *n_bytes = size of the weights.  ERR_FILE (the directory is there and not empty, holds the model, or cannot be written),
 * ERR_UNSUPPORTED (config.json cannot say what this model is), ERR_ARGUMENT (a value does not fit the dtype),
 * ERR_INTERRUPTED, and what replace returns; then nothing is left behind. */
int hugging_face_write(int64_t *n_bytes, const char *directory, const Model *model, const HuggingFaceOutput *output);

#endif
