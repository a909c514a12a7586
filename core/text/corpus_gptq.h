/*
 * corpus_gptq.h - which windows GPTQ-style scripts draw from C4 (inside core/text)
 *
 *     random.seed(seed)
 *     for each window:
 *         repeat i = random.randint(0, n_documents - 1) until len(ids[i]) > context
 *         start = random.randint(0, len(ids[i]) - context - 1);   window = ids[i][start : start + context]
 *
 * "Longer than" is what today's scripts ask; GPTQ's first version asked "not shorter than" and broke
 * on a document of exactly `context` tokens, so the draws agree wherever that version ran through.
 */
#ifndef CORE_TEXT_CORPUS_GPTQ_H
#define CORE_TEXT_CORPUS_GPTQ_H

#include <stdint.h>

typedef struct { int document; int64_t start; } Draw;

/* Writes the tokens of a document to *out; asked again and again, so it should remember. */
typedef int (*DocumentLength)(int64_t *out, void *documents, int document);

/* ERR_FORMAT, naming path, where no document is longer than the context (after each was asked once). */
int gptq_draw(Draw *out, int windows, int n_documents, int context, uint64_t seed,
              DocumentLength length, void *documents, const char *path);

#endif
