/* mask_case.h - a tiny model with a calibration text, and which of its weights a mask keeps */
#ifndef CORE_TESTS_MASK_CASE_H
#define CORE_TESTS_MASK_CASE_H

#include "core/tests/golden_gradients.h"

#include "core/measure/evidence.h"
#include "core/measure/masks.h"
#include "core/tests/model_files.h"

enum { MOST_LAYERS = 64 };

typedef struct { Tiny tiny; Corpus corpus; EvidenceSource *source; } Case;

/* In place, since the source borrows the text. */
static inline void case_open(Case *c, const char *name)
{
    c->tiny = tiny_open(name);
    tiny_corpus(&c->corpus, &c->tiny, WHOLE);
    WORKS(evidence_open(&c->source, c->tiny.model, &c->corpus, kernels_cpu(), &(EvidencePlan){ .expected = NEEDS_INPUTS }));
}

static inline void case_close(Case *c)
{
    evidence_close(&c->source);
    corpus_free(&c->corpus);
    tiny_close(&c->tiny);
}

/* Which weights of all layers are kept, as bytes one layer behind the other; the caller frees. */
static inline unsigned char *kept_weights(int64_t *count, const Case *c, const Options *options)
{
    const Model *model = c->tiny.model;
    unsigned char *kept = xcalloc((size_t)mask_weights(model), 1), *at = kept;
    *count = 0;
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *layer = model_layer(model, l);
        const Evidence *e;
        Evidence room;
        WORKS(evidence_for(&e, &room, c->source, &(MapEntry){ l, perturbation_find("tacq"), options }, NULL));
        assert_non_null(e->hessian);
        assert_int_equal(e->kept->first[0], 0);
        assert_int_equal(e->kept->first[layer->rows], e->kept->n);
        for (int64_t r = 0; r < layer->rows; r++)
            for (int64_t k = e->kept->first[r]; k < e->kept->first[r + 1]; k++) {
                assert_true(e->kept->column[k] < layer->cols && (k == e->kept->first[r] || e->kept->column[k] > e->kept->column[k - 1]));
                at[r * layer->cols + e->kept->column[k]] = 1;
            }
        *count += e->kept->n;
        at += layer->rows * layer->cols;
    }
    return kept;
}

#endif
