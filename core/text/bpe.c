#include "core/text/bpe.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/err.h"

enum { NONE = -1 };
static const uint32_t NO_MERGE = UINT32_MAX;

static uint64_t find_slot(const Merges *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    uint64_t i = (h ^ (h >> 32)) & (m->n_slots - 1);
    while (m->slot[i].merged != NONE && m->slot[i].pair != pair) i = (i + 1) & (m->n_slots - 1);
    return i;
}

static void grow(Merges *m)
{
    Merges old = *m;
    m->n_slots = old.n_slots ? 2 * old.n_slots : 1024;
    m->slot = xmalloc(m->n_slots * sizeof *m->slot);
    for (uint64_t i = 0; i < m->n_slots; i++) m->slot[i].merged = NONE;
    for (uint64_t i = 0; i < old.n_slots; i++)
        if (old.slot[i].merged != NONE) m->slot[find_slot(m, old.slot[i].pair)] = old.slot[i];
    free(old.slot);
}

static uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

void merges_put(Merges *m, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    assert(merged >= 0 && rank != NO_MERGE);
    if (2 * (m->n + 1) > m->n_slots) grow(m);
    uint64_t pair = pair_of(left, right), i = find_slot(m, pair);
    if (m->slot[i].merged == NONE) m->n++;
    m->slot[i] = (Merge){ pair, rank, merged };
}

void merges_free(Merges *m)
{
    free(m->slot);
    *m = (Merges){ 0 };
}

void word_clear(Word *w) { w->n = 0; }

void word_push(Word *w, int32_t id)
{
    if (w->n == w->capacity) {
        w->capacity = w->capacity ? 2 * w->capacity : 64;
        w->symbol = xrealloc(w->symbol, (size_t)w->capacity * sizeof *w->symbol);
    }
    w->symbol[w->n] = (Symbol){ id, (int32_t)w->n - 1, (int32_t)w->n + 1, NO_MERGE };
    w->n++;
}

void word_free(Word *w)
{
    free(w->symbol);
    free(w->heap);
    *w = (Word){ 0 };
}

static void sift_down(uint64_t *heap, int64_t n, int64_t i)
{
    uint64_t moving = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (moving <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static void heap_append(Word *w, uint64_t key)
{
    if (w->n_heap == w->heap_capacity) {
        w->heap_capacity = w->heap_capacity ? 2 * w->heap_capacity : 64;
        w->heap = xrealloc(w->heap, (size_t)w->heap_capacity * sizeof *w->heap);
    }
    w->heap[w->n_heap++] = key;
}

static void heap_push(Word *w, uint64_t key)
{
    heap_append(w, key);
    int64_t i = w->n_heap - 1;
    for (int64_t parent; i > 0 && w->heap[parent = (i - 1) / 2] > key; i = parent) w->heap[i] = w->heap[parent];
    w->heap[i] = key;
}

static uint64_t heap_pop(Word *w)
{
    uint64_t least = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap) sift_down(w->heap, w->n_heap, 0);
    return least;
}

static const Merge *merge_at(const Word *w, const Merges *m, int64_t i)
{
    int32_t next = w->symbol[i].next;
    if (next >= w->n || m->n_slots == 0) return NULL;
    const Merge *merge = &m->slot[find_slot(m, pair_of(w->symbol[i].id, w->symbol[next].id))];
    return merge->merged == NONE ? NULL : merge;
}

/* Notes in symbol i the rank of the pair that it now opens, and returns it. */
static uint32_t rank_pair(Word *w, const Merges *m, int64_t i)
{
    const Merge *merge = merge_at(w, m, i);
    return w->symbol[i].rank = merge ? merge->rank : NO_MERGE;
}

static uint64_t key_of(uint32_t rank, int64_t i) { return (uint64_t)rank << 32 | (uint64_t)i; }

static void queue_pair(Word *w, const Merges *m, int64_t i)
{
    uint32_t rank = rank_pair(w, m, i);
    if (rank != NO_MERGE) heap_push(w, key_of(rank, i));
}

/* Symbol i swallows its right neighbour, which is marked as gone by an id of NONE. */
static void swallow(Word *w, const Merges *m, int64_t i)
{
    Symbol *left = &w->symbol[i], *right = &w->symbol[left->next];
    left->id = merge_at(w, m, i)->merged;
    left->next = right->next;
    right->id = NONE;
    right->rank = NO_MERGE;
    if (left->next < w->n) w->symbol[left->next].previous = (int32_t)i;
    if (left->previous != NONE) queue_pair(w, m, left->previous);
    queue_pair(w, m, i);
}

void word_merge(Word *w, const Merges *m)
{
    assert(w->n <= INT32_MAX);
    w->n_heap = 0;
    for (int64_t i = 0; i + 1 < w->n; i++)
        if (rank_pair(w, m, i) != NO_MERGE) heap_append(w, key_of(w->symbol[i].rank, i));
    for (int64_t i = w->n_heap / 2 - 1; i >= 0; i--) sift_down(w->heap, w->n_heap, i);

    while (w->n_heap) {
        uint64_t least = heap_pop(w);
        int64_t i = (int64_t)(least & UINT32_MAX);
        if (w->symbol[i].rank == least >> 32) swallow(w, m, i);     /* else the pair has changed since it was queued */
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < w->n; i++)
        if (w->symbol[i].id != NONE) w->symbol[kept++].id = w->symbol[i].id;
    w->n = kept;
}
