/* tiny_study.h - a tiny model, its golden sequences and a study of them, opened and closed together */
#ifndef CORE_TESTS_TINY_STUDY_H
#define CORE_TESTS_TINY_STUDY_H

#include "core/tests/tiny_golden.h"

typedef struct { Tiny tiny; Corpus corpus; Study *study; const Model *model; } TinyStudy;      /* model: the tiny one's */

/* The study looks at the corpus inside: the struct must stay where it is. */
static inline void tiny_study_open(TinyStudy *out, const char *name, int context, const char *back_end)
{
    out->tiny = tiny_open(name);
    out->model = out->tiny.model;
    tiny_corpus(&out->corpus, &out->tiny, context);
    out->study = study_of(out->model, &out->corpus, back_end);
}

static inline void tiny_study_close(TinyStudy *t)
{
    study_close(&t->study);
    corpus_free(&t->corpus);
    tiny_close(&t->tiny);
}

#endif
