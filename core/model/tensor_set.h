/*
 * tensor_set.h - the tensors of a model's file or files, found by name
 *
 * Names are copied; data stay in the mapping.  Fill with tensor_set_add, then tensor_set_finish
 * once; pointers to the tensors are good from then on until tensor_set_free.
 */
#ifndef CORE_MODEL_TENSOR_SET_H
#define CORE_MODEL_TENSOR_SET_H

#include "core/model/tensor.h"

typedef struct {
    Tensor *tensors;                    /* in the order of adding */
    const Tensor **by_name;             /* sorted by name         */
    int n, capacity;
} TensorSet;

/* tensor->name is name[length] copied, whatever it was. */
void tensor_set_add(TensorSet *set, const Tensor *tensor, const char *name, size_t length);

/* ERR_FORMAT where two tensors have one name or share bytes; path opens the message. */
int  tensor_set_finish(TensorSet *set, const char *path);
void tensor_set_free(TensorSet *set);

const Tensor *tensor_set_find(const TensorSet *set, const char *name);      /* NULL where absent */

/* Fills tensor->n_bytes from its dtype and shape.  ERR_FORMAT (the message names neither file nor
 * tensor) where a dimension is negative, the product overflows or a row is no whole number of blocks. */
int tensor_measure(Tensor *tensor);

#endif
