/*
 * gguf_directory.h - the inside of a Gguf: key-value pairs and tensors as they stand in the file
 */
#ifndef CORE_MODEL_GGUF_DIRECTORY_H
#define CORE_MODEL_GGUF_DIRECTORY_H

#include "core/model/file_map.h"
#include "core/model/gguf.h"
#include "core/model/tensor_set.h"

typedef enum {                                  /* the file's own numbers */
    KIND_U8, KIND_I8, KIND_U16, KIND_I16, KIND_U32, KIND_I32, KIND_F32, KIND_BOOL,
    KIND_STRING, KIND_ARRAY, KIND_U64, KIND_I64, KIND_F64, KIND_COUNT
} GgufKind;

size_t gguf_kind_bytes(GgufKind kind);          /* 0: of varying length */

typedef struct {
    GgufString key;
    GgufKind kind, element;                     /* element: of an array */
    int64_t n;                                  /* elements of an array */
    const unsigned char *value;                 /* an array's first element, otherwise the value itself */
    const unsigned char **strings;              /* where each string of an array of strings starts; owned */
} GgufPair;

struct Gguf {
    FileMap map;
    GgufPair *pairs;                            /* sorted by key */
    int n_pairs;
    TensorSet tensors;
};

/* Fills pairs and tensors from the map.  On failure what is there is still safe to gguf_close. */
int gguf_read_directory(Gguf *gguf, const char *path);

const GgufPair *gguf_find_pair(const Gguf *gguf, const char *key);      /* NULL where absent */

#endif
