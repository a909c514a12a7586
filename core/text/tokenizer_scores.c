/* tokenizer_scores.c - SentencePiece's scores as merges */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/text/tokenizer_parts.h"

typedef struct { double score; int32_t id; } Scored;

static int by_score(const void *left, const void *right)
{
    const Scored *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Every way to make this token from two others. */
static int add_splits(Tokenizer *t, int32_t id, uint32_t rank)
{
    enum { LONGEST = 1024 };                    /* the splits' hashes are quadratic in the length */
    size_t n;
    const char *text = vocabulary_text(&t->vocabulary, id, &n);
    if (!text) return OK;
    if (n > LONGEST) FAIL(ERR_UNSUPPORTED, "token %d is %zu bytes long; we take at most %d", id, n, LONGEST);
    for (size_t cut = 1; cut < n; cut++) {
        int32_t left = vocabulary_find(&t->vocabulary, text, cut);
        int32_t right = left < 0 ? -1 : vocabulary_find(&t->vocabulary, text + cut, n - cut);
        if (right >= 0) merges_put(&t->merges, left, right, rank, id);
    }
    return OK;
}

/* SentencePiece joins the neighbours whose union has the highest score, the leftmost first.  So all
 * splits of a token have one rank, its place among the scores, and equal scores have equal ranks. */
int tokenizer_add_scores(Tokenizer *t, const double *score, const bool *mergeable)
{
    int32_t n = 0;
    Scored *order = xmalloc((size_t)t->vocabulary.n * sizeof *order);
    for (int32_t id = 0; id < t->vocabulary.n; id++)
        if (mergeable[id]) order[n++] = (Scored){ score[id], id };
    qsort(order, (size_t)n, sizeof *order, by_score);

    int status = OK;
    uint32_t rank = 0;
    for (int32_t i = 0; i < n && status == OK; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        status = add_splits(t, order[i].id, rank);
    }
    free(order);
    return status;
}
