/* model_shapes.h - shapes of published models without their weights */
#ifndef CORE_TESTS_MODEL_SHAPES_H
#define CORE_TESTS_MODEL_SHAPES_H

#include "core/model/model_build.h"

/* Numbers of all weights of a model without biases and per-head norms. */
static inline int64_t parameters(const ModelShape *s)
{
    int64_t n = 0;
    for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++) {
        int64_t rows, cols;
        const bool there = kind <= WEIGHT_DOWN || kind == WEIGHT_ATTENTION_NORM || kind == WEIGHT_FEED_FORWARD_NORM || kind == WEIGHT_EMBEDDING ||
                           kind == WEIGHT_FINAL_NORM || (kind == WEIGHT_HEAD && !s->tied);
        if (!there) continue;
        model_weight_size(&rows, &cols, kind, s);
        n += rows * (cols ? cols : 1) * (weight_has_block(kind) ? s->n_blocks : 1);
    }
    return n;
}

static const ModelShape llama2_7b = { "llama", 32, 4096, 32, 32, 128, 11008, 32000, 4096, 1e-5f, false, NULL, 0 };

#endif
