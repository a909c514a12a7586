/*
 * stubs.cu - what is not written yet
 */
#include "kernels/cuda/cuda.cuh"
#define STUB(name, ...) __attribute__((weak)) void name(__VA_ARGS__) { device_fail(#name " is not there yet"); }
STUB(rotate_cuda, float *, const float *, const float *, const Ragged *, const int *, int , int )
STUB(swiglu_cuda, float *, const float *, const float *, int64_t )
STUB(swiglu_bf16, bf16 *, const bf16 *, const bf16 *, int64_t )
STUB(swiglu_backward_cuda, float *, float *, const float *, const float *, const float *, int64_t )
STUB(add_cuda, float *, const float *, int64_t )
STUB(to_bf16_cuda, bf16 *, const float *, int64_t )
STUB(norm_rotate_bf16, bf16 *, int64_t , const float *, float , const float *, const float *, const Ragged *, int , int )
STUB(attention_backward_cuda, float *, float *, float *, const float *, const float *, const float *, const float *, const Ragged *, int , int , int )
STUB(log_sum_exp_cuda, double *, int32_t *, double *, const float *, const int32_t *, int64_t , int )
STUB(kl_divergence_cuda, double *, const float *, const double *, const float *, const double *, int64_t , int )
STUB(logit_probe_cuda, float *, const double *, const uint32_t *, const int32_t *, int64_t , int )
STUB(logit_difference_cuda, float *, const double *, const float *, const double *, const int32_t *, int64_t , int )
STUB(gradient_forms_cuda, double *, double *, double *, const float *, const float *, const Ragged *, int , int , const FormInput *)
STUB(noise_cuda, float *, double *, double *, const float *, int64_t , int64_t , int64_t , double , int , uint64_t , uint64_t )
