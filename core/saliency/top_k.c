#include "core/saliency/top_k.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/largest.h"

enum { SPARE = 1 << 16 };

static int64_t room_for(int64_t k, int64_t n) { return 2 * k + SPARE < n ? 2 * k + SPARE : n > 0 ? n : 1; }

int64_t top_k_bytes(int64_t k, int64_t n) { return room_for(k, n) * (int64_t)(sizeof(float) + sizeof(int64_t)); }

void top_k_init(TopK *out, int64_t k, int64_t n)
{
    *out = (TopK){ .k = k, .room = room_for(k, n), .full = k == 0, .bar = UINT32_MAX };
    out->score = xmalloc(sizeof *out->score * (size_t)out->room);
    out->place = xmalloc(sizeof *out->place * (size_t)out->room);
}

void top_k_free(TopK *top)
{
    free(top->score);
    free(top->place);
    *top = (TopK){ 0 };
}

void top_k_keep(TopK *t, int64_t k)
{
    if (t->n <= k) return;
    LargestBar bar = largest_bar(t->score, t->n, k);
    int64_t kept = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const uint32_t bits = magnitude_bits(t->score[i]);
        if (bits < bar.bits || (bits == bar.bits && bar.ties-- <= 0)) continue;
        t->score[kept] = t->score[i];
        t->place[kept++] = t->place[i];
    }
    t->n = kept;
    t->bar = bar.bits;
}

void top_k_finish(TopK *t)
{
    top_k_keep(t, t->k);
    t->room = t->n;
    t->score = xrealloc(t->score, sizeof *t->score * (size_t)(t->n ? t->n : 1));
    t->place = xrealloc(t->place, sizeof *t->place * (size_t)(t->n ? t->n : 1));
}

/* Where k are there already, what equals the least of them comes too late. */
void top_k_add(TopK *t, const float *score, int64_t n, int64_t first)
{
    for (int64_t i = 0; i < n; i++) {
        if (t->full && magnitude_bits(score[i]) <= t->bar) continue;
        if (t->n == t->room) {
            top_k_keep(t, t->k);
            t->full = true;
            if (magnitude_bits(score[i]) <= t->bar) continue;
        }
        t->score[t->n] = score[i];
        t->place[t->n++] = first + i;
    }
}
