/*
 * stubs.cu - what is not written yet
 */
#include "kernels/cuda/cuda.cuh"
#define STUB(name, ...) __attribute__((weak)) void name(__VA_ARGS__) { device_fail(#name " is not there yet"); }
STUB(attention_bf16, bf16 *, const bf16 *, int64_t , const bf16 *, const bf16 *, int64_t , const Ragged *, int , int , int )
