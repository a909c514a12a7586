/*
 * gguf.h - a mapped GGUF file (version 2 or 3): its key-value pairs and its tensors
 *
 * Everything returned points into the mapping or into the Gguf and lives until gguf_close.
 */
#ifndef CORE_MODEL_GGUF_H
#define CORE_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model/tensor.h"

typedef struct Gguf Gguf;

typedef struct { const char *data; size_t length; } GgufString;    /* not terminated */

/* Maps and checks the whole directory of the file: every offset lies inside it. */
int  gguf_open(Gguf **out, const char *path);
void gguf_close(Gguf **gguf);

/* Key-value pairs.  Each returns false where the key is absent or of another kind; integers of all
 * widths and booleans read as int64_t, floats of both widths (and integers) as double. */
bool gguf_integer(const Gguf *gguf, const char *key, int64_t *out);
bool gguf_number(const Gguf *gguf, const char *key, double *out);
bool gguf_string(const Gguf *gguf, const char *key, GgufString *out);
/* Arrays: the number of elements, or -1; then one element at a time. */
int64_t gguf_array_length(const Gguf *gguf, const char *key);
bool gguf_array_string(const Gguf *gguf, const char *key, int64_t index, GgufString *out);
bool gguf_array_number(const Gguf *gguf, const char *key, int64_t index, double *out);

int gguf_tensor_count(const Gguf *gguf);
const Tensor *gguf_find(const Gguf *gguf, const char *name);       /* NULL where absent */

#endif
