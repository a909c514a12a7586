/*
 * device_table.h - GPUs that need not be here: what their vendor's data sheets say of them
 *
 * Numbers of the data sheets, not measurements: no program reaches them (roofline.h says what share of them is expected).  bf16 is the
 * dense rate with float32 sums, fp32 and fp64 those of the ordinary units (a fused multiply-add counts twice), link what the bus to the
 * host carries one way once its own packaging is paid.
 */
#ifndef CORE_MEASURE_DEVICE_TABLE_H
#define CORE_MEASURE_DEVICE_TABLE_H

#include "kernels/kernels.h"

typedef struct {
    const char *name;               /* "h100"                          */
    const char *full;               /* "H100 SXM 80 GB"                */
    int64_t memory;                 /* bytes that a program can have   */
    double bandwidth, link;         /* bytes/s: of its memory, from and to the host */
    double bf16, fp32, fp64;        /* FLOP/s                          */
} DeviceSheet;

/* Ended by a row without a name. */
extern const DeviceSheet device_table[];

/* NULL where there is no such row. */
const DeviceSheet *device_sheet(const char *name);

/* The cuda back end as it would be on that device, to plan with: name, precision, rows of logits, free memory and whether it has parts;
 * it computes nothing.  Good until the next call. */
const Kernels *device_stand_in(const DeviceSheet *sheet, const char *precision);

#endif
