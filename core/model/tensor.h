/*
 * tensor.h - one named array inside a mapped file, and its exact conversion to float32
 *
 * Row-major, shape[0] = rows = outputs, shape[rank-1] = columns = inputs (GGUF writes its dimensions
 * the other way round; they are turned here).  A quantized row is a whole number of blocks.
 */
#ifndef CORE_MODEL_TENSOR_H
#define CORE_MODEL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    DTYPE_F32, DTYPE_F16, DTYPE_BF16,
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_IQ4_NL,
    DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K,
    DTYPE_COUNT
} Dtype;

typedef struct {
    const char *name;
    Dtype dtype;
    int rank;
    int64_t shape[4];
    const unsigned char *data;          /* borrowed from the mapping */
    size_t n_bytes;
} Tensor;

const char *dtype_name(Dtype dtype);                /* "F32", "Q4_1" ...: ggml's and safetensors' names */
int dtype_block_weights(Dtype dtype);               /* weights in a block: 1, 32 or 256                  */
size_t dtype_block_bytes(Dtype dtype);              /* its bytes, by sizeof of the block                 */

/* out[n] = the n weights that start at data, exactly as ggml's dequantize_row_* defines them.
 * n is a multiple of dtype_block_weights. */
void dtype_to_float(float *out, const unsigned char *data, int64_t n, Dtype dtype);

/* The way back for F32, F16 and BF16: out = n values, each rounded once, half to even.  False where one of them is not finite
 * in this dtype (out is written all the same). */
bool dtype_from_float(unsigned char *out, const float *values, int64_t n, Dtype dtype);

#endif
