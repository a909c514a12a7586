#include "core/network/device.h"

#include <stddef.h>

#include "core/base/err.h"

int kernels_status(const Kernels *k)
{
    const char *sentence = k->failure ? k->failure() : NULL;
    if (sentence) FAIL(ERR_DEVICE, "back end %s: %s", k->name, sentence);
    return OK;
}

int kernels_status_after(const Kernels *k, int status)
{
    if (status == ERR_INTERRUPTED) return status;
    const int device = kernels_status(k);
    return device != OK ? device : status;
}

/* The rest is for what the back end takes itself: libraries' scratch, and gaps between pieces. */
int64_t kernels_memory(const Kernels *k, int64_t host) { return k->free_memory ? (int64_t)(.9 * (double)k->free_memory()) : host; }

bool kernels_have_parts(const Kernels *k) { return k->attention_part && k->feed_forward_part; }

int64_t kernels_weight_bytes(const Kernels *k) { return k->settle ? 6 : 4; }

void kernels_settle(const Kernels *k, const float *w, int64_t n)
{
    if (k->settle) k->settle(w, n);
}
