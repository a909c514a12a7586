/*
 * safetensors_write.h - one .safetensors file, written from front to back
 *
 *     u64 n | JSON header of n bytes, ended by blanks so that data start at a multiple of 8 | tensors, without a gap
 *
 * The header is known before the first weight is, so a file of any size needs no memory.
 */
#ifndef CORE_MODEL_SAFETENSORS_WRITE_H
#define CORE_MODEL_SAFETENSORS_WRITE_H

#include "core/model/tensor.h"

typedef struct SafetensorsFile SafetensorsFile;

/* A new file at path (what is there goes) for these n tensors in this order, of which name, dtype (F32, F16 or BF16), rank,
 * shape and n_bytes count; they are borrowed until the file is closed.  Takes the disk's space at once where the file
 * system can, so that a full disk is known now. */
int safetensors_create(SafetensorsFile **out, const char *path, const Tensor *tensors, int n);

/* The next n values of the tensor that is not full yet; the pieces of a tensor are rows in order, none reaches into the
 * next tensor.  ERR_ARGUMENT, with the tensor's name, where a value is not finite in its dtype. */
int safetensors_put(SafetensorsFile *file, const float *values, int64_t n);

/* After the last value: on the disk when it returns.  Frees, after a failure too. */
int safetensors_finish(SafetensorsFile **file);

/* Closes what will not be finished and leaves it there, for whoever removes the folder.  NULL is fine. */
void safetensors_abandon(SafetensorsFile **file);

#endif
