/*
 * pretokenize.h - cut text into the words that byte-pair merging works in: regular expressions, one after the other
 *
 * The expressions are Oniguruma's (that is what the tokenizers library runs); PCRE2 runs them here.
 * Where the two would differ, the expression is translated (\s is White_Space) or refused.
 */
#ifndef CORE_TEXT_PRETOKENIZE_H
#define CORE_TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    SPLIT_ISOLATED,                 /* matches and what lies between them are words      */
    SPLIT_KEEP_MATCHES,             /* what lies between the matches is dropped          */
    SPLIT_DROP_MATCHES,             /* the matches are dropped                           */
    SPLIT_PREFIX_SPACE              /* no split: puts a blank before text without one    */
} SplitKind;

typedef struct Splitter Splitter;
typedef struct { Splitter *step; int n; } Pretokenizer;          /* zero-initialise; pretokenizer_free when done */

/* The split that "ByteLevel" with use_regex stands for. */
#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Appends one step.  literal: pattern is plain text.  ERR_FORMAT where it is not an expression,
 * ERR_UNSUPPORTED where PCRE2 would read it otherwise than Oniguruma. */
int  pretokenizer_add(Pretokenizer *pretokenizer, SplitKind kind, const char *pattern, size_t n, bool literal);
void pretokenizer_free(Pretokenizer *pretokenizer);

/* What PCRE2 needs while it matches, made once for many texts. */
typedef struct SplitScratch SplitScratch;
SplitScratch *split_scratch_open(void);
void split_scratch_close(SplitScratch **scratch);

/* Calls word(context, ...) for each word of text[0..n), which must be UTF-8, in order, and stops at
 * its first failure.  ERR_UNSUPPORTED where an expression exceeds PCRE2's limits on this text. */
typedef int (*WordSink)(void *context, const char *word, size_t n);
int pretokenizer_split(const Pretokenizer *pretokenizer, SplitScratch *scratch, const char *text, size_t n, WordSink word, void *context);

#endif
