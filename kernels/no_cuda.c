/*
 * no_cuda.c - what stands in for kernels/cuda in a program that is built without nvcc
 */
#include "kernels/kernels.h"

const Kernels *kernels_cuda(const char *precision, const char **why)
{
    (void)precision;
    *why = "this program was built without CUDA: nvcc was not found";
    return 0;
}
