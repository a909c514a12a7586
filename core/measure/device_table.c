#include "core/measure/device_table.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define GIB ((int64_t)1 << 30)

/* NVIDIA: H100 and H200 Tensor Core GPU data sheets (SXM; their rates with sparsity halved), A100 80GB SXM data sheet, Ada GPU
 * architecture white paper (GeForce: float32 sums halve the rate of the tensor cores). */
const DeviceSheet device_table[] = {
    { "h100",    "H100 SXM, 80 GB", 79 * GIB,  3.35e12, 55e9, 989e12, 67e12,   34e12  },
    { "h200",    "H200 SXM, 141 GB", 139 * GIB, 4.8e12, 55e9, 989e12, 67e12,   34e12  },
    { "a100",    "A100 SXM, 80 GB", 79 * GIB,  2.04e12, 25e9, 312e12, 19.5e12, 9.7e12 },
    { "rtx4090", "RTX 4090, 24 GB", 23 * GIB,  1.01e12, 25e9, 165e12, 82.6e12, 1.3e12 },
    { .name = NULL },
};

const DeviceSheet *device_sheet(const char *name)
{
    for (const DeviceSheet *d = device_table; d->name; d++)
        if (!strcmp(d->name, name)) return d;
    return NULL;
}

/* ---- the stand-in ---- */

static int64_t free_bytes;

static int64_t free_memory(void) { return free_bytes; }

/* No memory was ever given. */
static void release(float *p) { (void)p; }

/* That they are there is all that is asked of them. */
static void no_attention_part(float *x, const AttentionPart *part, const Ragged *batch)
{
    (void)x, (void)part, (void)batch;
    abort();
}

static void no_feed_forward_part(float *x, const FeedForwardPart *part, const Ragged *batch)
{
    (void)x, (void)part, (void)batch;
    abort();
}

static void no_settle(const float *w, int64_t n)
{
    (void)w, (void)n;
    abort();
}

static void no_ahead(int on)
{
    (void)on;
    abort();
}

const Kernels *device_stand_in(const DeviceSheet *sheet, const char *precision)
{
    static Kernels exact = { .name = "cuda", .precision = "fp32", .head_rows = 512, .free_memory = free_memory, .release = release, .ahead = no_ahead };
    static Kernels rounded = { .name = "cuda", .precision = "bf16", .head_rows = 512, .free_memory = free_memory, .release = release, .ahead = no_ahead,
                               .settle = no_settle, .attention_part = no_attention_part, .feed_forward_part = no_feed_forward_part };
    free_bytes = sheet->memory;
    return strcmp(precision, "bf16") ? &exact : &rounded;
}
