/*
 * device.h - what the host asks of a back end whose memory and arithmetic are a device's
 */
#ifndef CORE_NETWORK_DEVICE_H
#define CORE_NETWORK_DEVICE_H

#include <stdbool.h>

#include "kernels/kernels.h"

/* ERR_DEVICE with the back end's sentence once something went wrong on the device: asked before anything that it computed
 * is believed. */
int kernels_status(const Kernels *kernels);

/* Of what came of device work the device's failure is the first cause: whatever else was found follows from it. */
int kernels_status_after(const Kernels *kernels, int status);

/* Bytes to plan with on a device, most of what it has free; `host` where the back end works in the host's memory. */
int64_t kernels_memory(const Kernels *kernels, int64_t host);

/* Are the parts of a block single operations of this back end?  Then every pass that takes a stream through blocks uses them. */
bool kernels_have_parts(const Kernels *kernels);

/* Bytes of a settled weight: float32, and what the back end keeps beside it. */
int64_t kernels_weight_bytes(const Kernels *kernels);

/* Weights that many products will read have just been uploaded. */
void kernels_settle(const Kernels *kernels, const float *w, int64_t n);

#endif
