/*
 * corpus_files.h - a file opened as a corpus, or refused in one sentence
 */
#ifndef CORE_TESTS_CORPUS_FILES_H
#define CORE_TESTS_CORPUS_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/corpus.h"

static inline Corpus opened(const char *path, const Tokenizer *tokenizer, CorpusOptions options)
{
    Corpus corpus;
    int status = corpus_open(&corpus, path, tokenizer, &options);
    if (status != OK) print_error("%s\n", err_last());
    assert_int_equal(status, OK);
    return corpus;
}

static inline void refuse(const char *path, const Tokenizer *tokenizer, CorpusOptions options, int code, const char *sentence)
{
    Corpus corpus = { .n_windows = 42 };
    assert_int_equal(corpus_open(&corpus, path, tokenizer, &options), code);
    assert_int_equal(corpus.n_windows, 42);
    assert_string_equal(err_last(), sentence);
}

static inline int clean(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

#endif
