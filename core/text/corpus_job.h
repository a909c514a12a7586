/*
 * corpus_job.h - what to read and how to cut it, all defaults settled (inside core/text)
 */
#ifndef CORE_TEXT_CORPUS_JOB_H
#define CORE_TEXT_CORPUS_JOB_H

#include "core/text/corpus_cut.h"
#include "core/text/text_file.h"

typedef struct Protocol Protocol;

typedef struct {
    const Protocol *protocol;
    const char *path, *separator;
    TextKind kind;
    const Tokenizer *tokenizer;
    int context, vocabulary;
    int windows, skip;              /* windows (of questions: items) to cut, the skipped ones among them; 0: all */
    bool bos;
    int32_t bos_id;                 /* -1 where there is none */
    uint64_t seed;
} Job;

/* Appends the ids of one text, BOS first where with_bos says so, and checks them against the model. */
int corpus_encode(Ids *ids, const Job *job, const char *text, size_t n, bool with_bos, bool parse_special);

/* Protocols choices and answers, which skip by themselves. */
int cut_choices(Cut *cut, const Job *job);
int cut_answers(Cut *cut, const Job *job);

#endif
