/*
 * ggml.h - which block format the method `ggml` really uses
 */
#ifndef CORE_QUANTIZE_GGML_H
#define CORE_QUANTIZE_GGML_H

#include <stdint.h>

#include "core/model/tensor.h"

/* For rows of `cols` weights: the value of the method's option `type`, or what stands for it where its blocks do not fit (ggml.c). */
Dtype ggml_type_used(const char *type, int64_t cols);

#endif
