/*
 * gradient_sums.h - how much the loss of a text depends on every single weight, window by window
 *
 *     L_s = mean over all scored positions of window s of -log q(next token)         [nats/token]
 *     |G| = sum_s |dL_s/dW|   (TaCQ, arXiv 2504.07389)       F = sum_s (dL_s/dW)^2   (SqueezeLLM, arXiv 2306.07629: the Fisher diagonal)
 *
 * for all layers, each [rows][cols].  Absolute values and squares are taken window by window, so gradients of windows cannot be
 * formed together: windows pass the network in groups, and each layer's gradient is made for one window after the other, added, and
 * thrown away.  Beside the model that takes the sums, one block's weights, one layer's gradient, and the activations of the rows that pass
 * together: 512, or a window's where that is longer.
 *
 * Sums are float32 on the host, windows in the order of the text: all terms have one sign, so n windows round by at most n 2^-24,
 * far less than windows differ.  They do not depend on how many windows pass together, or on threads.
 */
#ifndef CORE_MEASURE_GRADIENT_SUMS_H
#define CORE_MEASURE_GRADIENT_SUMS_H

#include "core/network/backward.h"

/* [layers] by model index; NULL: not asked for. */
typedef struct { int n_layers; float **gradient, **fisher; } GradientSums;

/* out is empty on entry and the caller's to free, after a failure too.  ERR_FORMAT where a gradient is not finite, ERR_INTERRUPTED, ERR_DEVICE. */
int  gradient_sums(GradientSums *out, const Model *model, const Corpus *text, const Kernels *kernels, bool gradient, bool fisher);
void gradient_sums_free(GradientSums *sums);

/* Bytes at work, on a device those of the device; bytes of one kind of sums, which are the host's. */
int64_t gradient_sums_bytes(const ModelShape *shape, const Corpus *text, const Kernels *kernels);
int64_t gradient_sums_kept(const ModelShape *shape);

/* Multiplications and additions, as network_flops counts them. */
double gradient_sums_flops(const ModelShape *shape, const Corpus *text);

#endif
