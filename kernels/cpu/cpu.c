/*
 * cpu.c - the cpu back end: a copy of ref with the overrides of this folder
 */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

void openblas_set_num_threads(int n);

static int threads;

void kernels_set_threads(int n)
{
    threads = n > 0 ? n : omp_get_num_procs();
    omp_set_num_threads(threads);   /* core's own loops, which know no back end */
}

int kernels_threads(void) { return threads ? threads : omp_get_num_procs(); }

const Kernels *kernels_cpu(void)
{
    static Kernels cpu;
    if (cpu.name) return &cpu;
    openblas_set_num_threads(1);    /* one tile, one thread: see matmul.c */
    cpu = kernels_ref;
    cpu.matmul = matmul_cpu;
    cpu.matmul_halves = matmul_halves_cpu;
    cpu.attention = attention_cpu;
    cpu.rms_norm = rms_norm_cpu;
    cpu.rotate = rotate_cpu;
    cpu.swiglu = swiglu_cpu;
    cpu.add = add_cpu;
    cpu.copy = cpu.upload = cpu.download = copy_cpu;
    cpu.log_sum_exp = log_sum_exp_cpu;
    cpu.kl_divergence = kl_divergence_cpu;
    cpu.matmul_backward = matmul_backward_cpu;
    cpu.weight_gradient = weight_gradient_cpu;
    cpu.gradient_forms = gradient_forms_cpu;
    cpu.rms_norm_backward = rms_norm_backward_cpu;
    cpu.attention_backward = attention_backward_cpu;
    cpu.swiglu_backward = swiglu_backward_cpu;
    cpu.log_sum_exp_signed = log_sum_exp_signed_cpu;
    cpu.logit_probe = logit_probe_cpu;
    cpu.logit_difference = logit_difference_cpu;
    cpu.group_scales = NULL;        /* core/measure has threads for it */
    cpu.uniform = NULL;             /* core/quantize has threads and SIMD of its own */
    cpu.higgs = NULL;
    cpu.name = "cpu";
    return &cpu;
}
