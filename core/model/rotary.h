/*
 * rotary.h - frequencies of rotary position embedding, in radians per position
 *
 *     f_i = theta^(-2i / head_dim),  0 <= i < head_dim/2
 */
#ifndef CORE_MODEL_ROTARY_H
#define CORE_MODEL_ROTARY_H

void rotary_frequencies(double *out, int head_dim, double theta);

/* Llama 3's stretching to longer contexts: f_i is kept where its wave turns at least `high` times
 * within the original context, divided by factor where it turns at most `low` times, and blended
 * linearly in the number of turns between. */
typedef struct { double factor, low, high, original_context; } Llama3Scaling;

void rotary_scale_llama3(double *frequencies, int n, const Llama3Scaling *scaling);

#endif
